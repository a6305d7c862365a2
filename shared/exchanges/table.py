"""The venues. To add one: a file with its row, and the row here."""

from __future__ import annotations

from collections.abc import Mapping

from shared.exchanges.binance_spot import BINANCE_SPOT
from shared.exchanges.binance_usdm import BINANCE_USDM
from shared.exchanges.bybit import BYBIT
from shared.exchanges.okx import OKX
from shared.exchanges.venue import Product, Venue

VENUES: Mapping[tuple[str, Product], Venue] = {
    (venue.name, product): venue
    for venue in (BINANCE_USDM, BINANCE_SPOT, BYBIT, OKX)
    for product in venue.products
}
"""By `venue` of an account and the product that it holds."""
