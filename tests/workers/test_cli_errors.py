"""What an operator reads when a server is not there, refuses, or was never migrated."""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import MySQLdb
import psycopg
import pytest
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - Redis' own
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004 - Redis' own
)

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from tests.security.every_command import commands
from workers import cli
from workers.cli_errors import in_a_line

SECONDS = 10
WAITS = {("cdc", "verify"): 1, ("parked", "replay"): 1, ("rebuild",): 1, ("recover",): 1}
"""These wait for sinks, or for a node that does it; seconds that a test waits with them."""
NOWHERE = {"DB_PORT": "1", "REDIS_PORT": "1", "FLEET_TIMESCALE_URL": "postgresql://u:p@127.0.0.1:1/x"}


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (Unavailable("it rains"), "it rains"),
        (MySQLdb.ProgrammingError(1146, "t"), "fleet migrate"),
        (MySQLdb.OperationalError(1142, "t"), "fleet doctor --grants"),
        (MySQLdb.OperationalError(2006, "t"), "lost"),
        (psycopg.errors.UndefinedTable("t"), "fleet migrate"),
        (psycopg.errors.InsufficientPrivilege("t"), "fleet doctor --grants"),
        (ConnectionError("t"), "start it"),
        (TimeoutError("t"), "in time"),
        (AuthenticationError("t"), "REDIS_PASSWORD"),
        (NoPermissionError("t"), "fleet doctor --grants"),
        (OutOfMemoryError("t"), "maxmemory"),
        (ReadOnlyError("t"), "REPLICAOF NO ONE"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_says_what_cures_it(error: Exception, cure: str) -> None:
    assert cure in (in_a_line(error) or "")


@pytest.mark.parametrize(
    "bug", [ResponseError("wrong"), MySQLdb.ProgrammingError(1064, "t"), ValueError("t")]
)
def test_a_bug_keeps_its_traceback(bug: Exception) -> None:
    assert in_a_line(bug) is None


class _Waits(Exception):  # noqa: N818 - no mistake
    pass


@contextmanager
def _impatient(words: Sequence[str]) -> Iterator[None]:
    """_Waits: it waits for others, and may. AssertionError: it hangs."""
    seconds = next((WAITS[key] for key in (tuple(words[:2]), tuple(words[:1])) if key in WAITS), 0)

    def too_long(*_: object) -> None:
        raise _Waits if seconds else AssertionError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds or SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _bugs(monkeypatch: pytest.MonkeyPatch, *left_out: str) -> list[str]:
    """Every command is typed once; those that ended in a traceback, or not at all."""
    wrong = []
    for words in commands():
        if words[0] in left_out:
            continue
        monkeypatch.setattr(sys, "argv", ["fleet", *words])
        try:
            with _impatient(words):
                cli.main()
        except _Waits:
            pass
        except SystemExit as ended:
            if ended.code not in {0, 1, 2}:
                wrong.append(f"{' '.join(words)}: {ended.code}")
        except BaseException as error:  # noqa: BLE001 - what Python would show as a traceback
            wrong.append(f"{' '.join(words)}: {type(error).__name__}: {error}")
    return wrong


def test_no_command_ends_in_a_traceback_where_nothing_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "env").touch()
    environ = {"FLEET_ENV_FILE": str(tmp_path / "env"), "HOME": str(tmp_path), **NOWHERE,
               "APP_KEY": f"base64:{'A' * 43}=", "DB_DATABASE": "x", "DB_USERNAME": "u",
               "DB_PASSWORD": "p", "REDIS_PREFIX": "p_"}  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert _bugs(monkeypatch) == []


@pytest.mark.database
def test_no_command_ends_in_a_traceback_where_redis_is_away(
    environ_for: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environ_for("cli").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_PORT", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _bugs(monkeypatch, "migrate") == []


@pytest.mark.database
def test_no_command_ends_in_a_traceback_where_nobody_migrated(
    environ_for: Callable[..., dict[str, str]], mysql_root: MySQLSettings,
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    schema = f"fleet_t_{uuid.uuid4().hex[:10]}"
    with closing(connect(mysql_root)) as root:
        root.cursor().execute(f"CREATE DATABASE {schema}")
        try:
            environ = environ_for("cli") | {
                "FLEET_DB_DATABASE": schema, "DB_DATABASE": schema, "DB_USERNAME": "root",
                "DB_PASSWORD": servers["SERVERS_DB_ROOT_PASSWORD"], "HOME": str(tmp_path),
            }  # fmt: skip
            for name, value in environ.items():
                monkeypatch.setenv(name, value)
            assert _bugs(monkeypatch, "migrate") == []
        finally:
            root.cursor().execute(f"DROP DATABASE {schema}")
