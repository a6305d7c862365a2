"""The last errors of the fleet, wherever they were written down: a few of each kind, newest first,
each with what to do. For the status page and `fleet status --watch`.

Nothing is written for it: what went wrong is in MySQL and Redis already, and is gone from here when
it is cured (an operator job's end after a day).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from shared.cdc.log import ChangeLog
from shared.masking import Mask
from shared.queries import load
from workers.sync import status as sync_status

SQL = load(Path(__file__).with_name("troubles.sql"))

SHOWN = 5
"""Of each kind. All of them stand where `do` points."""
WHY_CHARACTERS = 300


class Trouble(NamedTuple):
    """alert: whose section of the runbooks tells more. at: UTC, where it is known."""

    alert: str
    at: datetime | None
    where: str
    why: str
    do: str


def newest_first(found: Iterator[Trouble], mask: Mask) -> list[Trouble]:
    """Masked and cut; what has no time comes first: it is so now."""
    told = [one._replace(where=mask.text(one.where), why=_short(mask.text(one.why)))
            for one in found]  # fmt: skip
    return sorted(told, key=lambda one: one.at or datetime.max.replace(tzinfo=UTC), reverse=True)


def in_mysql(connection: Any) -> Iterator[Trouble]:
    """Six short statements; commits."""
    for read in (_parked, _halted, _breaks, _payloads, _accounts, _streams_down):
        yield from read(_reader(connection), connection)
    connection.commit()


def in_the_audit_log(connection: Any) -> Iterator[Trouble]:
    """Rows that its database refused; commits."""
    for seq, row, table, reason, at in _reader(connection)(SQL["refused"]):
        yield Trouble(
            "FleetRowsQuarantined", _utc(at), f"audit, transaction {seq}, row {row} of {table}",
            reason, f"mend the cause, then fleet cdc quarantine replay --seq {seq}",
        )  # fmt: skip
    connection.commit()


def in_the_change_stream(stream: ChangeLog) -> Iterator[Trouble]:
    """Why the source's log cannot be followed, if it cannot, and why sinks wait."""
    found = stream.look()
    if found is not None and found.stopped is not None:
        stopped = found.stopped
        yield Trouble("FleetCaptureStopped", None, "the collector", stopped.what, stopped.cure)
    for sink, report in stream.reports().items():
        if report.why:
            yield Trouble(
                "FleetSinkBehind", None, f"the sink {sink}", report.why,
                "fleet cdc status; look at its database",
            )  # fmt: skip


_Rows = Callable[[str], list[Any]]


def _reader(connection: Any) -> _Rows:
    def rows(statement: str) -> list[Any]:
        cursor = connection.cursor()
        cursor.execute(statement, (SHOWN,))
        return list(cursor.fetchall())

    return rows


def _parked(rows: _Rows, _: Any) -> Iterator[Trouble]:
    for stream, number, entry, kind, reason, error, at in rows(SQL["parked"]):
        name = kind.decode("utf-8", "backslashreplace")
        yield Trouble(
            "FleetEventsParked", _utc(at), f"{stream}:{number} {entry} {name}",
            f"{reason}: {error}", f"fleet parked show {entry}",
        )  # fmt: skip


def _halted(rows: _Rows, _: Any) -> Iterator[Trouble]:
    for stream, number, reason, at in rows(SQL["halted"]):
        yield Trouble(
            "FleetPartitionHalted", _utc(at), f"{stream}:{number}", reason,
            "mend the handler, deploy, fleet parked resume",
        )  # fmt: skip


def _breaks(rows: _Rows, _: Any) -> Iterator[Trouble]:
    for number, kind, account, cause, at in rows(SQL["breaks"]):
        whose = "" if account is None else f" of account {account}"
        alert = "FleetBooksBroken" if kind == "identity" else "FleetBreaksOpen"
        why = f"cause: {cause}" if cause else "its cause is not known yet"
        yield Trouble(alert, _utc(at), f"{kind}{whose}", why, f"fleet breaks show {number}")


def _payloads(rows: _Rows, _: Any) -> Iterator[Trouble]:
    for queue, token, reason, at in rows(SQL["payloads"]):
        yield Trouble(
            "FleetPayloadsQuarantined", _utc(at), f"queue {queue}", reason,
            f"fleet laravel quarantine show {token}",
        )  # fmt: skip


def _accounts(_: _Rows, connection: Any) -> Iterator[Trouble]:
    for one in sync_status.failing(connection)[:SHOWN]:
        suspended = one.state == "suspended"
        yield Trouble(
            "FleetAccountsSuspended" if suspended else "FleetSyncFailing", None,
            f"account {one.account_id} at {one.venue}",
            f"{one.state}: {one.error or 'no reason was told'}",
            "the user stores another key in the application" if suspended
            else f"fleet sync --account {one.account_id}",
        )  # fmt: skip


def _streams_down(rows: _Rows, _: Any) -> Iterator[Trouble]:
    for account, venue, cause, at in rows(SQL["streams_down"]):
        yield Trouble(
            "FleetStreamsDown", _utc(at), f"user stream of account {account} at {venue}",
            f"down: {cause}", "is the role userstreams running, and what does its log say?",
        )  # fmt: skip


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WHY_CHARACTERS else f"{line[: WHY_CHARACTERS - 1]}…"
