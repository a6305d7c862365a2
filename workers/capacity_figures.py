"""What `fleet capacity` reckons with: figures that were measured, each with what measures it anew.

Bytes and weights: `make bench BENCH=capacity`, which says what has moved. Rates: the bench that is
named. Two threads of one core, servers beside the fleet; of MariaDB and MySQL the worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.exchanges.venue import Kind, Product


class Weights(NamedTuple):
    """Weight of an account's turn by kind. busy: it traded since the last; quiet: it did not."""

    busy: Mapping[Kind, int]
    quiet: Mapping[Kind, int]


class Rate(NamedTuple):
    """A second, on one node. bench: what measures it."""

    a_second: int
    bench: str


BYTES: Mapping[str, int] = {
    "an entry of a stream": 471,
    "a fill in the binlog": 2_372,
    "a fill in MySQL": 1_634,  # merged, and each report as it came
    "a position": 720,  # updated all the time: pages are half full
    "a position's day": 441,
    "a day's P&L": 797,
    "a change in the audit log": 898,
    "a change in TimescaleDB": 2_071,  # before compression
}
CHANGES_OF_A_FILL = 4.2
"""Captured rows: the fill, its position, that day's P&L in each asset, the account."""

RATES: Mapping[str, Rate] = {
    "fills": Rate(8_200, "cdc-load"),  # node, Redis and MySQL on the two
    "accounts": Rate(1_241, "sync-cpu"),  # a CPU second
    "changes": Rate(6_870, "cdc-drain"),  # collector and both sinks
}

_BYBIT = Weights(
    {"positions": 3, "balances": 1, "cash": 1, "fills": 4, "orders": 4},
    {"positions": 3, "balances": 1, "cash": 1, "fills": 3, "orders": 4},
)
_OKX = Weights(
    {"positions": 1, "balances": 1, "cash": 1, "fills": 2, "orders": 1},
    {"positions": 1, "balances": 1, "cash": 1, "fills": 2, "orders": 1},
)
WEIGHTS: Mapping[tuple[str, Product], Weights] = {
    ("binance", "linear"): Weights(
        {"positions": 5, "balances": 5, "cash": 30, "fills": 5, "orders": 40},
        {"positions": 5, "balances": 5, "cash": 30, "fills": 0, "orders": 40},
    ),
    ("binance", "spot"): Weights(
        # By symbol: the first turn of an account asks about all that it ever had, 120.
        {"balances": 20, "cash": 22, "fills": 20, "orders": 80},
        {"balances": 20, "cash": 22, "fills": 0, "orders": 80},
    ),
    ("bybit", "inverse"): _BYBIT,
    ("bybit", "linear"): _BYBIT,
    ("bybit", "spot"): _BYBIT,
    ("okx", "inverse"): _OKX,
    ("okx", "linear"): _OKX,
    ("okx", "spot"): _OKX,
}
