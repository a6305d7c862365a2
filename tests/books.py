"""The books on a real server, for tests: deliver in any way, and look at what stands then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from shared.ledger.cash import CashEntry, cash_rank
from shared.ledger.entries import PositionEntry, entry_rank, holding_move
from shared.ledger.fill import Fill, FillReport, merge
from shared.mysql.book import Book
from tests.shared.ledger.oracle import DAY_MS, books, move, quantized

Told = FillReport | CashEntry | PositionEntry

# What counts writes, is handed out by the server, or says when somebody looked.
BOOKKEEPING = {"version", "refolded_version", "attribution_due", "id", "opened_at"}
TABLES = (
    "fleet_fills", "fleet_fill_reports", "fleet_positions", "fleet_position_days",
    "fleet_pnl_daily", "fleet_orders", "fleet_breaks", "fleet_cash_entries",
    "fleet_position_entries",
)  # fmt: skip
EPOCH = date(1970, 1, 1)


def rows(connection: Any, table: str, columns: str = "*", where: str = "") -> list[Any]:
    cursor = connection.cursor()
    cursor.execute(f"SELECT {columns} FROM {table} {where}")  # noqa: S608 - our own names
    found = sorted(cursor.fetchall(), key=repr)
    connection.commit()
    return found


def dump(connection: Any) -> dict[str, list[Any]]:
    """Every row of the books but for bookkeeping columns."""
    tables = {}
    for table in TABLES:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - our own names
        names = [column[0] for column in cursor.description if column[0] not in BOOKKEEPING]
        tables[table] = rows(connection, table, ", ".join(f"`{name}`" for name in names))
    return tables


def record(connection: Any, piece: Sequence[Told], inline: int = 5_000) -> None:
    """One transaction with everything of the piece, as the events of one batch."""
    book = Book(connection, inline_refold_fills=inline)
    book.lock_accounts(one.account_id for one in piece)
    if fills := [one for one in piece if isinstance(one, FillReport)]:
        book.record_fills(fills)
    if cash := [one for one in piece if isinstance(one, CashEntry)]:
        book.record_cash(cash)
    if entries := [one for one in piece if isinstance(one, PositionEntry)]:
        book.record_position_entries(entries)
    connection.commit()


def deliver(
    connection: Any, pieces: Iterable[Sequence[Told]], inline: int = 5_000, limit: int = 20_000
) -> dict[str, list[Any]]:
    """Books the pieces, each in its own transaction, with the folds that fall due, and then all."""
    for piece in pieces:
        record(connection, piece, inline)
        Book(connection).restate(limit)
        connection.commit()
    settle(connection, limit)
    return dump(connection)


def settle(connection: Any, limit: int = 20_000) -> int:
    """Folds everything that waits; how many transactions it took."""
    turns = 1
    while Book(connection).restate(limit, idle=True):
        connection.commit()
        turns += 1
        assert turns < 10_000
    connection.commit()
    return turns


def close_days(root: Any, through: int) -> None:
    """All days up to this one, counted from 1970, are closed. root: the administrator's
    connection.
    """
    root.cursor().execute(
        "INSERT INTO fleet_settings (name, value) VALUES ('closed_through', %s)"
        " ON DUPLICATE KEY UPDATE value = VALUES(value)",
        ((EPOCH + timedelta(days=through)).isoformat(),),
    )
    root.commit()


# ---- what must stand, by the oracle

# Which column of a day a kind of cash counts in: funding or other.
COUNTED = {"funding": 0} | dict.fromkeys(
    ("rebate", "bonus", "liquidation_fee", "insurance", "interest"), 1
)


def assert_as_expected(connection: Any, told: Iterable[Told]) -> None:
    """Positions and days are those of everything sorted and folded once."""
    told = list(told)
    expected = books(_moves(told), value=quantized, share=quantized)
    columns = (
        "account_id, product, instrument, position_side,"
        " qty, cost, unknown_basis_qty, realized, fills"
    )
    positions = rows(connection, "fleet_positions", columns)
    assert {row[:4]: _fractions(row[4:]) for row in positions} == {
        key: [held.qty, held.cost, held.unknown, held.realized, held.fills]
        for key, held in expected.positions.items()
    }
    days: dict[Any, list[Any]] = {
        key: [day.realized, day.fees, day.fills, Fraction(0), Fraction(0)]
        for key, day in expected.days.items()
    }
    for one in _standing(told, CashEntry, cash_rank, 5):
        if one.kind in COUNTED and one.amount:
            key = (one.account_id, one.product, one.instrument, one.at_ms // DAY_MS, one.asset)
            row = days.setdefault(key, [Fraction(0), Fraction(0), 0, Fraction(0), Fraction(0)])
            row[3 + COUNTED[one.kind]] += Fraction(one.amount)
    columns = (
        "account_id, product, instrument, day, asset, realized, fees, fills, funding, other"
    )
    assert {
        (*row[:3], (row[3] - EPOCH).days, row[4]): _fractions(row[5:])
        for row in rows(connection, "fleet_pnl_daily", columns)
    } == days


def _fractions(figures: Sequence[Any]) -> list[Fraction]:
    return [Fraction(figure) for figure in figures]


def _moves(told: Sequence[Told]) -> list[Mapping[str, Any]]:
    sets: dict[Any, list[FillReport]] = {}
    for one in told:
        if isinstance(one, FillReport):
            sets.setdefault(one[:5], []).append(one)
    fills = [_fill_move(merge(reports)[0]) for reports in sets.values()]
    entries = _standing(told, PositionEntry, entry_rank, 6)
    for cash in _standing(told, CashEntry, cash_rank, 5):
        entries += [move for move in [holding_move(cash)] if move is not None]
    return fills + [_entry_move(one) for one in entries]


def _standing(told: Sequence[Told], kind: Any, rank: Any, width: int) -> list[Any]:
    """Of each identity the smallest report."""
    found: dict[Any, Any] = {}
    for one in told:
        if isinstance(one, kind):
            key = one[:width]
            found[key] = min(found.get(key, one), one, key=rank)
    return list(found.values())


def _fill_move(fill: Fill) -> Mapping[str, Any]:
    return move(
        fill.side, str(fill.qty), str(fill.price), account=fill.account_id, product=fill.product,
        instrument=fill.instrument, position_side=fill.position_side, size=str(fill.contract_size),
        fee=None if fill.fee is None else str(fill.fee), fee_asset=fill.fee_asset,
        base=fill.base_asset, settle=fill.settle_asset, ms=fill.executed_at_ms, seq=fill.venue_seq,
        name=fill.trade_id,
    )  # fmt: skip


def _entry_move(entry: PositionEntry) -> Mapping[str, Any]:
    return move(
        entry.kind, str(entry.qty), cost=str(entry.cost), account=entry.account_id,
        product=entry.product, instrument=entry.instrument, position_side=entry.position_side,
        size=str(entry.contract_size), settle=entry.settle_asset, ms=entry.at_ms, name=entry.ref,
    )  # fmt: skip
