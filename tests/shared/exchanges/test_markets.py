"""Instruments, out of what ccxt reads."""

from __future__ import annotations

from typing import Any

from shared.exchanges.markets import markets_of
from shared.exchanges.venue import Market


def parsed(id_: str, kind: str, **more: Any) -> dict[str, Any]:
    """As ccxt has it; kind: spot, linear, inverse, option."""
    return {
        "id": id_, "baseId": "BTC", "quoteId": "USDT", "settleId": None, "spot": kind == "spot",
        "option": kind == "option", "linear": kind == "linear", "inverse": kind == "inverse",
        "contractSize": None, **more,
    }  # fmt: skip


def test_every_product_has_its_assets_and_contract_size() -> None:
    spot = parsed("BTCUSDT", "spot", linear=None, inverse=None)
    linear = parsed("BTCUSDT", "linear", settleId="USDT", contractSize="0.01")
    inverse = parsed(
        "BTCUSD_PERP", "inverse", quoteId="USD", settleId="BTC", contractSize="1E+2"
    )
    assert markets_of([spot, linear, inverse]) == {
        ("spot", "BTCUSDT"): Market("BTCUSDT", "spot", "BTC", "USDT", "USDT", "1"),
        ("linear", "BTCUSDT"): Market("BTCUSDT", "linear", "BTC", "USDT", "USDT", "0.01"),
        ("inverse", "BTCUSD_PERP"): Market(
            "BTCUSD_PERP", "inverse", "BTC", "USD", "BTC", "100"
        ),
    }


def test_options_are_left_out_even_where_ccxt_calls_them_linear() -> None:
    option = parsed("BTC-1JAN27-90000-C", "option", linear=True, settleId="USDT")
    assert markets_of([option]) == {}
