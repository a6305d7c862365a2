"""What the books promise of themselves is checked; what breaks it shows until it is cured."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from shared.ledger.entries import PositionEntry
from shared.ledger.fill import FillReport
from shared.mysql.book import Book
from shared.mysql.book_attribution import settle_account
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.ledger_world import DAY_MS, FIRST_DAY, cash, report, retold, trades
from tests.runtime_world import World
from workers import build
from workers.attribution import attribute
from workers.identities import check_account, check_identities
from workers.status import collect


@dataclass
class Books:
    """The role `jobs` at the books; the world is the administrator."""

    world: World
    settings: Settings
    connection: Any

    def record(self, *reports: FillReport) -> None:
        Book(self.connection).record_fills(reports)
        self.connection.commit()
        for account_id in {one.account_id for one in reports}:
            settle_account(self.connection, account_id)

    def check(self, account_id: int = 1) -> list[str]:
        """Causes of the account's open breaks, after a check."""
        check_account(self.connection, account_id)
        return self.open()

    def open(self) -> list[str]:
        found = self.world.rows(
            "SELECT cause FROM fleet_breaks"
            " WHERE kind = 'identity' AND closed_at IS NULL ORDER BY 1"
        )
        return [cause for (cause,) in found]

    def due(self) -> list[int]:
        found = self.world.rows("SELECT account_id FROM fleet_account_state WHERE check_due = 1")
        return sorted(account_id for (account_id,) in found)


@pytest.fixture
def books(world: World, settings_for: Callable[..., Settings]) -> Iterator[Books]:
    settings = settings_for("jobs")
    with closing(connect(settings.mysql)) as connection:
        yield Books(world, settings, connection)


