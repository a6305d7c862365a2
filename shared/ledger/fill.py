"""Fills: what venues and sources report of one, and what we hold to be true of it.

One fill is reported once or more (stream, sync, import; with its fee or before it). `merge` makes
one fill of a SET of reports, so neither order nor repetition of the reports can matter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from shared.ledger.identity import report_hash
from shared.ledger.money import LEDGER, ONE, plain, quantize


class UnsupportedProduct(ValueError):  # noqa: N818 - named for what it is
    """The ledger has no rule for this product (options). The decoder parks such events before they
    come here.
    """


class FillReport(NamedTuple):
    """`order.filled.1` as one source told it. None: this report does not know.

    Amounts in the venue's own units; `fee` positive when paid; `data` the verbatim JSON and
    `report_hash` its BLAKE2b-128 (`identity.report_hash`).
    """

    account_id: int
    product: str
    instrument: str
    trade_id: str
    side: str
    venue: str
    position_side: str
    qty: Decimal
    price: Decimal
    settle_asset: str
    executed_at_ms: int
    data: str
    report_hash: bytes
    order_id: str | None = None
    client_order_id: str | None = None
    contract_size: Decimal | None = None
    fee: Decimal | None = None
    fee_asset: str | None = None
    base_asset: str | None = None
    quote_asset: str | None = None
    venue_seq: int | None = None
    revision: int = 1
    source: str | None = None
    liquidity: str | None = None
    kind: str | None = None
    realized_pnl: Decimal | None = None
    signal_id: str | None = None
    strategy: str | None = None


class Fill(NamedTuple):
    """One fill, merged; the fields are the columns of fleet_fills in the order we write them.

    `value`: see `value_of`. `fee` None: not known yet.
    """

    account_id: int
    product: str
    instrument: str
    trade_id: str
    side: str
    venue: str
    position_side: str
    order_id: str | None
    client_order_id: str | None
    qty: Decimal
    price: Decimal
    contract_size: Decimal
    value: Decimal
    fee: Decimal | None
    fee_asset: str | None
    settle_asset: str
    base_asset: str | None
    quote_asset: str | None
    executed_at_ms: int
    venue_seq: int
    trade_id_bytes: int
    revision: int
    reports: int
    source: str | None
    liquidity: str | None
    kind: str
    reported_realized: Decimal | None
    signal_id: str | None
    strategy: str | None


# (executed_at_ms, venue_seq or -1, bytes in trade_id, trade_id bytes, side): numeric ids sort as
# numbers.
OrderKey = tuple[int, int, int, bytes, str]

# What a venue may not tell in two ways without somebody looking. A fee is corrected by a higher
# revision every day, so it conflicts only between reports of the same revision.
_CORE = (
    "venue", "position_side", "qty", "price", "contract_size", "settle_asset", "base_asset",
    "quote_asset", "executed_at_ms", "venue_seq",
)  # fmt: skip
_FEE = ("fee", "fee_asset")
_CONTENT = tuple(name for name in FillReport._fields if name not in {"data", "report_hash"})
_AMOUNTS = ("qty", "price", "contract_size", "fee", "realized_pnl")


class Placed(Protocol):
    """What gives a fill its place."""

    @property
    def executed_at_ms(self) -> int: ...
    @property
    def venue_seq(self) -> int | None: ...
    @property
    def trade_id(self) -> str: ...
    @property
    def side(self) -> str: ...


def order_key(fill: Placed) -> OrderKey:
    """The place of a fill among the fills of its position, whatever the order of arrival."""
    trade_id = fill.trade_id.encode()
    seq = -1 if fill.venue_seq is None else fill.venue_seq
    return (fill.executed_at_ms, seq, len(trade_id), trade_id, fill.side)


def merge(reports: Collection[FillReport]) -> tuple[Fill, dict[str, list[str]]]:
    """The fill that a set of reports of one identity tells, and its conflicts.

    Per field the first known value wins, in the order: higher revision, then smaller canonical
    content. Conflicts: field -> sorted texts of the unequal values. Raises AmountOverflow.
    """
    distinct = {report.report_hash: report for report in reports}
    if len(distinct) == 1:
        return _filled(next(iter(distinct.values())), 1), {}
    ranked = sorted(distinct.values(), key=_rank)
    winner = ranked[0]
    known: dict[str, Any] = {}
    for name in _CONTENT:
        if name not in _FEE:
            values = (getattr(report, name) for report in ranked)
            known[name] = next((value for value in values if value is not None), None)
    paid = next((report for report in ranked if report.fee is not None), winner)
    known["fee"], known["fee_asset"] = paid.fee, paid.fee_asset
    return _filled(winner._replace(**known), len(ranked)), _conflicts(ranked)


def _filled(report: FillReport, reports: int) -> Fill:
    r = report
    size = ONE if r.contract_size is None else r.contract_size
    return Fill(
        r.account_id, r.product, r.instrument, r.trade_id, r.side, r.venue, r.position_side,
        r.order_id, r.client_order_id, r.qty, r.price, size,
        value_of(r.product, r.qty, r.price, size), r.fee, r.fee_asset, r.settle_asset,
        r.base_asset, r.quote_asset, r.executed_at_ms,
        -1 if r.venue_seq is None else r.venue_seq, len(r.trade_id.encode()), r.revision, reports,
        r.source, r.liquidity, r.kind or "normal", r.realized_pnl, r.signal_id, r.strategy,
    )  # fmt: skip


def value_of(product: str, qty: Decimal, price: Decimal, contract_size: Decimal) -> Decimal:
    """Value in the settle asset, positive, quantized once: of an inverse contract (coin-margined,
    quoted in the other asset) it is qty * contract_size / price.
    """
    if product == "inverse":
        return quantize(LEDGER.divide(LEDGER.multiply(qty, contract_size), price))
    return quantize(LEDGER.multiply(LEDGER.multiply(qty, price), contract_size))


def _rank(report: FillReport) -> tuple[int, tuple[str, ...], bytes]:
    content = tuple(_text(getattr(report, name)) for name in _CONTENT)
    return (-report.revision, content, report.report_hash)


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    return "" if value is None else str(value)


def _conflicts(reports: Iterable[FillReport]) -> dict[str, list[str]]:
    by_revision: dict[int, list[FillReport]] = defaultdict(list)
    for report in reports:
        by_revision[report.revision].append(report)
    conflicts = _unequal(_CORE, reports)
    for same in by_revision.values():
        for name, texts in _unequal(_FEE, same).items():
            conflicts[name] = sorted({*texts, *conflicts.get(name, ())})
    return conflicts


def _unequal(names: Iterable[str], reports: Iterable[FillReport]) -> dict[str, list[str]]:
    found = {}
    for name in names:
        values = (getattr(report, name) for report in reports)
        texts = {_text(value) for value in values if value is not None}
        if len(texts) > 1:
            found[name] = sorted(texts)
    return found


def read_report(data: str) -> FillReport:
    """A report from its verbatim JSON, which was validated when it came in."""
    fields: dict[str, Any] = json.loads(data, parse_int=_whole)
    given = {name: fields[name] for name in _CONTENT if fields.get(name) is not None}
    for name in _AMOUNTS:
        if name in given:
            given[name] = Decimal(given[name])
    if "signal_id" in given:  # Laravel's ids come as numbers too
        given["signal_id"] = str(given["signal_id"])
    return FillReport(**given, data=data, report_hash=report_hash(data))


_INTEGER_DIGITS = 20  # 2^64 - 1


def _whole(text: str) -> int | str:
    """An integer that a field of ours can hold; a longer one stays text: it belongs to a field we
    ignore, and Python refuses to read 4,300 digits.
    """
    return int(text) if len(text) <= _INTEGER_DIGITS else text
