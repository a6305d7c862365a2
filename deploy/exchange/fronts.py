"""The venues that are served; one row for each group of paths."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.exchange.binance_spot import SAPI, SPOT
from deploy.exchange.binance_usdm import USDM
from deploy.exchange.bybit import BYBIT
from deploy.exchange.front import Front
from deploy.exchange.okx import OKX

FRONTS: Sequence[Front] = (USDM, SPOT, SAPI, BYBIT, OKX)
