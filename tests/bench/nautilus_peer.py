"""The peer of the figure `fold`: `python nautilus_peer.py FILE REPEATS`, in nautilus' environment.

Its Position as its execution engine drives it: one Position an instrument (netting), a closed one
is opened again by the next fill, and a fill that turns it round is split in two, the second of
which opens a new Position. What the engine does beside (events, cache, snapshots, log) is left out.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.core.uuid import UUID4  # type: ignore[import-not-found]
from nautilus_trader.model.currencies import BTC, USDT  # type: ignore[import-not-found]
from nautilus_trader.model.enums import (  # type: ignore[import-not-found]
    LiquiditySide,
    OrderSide,
    OrderType,
)
from nautilus_trader.model.events import OrderFilled  # type: ignore[import-not-found]
from nautilus_trader.model.identifiers import (  # type: ignore[import-not-found]
    AccountId,
    ClientOrderId,
    InstrumentId,
    PositionId,
    StrategyId,
    Symbol,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.instruments import CryptoPerpetual  # type: ignore[import-not-found]
from nautilus_trader.model.objects import Money, Price, Quantity  # type: ignore[import-not-found]
from nautilus_trader.model.position import Position  # type: ignore[import-not-found]

INSTRUMENT = CryptoPerpetual(
    instrument_id=InstrumentId(Symbol("BTCUSDT-PERP"), Venue("BINANCE")),
    raw_symbol=Symbol("BTCUSDT"),
    base_currency=BTC,
    quote_currency=USDT,
    settlement_currency=USDT,
    is_inverse=False,
    price_precision=1,
    size_precision=3,
    price_increment=Price.from_str("0.1"),
    size_increment=Quantity.from_str("0.001"),
    ts_event=0,
    ts_init=0,
)
TRADER, STRATEGY = TraderId("BENCH-1"), StrategyId("BENCH-1")
ACCOUNT, POSITION = AccountId("BINANCE-1"), PositionId("BTCUSDT-1")
SIDES = {"buy": OrderSide.BUY, "sell": OrderSide.SELL}


def event(told: list[Any]) -> Any:
    trade_id, side, qty, price, fee, at_ms = told
    return OrderFilled(
        TRADER, STRATEGY, INSTRUMENT.id, ClientOrderId(trade_id), VenueOrderId(trade_id), ACCOUNT,
        TradeId(trade_id), POSITION, SIDES[side], OrderType.MARKET, Quantity.from_str(qty),
        Price.from_str(price), USDT, Money(Decimal(fee), USDT), LiquiditySide.TAKER, UUID4(),
        at_ms * 1_000_000, at_ms * 1_000_000,
    )  # fmt: skip


def part_of(fill: Any, qty: Any, commission: Any, event_id: Any) -> Any:
    return OrderFilled(
        fill.trader_id, fill.strategy_id, fill.instrument_id, fill.client_order_id,
        fill.venue_order_id, fill.account_id, fill.trade_id, fill.position_id, fill.order_side,
        fill.order_type, qty, fill.last_px, fill.currency, commission, fill.liquidity_side,
        event_id, fill.ts_event, fill.ts_init,
    )  # fmt: skip


def apply_all(fills: list[Any]) -> Decimal:
    """Realized P&L of all cycles, less commissions, as a Position has it."""
    position, total = None, Decimal(0)
    for fill in fills:
        if position is None:
            position = Position(INSTRUMENT, fill)
        elif position.is_closed:
            total += position.realized_pnl.as_decimal()
            position.apply(fill)
        elif position.is_opposite_side(fill.order_side) and fill.last_qty > position.quantity:
            rest = Quantity(fill.last_qty - position.quantity, position.size_precision)
            share = position.quantity / fill.last_qty
            closing = Money(fill.commission * share, fill.commission.currency)
            opening = Money(fill.commission - closing, fill.commission.currency)
            position.apply(part_of(fill, position.quantity, closing, fill.id))
            total += position.realized_pnl.as_decimal()
            position = Position(INSTRUMENT, part_of(fill, rest, opening, UUID4()))
        else:
            position.apply(fill)
    return total if position is None else total + position.realized_pnl.as_decimal()


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ready, inside, total = [], [], Decimal(0)
    for _ in range(int(sys.argv[2])):
        started = time.process_time()
        fills = [event(one) for one in told]
        made = time.process_time()
        total = apply_all(fills)
        ended = time.process_time()
        ready.append(len(told) / (ended - made))
        inside.append(len(told) / (ended - started))
    print(json.dumps({"ready": max(ready), "inside": max(inside), "net": str(total)}))


if __name__ == "__main__":
    main()
