"""Valid events for tests: one of each kind, with every optional field filled in."""

from __future__ import annotations

import json
from typing import Any

from shared.streams.keys import partition_of

PARTITIONS = 32
ACCOUNT = 42
EVENT_ID = "7f9c1c1e-1c1a-4b1e-8a55-1c2b3d4e5f60"
TS_US = 1_764_000_000_123_456

FILL: dict[str, Any] = {
    "account_id": ACCOUNT,
    "venue": "binance",
    "product": "linear",
    "instrument": "BTCUSDT",
    "position_side": "net",
    "trade_id": "5123456789",
    "order_id": "88991122334",
    "side": "buy",
    "qty": "0.125",
    "price": "64123.10",
    "contract_size": "1",
    "fee": "3.20615500",
    "fee_asset": "USDT",
    "settle_asset": "USDT",
    "executed_at_ms": 1_764_000_000_123,
    "venue_seq": 5_123_456_789,
    "revision": 1,
    "source": "laravel",
    "client_order_id": "web-7",
    "liquidity": "taker",
    "kind": "normal",
    "realized_pnl": "-12.50",
    "signal_id": "991",
    "strategy": "breakout-1h",
}
SPOT: dict[str, Any] = {
    **FILL,
    "product": "spot",
    "instrument": "BTC/USDT",
    "base_asset": "BTC",
    "quote_asset": "USDT",
    "fee": "0.000125",
    "fee_asset": "BTC",
}
ORDER: dict[str, Any] = {
    "account_id": ACCOUNT,
    "venue": "binance",
    "product": "linear",
    "instrument": "BTCUSDT",
    "order_id": "88991122334",
    "client_order_id": "web-7",
    "at_ms": 1_764_000_000_123,
    "side": "sell",
    "order_type": "STOP_MARKET",
    "qty": "0.125",
    "price": "0",
    "stop_price": "60000.5",
    "reduce_only": True,
    "signal_id": "991",
    "strategy": "breakout-1h",
    "reason": "Order would immediately trigger.",
}
CASH: dict[str, Any] = {
    "account_id": ACCOUNT,
    "venue": "binance",
    "asset": "USDT",
    "amount": "-0.37812934",
    "kind": "funding",
    "venue_type": "FUNDING_FEE",
    "ref": "9689322392",
    "instrument": "BTCUSDT",
    "product": "linear",
    "at_ms": 1_764_000_000_000,
}
DEPOSIT: dict[str, Any] = {
    **CASH,
    "asset": "BTC",
    "amount": "0.5",
    "kind": "transfer_in",
    "venue_type": "DEPOSIT",
    "instrument": "BTC/USDT",
    "product": "spot",
    "quote_asset": "USDT",
    "basis": "32061.55",
}
OPENED: dict[str, Any] = {
    "account_id": ACCOUNT,
    "venue": "binance",
    "product": "linear",
    "instrument": "BTCUSDT",
    "position_side": "short",
    "ref": "adopt-2025-11-24",
    "qty": "-0.125",
    "entry_price": "64123.10",
    "contract_size": "1",
    "settle_asset": "USDT",
    "base_asset": "BTC",
    "quote_asset": "USDT",
    "at_ms": 1_764_000_000_123,
}
HELD: dict[str, Any] = {
    **{name: one for name, one in OPENED.items() if name != "entry_price"},
    "product": "spot",
    "instrument": "BTC/USDT",
    "position_side": "net",
    "qty": "0.125",
    "cost": "8015.3875",
}
POSITION: dict[str, Any] = {
    "account_id": ACCOUNT,
    "venue": "binance",
    "product": "inverse",
    "instrument": "BTCUSD_PERP",
    "position_side": "net",
    "qty": "-12",
    "watermark_ms": 1_764_000_000_123,
    "entry_price": "64123.1",
    "mark_price": "64001.07",
    "contract_size": "100",
    "settle_asset": "BTC",
}
BALANCE: dict[str, Any] = {
    "account_id": ACCOUNT,
    "venue": "binance",
    "asset": "USDT",
    "wallet": "-0.37812934",
    "watermark_ms": 1_764_000_000_123,
    "product": "linear",
}
SIGNAL: dict[str, Any] = {
    "source": "telegram",
    "channel_id": "-1001234567890",
    "message_id": "4711",
    "revision": 0,
    "received_at_ms": 1_764_000_000_123,
    "text": "LONG BTC\n64k \u2192 70k \U0001f680",
    "instrument": "BTCUSDT",
    "side": "long",
    "intent": "open",
    "entry": {"type": "limit", "prices": ["64000", "63500.5"]},
    "targets": [{"price": "66000", "fraction": "0.5"}, {"price": "70000", "fraction": "0.5"}],
    "stop": "61000",
    "leverage": "10",
    "expires_at_ms": 1_764_003_600_000,
}

SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "linear fill": ("order.filled.1", FILL),
    "spot fill": ("order.filled.1", SPOT),
    "order placed": ("order.placed.1", ORDER),
    "order canceled": ("order.canceled.1", ORDER),
    "order rejected": ("order.rejected.1", ORDER),
    "cash moved": ("cash.moved.1", CASH),
    "holding moved": ("cash.moved.1", DEPOSIT),
    "position opened": ("position.opened.1", OPENED),
    "holding opened": ("position.opened.1", HELD),
    "position observed": ("position.observed.1", POSITION),
    "balance observed": ("balance.observed.1", BALANCE),
    "signal": ("signal.received.1", SIGNAL),
}
"""name -> (type, body)."""


def key_of(body: dict[str, Any]) -> str:
    return str(body["account_id"] if "account_id" in body else body["channel_id"])


def stream_of(type_: str) -> str:
    return "signals" if type_.startswith("signal.") else "orders"


def entry(type_: str, body: dict[str, Any] | bytes, key: str, **more: bytes) -> dict[bytes, bytes]:
    """Stream fields of an event, with data as json_encode of PHP or Python writes it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {
        b"type": type_.encode(),
        b"key": key.encode(),
        b"id": EVENT_ID.encode(),
        b"ts_us": str(TS_US).encode(),
        b"data": data,
    }
    return fields | {name.encode(): value for name, value in more.items()}


def flat(fields: dict[bytes, bytes]) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


def place(type_: str, key: str) -> tuple[str, int, int]:
    """(stream, partition, partitions): where an event with this key is read."""
    return stream_of(type_), partition_of(key, PARTITIONS), PARTITIONS
