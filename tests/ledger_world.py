"""A world of fills, cash and entries for tests: seeded generators and short constructors."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from shared.ledger.cash import DAILY_COLUMN, CashEntry
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import FillReport, read_report
from shared.ledger.identity import report_hash

DAY_MS = 86_400_000
FIRST_DAY = 20_000 * DAY_MS  # 2024-10-04
PRODUCTS = ("linear", "inverse", "spot")
CONTRACT_SIZE = {"linear": "0.001", "inverse": "100", "spot": "1"}
SETTLE = {"linear": "USDT", "inverse": "BTC", "spot": "USDT"}
T = TypeVar("T")


def report(**fields: Any) -> FillReport:
    """A linear BTCUSDT buy of 1 at 100 on account 1; `fields` change it. Amounts may be texts."""
    told: dict[str, Any] = {
        "account_id": 1,
        "venue": "binance",
        "product": "linear",
        "instrument": "BTCUSDT",
        "position_side": "net",
        "trade_id": "1",
        "order_id": None,
        "side": "buy",
        "qty": "1",
        "price": "100",
        "settle_asset": "USDT",
        "executed_at_ms": FIRST_DAY,
    }
    if fields.get("product") == "spot":
        told |= {"base_asset": "BTC", "quote_asset": "USDT"}
    told |= {k: str(v) if isinstance(v, Decimal) else v for k, v in fields.items()}
    return read_report(json.dumps(told))


def cash(**fields: Any) -> CashEntry:
    """Funding of +1 USDT on account 1; `fields` change it."""
    told: dict[str, Any] = {
        "account_id": 1,
        "venue_type": "FUNDING_FEE",
        "ref": "1",
        "asset": "USDT",
        "instrument": "BTCUSDT",
        "product": "linear",
        "venue": "binance",
        "amount": "1",
        "kind": "funding",
        "at_ms": FIRST_DAY,
    } | fields
    data = json.dumps(told)
    for name in ("amount", "basis"):
        told[name] = None if told.get(name) is None else Decimal(told[name])
    return CashEntry(**told, data=data, report_hash=report_hash(data))


def entry(kind: str = "open", **fields: Any) -> PositionEntry:
    """An opening of 1 BTCUSDT at a cost of 100 on account 1, or a move of a spot holding; `fields`
    change it. Amounts may be texts.
    """
    told: dict[str, Any] = {
        "account_id": 1,
        "product": "linear" if kind == "open" else "spot",
        "instrument": "BTCUSDT",
        "position_side": "net",
        "kind": kind,
        "ref": "1",
        "venue": "binance",
        "at_ms": FIRST_DAY,
        "qty": "1",
        "cost": "0" if kind == "out" else "100",
        "contract_size": "1",
        "settle_asset": "USDT",
    } | {name: str(v) if isinstance(v, Decimal) else v for name, v in fields.items()}
    data = json.dumps(told)
    amounts = {name: Decimal(told[name]) for name in ("qty", "cost", "contract_size")}
    return PositionEntry(**told | amounts, report_hash=report_hash(data), data=data)


def trades(
    seed: int,
    count: int,
    *,
    accounts: int = 3,
    days: int = 4,
    products: Sequence[str] = PRODUCTS,
    hedge: bool = True,
) -> list[FillReport]:
    """Random fills in the order of execution: several accounts, products and days; flips, equal
    milliseconds, fees in three assets, rebates, contract sizes.
    """
    draw = random.Random(seed)
    made = []
    at = FIRST_DAY
    for number in range(count):
        at += draw.choice([0, 0, 1, 1000, 2 * days * DAY_MS // count])
        product = draw.choice(products)
        sides = ["net", "long", "short"] if hedge and product != "spot" else ["net"]
        made.append(
            report(
                account_id=draw.randrange(1, accounts + 1),
                product=product,
                instrument=draw.choice(["BTCUSDT", "ETHUSDT"]),
                position_side=draw.choice(sides),
                trade_id=str(draw.randrange(8, 12) * 10**4 + number),
                side=draw.choice(["buy", "buy", "sell"]),
                qty=amount(draw, 4, 8),
                price=amount(draw, 5, 6),
                contract_size=CONTRACT_SIZE[product],
                settle_asset=SETTLE[product],
                fee=draw.choice([None, "0", amount(draw, 1, 10), "-0.000000000000000001"]),
                fee_asset=draw.choice(["USDT", "BNB", "BTC"]),
                order_id=draw.choice([None, f"o{number // 3}"]),
                executed_at_ms=at,
                venue_seq=draw.choice([None, number]),
            )
        )
    return made


def amount(draw: random.Random, digits: int, decimals: int) -> str:
    """A positive plain decimal."""
    whole = draw.randrange(10 ** draw.randrange(1, digits + 1))
    return f"{whole}.{draw.randrange(1, 10**decimals):0{decimals}}"


def retold(draw: random.Random, original: FillReport) -> list[FillReport]:
    """More reports of one fill: without its fee, from another source, corrected, contradicting."""
    fields = json.loads(original.data)
    again = []
    if draw.random() < 0.5:
        again.append({**fields, "fee": None, "source": "stream"})
    if draw.random() < 0.5:
        again.append({**fields, "source": "sync", "order_id": None, "client_order_id": "c1"})
    if draw.random() < 0.3:
        again.append({**fields, "revision": 2, "price": amount(draw, 4, 4)})
    if draw.random() < 0.3:
        later = fields["executed_at_ms"] + draw.choice([-DAY_MS, 0, 1, DAY_MS])
        again.append({**fields, "revision": draw.choice([1, 2, 3]), "executed_at_ms": later})
    if draw.random() < 0.2:
        again.append({**fields, "revision": 3, "settle_asset": "USDC", "fee_asset": "USDC"})
    if draw.random() < 0.2 and fields["product"] != "spot":
        again.append({**fields, "revision": 3, "position_side": "long"})
    return [read_report(json.dumps(told)) for told in again]


def movements(
    seed: int, count: int, *, accounts: int = 3, days: int = 4
) -> list[CashEntry | PositionEntry]:
    """Random cash of every kind, openings and moves of spot holdings; of some of them a second
    report that contradicts.
    """
    draw = random.Random(seed)
    made: list[CashEntry | PositionEntry] = []
    for number in range(count):
        at = FIRST_DAY + draw.randrange(2 * days) * DAY_MS + draw.choice([0, 1, DAY_MS - 1])
        where = {
            "account_id": draw.randrange(1, accounts + 1),
            "instrument": draw.choice(["BTCUSDT", "ETHUSDT"]),
            "ref": str(number),
        }
        kind = draw.choice(["cash", "cash", "open", "in", "out"])
        again = at + draw.choice([-DAY_MS, 1, DAY_MS])
        for told_at in draw.choice([[at], [at], [at, again]]):
            if kind == "cash":
                made.append(_cash(draw, where, told_at))
            else:
                made.append(_entry(draw, where, kind, told_at))
    return made


def _cash(draw: random.Random, where: dict[str, Any], at_ms: int) -> CashEntry:
    return cash(
        **where,
        kind=draw.choice([*DAILY_COLUMN, "commission", "transfer_in", "realized"]),
        product=draw.choice(PRODUCTS),
        asset=draw.choice(["USDT", "BTC"]),
        amount=draw.choice(["", "-"]) + amount(draw, 3, 18),
        at_ms=at_ms,
    )


def _entry(draw: random.Random, where: dict[str, Any], kind: str, at_ms: int) -> PositionEntry:
    product = draw.choice(PRODUCTS) if kind == "open" else "spot"
    short = draw.choice(["", "-"]) if product != "spot" else ""
    return entry(
        kind,
        **where,
        product=product,
        contract_size=CONTRACT_SIZE[product],
        settle_asset=SETTLE[product],
        qty=short + amount(draw, 3, 8),
        cost="0" if kind == "out" else short + amount(draw, 5, 18),
        at_ms=at_ms,
    )


def shuffled(draw: random.Random, things: Iterable[T], doubles: float = 0.2) -> list[T]:
    """All things in another order, some of them twice."""
    result = list(things)
    result += [thing for thing in result if draw.random() < doubles]
    draw.shuffle(result)
    return result


def batches(draw: random.Random, things: Sequence[T], largest: int) -> list[Sequence[T]]:
    """Consecutive pieces of random sizes."""
    pieces, start = [], 0
    while start < len(things):
        end = start + draw.randrange(1, largest + 1)
        pieces.append(things[start:end])
        start = end
    return pieces
