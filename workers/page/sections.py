"""What the status page and `fleet status --watch` show of the exporter's samples, one row a column:
both are drawn from this table, so the page and the terminal say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from workers.alerts import Plane, Sample, Severity, problems
from workers.page.words import WORDS, Unit


class Column(NamedTuple):
    """A metric folded over what is not in the row. where: only samples with these labels."""

    title: str
    metric: str
    unit: Unit = "count"
    fold: Literal["sum", "max", "min", "series"] = "sum"
    where: tuple[tuple[str, str], ...] = ()


class Grid(NamedTuple):
    """by: labels that make a row; without any there is one row, shown as a list of facts.
    troubled: only rows with something wrong, TROUBLED_SHOWN of them.
    """

    by: tuple[str, ...]
    columns: tuple[Column, ...]
    troubled: bool = False


class Section(NamedTuple):
    plane: Plane
    title: str
    grids: tuple[Grid, ...]


class Cell(NamedTuple):
    """severity: that of the alert that its value breaks; "" where all is well."""

    text: str
    severity: Severity | Literal[""] = ""


class Shown(NamedTuple):
    """A grid filled in. facts: one row without a key."""

    head: tuple[str, ...]
    rows: list[list[Cell]]
    facts: bool


TROUBLED_SHOWN = 10
"""Where all partitions lack an owner, a page of them says no more."""
_VENUE = ("venue", "egress", "tier")
_PARTITION = ("consumer", "stream", "partition")

SECTIONS: tuple[Section, ...] = (
    Section("money", "Money", (
        Grid((), (
            Column("broken identities", "fleet_identity_breaks"),
            Column("accounts that differ from the exchange", "fleet_unreconciled_accounts"),
            Column("accounts that lack an event", "fleet_accounts_incomplete"),
            Column("positions with late fills", "fleet_restating_positions"),
        )),
        Grid(("kind",), (Column("open breaks", "fleet_breaks_open"),)),
        Grid(("stream", "reason"), (Column("parked events", "fleet_parked_open"),)),
    )),
    Section("streams", "Streams", (
        Grid(("stream",), (
            Column("partitions", "fleet_partition_owned", fold="series"),
            Column("owned", "fleet_partition_owned"),
            Column("events behind", "fleet_lag_events"),
            Column("time behind", "fleet_lag_seconds", "seconds", "max"),
            Column("parked", "fleet_partition_parked"),
            Column("halted", "fleet_partition_halted"),
            Column("highest epoch", "fleet_partition_epoch", fold="max"),
        )),
        Grid(_PARTITION, (
            Column("owned", "fleet_partition_owned", "yes"),
            Column("events behind", "fleet_lag_events"),
            Column("time behind", "fleet_lag_seconds", "seconds"),
            Column("parked", "fleet_partition_parked"),
            Column("halted", "fleet_partition_halted", "yes"),
        ), troubled=True),
        Grid((), (
            Column("outbox rows waiting", "fleet_outbox_waiting"),
            Column("the oldest of them", "fleet_outbox_oldest_seconds", "seconds"),
            Column("appended, not confirmed", "fleet_outbox_unconfirmed"),
            Column("streams in Redis", "fleet_redis_used_bytes", "bytes"),
            Column("their budget", "fleet_redis_budget_bytes", "bytes"),
            Column("of it used", "fleet_redis_budget_used_ratio", "ratio"),
            Column("the whole Redis", "fleet_redis_server_used_bytes", "bytes"),
            Column("its limit", "fleet_redis_server_max_bytes", "bytes"),
            Column("Redis saves what it holds", "fleet_redis_durable", "yes"),
        )),
    )),
    Section("sync", "Exchanges", (
        Grid(_VENUE, (
            Column("active", "fleet_exchange_accounts", where=(("state", "active"),)),
            Column("suspended", "fleet_exchange_accounts", where=(("state", "suspended"),)),
            Column("failing", "fleet_sync_failing"),
            Column("overdue", "fleet_sync_overdue_seconds", "seconds", "max"),
            Column("oldest answer", "fleet_sync_oldest_seconds", "seconds", "max"),
        )),
        Grid(("venue", "egress"), (
            Column("limit used", "fleet_exchange_budget_used_ratio", "ratio", "max"),
            Column("may be asked again in", "fleet_exchange_paused_seconds", "seconds", "max"),
        )),
        Grid(("venue",), (
            Column("user streams down", "fleet_streams_down"),
            Column("gaps not yet read", "fleet_stream_gaps_open"),
        )),
    )),
    Section("capture", "Change capture", (
        Grid((), (
            Column("a collector runs", "fleet_cdc_owned", "yes"),
            Column("it wrote", "fleet_cdc_checkpoint_age_seconds", "ago"),
            Column("behind MySQL", "fleet_cdc_lag_seconds", "seconds"),
            Column("transaction", "fleet_cdc_seq"),
            Column("epoch", "fleet_cdc_epoch"),
            Column("entries that a sink lacks", "fleet_cdc_stream_entries"),
            Column("their memory", "fleet_cdc_stream_bytes", "bytes"),
            Column("tables left out", "fleet_cdc_tables_stopped"),
            Column("MySQL purges what is not read in", "fleet_cdc_purge_seconds", "seconds"),
            Column("equity rows not copied", "fleet_equity_copy_waiting"),
        )),
        Grid(("reason",), (Column("stopped", "fleet_cdc_stopped", "yes", "max"),)),
        Grid(("sink",), (
            Column("behind", "fleet_cdc_sink_lag_seconds", "seconds", "max"),
            Column("transactions behind", "fleet_cdc_sink_lag_events"),
            Column("has transaction", "fleet_cdc_sink_seq"),
            Column("said something", "fleet_cdc_sink_silent_seconds", "ago", "max"),
            Column("rows refused", "fleet_cdc_quarantine_rows"),
        )),
    )),
    Section("laravel", "Laravel's queues", (
        Grid(("queue",), (
            Column("ready", "fleet_laravel_queue_jobs", where=(("state", "ready"),)),
            Column("delayed", "fleet_laravel_queue_jobs", where=(("state", "delayed"),)),
            Column("in hand", "fleet_laravel_queue_jobs", where=(("state", "reserved"),)),
            Column("waits longest", "fleet_laravel_queue_oldest_seconds", "seconds", "max"),
            Column("failed this hour", "fleet_laravel_failed_jobs"),
        )),
        Grid((), (
            Column("payloads set aside", "fleet_laravel_quarantined"),
            Column("jobs towards Laravel waiting", "fleet_dispatches_waiting"),
            Column("the oldest of them", "fleet_dispatches_oldest_seconds", "seconds"),
        )),
    )),
    Section("money", "Data quality", (
        Grid(("check", "dimension"), (
            Column("met", "fleet_quality_met", "yes", "min"),
            Column("found", "fleet_quality", "number", "max"),
            Column("objective", "fleet_quality_objective", "number", "max"),
            Column("looked", "fleet_quality_age_seconds", "ago", "max"),
        )),
    )),
    Section("fleet", "The fleet itself", (
        Grid(("server",), (Column("answers", "fleet_server_up", "yes", "min"),)),
        Grid(("task",), (
            Column("last success", "fleet_schedule_age_seconds", "ago", "max"),
            Column("overdue", "fleet_schedule_overdue_seconds", "seconds", "max"),
        )),
        Grid(("queue",), (Column("tasks", "fleet_queue_depth"),)),
        Grid((), (
            Column("the last look took", "fleet_collect_seconds", "seconds"),
            Column("it succeeded", "fleet_collect_success", "yes"),
        )),
    )),
)  # fmt: skip

_FOLDS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum, "max": max, "min": min, "series": lambda values: float(len(values)),
}  # fmt: skip
_Key = tuple[str, ...]


def filled(grid: Grid, samples: Iterable[Sample]) -> Shown:
    """The grid's rows, in the order of their keys (numbers as numbers)."""
    by_metric: dict[str, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    found = [_of(column, grid.by, by_metric.get(column.metric, ())) for column in grid.columns]
    keys = sorted({key for cells in found for key in cells}, key=_in_order)
    rows = []
    for key in keys:
        cells = [
            _cell(column, cells.get(key, ()))
            for column, cells in zip(grid.columns, found, strict=True)
        ]
        if not grid.troubled or any(cell.severity for cell in cells):
            rows.append([*(Cell(part) for part in key), *cells])
    rows = rows[:TROUBLED_SHOWN] if grid.troubled else rows
    return Shown((*grid.by, *(column.title for column in grid.columns)), rows, facts=not grid.by)


def _of(column: Column, by: _Key, samples: Iterable[Sample]) -> dict[_Key, list[Sample]]:
    found: dict[_Key, list[Sample]] = {}
    for sample in samples:
        if all(sample.labels.get(name) == value for name, value in column.where):
            found.setdefault(tuple(sample.labels[name] for name in by), []).append(sample)
    return found


def _cell(column: Column, samples: Sequence[Sample]) -> Cell:
    if not samples:
        return Cell("")
    value = _FOLDS[column.fold]([sample.value for sample in samples])
    wrong = [] if column.fold == "series" else problems(samples)
    return Cell(WORDS[column.unit](value), wrong[0].alert.severity if wrong else "")


def _in_order(key: _Key) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in key]
