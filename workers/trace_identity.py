"""Everything recorded about one identity: what a break or the cause of a restatement names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.cash import CashEntry
from shared.ledger.days import day_of
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import Fill
from shared.mysql.book_entries import SQL as ENTRIES_SQL
from shared.mysql.book_fills import SQL as FILLS_SQL
from shared.mysql.book_rows import Rows
from shared.queries import load
from workers.trace import Line, RowKey, Wanted, trace

SQL = load(Path(__file__).with_name("trace_identity.sql"))

_EPOCH = date(1970, 1, 1)
_VERBATIM = ("data", "report_hash")  # stands among the reports

Record = Mapping[str, Any]


class UnknownIdentity(ValueError):  # noqa: N818 - named for what it is
    """The message says in one sentence what is wrong with the text."""


class About(NamedTuple):
    """record: the row that stands; None: there is none. lines: what it does to the rows of
    fleet_pnl_daily. The rest are rows by column name.
    """

    identity: str
    record: Record | None
    reports: tuple[str, ...] = ()
    lines: tuple[tuple[RowKey, Line], ...] = ()
    order: Record | None = None
    breaks: tuple[Record, ...] = ()
    restatements: tuple[Record, ...] = ()
    parked: tuple[Record, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.record or self.reports or self.breaks or self.restatements or self.parked)


def about(rows: Rows, text: str) -> About:
    """text: a JSON array, as it stands in a break or a cause. Reads several tables: give it a
    snapshot. Raises UnknownIdentity.
    """
    kind, key = _parsed(text)
    identity = json.dumps([kind, *key], ensure_ascii=False, separators=(",", ":"))
    found = _KINDS[kind].read(rows, identity, key)
    account = None if kind == "signal" else key[0]
    return found._replace(
        breaks=_named(_BREAK, rows.run(SQL["breaks"], (account, identity))),
        restatements=_named(_RESTATED, rows.run(SQL["restatements"], (account, identity))),
        parked=_named(_PARKED, rows.run(SQL["parked"], (account, identity))),
    )


def _parsed(text: str) -> tuple[str, tuple[Any, ...]]:
    try:
        parts = json.loads(text)
    except ValueError as error:
        raise UnknownIdentity(f"an identity is a JSON array, {text!r} is none: {error}") from error
    kind = parts[0] if isinstance(parts, list) and parts else None
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise UnknownIdentity(f"{text!r} begins with none of {', '.join(_KINDS)}")
    key = tuple(parts[1:])
    plain = all(isinstance(part, (str, int)) for part in key)
    if len(key) not in known.lengths or not plain:
        raise UnknownIdentity(f"{text!r} is no whole identity: {kind}, then {known.parts}")
    return str(kind), key


# ---- by kind


def _fill(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    found = [Fill._make(row) for row in rows.read(FILLS_SQL["read_fills"], [key])]
    reports = tuple(row[5] for row in rows.read(FILLS_SQL["read_report_data"], [key]))
    if not found:
        return About(identity, None, reports)
    fill = found[0]
    lines = _effects(rows, identity, key[:3], fill.executed_at_ms)
    names = [f"o:{fill.order_id}"] if fill.order_id else []
    names += [f"c:{fill.client_order_id}"] if fill.client_order_id else []
    orders = _named(_ORDER, rows.run(SQL["order"], (*key[:3], names)) if names else ())
    return About(identity, fill._asdict(), reports, lines, order=orders[0] if orders else None)


def _cash(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    found = [CashEntry._make(row) for row in rows.read(ENTRIES_SQL["read_cash"], [key])]
    if not found:
        return About(identity, None)
    entry = found[0]
    lines = _effects(rows, identity, (key[0], entry.product, entry.instrument), entry.at_ms)
    return About(identity, _without_report(entry._asdict()), (entry.data,), lines)


def _entry(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    found = rows.read(ENTRIES_SQL["read_position_entries"], [key])
    if not found:
        return About(identity, None)
    entry = PositionEntry._make(found[0])
    lines = _effects(rows, identity, key[:3], entry.at_ms)
    return About(identity, _without_report(entry._asdict()), (entry.data,), lines)


def _position(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    """With its newest reports; `observed` names the one of a watermark."""
    watermark = key[4] if len(key) > len(("account", "product", "instrument", "side")) else None
    found = _named(_HELD, rows.run(SQL["position"], key[:4]))
    reports = rows.run(SQL["position_reports"], (*key[:4], watermark, watermark))
    return About(identity, found[0] if found else None, tuple(data for (data,) in reports))


def _balance(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    watermark = key[3] if len(key) > len(("account", "asset", "product")) else None
    reports = rows.run(SQL["balance_reports"], (*key[:3], watermark, watermark))
    return About(identity, None, tuple(data for (data,) in reports))


def _observed(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    """Of a position or, shorter, of a balance."""
    read = _balance if len(key) == min(_KINDS["observed"].lengths) else _position
    return read(rows, identity, key)


def _signal(rows: Rows, identity: str, key: tuple[Any, ...]) -> About:
    found = rows.read(ENTRIES_SQL["read_signals"], [key])
    return About(identity, None, tuple(row[-1] for row in found))


class _Kind(NamedTuple):
    parts: str
    lengths: Sequence[int]
    read: Callable[[Rows, str, tuple[Any, ...]], About]


_POSITION = "account, product, instrument, position side"
_KINDS: Mapping[str, _Kind] = {
    "fill": _Kind("account, product, instrument, trade id, side", (5,), _fill),
    "cash": _Kind("account, venue type, ref, asset, instrument", (5,), _cash),
    "entry": _Kind(f"{_POSITION}, kind, ref", (6,), _entry),
    "position": _Kind(_POSITION, (4,), _position),
    "refold": _Kind(_POSITION, (4,), _position),
    "balance": _Kind("account, asset, product", (3,), _balance),
    "observed": _Kind(f"{_POSITION} or account, asset, product; watermark", (4, 5), _observed),
    "signal": _Kind("source, channel, message, revision", (4,), _signal),
}


# ---- what they share


def _effects(
    rows: Rows, identity: str, key: tuple[Any, ...], at_ms: int
) -> tuple[tuple[RowKey, Line], ...]:
    wanted = Wanted(key[0], _EPOCH + timedelta(days=day_of(at_ms)), key[1], key[2])
    return tuple(
        (row.key, line)
        for row in trace(rows, wanted)
        for line in row.lines
        if line.identity == identity
    )


def _without_report(record: Record) -> Record:
    return {name: value for name, value in record.items() if name not in _VERBATIM}


# Columns of the statements, in their order.
_BREAK = ("kind", "details", "expected", "actual", "cause", "opened_at", "closed_at")
_RESTATED = (
    "product", "instrument", "day", "asset", "version", "realized", "fees", "funding", "other",
    "fills", "restated_at",
)  # fmt: skip
_PARKED = (
    "stream", "partition", "entry_id", "reason", "error", "parked_at", "resolution",
    "resolved_reason", "resolved_at",
)  # fmt: skip
_ORDER = (
    "order_id", "client_order_id", "state", "state_at_ms", "side", "order_type", "qty", "price",
    "signal_id", "strategy", "reason",
)  # fmt: skip
_HELD = (
    "venue", "qty", "cost", "unknown_basis_qty", "avg_entry", "realized", "settle_asset",
    "contract_size", "fills", "last_fill_at", "restating_from_ms", "restating_fills", "version",
)  # fmt: skip


def _named(columns: Sequence[str], found: Iterable[Sequence[Any]]) -> tuple[Record, ...]:
    return tuple(dict(zip(columns, row, strict=True)) for row in found)
