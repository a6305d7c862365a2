"""The same figures, computed another way: scaled integers, everything sorted once, one pass.

Shares no code with the ledger. Knows only what the contract says of fills, cash and days.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

ONE = 10**18
DAILY_CASH = {"funding": "funding", "rebate": "other", "bonus": "other", "liquidation_fee": "other",
              "insurance": "other", "interest": "other"}


class Books(NamedTuple):
    """positions: key -> (qty, cost, realized, unknown_basis, fills); daily: key -> figures.

    Amounts are integers of 1e-18.
    """

    positions: dict[tuple[int, str, str, str], tuple[int, int, int, int, int]]
    daily: dict[tuple[int, str, str, date, str], dict[str, int]]


def scaled(text: str) -> int:
    """Decimal text as an integer of 1e-18, exact."""
    whole, _, part = text.lstrip("-").partition(".")
    value = int(whole) * ONE + int(part.ljust(18, "0"))
    return -value if text.startswith("-") else value


def divided(numerator: int, denominator: int) -> int:
    """Integer division rounded half to even."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        quotient += 1
    return quotient


def books(events: Iterable[tuple[str, str]]) -> Books:
    """events: (type, data as JSON text), in any order, with doubles and revisions."""
    fills: dict[tuple[Any, ...], dict[str, Any]] = {}
    cash: dict[tuple[Any, ...], dict[str, Any]] = {}
    for kind, text in events:
        data = json.loads(text)
        if kind == "order.filled.1":
            key = tuple(data[name] for name in
                        ("account_id", "product", "instrument", "trade_id", "side"))
            known = fills.get(key)
            if known is None or data.get("revision", 1) > known.get("revision", 1):
                fills[key] = data
        elif kind == "cash.moved.1":
            key = tuple(data[name] for name in
                        ("account_id", "venue_type", "ref", "asset", "instrument"))
            cash[key] = data
    daily: dict[Any, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    positions = _positions(fills.values(), daily)
    for entry in cash.values():
        column = DAILY_CASH.get(entry["kind"])
        if column:
            place = (entry["account_id"], "", entry["instrument"], day_of(entry["at_ms"]),
                     entry["asset"])
            daily[place][column] += scaled(entry["amount"])
    return Books(positions, {place: dict(figures) for place, figures in daily.items()})


def day_of(milliseconds: int) -> date:
    """UTC day; midnight belongs to the day it begins."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).date()


def _positions(fills: Iterable[dict[str, Any]], daily: Any) -> dict[Any, Any]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for fill in fills:
        groups[(fill["account_id"], fill["product"], fill["instrument"],
                fill["position_side"])].append(fill)
    found = {}
    for key, group in groups.items():
        group.sort(key=lambda one: (one["executed_at_ms"], one.get("venue_seq", -1),
                                    len(one["trade_id"].encode()), one["trade_id"].encode(),
                                    one["side"]))
        step = _spot if key[1] == "spot" else _linear
        state, realized = (0, 0, 0), 0
        for fill in group:
            state, gained = step(state, fill)
            realized += gained
            day = day_of(fill["executed_at_ms"])
            place = (*key[:3], day, fill["settle_asset"])
            daily[place]["realized"] += gained
            daily[place]["fills"] += 1
            if fill["fee"] is not None:
                daily[(*key[:3], day, fill["fee_asset"])]["fees"] += scaled(fill["fee"])
        found[key] = (state[0], state[1], realized, state[2], len(group))
    return found


def _value(fill: dict[str, Any]) -> int:
    product = (scaled(fill["qty"]) * scaled(fill["price"])
               * scaled(fill.get("contract_size", "1")))
    return divided(product, ONE * ONE)


def _linear(state: tuple[int, int, int], fill: dict[str, Any]) -> tuple[tuple[int, int, int], int]:
    held, cost, unknown = state
    sign = 1 if fill["side"] == "buy" else -1
    qty, value = sign * scaled(fill["qty"]), sign * _value(fill)
    if held * qty >= 0:
        return (held + qty, cost + value, unknown), 0
    if abs(qty) <= abs(held):
        out = divided(cost * -qty, held)
        return (held + qty, cost - out, unknown), -value - out
    closing = divided(value * -held, qty)
    return (held + qty, value - closing, unknown), -closing - cost


def _spot(state: tuple[int, int, int], fill: dict[str, Any]) -> tuple[tuple[int, int, int], int]:
    held, cost, unknown = state
    qty, value = scaled(fill["qty"]), _value(fill)
    base_fee = 0
    if fill["fee"] is not None and fill["fee_asset"] == fill["base_asset"]:
        base_fee = scaled(fill["fee"])
    if fill["side"] == "buy":
        after = held + qty - base_fee
        if after > 0:
            return (after, cost + value, unknown), 0
        return (0, 0, unknown - after), -cost - value
    leaving = qty + base_fee
    if leaving <= 0:
        return (held - leaving, cost, unknown), value
    if leaving < held:
        out = divided(cost * leaving, held)
        return (held - leaving, cost - out, unknown), value - out
    return (0, 0, unknown + leaving - held), divided(value * held, leaving) - cost


def differences(connection: Any, expected: Books) -> list[str]:
    """Compare MySQL with the expected books; one line per difference, empty when all ties."""
    cursor = connection.cursor()
    cursor.execute("SELECT account_id, product, instrument, position_side, qty, cost, realized,"
                   " unknown_basis_qty, fills FROM fleet_positions")
    stored = {row[:4]: (*(exact(amount) for amount in row[4:8]), int(row[8]))
              for row in cursor.fetchall()}
    found = _compare("position", expected.positions, stored)
    cursor.execute("SELECT account_id, product, instrument, day, asset, realized, fees, funding,"
                   " other, fills FROM fleet_pnl_daily")
    columns = ("realized", "fees", "funding", "other")
    days = {}
    for row in cursor.fetchall():
        figures = {name: exact(amount) for name, amount in zip(columns, row[5:9], strict=True)}
        if any(figures.values()) or row[9]:
            days[row[:5]] = {**figures, "fills": int(row[9])}
    wanted = {place: {name: figures.get(name, 0) for name in (*columns, "fills")}
              for place, figures in expected.daily.items() if any(figures.values())}
    return found + _compare("day", wanted, days)


def exact(amount: Decimal) -> int:
    """A DECIMAL(38,18) as an integer of 1e-18."""
    return scaled(format(amount, "f"))


def _compare(what: str, expected: dict[Any, Any], stored: dict[Any, Any]) -> list[str]:
    return [
        f"{what} {key}: expected {expected.get(key)}, stored {stored.get(key)}"
        for key in sorted(expected.keys() | stored.keys(), key=str)
        if expected.get(key) != stored.get(key)
    ]
