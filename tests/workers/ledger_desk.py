"""Books for tests of what people read of them: written as the role `streams`, seen as root."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from shared.ledger.cash import CashEntry
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import FillReport
from shared.mysql.book import Book
from tests.ledger_world import DAY_MS, FIRST_DAY, report

FIRST = date(1970, 1, 1) + timedelta(days=FIRST_DAY // DAY_MS)  # 2024-10-04


class LedgerDesk:
    """connection: of the role `streams`; root: the administrator's, in the same schema."""

    def __init__(self, connection: Any, root: Any) -> None:
        self._connection, self.root = connection, root

    def fills(self, *reports: FillReport, inline: int = 5_000) -> None:
        Book(self._connection, inline_refold_fills=inline).record_fills(reports)
        self._connection.commit()

    def cash(self, *entries: CashEntry) -> None:
        Book(self._connection).record_cash(entries)
        self._connection.commit()

    def entries(self, *entries: PositionEntry) -> None:
        Book(self._connection).record_position_entries(entries)
        self._connection.commit()

    def close_through(self, day: int) -> None:
        """Days up to this one, counted from FIRST, are closed."""
        self.run(
            "INSERT INTO fleet_settings (name, value) VALUES ('closed_through', %s)"
            " ON DUPLICATE KEY UPDATE value = VALUES(value)",
            (FIRST + timedelta(days=day)).isoformat(),
        )

    def run(self, sql: str, *values: Any) -> None:
        self.root.rollback()
        self.root.cursor().execute(sql, values)
        self.root.commit()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        self.root.rollback()
        cursor = self.root.cursor()
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def at(day: int, hour: int = 12) -> int:
    """Milliseconds of an hour of a day after FIRST."""
    return FIRST_DAY + day * DAY_MS + hour * DAY_MS // 24


def on(day: int, trade_id: str, side: str = "buy", price: str = "100", **more: Any) -> FillReport:
    """A fill of one coin at noon of a day, unless `more` says something else."""
    told = {"trade_id": trade_id, "side": side, "price": price, "executed_at_ms": at(day), **more}
    return report(**told)
