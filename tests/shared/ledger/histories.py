"""Histories of one position for hypothesis, as the oracle's moves; and the same for the fold."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from shared.ledger.entries import PLACE
from shared.ledger.fill import value_of
from shared.ledger.money import LEDGER, QUANTUM
from tests.shared.ledger.oracle import DAY_MS, move

Move = dict[str, Any]
SIZES = {"linear": ("1", "0.001", "1000"), "inverse": ("1", "10", "100"), "spot": ("1",)}
SETTLE = {"linear": "USDT", "inverse": "BTC", "spot": "USDT"}
FIRST_MS = 20_000 * DAY_MS


class Traded(NamedTuple):
    """What the fold reads of a move."""

    executed_at_ms: int
    venue_seq: int
    trade_id: str
    side: str
    venue: str
    qty: Decimal
    value: Decimal
    fee: Decimal | None
    fee_asset: str | None
    base_asset: str | None
    settle_asset: str
    contract_size: Decimal


def traded(one: Mapping[str, Any]) -> Traded:
    kind, qty, size = one["kind"], Decimal(one["qty"]), Decimal(one["size"])
    if kind in PLACE:
        seq, value = PLACE[kind], Decimal(one["cost"] or 0)
    else:
        seq, value = one["seq"], value_of(one["product"], qty, Decimal(one["price"]), size)
    return Traded(
        one["ms"], seq, one["name"], kind, "binance", qty, value,
        None if one["fee"] is None else Decimal(one["fee"]), one["fee_asset"], one["base"],
        one["settle"], size,
    )  # fmt: skip


# Simple, or with every digit an amount can have; no price so low that an inverse value overflows.
QTY = st.one_of(
    st.integers(1, 20_000).map(Decimal),
    st.decimals("0.001", "20000", places=3),
    st.decimals("1E-18", "20000", places=18),
)
PRICE = st.one_of(
    st.integers(1, 90_000).map(Decimal),
    st.decimals("0.1", "90000", places=1),
    st.decimals("0.000001", "90000", places=18),
)
FEES = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(["0", "0.01", "-0.005", "0.000000000000000001", "30"]),
        st.sampled_from(["USDT", "BNB", "BTC"]),
    ),
)
STEPS = ("buy", "sell", "close", "part", "flip")
ENTRIES = {"linear": ("open",), "inverse": ("open",), "spot": ("open", "in", "out")}
GAPS = st.sampled_from([0, 1, 1_000, DAY_MS // 2, DAY_MS, 5 * DAY_MS])


@st.composite
def histories(
    draw: st.DrawFn, product: str, *, entries: bool = False, largest: int = 16
) -> list[Move]:
    """In their order. Besides random buys and sells: closes to flat, partial closes and flips of
    what is held at the time.
    """
    size = draw(st.sampled_from(SIZES[product]))
    steps = STEPS + (ENTRIES[product] if entries else ())
    moves: list[Move] = []
    held, ms = Decimal(0), FIRST_MS
    for number in range(draw(st.integers(1, largest))):
        ms += draw(GAPS)
        wanted = draw(st.sampled_from(steps))
        kind, qty = _meant(wanted, held, draw(QTY))
        if kind == "open" and product != "spot" and draw(st.booleans()):
            qty = -qty
        one = _move(product, kind, qty, size, draw(PRICE)) | {
            "ms": ms, "name": str(number + 1), "seq": number
        }  # fmt: skip
        if kind in {"buy", "sell"} and (fee := draw(FEES)) is not None:
            one["fee"], one["fee_asset"] = fee
        moves.append(one)
        held = _held_after(product, held, one)
    return sorted(moves, key=lambda one: (one["ms"], traded(one).venue_seq))


def _meant(wanted: str, held: Decimal, amount: Decimal) -> tuple[str, Decimal]:
    """A step as kind and quantity."""
    closing = "sell" if held > 0 else "buy"
    if wanted in {"close", "part", "flip"} and held:
        whole = abs(held)
        if wanted == "close":
            return closing, whole
        if wanted == "flip":
            return closing, whole + amount
        part = LEDGER.quantize(LEDGER.multiply(whole, min(amount, Decimal(7)) / 8), QUANTUM)
        return closing, part or whole  # a half among them, for shares that end in a tie
    if wanted in {"buy", "sell", "open", "in", "out"}:
        return wanted, amount
    return "buy", amount


def _move(product: str, kind: str, qty: Decimal, size: str, price: Decimal) -> Move:
    one = move(
        kind, format(qty, "f"), format(price, "f"), product=product, size=size,
        settle=SETTLE[product], base="BTC" if product == "spot" else None,
    )  # fmt: skip
    if kind in {"open", "in"}:
        cost = value_of(product, abs(qty), price, Decimal(size)).copy_sign(qty)
        one["cost"] = format(cost, "f")
    return one


def _held_after(product: str, held: Decimal, one: Move) -> Decimal:
    """Only steers what comes next, so that closes really close."""
    qty = Decimal(one["qty"])
    fee = Decimal(one["fee"] or 0) if one["base"] and one["fee_asset"] == one["base"] else 0
    if one["kind"] == "open":
        return qty
    after = held + qty - fee if one["kind"] in {"buy", "in"} else held - qty - fee
    return max(after, Decimal(0)) if product == "spot" else after
