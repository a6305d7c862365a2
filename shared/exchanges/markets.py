"""Instruments, from what ccxt read of the venue (with `number = str`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shared.exchanges.amounts import plain
from shared.exchanges.venue import Market, Product

Markets = dict[tuple[Product, str], Market]


def markets_of(parsed: Iterable[Mapping[str, Any]]) -> Markets:
    """By product and the venue's own symbol. Options are left out: the ledger has no rule for them.

    parsed: values of ccxt's `markets`. A symbol that names several of them (spot and margin) is one
    instrument.
    """
    found: Markets = {}
    for one in parsed:
        product = _product(one)
        if product is None:
            continue
        size = one.get("contractSize") if product != "spot" else None
        settle = one["settleId"] if product != "spot" else one["quoteId"]
        found[product, one["id"]] = Market(
            one["id"], product, one["baseId"], one["quoteId"], settle, plain(size or "1")
        )
    return found


def _product(market: Mapping[str, Any]) -> Product | None:
    if market.get("option"):
        return None
    if market.get("spot"):
        return "spot"
    if market.get("linear"):
        return "linear"
    if market.get("inverse"):
        return "inverse"
    return None
