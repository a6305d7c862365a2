"""The demo's changes: what Laravel and the fleet wrote in MySQL, as TimescaleDB has it, and how
long it took to get there.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from rich.table import Table

from shared.cdc.checkpoint import whole_seq
from shared.cdc.log import ChangeLog
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from shared.timescale.connection import connect as timescale
from workers.cdc.tables import accounts_source, chosen

CATCH_UP_SECONDS = 60.0
LOOK_SECONDS = 0.2
PROBES, PROBE_SECONDS = 20, 10.0

_STATES = """
SELECT table_name, count(*) FROM fleet.row_state WHERE NOT deleted GROUP BY table_name"""
_EVENTS = """
SELECT table_name, count(*), count(DISTINCT actor)
FROM fleet.change_event WHERE table_name <> '' GROUP BY table_name"""
_SEEN = """
SELECT EXISTS (SELECT 1 FROM fleet.change_event
WHERE table_name = %s AND row_key = %s AND op = 'u' AND after->>'updated_at' LIKE %s)"""


class Captured(NamedTuple):
    """One table. rows, there: in MySQL and in TimescaleDB; changes: events that led there."""

    table: str
    rows: int
    there: int
    changes: int


def wait_until_seen(settings: Settings) -> str:
    """Until every sink has what the collector has appended. What is missing, "" when nothing is."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    missing = "no collector has begun"
    with closing(control_client(settings.streams_redis, "fleet-demo")) as redis:
        log = ChangeLog(redis, settings.prefix)
        while time.monotonic() < deadline:
            checkpoint = log.look()
            if checkpoint is not None:
                behind = {
                    sink: checkpoint.place.seq - (whole_seq(report.offset) if report.offset else 0)
                    for sink, report in log.reports().items()
                }
                missing = "; ".join(f"{sink} is {n} behind" for sink, n in behind.items() if n > 0)
                if not missing and not log.requests() and len(behind) > 1:
                    return ""
            time.sleep(LOOK_SECONDS)
    return missing or "a table is still being read"


def compare(settings: Settings) -> list[Captured]:
    """Every captured table, counted on both sides."""
    with closing(connect(settings.mysql)) as source, closing(timescale(settings)) as sink:
        laravels = settings.mysql.laravel_database
        accounts = accounts_source(source, laravels).table
        states = {name: int(count) for name, count in sink.execute(_STATES)}
        events = {name: int(count) for name, count, _ in sink.execute(_EVENTS)}
        found = []
        for name in chosen(settings.cdc_tables, accounts):
            schema = settings.mysql.database if name.startswith("fleet_") else laravels
            rows = _count(source, schema, name)
            found.append(Captured(name, rows, states.get(name, 0), events.get(name, 0)))
    return found


def _count(connection: Any, schema: str, name: str) -> int:
    cursor = connection.cursor()
    cursor.execute(f"SELECT COUNT(*) FROM `{schema}`.`{name}`")  # noqa: S608 - names of our table
    return int(cursor.fetchone()[0])


def table(found: Sequence[Captured]) -> Table:
    made = Table("table", "rows in MySQL", "in TimescaleDB", "changes", "")
    for one in found:
        if one.rows or one.there:
            tie = "ties" if one.rows == one.there else "DIFFERS"
            made.add_row(one.table, f"{one.rows:,}", f"{one.there:,}", f"{one.changes:,}", tie)
    return made


def lags_ms(settings: Settings, desk: Mapping[str, str], account: int) -> list[float]:
    """Laravel's own row is touched again and again, as its application would: from commit until the
    change is visible in TimescaleDB, in milliseconds.
    """
    owner = settings.mysql.model_copy(
        update={
            "user": "root",
            "password": type(settings.mysql.password)(desk["SERVERS_DB_ROOT_PASSWORD"]),
        }
    )
    took = []
    with (
        closing(connect(owner, database=owner.laravel_database)) as laravel,
        closing(timescale(settings)) as sink,
    ):
        sink.autocommit = True
        cursor = laravel.cursor()
        for number in range(PROBES):
            # The column holds whole seconds: each probe has a second of its own.
            at = f"2026-01-01 00:00:{number:02d}"
            cursor.execute(
                "UPDATE exchange_accounts SET updated_at = %s WHERE id = %s", (at, account)
            )
            laravel.commit()
            began = time.monotonic()
            wanted = ("exchange_accounts", f'["{account}"]', f"%00:00:{number:02d}%")
            while not (_one(sink, wanted) or time.monotonic() - began > PROBE_SECONDS):
                time.sleep(0.002)
            took.append((time.monotonic() - began) * 1000)
    return took


def _one(sink: Any, wanted: tuple[str, str, str]) -> bool:
    found = sink.execute(_SEEN, wanted).fetchone()
    return bool(found and found[0])


def described(took: Sequence[float]) -> str:
    return f"median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms of {len(took)}"


def verified() -> bool:
    """`fleet cdc verify`: row for row, in both sinks."""
    command = [sys.executable, "-m", "workers.cli", "cdc", "verify"]
    return subprocess.run(command, check=False).returncode == 0