def round_trip(trade: int = 1, **more: Any) -> list[FillReport]:
    """A buy at 100 and a sale at 110 the day after."""
    at = more.pop("at_ms", FIRST_DAY)
    return [
        report(trade_id=f"{trade}0", executed_at_ms=at, **more),
        report(trade_id=f"{trade}1", executed_at_ms=at + DAY_MS, **more, side="sell", price="110"),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_traded_the_identities_hold(books: Books, seed: int) -> None:
    draw = random.Random(seed)
    originals = trades(seed, 60, accounts=2, products=("linear", "inverse", "spot"))
    told = [one for fill in originals for one in (fill, *retold(draw, fill))]
    flat = [
        one
        for product in ("linear", "inverse")
        for trade in range(5)
        for one in round_trip(
            trade, product=product, instrument="FLAT", at_ms=FIRST_DAY + trade * DAY_MS
        )
    ]
    books.record(*told, *flat)
    assert books.check(1) == books.check(2) == []


def test_an_account_without_a_row_is_fine(books: Books) -> None:
    assert check_account(books.connection, 77) is None


@pytest.mark.parametrize(
    ("tamper", "causes"),
    [
        (
            "UPDATE fleet_positions SET realized = realized + 1",
            ["position and its days"],
        ),
        (
            "UPDATE fleet_position_days SET realized = realized + 1 WHERE realized <> 0",
            ["flat position", "position and its days", "realized of a day"],
        ),
        ("UPDATE fleet_position_days SET fills = fills + 1", ["fills of a day", "fills of a day"]),
        (
            "UPDATE fleet_fills SET value = value + 1 WHERE side = 'buy'",
            ["flat position"],
        ),
        (
            "UPDATE fleet_pnl_daily SET realized = realized + 1 WHERE realized <> 0",
            ["parts of a day: realized", "realized of a day"],
        ),
        (
            "UPDATE fleet_pnl_daily SET fees = fees + 1 WHERE fills = 0 AND asset = 'BNB'",
            ["parts of a day: fees"],
        ),
        (
            "UPDATE fleet_pnl_attribution SET funding = 1, other = 2 WHERE realized <> 0",
            ["parts of a day: funding", "parts of a day: other"],
        ),
        (
            "UPDATE fleet_pnl_attribution SET asset = 'EUR' WHERE fees <> 0",
            ["parts of a day: fees", "parts of a day: fees"],
        ),
    ],
)
@pytest.mark.parametrize("product", ["linear", "inverse"])
def test_a_row_that_somebody_changed_opens_breaks_until_it_is_cured(
    books: Books, tamper: str, causes: list[str], product: str
) -> None:
    bought, sold = round_trip(product=product)
    books.record(report(**json.loads(bought.data) | {"fee": "1", "fee_asset": "BNB"}), sold)
    books.world.run(tamper)
    assert books.check() == causes
    assert books.due() == [1]
    for words in ("SET realized = realized + 1", "SET fills = fills + 1"):
        tamper = tamper.replace(words, words.replace("+", "-"))
    cure = {
        "value = value + 1": "value = value - 1",
        "fees = fees + 1": "fees = fees - 1",
        "funding = 1, other = 2": "funding = 0, other = 0",
        "asset = 'EUR' WHERE fees": "asset = 'BNB' WHERE fees",
    }
    for words, back in cure.items():
        tamper = tamper.replace(words, back)
    books.world.run(tamper)
    assert books.check() == []
    assert books.due() == []


def test_a_negative_holding_is_found(books: Books) -> None:
    books.record(report(product="spot"))
    books.world.run("UPDATE fleet_positions SET qty = -1")
    assert books.check() == ["negative holding"]


def test_what_is_due_or_waits_is_no_violation(books: Books) -> None:
    fills = [report(trade_id=str(n), executed_at_ms=FIRST_DAY + n * DAY_MS) for n in range(1, 5)]
    books.record(*fills)
    late = Book(books.connection, inline_refold_fills=0)
    late.record_fills([report(trade_id="late", side="sell")])
    late.record_cash([cash()])
    books.connection.commit()
    assert books.check() == []
    settle_account(books.connection, 1)
    assert books.check() == []


def test_a_fold_half_way_is_no_violation(books: Books) -> None:
    fills = [one for n in range(6) for one in round_trip(n, at_ms=FIRST_DAY + n * DAY_MS)]
    books.record(*fills)
    Book(books.connection, inline_refold_fills=0).record_fills([report(trade_id="late")])
    books.connection.commit()
    turns = 0
    while Book(books.connection).restate(1, idle=True):
        books.connection.commit()
        turns += 1
        assert books.check() == []
    books.connection.commit()
    assert turns > 2
    settle_account(books.connection, 1)
    assert books.check() == []


def test_after_an_opening_a_flat_position_says_nothing_about_what_was_paid(books: Books) -> None:
    sale = report(side="sell", price="110", executed_at_ms=FIRST_DAY + DAY_MS)
    opening = PositionEntry(
        1, "linear", "BTCUSDT", "net", "open", "a", "binance", FIRST_DAY, sale.qty,
        sale.price - 50, sale.qty, "USDT", b"0" * 16, "{}",
    )  # fmt: skip
    Book(books.connection).record_position_entries([opening])
    books.connection.commit()
    books.record(sale)
    assert books.check() == []
    books.record(*round_trip(2, at_ms=FIRST_DAY + 2 * DAY_MS))
    books.world.run("UPDATE fleet_fills SET value = value + 1 WHERE trade_id = '20'")
    assert books.check() == ["flat position"]


def test_accounts_that_changed_come_first_and_the_others_in_turn(books: Books) -> None:
    for account_id in (1, 2, 3, 4, 5):
        books.record(report(account_id=account_id))
    assert books.due() == [1, 2, 3, 4, 5]
    assert check_identities(books.connection, limit=3) == 3
    assert books.due() == [4, 5]
    assert check_identities(books.connection, limit=3) == 3
    assert books.due() == []
    # Nothing has told anybody of these; their turn finds them.
    books.world.run("UPDATE fleet_positions SET realized = 1 WHERE account_id IN (1, 5)")
    found = []
    for _ in range(4):
        check_identities(books.connection, limit=2)
        found.append(len(books.open()))
    assert found[-1] == 2
    assert books.due() == [1, 5]


def test_a_locked_account_stays_due(books: Books, world: World) -> None:
    books.record(report())
    world.connection.cursor().execute("SELECT 1 FROM fleet_account_state FOR UPDATE")
    assert check_identities(books.connection) == 0
    world.connection.rollback()
    assert books.due() == [1]
    assert check_identities(books.connection) == 1


def test_open_identity_breaks_are_a_metric(
    books: Books, world: World, settings_for: Callable[..., Settings]
) -> None:
    books.record(*round_trip())
    world.run("UPDATE fleet_positions SET realized = 1")
    books.check()
    with closing(connect(settings_for("metrics").mysql)) as connection:
        found = collect(
            connection, world.redis, world.settings.prefix, ("orders",), 4, budget_bytes=None
        )
    assert found.identity_breaks == 1
    assert found.breaks_by_kind == {"identity": 1}


def test_the_scheduled_tasks_settle_and_check(books: Books) -> None:
    Book(books.connection).record_fills([*round_trip(), *round_trip(account_id=2)])
    books.connection.commit()
    assert build.attribute(books.settings) == 4
    assert build.attribute(books.settings) == 0
    assert build.check_identities(books.settings) == 2
    assert books.open() == []


def test_a_busy_account_does_not_keep_the_others_waiting(books: Books) -> None:
    for account_id in (1, 2, 3):
        Book(books.connection).record_fills([report(account_id=account_id)])
        books.connection.commit()
    served = []
    for _ in range(3):
        assert attribute(books.connection, transactions=1) == 1
        left = books.world.rows("SELECT account_id FROM fleet_pnl_daily WHERE attribution_due = 1")
        served.append(sorted(account_id for (account_id,) in left))
        Book(books.connection).record_fills(
            [report(trade_id=f"more {len(served)}", executed_at_ms=FIRST_DAY + DAY_MS)]
        )
        books.connection.commit()
    assert served == [[2, 3], [1, 3], [1]]
