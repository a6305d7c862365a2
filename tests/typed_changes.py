"""Rows of the ledger's tables as the collector tells them, and transactions made by hand."""

from __future__ import annotations

from typing import Any

from shared.changes import Change, Chunk, Position, Row, Table

SERVER = "aaaaaaaa-1111-2222-3333-444444444444"
AT_US = 1_795_680_600_000_000  # 2026-11-26 08:10 UTC

_POSITIONS: dict[str, Any] = {
    "account_id": "42", "product": "linear", "instrument": "BTCUSDT", "position_side": "net",
    "venue": "binance", "qty": "0.000000000000000000", "cost": "0.000000000000000000",
    "avg_entry": None, "realized": "0.000000000000000000", "settle_asset": "USDT",
    "contract_size": "1.000000000000000000", "unknown_basis_qty": "0.000000000000000000",
    "fills": "1", "last_fill_at": "2026-11-26T08:09:59.123456", "last_ms": "1795680599123",
    "restating_from_ms": None, "version": "1",
}  # fmt: skip
_PNL: dict[str, Any] = {
    "account_id": "42", "product": "linear", "instrument": "BTCUSDT", "day": "2026-11-26",
    "asset": "USDT", "realized": "0.000000000000000000", "fees": "0.000000000000000000",
    "funding": "0.000000000000000000", "other": "0.000000000000000000", "fills": "1",
    "entries": "1", "version": "1",
}  # fmt: skip
_FILLS: dict[str, Any] = {
    "account_id": "42", "product": "linear", "instrument": "BTCUSDT", "trade_id": "t1",
    "side": "buy", "venue": "binance", "position_side": "net", "order_id": "o1",
    "client_order_id": None, "qty": "1.000000000000000000", "price": "100.000000000000000000",
    "contract_size": "1.000000000000000000", "value": "100.000000000000000000",
    "fee": "0.100000000000000000", "fee_asset": "USDT", "settle_asset": "USDT",
    "executed_at": "2026-11-26T08:09:59.123000", "executed_at_ms": "1795680599123", "revision": 1,
    "reports": 1, "source": "stream", "liquidity": "taker", "kind": "normal",
    "reported_realized": None, "signal_id": None, "strategy": None,
}  # fmt: skip


def _table(name: str, row: dict[str, Any], keys: int) -> Table:
    return Table("fleet", name, tuple(row), ("",) * len(row), tuple(range(keys)), f"{name}-1")


POSITIONS = _table("fleet_positions", _POSITIONS, 4)
PNL = _table("fleet_pnl_daily", _PNL, 5)
FILLS = _table("fleet_fills", _FILLS, 5)


def position(**values: Any) -> Row:
    return list({**_POSITIONS, **values}.values())


def pnl(**values: Any) -> Row:
    return list({**_PNL, **values}.values())


def fill(**values: Any) -> Row:
    return list({**_FILLS, **values}.values())


def place(seq: int) -> Position:
    return Position(SERVER, "binlog.000001", 4 + 100 * seq, "0-1-1", "1795600000")


def transaction(seq: int, *changes: Change, at_us: int = AT_US, **header: Any) -> Chunk:
    """Whole, in one chunk."""
    chunk = Chunk(
        1, seq, 0, True, "log", f"0-1-{seq}", ("binlog.000001", 100 * seq), at_us, at_us,
        "ledger orders:3 1-0", "", 0, place(seq), list(changes),
    )  # fmt: skip
    return chunk._replace(**header)
