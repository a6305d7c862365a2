"""A statement as tables: what stands in which column, for every form it is shown in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.money import LEDGER
from shared.ledger.valuation import Price
from workers.statement.records import AssetStatement, OpenPosition, Pnl, Statement, total


class Ratio(NamedTuple):
    """A share of one: 0.05 is 5 %."""

    value: Decimal


class Quotient(NamedTuple):
    """A number without a unit."""

    value: Decimal


Value = str | Decimal | Ratio | Quotient | int | date | datetime | timedelta | None
Row = Sequence[Value]


class Section(NamedTuple):
    """A table. name: stable, for programs; title: for a person. last: so many rows at its end are
    what the others lead to.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    last: int = 0


MADE = ("realized", "fees", "funding", "other", "net", "fills")


def of_account(statement: Statement) -> list[Section]:
    return [
        Section(
            "positions",
            "Open at the end",
            (
                "asset", "product", "instrument", "side", "quantity", "average entry", "price",
                "kind", "price of", "unrealized",
            ),
            [_position(one) for one in statement.positions],
        ),
        Section(
            "restated",
            "Days restated after their close",
            ("day", "times", "last at"),
            list(statement.restated),
        ),
    ]  # fmt: skip


def of_asset(one: AssetStatement) -> list[Section]:
    """In the order in which a person wants to know."""
    return [
        Section("tie_out", "From opening to closing", ("line", "amount"), tie_out(one), last=2),
        Section("performance", "Performance", ("measure", "value"), performance(one)),
        Section("flows", "Flows", ("at", "kind", "reference", "amount"), one.flows),
        Section(
            "foreign_fees",
            "Fees in other assets, at the price of their time",
            ("fee asset", "part of the cost", "fills", "paid", "value", "without a price"),
            [
                (fees.fee_asset, "yes" if fees.in_cost else "no", *fees[2:])
                for fees in one.foreign_fees
            ],
        ),
        Section(
            "unvalued_fees",
            "Fees without a price",
            ("at", "instrument", "trade id", "fee", "fee asset", "reason", "what"),
            one.unvalued_fees,
        ),
        Section(
            "instruments",
            "By instrument",
            ("product", "instrument", *MADE),
            [(part.product, part.instrument, *_made(part.pnl)) for part in one.instruments],
        ),
        Section(
            "causes",
            "By strategy and signal",
            ("cause", "strategy", "signal", *MADE),
            [(*part[:3], *_made(part.pnl)) for part in one.causes],
        ),
        Section(
            "days", "By day", ("day", *MADE), [(part.day, *_made(part.pnl)) for part in one.days]
        ),
    ]


def curve(one: AssetStatement) -> Section:
    """Every point, for programs and charts: see shared/ledger/performance.py."""
    growth = {point.at: point.level for point in one.measured.growth.curve}
    water = {point.at: point.level for point in one.measured.under_water}
    return Section(
        "curve",
        "Equity",
        ("at", "cash", "unrealized", "equity", "flow", "index", "drawdown"),
        [
            (
                point.at, point.cash, point.unrealized, point.equity, point.flow,
                _quotient(growth.get(point.at)), _ratio(water.get(point.at)),
            )
            for point in one.points
        ],
    )  # fmt: skip


def tie_out(one: AssetStatement) -> list[tuple[str, Decimal]]:
    """Every line between opening and closing is what it adds: fees paid are negative."""
    made = one.tie_out()
    lines = [
        (f"opening {made.basis}", made.opening),
        ("flows", made.flows),
        ("realized", made.pnl.realized),
        ("fees", LEDGER.minus(made.pnl.fees)),
    ]
    if made.fees_in_cost:
        lines.append(("fees that are cost of a holding", made.fees_in_cost))
    lines += [("funding", made.pnl.funding), ("other", made.pnl.other)]
    if made.basis == "equity":
        lines.append(("change of unrealized", made.unrealized))
    lines += [(f"closing {made.basis}", made.closing), ("difference", made.difference)]
    return lines


def performance(one: AssetStatement) -> list[tuple[str, Value]]:
    stats, fall = one.cycles, one.measured.drawdown
    lines: list[tuple[str, Value]] = [
        ("made, flows left out", made_of(one)),
        ("unrealized at the end", one.closing.unrealized if one.closing else None),
        ("time-weighted return", _ratio(one.measured.growth.total)),
        ("Modified Dietz return", _ratio(one.measured.dietz)),
        ("deepest drawdown", _ratio(fall.depth if fall else None)),
    ]
    if fall is not None:
        recovered: Value = fall.recovered_at or "not yet"
        lines += [
            ("its peak", fall.peak_at),
            ("its trough", fall.trough_at),
            ("recovered", recovered),
            ("its duration", fall.duration),
        ]
    return [
        *lines,
        ("closed cycles", stats.cycles),
        ("wins", stats.wins),
        ("losses", stats.losses),
        ("win rate", _ratio(stats.win_rate)),
        ("profit factor", _quotient(stats.profit_factor)),
        ("average win", stats.average_win),
        ("average loss", stats.average_loss),
    ]


def made_of(one: AssetStatement) -> Decimal | None:
    """P&L with the change of unrealized; None where equity cannot be valued."""
    made = one.tie_out()
    if made.basis != "equity":
        return None
    return LEDGER.subtract(made.closing, LEDGER.add(made.opening, made.flows))


def for_reading(section: Section, one: AssetStatement, most: int) -> Section:
    """The first rows, one that sums the others up, and the whole where the rows split the P&L: the
    columns sum to it in a person's table, too.
    """
    rows, rest = list(section.rows[:most]), section.rows[most:]
    if rest:
        rows.append([f"{len(rest)} more", *map(_summed, list(zip(*rest, strict=True))[1:])])
    if not rows or tuple(section.columns[-len(MADE) :]) != MADE:
        return section._replace(rows=rows)
    blank = [""] * (len(section.columns) - len(MADE) - 1)
    rows.append(["all", *blank, *_made(one.pnl)])
    return section._replace(rows=rows, last=1)


def _summed(column: Iterable[Value]) -> Value:
    values = list(column)
    amounts = [value for value in values if isinstance(value, Decimal)]
    if amounts:
        return total(amounts)
    counts = [value for value in values if isinstance(value, int)]
    return sum(counts) if counts else None


def _made(pnl: Pnl) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal, int]:
    return (pnl.realized, pnl.fees, pnl.funding, pnl.other, pnl.net, pnl.fills)


def _position(one: OpenPosition) -> Row:
    head = (
        one.asset, one.product, one.instrument, one.position_side, one.qty, one.average_entry
    )  # fmt: skip
    if isinstance(one.price, Price):
        return (*head, one.price.price, one.price.kind, one.price.at, one.unrealized)
    return (*head, None, one.price.reason, None, "unpriceable")


def _ratio(value: Decimal | None) -> Ratio | None:
    return None if value is None else Ratio(value)


def _quotient(value: Decimal | None) -> Quotient | None:
    return None if value is None else Quotient(value)
