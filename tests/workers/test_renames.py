"""A rename carries what was held over to the new name, at the same cost, once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.ledger.fill import FillReport
from shared.mysql.book import Book
from shared.mysql.connection import connect, transaction
from shared.mysql.facts import Instrument, instruments, set_instrument
from shared.settings import Settings
from shared.streams.decode import decode, routes
from shared.streams.keys import partition_of
from tests.ledger_world import DAY_MS, FIRST_DAY, report, shuffled
from workers.registry import EVENTS
from workers.renames import Plan, Rename, RenameRefused, carry_over, plan

TABLE = routes(EVENTS)
AT_MS = FIRST_DAY + 2 * DAY_MS
AT = datetime.fromtimestamp(AT_MS // 1000, UTC)
LATER = AT + timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PEPE = Instrument(
    "binance", "linear", "1000PEPEUSDT", LONG_AGO, Decimal(1), "PEPE", "USDT", "USDT",
    qty_step=Decimal(1),
)  # fmt: skip
RENAME = Rename("binance", "linear", "1000PEPEUSDT", "PEPEUSDT", AT, Decimal(1000))


class Desk:
    """Books, facts and the way of a recorded event into the books, as the role `cli`."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def knows(self, *facts: Instrument) -> None:
        with transaction(self.connection):
            for fact in facts:
                set_instrument(self.connection, fact)

    def filled(self, *reports: FillReport) -> None:
        with transaction(self.connection):
            Book(self.connection).record_fills(reports)

    def renamed(self, rename: Rename = RENAME, now: datetime = LATER) -> Plan:
        """Planned, carried over, and the events applied."""
        made = plan(self.connection, rename, now)
        carry_over(self.connection, made)
        self.relayed()
        return made

    def relayed(self) -> None:
        """Every outbox row goes where the relay and a stream node would bring it."""
        columns = "stream, type, event_key, event_id, ts_us, data"
        rows = self.rows(f"SELECT {columns} FROM fleet_outbox WHERE state = 0 ORDER BY id")  # noqa: S608 - ours
        for stream, *values in rows:
            names = (b"type", b"key", b"id", b"ts_us", b"data")
            fields = dict(zip(names, (str(value).encode() for value in values), strict=True))
            partition = partition_of(values[1], 32)
            event = decode(stream, partition, 32, "1-1", fields, TABLE)
            with transaction(self.connection):
                EVENTS[event.type].apply(Book(self.connection), [event])
        with transaction(self.connection) as cursor:
            cursor.execute("UPDATE fleet_outbox SET state = 2")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with transaction(self.connection) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def positions(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """(account, instrument, side) -> quantity, cost, realized, contract size."""
        found = self.rows(
            "SELECT account_id, instrument, position_side, qty, cost, realized, contract_size"
            " FROM fleet_positions"
        )
        return {row[:3]: row[3:] for row in found}

    def realized(self) -> Decimal:
        return sum((row[2] for row in self.positions().values()), Decimal(0))


@pytest.fixture
def desk(settings_for: Callable[..., Settings]) -> Iterator[Desk]:
    with closing(connect(settings_for("cli").mysql)) as connection:
        made = Desk(connection)
        made.knows(PEPE)
        yield made


def old(trade: int, at_ms: int = FIRST_DAY, **fields: Any) -> FillReport:
    return report(
        instrument="1000PEPEUSDT", trade_id=str(trade), executed_at_ms=at_ms,
        **{"qty": "3", "price": "0.01", **fields},
    )  # fmt: skip


def new(trade: int, at_ms: int = AT_MS, **fields: Any) -> FillReport:
    return report(
        instrument="PEPEUSDT", trade_id=str(trade), executed_at_ms=at_ms,
        **{"qty": "3000", "price": "0.00001", **fields},
    )  # fmt: skip


def test_open_positions_get_the_new_name_at_the_same_cost_and_without_pnl(desk: Desk) -> None:
    desk.filled(
        old(1), old(2, price="0.03"), old(3, side="sell", price="0.05", qty="1"),
        old(4, account_id=2, side="sell"), old(5, account_id=2, position_side="long"),
        old(6, account_id=3), old(7, account_id=3, side="sell"),
    )  # fmt: skip
    days = desk.rows("SELECT * FROM fleet_pnl_daily")
    made = desk.renamed()
    assert (made.accounts, len(made.carried)) == (2, 3)
    one = Decimal(1)
    assert desk.positions() == {
        (1, "1000PEPEUSDT", "net"): (0, 0, Decimal("0.03"), one),
        (1, "PEPEUSDT", "net"): (5000, Decimal("0.1"), 0, one),
        (2, "1000PEPEUSDT", "net"): (0, 0, 0, one),
        (2, "PEPEUSDT", "net"): (-3000, Decimal("-0.03"), 0, one),
        (2, "1000PEPEUSDT", "long"): (0, 0, 0, one),
        (2, "PEPEUSDT", "long"): (3000, Decimal("0.03"), 0, one),
        (3, "1000PEPEUSDT", "net"): (0, 0, 0, one),
    }
    assert desk.rows("SELECT * FROM fleet_pnl_daily") == days
    assert desk.rows("SELECT COUNT(*) FROM fleet_breaks") == [(0,)]
    before, after = made.facts
    assert instruments(desk.connection) == [PEPE, before, after]
    assert (before.renamed_to, before.ratio, before.valid_from) == ("PEPEUSDT", Decimal(1000), AT)
    assert (after.renamed_to, after.qty_step, after.valid_from) == (None, None, AT)


def test_twice_is_once_and_what_was_missed_comes_along(desk: Desk) -> None:
    desk.filled(old(1))
    carry_over(desk.connection, plan(desk.connection, RENAME, LATER))
    assert plan(desk.connection, RENAME, LATER).carried == []  # on its way
    desk.relayed()
    assert desk.renamed().carried == []
    positions = desk.positions()
    desk.filled(old(2, account_id=2))
    assert desk.renamed(RENAME._replace(contract_size=Decimal(1))).accounts == 1
    assert {key: row for key, row in desk.positions().items() if key[0] == 1} == positions
    assert desk.positions()[2, "PEPEUSDT", "net"][0] == 3000
    assert desk.rows("SELECT COUNT(*) FROM fleet_outbox") == [(4,)]
    assert desk.rows("SELECT COUNT(*) FROM fleet_breaks") == [(0,)]


def test_a_carry_over_that_was_cut_in_half_is_completed(desk: Desk) -> None:
    desk.filled(old(1))
    made = plan(desk.connection, RENAME, LATER)
    (whole,) = made.carried
    carry_over(desk.connection, made._replace(carried=[whole._replace(events=whole.events[:1])]))
    desk.relayed()
    assert desk.positions() == {(1, "1000PEPEUSDT", "net"): (0, 0, 0, 1)}
    assert desk.renamed().carried == [whole]
    assert desk.positions()[1, "PEPEUSDT", "net"] == (3000, Decimal("0.03"), 0, 1)


def test_what_traded_under_the_new_name_already_comes_on_top(desk: Desk) -> None:
    desk.filled(old(1, AT_MS - 1), new(2, AT_MS), new(3, AT_MS + 5, side="sell", price="0.00002"))
    desk.renamed()
    (qty, cost, realized, _) = desk.positions()[1, "PEPEUSDT", "net"]
    assert (qty, cost, realized) == (3000, Decimal("0.03"), Decimal("0.03"))


def test_fills_of_the_old_name_from_the_moment_on_are_not_carried_over(desk: Desk) -> None:
    desk.filled(old(1, AT_MS - 1), old(2, AT_MS, qty="1"), old(3, AT_MS + 9 * DAY_MS, qty="1"))
    desk.renamed()
    assert desk.positions()[1, "PEPEUSDT", "net"][0] == 3000
    assert desk.positions()[1, "1000PEPEUSDT", "net"][0] == 2


def test_a_late_fill_of_before_changes_the_old_name_before_the_moment_only(desk: Desk) -> None:
    desk.filled(old(1))
    desk.renamed()
    carried = desk.positions()
    desk.filled(old(2, AT_MS - DAY_MS, side="sell", qty="1", price="0.04"))
    realized = Decimal("0.03")
    assert desk.positions() == carried | {(1, "1000PEPEUSDT", "net"): (0, 0, realized, 1)}


def test_another_contract_size_is_a_rename_to_itself(desk: Desk) -> None:
    rename = RENAME._replace(
        new="1000PEPEUSDT", ratio=Decimal(10), contract_size=Decimal("0.1")
    )
    desk.filled(old(1), old(2, side="sell", qty="1", price="0.02"))
    made = desk.renamed(rename)
    assert [len(one.events) for one in made.carried] == [1]
    key = (1, "1000PEPEUSDT", "net")
    assert desk.positions()[key] == (20, Decimal("0.02"), Decimal("0.01"), Decimal("0.1"))
    desk.filled(
        old(3, AT_MS, side="sell", qty="20", price="0.02", contract_size="0.1"),
    )
    assert desk.positions()[key][:3] == (0, 0, Decimal("0.03"))
    assert desk.renamed(rename).carried == []
    assert [fact.contract_size for fact in instruments(desk.connection)] == [1, Decimal("0.1")]
    again = rename._replace(at=AT + timedelta(days=1))
    assert desk.renamed(again, LATER + timedelta(days=1)).carried == []


def test_a_spot_holding_goes_with_its_assets(desk: Desk) -> None:
    matic = PEPE._replace(
        product="spot", instrument="MATICUSDT", base_asset="MATIC", qty_step=None
    )
    pol = matic._replace(instrument="POLUSDT", base_asset="POL", valid_from=AT)
    desk.knows(matic, pol)
    desk.filled(
        report(
            product="spot", instrument="MATICUSDT", qty="7", price="0.5", base_asset="MATIC",
            quote_asset="USDT", settle_asset="USDT",
        )
    )  # fmt: skip
    desk.renamed(Rename("binance", "spot", "MATICUSDT", "POLUSDT", AT, Decimal(1)))
    assert desk.positions()[1, "POLUSDT", "net"] == (7, Decimal("3.5"), 0, 1)
    ((data,), _) = desk.rows("SELECT data FROM fleet_outbox ORDER BY id DESC")
    assert json.loads(data)["base_asset"] == "POL"


@pytest.mark.parametrize(
    ("change", "now", "words"),
    [
        ({}, AT - timedelta(milliseconds=1), "still to come"),
        ({"old": "WIFUSDT"}, LATER, "fleet instruments set"),
        ({"venue": "okx"}, LATER, "fleet instruments set"),
        ({"new": "PEPEUSDC"}, LATER, "settles in USDT, PEPEUSDC in USDC"),
    ],
)
def test_what_cannot_be_carried_over_is_refused_in_words(
    desk: Desk, change: dict[str, Any], now: datetime, words: str
) -> None:
    desk.knows(PEPE._replace(instrument="PEPEUSDC", settle_asset="USDC", valid_from=AT))
    desk.filled(old(1))
    with pytest.raises(RenameRefused, match=words):
        plan(desk.connection, RENAME._replace(**change), now)


@pytest.mark.parametrize(
    "change",
    [
        {"ratio": Decimal(100)},
        {"new": "PEPE2USDT"},
        {"contract_size": Decimal(2)},
        {"at": AT + timedelta(hours=1)},
        {"at": AT - timedelta(hours=1)},
    ],
)
def test_a_rename_that_contradicts_the_one_recorded_is_refused(
    desk: Desk, change: dict[str, Any]
) -> None:
    desk.filled(old(1))
    desk.renamed()
    with pytest.raises(RenameRefused, match=r"1000PEPEUSDT is PEPEUSDT since .* ratio 1000"):
        plan(desk.connection, RENAME._replace(**change), LATER)


def test_a_name_under_which_something_was_held_before_is_no_new_name(desk: Desk) -> None:
    desk.filled(old(1), new(2, AT_MS - 1), new(3, AT_MS, side="sell"))
    with pytest.raises(RenameRefused, match="account 1 held PEPEUSDT before"):
        plan(desk.connection, RENAME, LATER)


@pytest.mark.parametrize("seed", range(8))
def test_with_ratio_one_the_pnl_is_that_of_an_instrument_which_kept_its_name(
    desk: Desk, seed: int
) -> None:
    draw = random.Random(seed)
    kept = [_random_fill(draw, number, "BTCUSDT") for number in range(60)]
    desk.filled(*kept)
    expected = desk.realized()
    (position,) = desk.positions().values()
    desk.filled(*_under(kept, 1))
    desk.renamed(RENAME._replace(ratio=Decimal(1)))
    desk.filled(*shuffled(draw, _under(kept, 2)))
    assert desk.realized() == 2 * expected
    assert desk.positions()[2, "PEPEUSDT", "net"][:2] == position[:2]


def _random_fill(draw: random.Random, number: int, name: str) -> FillReport:
    return report(
        account_id=1, instrument=name, trade_id=str(number), side=draw.choice(["buy", "sell"]),
        qty=str(draw.randrange(1, 50)), price=f"{draw.randrange(1, 10**6)}.{draw.randrange(10**6)}",
        executed_at_ms=FIRST_DAY + number * 4 * DAY_MS // 60,
    )  # fmt: skip


def _under(kept: Sequence[FillReport], part: int) -> list[FillReport]:
    """The same fills of account 2 under the old name (part 1) and, from the moment on, the new."""
    made = []
    for one in kept:
        is_old = one.executed_at_ms < AT_MS
        if is_old == (part == 1):
            told = json.loads(one.data)
            told |= {"account_id": 2, "instrument": "1000PEPEUSDT" if is_old else "PEPEUSDT"}
            made.append(report(**told))
    return made
