"""The user streams. To add one: a file with its row, and the row here."""

from __future__ import annotations

from collections.abc import Mapping

from shared.exchanges.binance_stream import BINANCE_FUTURES, BINANCE_SPOT
from shared.exchanges.bybit_stream import BYBIT_STREAM
from shared.exchanges.okx_stream import OKX_STREAM
from shared.exchanges.streams import UserStream
from shared.exchanges.table import VENUES
from shared.exchanges.venue import Product

_UNIFIED = {"bybit": BYBIT_STREAM, "okx": OKX_STREAM}

STREAMS: Mapping[tuple[str, Product], UserStream] = {
    ("binance", "linear"): BINANCE_FUTURES,
    ("binance", "spot"): BINANCE_SPOT,
    **{key: _UNIFIED[key[0]] for key in VENUES if key[0] in _UNIFIED},
}
"""By `venue` of an account and the product that it holds, as VENUES."""
