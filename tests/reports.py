"""What exchanges report, for tests: a position, a wallet, an opening; and a desk that compares."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from shared.ledger.cash import CashEntry
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import FillReport
from shared.ledger.identity import report_hash
from shared.ledger.observed import ObservedBalance, ObservedPosition
from shared.mysql.book import Book
from shared.settings import Settings
from tests.ledger_world import FIRST_DAY
from workers.reconcile import reconcile_account

Told = FillReport | CashEntry | ObservedPosition | ObservedBalance | PositionEntry


def held(**fields: Any) -> ObservedPosition:
    """1 BTCUSDT of account 1, as of FIRST_DAY; `fields` change it. Amounts are texts."""
    told: dict[str, Any] = {
        "account_id": 1, "venue": "binance", "product": "linear", "instrument": "BTCUSDT",
        "position_side": "net", "qty": "1", "watermark_ms": FIRST_DAY,
    } | fields  # fmt: skip
    data = json.dumps(told)
    for name in ("qty", "entry_price", "mark_price", "contract_size"):
        told[name] = None if told.get(name) is None else Decimal(told[name])
    told.setdefault("settle_asset", None)
    return ObservedPosition(**told, report_hash=report_hash(data), data=data)


def wallet(amount: str, at_ms: int, **fields: Any) -> ObservedBalance:
    """USDT of account 1, one wallet for all products; `fields` change it."""
    told: dict[str, Any] = {
        "account_id": 1, "venue": "binance", "asset": "USDT", "product": "",
        "wallet": amount, "watermark_ms": at_ms,
    } | fields  # fmt: skip
    data = json.dumps(told)
    told["wallet"] = Decimal(amount)
    return ObservedBalance(**told, report_hash=report_hash(data), data=data)


def opening(qty: str, cost: str, at_ms: int, **fields: Any) -> PositionEntry:
    """Of BTCUSDT, net, of account 1."""
    told: dict[str, Any] = {
        "account_id": 1, "product": "linear", "instrument": "BTCUSDT", "position_side": "net",
        "kind": "open", "ref": f"test:{at_ms}", "venue": "binance", "at_ms": at_ms, "qty": qty,
        "cost": cost, "contract_size": "1", "settle_asset": "USDT",
    } | fields  # fmt: skip
    data = json.dumps(told)
    for name in ("qty", "cost", "contract_size"):
        told[name] = Decimal(told[name])
    return PositionEntry(**told, report_hash=report_hash(data), data=data)


class Desk:
    """Books that record, and the task that compares them.

    books: a connection of the role streams; connection, settings: of a role that reconciles.
    """

    def __init__(self, books: Any, connection: Any, settings: Settings) -> None:
        self.books = books
        self.connection = connection
        self.settings = settings

    def record(self, *told: Told, **more: Any) -> None:
        """In one transaction, each with its own kind."""
        book = Book(self.books, **more)
        book.lock_accounts({one.account_id for one in told})
        for record, kind in (
            (book.record_fills, FillReport),
            (book.record_cash, CashEntry),
            (book.record_position_entries, PositionEntry),
            (book.record_observed_positions, ObservedPosition),
            (book.record_observed_balances, ObservedBalance),
        ):
            some: Any = [one for one in told if isinstance(one, kind)]
            if some:
                record(some)
        self.books.commit()

    def differs(self, account_id: int = 1) -> list[Any]:
        """Its open breaks (Break), compared now."""
        return reconcile_account(self.connection, self.settings, account_id)

    def tells(self, account_id: int = 1) -> list[tuple[Any, ...]]:
        """What, ours, the venue's and the cause of each."""
        return [
            (one.details["what"], _plain(one.expected), _plain(one.actual), one.cause)
            for one in self.differs(account_id)
        ]

    def announced(self) -> list[int]:
        """Break ids that were dispatched to Laravel, in order."""
        cursor = self.connection.cursor()
        cursor.execute("SELECT payload FROM fleet_dispatches ORDER BY id")
        payloads = [json.loads(payload) for (payload,) in cursor.fetchall()]
        self.connection.commit()
        return [
            int(re.findall(r'"breakId";i:(\d+)', one["data"]["command"])[0]) for one in payloads
        ]


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount.normalize():f}"
