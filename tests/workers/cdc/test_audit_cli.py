"""`fleet cdc audit` and `fleet cdc quarantine`, and an audit log that lives elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.change_world import ORDERS, ChangeStream, created, order
from tests.sink_world import AuditUnderTest, LoopWorld, hashed
from workers import cli
from workers.cdc import audit_cli
from workers.cdc.audit import AuditSink
from workers.cdc.audit_proof import prove_audit
from workers.migrate import migrate_audit

pytestmark = pytest.mark.database

Fleet = Callable[..., Result]


@pytest.fixture
def fleet(environ_for: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Fleet:
    environ = environ_for("cli")
    environ.pop("FLEET_TIMESCALE_URL")  # the audit log alone
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(audit_cli.console, "width", 300)
    return lambda *words: CliRunner().invoke(cli.fleet, ["cdc", *words])


@pytest.fixture
def under(
    settings_for: Callable[..., Settings], mysql_root: MySQLSettings, fleet_schema: str
) -> Iterator[AuditUnderTest]:
    with closing(connect(mysql_root, fleet_schema)) as root:
        yield AuditUnderTest(settings_for, root)


@pytest.fixture
def stream(redis_root: Any, redis_prefix: str) -> ChangeStream:
    found = ChangeStream(redis_root, redis_prefix)
    found.append(found.control())
    found.append(found.commit(created(ORDERS, order(1)), created(ORDERS, order(2))))
    return found


def test_verify_prints_what_to_keep_elsewhere(
    under: AuditUnderTest, stream: ChangeStream, fleet: Fleet
) -> None:
    LoopWorld(under, under.settings).catch_up()
    found = fleet("audit", "verify")
    assert found.exit_code == 0, found.output
    ((last,),) = under.run("SELECT LOWER(HEX(hash)) FROM fleet_change_log WHERE row_index = 1")
    assert found.output.strip() == f"3 rows through 1/{stream.seq}: {last}"


def test_verify_names_the_first_broken_row_and_fails(
    under: AuditUnderTest, stream: ChangeStream, fleet: Fleet
) -> None:
    LoopWorld(under, under.settings).catch_up()
    under.run("UPDATE fleet_change_log SET actor = 'nobody' WHERE seq = %s", (stream.seq,))
    found = fleet("audit", "verify")
    assert found.exit_code == 1
    assert f"row 0 of 1/{stream.seq}" in found.output
    told = json.loads(fleet("audit", "verify", "--json").output)
    assert told["broken"][:3] == [1, stream.seq, 0]


def test_quarantine_is_listed_and_replayed_by_seq(
    under: AuditUnderTest, stream: ChangeStream, fleet: Fleet
) -> None:
    bad = stream.commit(created(ORDERS, order(3)), under.refused())
    stream.append(bad)
    LoopWorld(under, under.settings).catch_up()

    listed = fleet("quarantine", "list")
    assert listed.exit_code == 0, listed.output
    assert "max_allowed_packet" in listed.output
    other = fleet("quarantine", "replay", "--seq", "1..2")
    assert "audit: 0 rows written" in other.output
    done = fleet("quarantine", "replay", "--seq", str(bad[0].seq), "--sink", "audit")
    assert (done.exit_code, done.output) == (0, "audit: 1 rows written, 0 refused again\n")
    assert "max_allowed_packet" not in fleet("quarantine", "list").output


def test_a_sink_that_is_not_there_is_named(fleet: Fleet, under: AuditUnderTest) -> None:
    del under
    found = fleet("quarantine", "list", "--sink", "timescale")
    assert found.exit_code == 2
    assert "no sink timescale here: audit" in found.output


def test_the_log_may_live_in_another_schema_with_nothing_else_in_it(
    under: AuditUnderTest, stream: ChangeStream, mysql_root: MySQLSettings, fleet_schema: str
) -> None:
    elsewhere = mysql_root.model_copy(update={"database": f"{fleet_schema}_audit"})
    settings = under.settings.model_copy(update={"audit_database": elsewhere})
    try:
        assert "empty -> " in migrate_audit(settings)
        assert "unchanged" in migrate_audit(settings)
        sink = AuditSink(partial(connect, settings.audit), hashed)
        LoopWorld(under, under.settings).catch_up(sink)
        with closing(connect(settings.audit)) as connection:
            assert prove_audit(connection)[:4:2] == (3, (1, stream.seq))
        assert under.run("SELECT * FROM fleet_change_log") == []
    finally:
        under.run(f"DROP DATABASE IF EXISTS `{elsewhere.database}`")
