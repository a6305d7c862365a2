"""For tests of the book: a connection with no more than the streams role's privileges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect


@pytest.fixture
def mysql_schema(mysql_connection: Any) -> Any:
    """An open connection to an empty migrated schema, no transaction begun."""
    return mysql_connection


@pytest.fixture
def clear(
    mysql_schema: Any, mysql_root: MySQLSettings, fleet_schema: str
) -> Iterator[Callable[[], None]]:
    """Ends the open transaction and empties the ledger's tables."""
    tables = (
        "fleet_fills", "fleet_fill_reports", "fleet_positions", "fleet_position_days",
        "fleet_pnl_daily", "fleet_orders", "fleet_breaks", "fleet_cash_entries", "fleet_signals",
        "fleet_pnl_attribution", "fleet_rounding",
        "fleet_position_entries", "fleet_restatements",
    )  # fmt: skip
    with closing(connect(mysql_root, fleet_schema)) as root:

        def empty() -> None:
            mysql_schema.rollback()
            for table in tables:
                root.cursor().execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            root.cursor().execute("DELETE FROM fleet_settings WHERE name = 'closed_through'")
            root.commit()

        yield empty
