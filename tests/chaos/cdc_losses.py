"""Losses that nothing can cure: the collector must stop, and say what to do."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing, suppress
from typing import NamedTuple

import MySQLdb

from shared.mysql.connection import connect
from tests.chaos.cdc_faults import Storm, kill_sessions
from tests.chaos.cdc_tables import SCHEMA
from tests.waiting import eventually

PURGE_SECONDS = 10.0


class Loss(NamedTuple):
    """reasons: of the stop."""

    name: str
    reasons: frozenset[str]
    strike: Callable[[Storm], None]


def purge(storm: Storm) -> None:
    """While nobody reads, the files that come next go."""
    _away(storm)
    _unread(storm)
    mysql = storm.world.mysql
    mysql.run("FLUSH BINARY LOGS")
    last = mysql.run("SHOW BINARY LOGS")[-1][0]

    def purged() -> bool:
        """A file that a dump thread still holds is passed over, with a warning."""
        mysql.run(f"PURGE BINARY LOGS TO '{last}'")
        return bool(mysql.run("SHOW BINARY LOGS")[0][0] == last)

    eventually(purged, PURGE_SECONDS)
    storm.crew.up()


def reset(storm: Storm) -> None:
    """The same names of files, and other content."""
    _away(storm)
    _unread(storm)
    mysql = storm.world.mysql
    mysql.run("RESET MASTER" if mysql.flavour == "mariadb" else "RESET BINARY LOGS AND GTIDS")
    _unread(storm)
    storm.crew.up()


def as_statement(storm: Storm) -> None:
    with closing(connect(storm.world.mysql.where, SCHEMA)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION binlog_format = 'STATEMENT'")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("UPDATE orders SET amount = amount + 1 WHERE id < 50")
        connection.commit()


def _away(storm: Storm) -> None:
    storm.crew.down(signal.SIGKILL)
    for member in storm.crew.members:
        if member.process is not None:
            member.process.wait()
    kill_sessions(storm.world)


def _unread(storm: Storm) -> None:
    """Changes of every kind, deletes among them, that no log will tell."""
    with closing(connect(storm.world.mysql.where, SCHEMA)) as connection, suppress(MySQLdb.Error):
        cursor = connection.cursor()
        cursor.execute("DELETE FROM orders WHERE id % 3 = 0")
        cursor.execute("UPDATE pairs SET n = n + 1")
        cursor.execute("INSERT INTO imports (n, text) VALUES (1, 'unread')")
        connection.commit()


LOSSES = (
    Loss("binlog purged", frozenset({"purged"}), purge),
    Loss(
        "RESET MASTER",
        frozenset({"log_reset", "position_ahead", "purged", "another_file"}), reset,
    ),
    Loss("statement format", frozenset({"statement_format"}), as_statement),
)  # fmt: skip
