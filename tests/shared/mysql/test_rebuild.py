"""A rebuild changes nothing that is right, restores what is not, and does not mind the traffic."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import FillReport
from shared.ledger.identity import report_hash
from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.mysql.content_hash import content_hash, hashes
from shared.mysql.rebuild import (
    Steps,
    Stopped,
    Superseded,
    accounts_after,
    rebuild_large,
    rebuild_small,
)
from shared.mysql.rebuild_swap import Rebuilt
from shared.settings import Settings
from tests.ledger_world import DAY_MS, FIRST_DAY, batches, cash, report, retold, shuffled, trades

pytestmark = pytest.mark.database

D = Decimal
TOKEN = "a" * 32
ACCOUNTS = (1, 2, 3)
FILLS = 120
PRODUCTS = ("linear", "inverse", "spot")
PROJECTIONS = ("fleet_positions", "fleet_position_days", "fleet_pnl_daily")
IMMUTABLE = (
    "fleet_fills", "fleet_fill_reports", "fleet_cash_entries", "fleet_position_entries",
    "fleet_account_state", "fleet_orders", "fleet_breaks",
)  # fmt: skip
SHADOWS = (
    "fleet_rebuilds", "fleet_rebuild_positions", "fleet_rebuild_position_days",
    "fleet_rebuild_pnl_daily",
)  # fmt: skip


@pytest.fixture
def rq(settings_for: Callable[..., Settings]) -> Iterator[Any]:
    """Where the rebuild runs: a connection with the privileges of its role."""
    with closing(connect(settings_for("rq").mysql)) as connection:
        yield connection


@pytest.fixture
def root(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    """An administrator, who may do anything to the rows."""
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


def entry(kind: str, at_ms: int, **fields: Any) -> PositionEntry:
    """An opening of 5 at 100 of a linear position, or a move of a spot holding."""
    told: dict[str, Any] = {
        "account_id": 1, "product": "linear", "instrument": "BTCUSDT", "position_side": "net",
        "kind": kind, "ref": f"{kind}{at_ms}", "venue": "binance", "at_ms": at_ms, "qty": D(5),
        "cost": D(500), "contract_size": D(1), "settle_asset": "USDT",
    } | fields  # fmt: skip
    data = json.dumps({name: str(value) for name, value in told.items()})
    return PositionEntry(**told, report_hash=report_hash(data), data=data)


def entries(seed: int) -> list[PositionEntry]:
    draw, made = random.Random(seed), []
    for account in ACCOUNTS:
        at = FIRST_DAY + draw.randrange(3 * DAY_MS)
        spot = {"account_id": account, "product": "spot", "instrument": "ETHUSDT"}
        made += [
            entry("open", at, account_id=account),
            entry("in", at, **spot, qty=D(20), cost=D("1234.5")),
            entry("out", at + DAY_MS, **spot, qty=D(7), cost=D(0)),
            entry("open", at, account_id=account, instrument="NEWUSDT"),  # and never a fill
        ]
    return made


def fill_books(connection: Any, seed: int, *, inline: int = 5_000, settle: bool = True) -> None:
    """Random accounts: every product, hedge mode, late and repeated fills, entries, cash."""
    draw = random.Random(seed)
    fills = trades(seed, FILLS, products=PRODUCTS)
    told = shuffled(draw, [*fills, *(one for fill in fills for one in retold(draw, fill))])
    for piece in batches(draw, told, 40):
        Book(connection, inline_refold_fills=inline).record_fills(piece)
        connection.commit()
    Book(connection, inline_refold_fills=inline).record_position_entries(entries(seed))
    kinds = ["funding", "rebate", "transfer_in", "commission", "interest", "other"]
    Book(connection).record_cash([
        cash(
            account_id=draw.choice(ACCOUNTS), ref=str(number), kind=draw.choice(kinds),
            amount=f"{draw.randrange(-9, 9)}.5", at_ms=FIRST_DAY + draw.randrange(4 * DAY_MS),
            instrument=draw.choice(["", "BTCUSDT", "ADAUSDT"]), asset=draw.choice(["USDT", "BNB"]),
        )
        for number in range(60)
    ])  # fmt: skip
    connection.commit()
    while settle and Book(connection).restate(idle=True):
        connection.commit()
    connection.commit()


def rebuild(connection: Any, how: str, steps: Steps | None = None) -> list[Rebuilt]:
    if how == "small":
        return rebuild_small(connection, ACCOUNTS)
    told = steps or Steps(fills=7)
    return [rebuild_large(connection, account, TOKEN, told) for account in ACCOUNTS]


def dump(connection: Any, tables: Sequence[str]) -> dict[str, list[Any]]:
    found = {}
    for table in tables:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names
        found[table] = sorted(cursor.fetchall(), key=repr)
        connection.commit()
    return found


def run(connection: Any, sql: str, *values: Any) -> int:
    changed: int = connection.cursor().execute(sql, values)
    connection.commit()
    return changed


def rows(connection: Any, sql: str) -> list[Any]:
    connection.commit()
    cursor = connection.cursor()
    cursor.execute(sql)
    found = list(cursor.fetchall())
    connection.commit()
    return found


def content(connection: Any) -> dict[int, str]:
    connection.commit()
    found = {account: content_hash(one) for account, one in hashes(connection, ACCOUNTS).items()}
    connection.commit()
    return found


def differing(rebuilt: list[Rebuilt]) -> dict[int, dict[str, int]]:
    return {one.account_id: dict(one.differing) for one in rebuilt if one.differing}


# ---- nothing is wrong


@pytest.mark.parametrize("how", ["small", "large"])
@pytest.mark.parametrize("seed", range(2))
def test_a_rebuild_of_right_books_changes_no_byte_and_no_version(
    mysql_schema: Any, rq: Any, seed: int, how: str
) -> None:
    fill_books(mysql_schema, seed)
    before = dump(mysql_schema, (*PROJECTIONS, *IMMUTABLE))
    found = content(mysql_schema)
    rebuilt = rebuild(rq, how)
    assert differing(rebuilt) == {}
    assert {one.account_id: one.before for one in rebuilt} == found
    assert all(one.before == one.after for one in rebuilt)
    assert dump(mysql_schema, (*PROJECTIONS, *IMMUTABLE)) == before
    assert not any(dump(rq, SHADOWS).values())


@pytest.mark.parametrize("how", ["small", "large"])
@pytest.mark.parametrize("seed", range(2))
def test_folds_that_wait_end_with_the_rebuild(
    mysql_schema: Any, rq: Any, root: Any, seed: int, how: str
) -> None:
    fill_books(mysql_schema, seed)
    expected = content(mysql_schema)
    for table in (*PROJECTIONS, *IMMUTABLE):
        run(root, f"DELETE FROM {table}")  # noqa: S608 - our own names
    fill_books(mysql_schema, seed, inline=1, settle=False)
    assert rows(root, "SELECT * FROM fleet_positions WHERE restating_from_ms IS NOT NULL")
    rebuilt = rebuild(rq, how)
    assert content(mysql_schema) == expected == {one.account_id: one.after for one in rebuilt}
    assert not rows(root, "SELECT * FROM fleet_positions WHERE restating_from_ms IS NOT NULL")
    assert not Book(mysql_schema).restate(idle=True)


# ---- something is wrong

ODD_DAY = [
    (
        "INSERT INTO fleet_position_days SELECT account_id, product, instrument, position_side,"
        " '2031-01-01', 'USDT', 1, 1, 0, 5, 1, 1 FROM fleet_positions"
    ),
    (
        "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, realized)"
        " SELECT DISTINCT account_id, product, instrument, '2031-01-01', 'X', 9"
        " FROM fleet_positions"
    ),
]
ODD_POSITION = (
    "INSERT INTO fleet_positions (account_id, product, instrument, position_side, venue, qty, cost,"
    " realized, settle_asset, contract_size, fills, last_fill_at, last_ms, last_seq, last_trade_id,"
    " last_side) SELECT account_id, product, 'ODDUSDT', position_side, venue, qty, cost, realized,"
    " settle_asset, contract_size, fills, last_fill_at, last_ms, last_seq, last_trade_id, last_side"
    " FROM fleet_positions WHERE product = 'inverse' AND instrument = 'BTCUSDT'"
)
DAMAGES = {
    "a position says something else": ["UPDATE fleet_positions SET qty = qty + 1, realized = 7"],
    "positions are gone": ["DELETE FROM fleet_positions WHERE product = 'linear'"],
    "days are gone": ["DELETE FROM fleet_position_days WHERE day > '2024-10-04'"],
    "a day too many": ODD_DAY,
    "a position too many": [ODD_POSITION],
    "fees and funding are wrong": [
        "UPDATE fleet_pnl_daily SET fees = fees + 1, funding = 3, other = 1, fills = 0, entries = 9"
    ],
    "the last fill is another": ["UPDATE fleet_positions SET last_ms = 1, last_trade_id = '0'"],
    "all of it is gone": ["DELETE FROM fleet_positions", "DELETE FROM fleet_position_days",
                         "DELETE FROM fleet_pnl_daily"],
}  # fmt: skip


@pytest.mark.parametrize("how", ["small", "large"])
@pytest.mark.parametrize("damage", list(DAMAGES))
def test_rows_that_an_administrator_damaged_are_restored(
    mysql_schema: Any, rq: Any, root: Any, damage: str, how: str
) -> None:
    fill_books(mysql_schema, 7)
    expected = content(mysql_schema)
    changed = sum(run(root, statement) for statement in DAMAGES[damage])
    assert changed
    damaged = content(mysql_schema)
    assert damaged != expected
    rebuilt = rebuild(rq, how)
    assert content(mysql_schema) == expected
    for one in rebuilt:
        assert (one.before, one.after) == (damaged[one.account_id], expected[one.account_id])
    assert sum(sum(one.differing.values()) for one in rebuilt) == changed
    assert not any(dump(rq, SHADOWS).values())
    assert differing(rebuild(rq, how)) == {}


@pytest.mark.parametrize("how", ["small", "large"])
def test_only_rows_that_change_get_a_new_version_and_a_mark(
    mysql_schema: Any, rq: Any, root: Any, how: str
) -> None:
    fill_books(mysql_schema, 8)
    run(root, "UPDATE fleet_positions SET version = 40, refolded_version = 3")
    run(root, "UPDATE fleet_pnl_daily SET version = 50, attribution_due = 0")
    run(root, "UPDATE fleet_positions SET cost = 1 WHERE instrument = 'ETHUSDT'")
    run(root, "UPDATE fleet_pnl_daily SET other = 1 WHERE asset = 'BNB'")
    rebuild(rq, how)
    positions = rows(root, "SELECT DISTINCT instrument = 'ETHUSDT', version, refolded_version"
                           " FROM fleet_positions ORDER BY 1")  # fmt: skip
    assert positions == [(0, 40, 3), (1, 41, 41)]
    daily = rows(root, "SELECT DISTINCT asset = 'BNB', version, attribution_due"
                       " FROM fleet_pnl_daily ORDER BY 1")  # fmt: skip
    assert daily == [(0, 50, 0), (1, 51, 1)]


def test_a_closed_day_that_changes_is_restated_and_an_open_one_is_not(
    mysql_schema: Any, rq: Any, root: Any
) -> None:
    Book(mysql_schema).record_fills(
        [report(trade_id=str(day), fee="1", fee_asset="USDT",
                executed_at_ms=FIRST_DAY + day * DAY_MS) for day in range(4)]
    )  # fmt: skip
    mysql_schema.commit()
    run(root, "INSERT INTO fleet_settings (name, value) VALUES ('closed_through', '2024-10-06')")
    run(root, "UPDATE fleet_pnl_daily SET fees = 5 WHERE day <> '2024-10-05'")
    run(root, "DELETE FROM fleet_pnl_daily WHERE day = '2024-10-06'")
    run(root, "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, realized)"
              " VALUES (1, 'linear', 'BTCUSDT', '2024-10-04', 'X', 9)")  # fmt: skip
    rebuild_small(rq, [1])
    told = rows(root, "SELECT CAST(day AS CHAR), asset, version, fees, realized, fills, cause"
                      " FROM fleet_restatements ORDER BY day, asset")  # fmt: skip
    cause = r'{"identities":["[\"rebuild\"]"]}'
    assert told == [
        ("2024-10-04", "USDT", 1, D(5), D(0), 1, cause),
        ("2024-10-04", "X", 1, D(0), D(9), 0, cause),
        ("2024-10-06", "USDT", 0, D(0), D(0), 0, cause),
    ]
    assert len(rows(root, "SELECT DISTINCT batch FROM fleet_restatements")) == 1


def test_parts_of_a_row_that_goes_go_with_it(mysql_schema: Any, rq: Any, root: Any) -> None:
    fill_books(mysql_schema, 9)
    for table, columns, values in (
        ("fleet_pnl_daily", "realized", "1"),
        ("fleet_pnl_attribution", "bucket, realized", "'manual', 1"),
        ("fleet_rounding", "position_side, reported, computed, amount, fills", "'net', 1, 1, 0, 1"),
    ):
        run(root, f"INSERT INTO {table} (account_id, product, instrument, day, asset, {columns})"  # noqa: S608
                  f" VALUES (1, 'linear', 'BTCUSDT', '2031-01-01', 'USDT', {values})")  # fmt: skip
    rebuild_small(rq, ACCOUNTS)
    assert not rows(root, "SELECT * FROM fleet_pnl_attribution")
    assert not rows(root, "SELECT * FROM fleet_rounding")


# ---- traffic goes on


class Traffic:
    """Events of one account that come between the steps of its rebuild."""

    def __init__(self, connection: Any, seed: int) -> None:
        self._connection = connection
        self._draw = random.Random(seed)
        self._number = 0
        self.told: list[FillReport] = []
        self.rounds = 0

    def __call__(self, _folded: int = 0) -> None:
        draw, pieces = self._draw, []
        self.rounds += 1
        for _ in range(draw.randrange(4)):
            self._number += 1
            at = draw.choice([10, 10, 10, draw.randrange(4)])  # newer than all, or late
            one = report(
                account_id=1, trade_id=f"9{self._number:06}", qty=str(draw.randrange(1, 9)),
                side=draw.choice(["buy", "sell"]), price=str(draw.randrange(90, 110)),
                instrument=draw.choice(["BTCUSDT", "ETHUSDT", f"NEW{draw.randrange(3)}USDT"]),
                position_side=draw.choice(["net", "long"]), fee=draw.choice([None, "0.5"]),
                fee_asset=draw.choice(["USDT", "BNB"]),
                executed_at_ms=FIRST_DAY + at * DAY_MS + self._number,
            )  # fmt: skip
            pieces.append(one)
        if self.told and draw.random() < 0.6:
            fields = json.loads(draw.choice(self.told).data)
            change = draw.choice([
                {"fee": "0.75", "fee_asset": draw.choice(["USDT", "BNB", "X"])},
                {"price": "101"}, {"executed_at_ms": fields["executed_at_ms"] + DAY_MS},
                {"position_side": "short"},
            ])  # fmt: skip
            pieces.append(report(**{**fields, **change, "revision": self._number + 1}))
        self.told += pieces
        Book(self._connection, inline_refold_fills=draw.choice([1, 5_000])).record_fills(pieces)
        if draw.random() < 0.3:
            ref = f"t{self._number}"
            at = draw.randrange(8)
            Book(self._connection).record_cash([cash(ref=ref, at_ms=FIRST_DAY + at * DAY_MS)])
        if draw.random() < 0.2:
            at_ms = FIRST_DAY + draw.randrange(12) * DAY_MS
            Book(self._connection).record_position_entries([entry("open", at_ms)])
        if draw.random() < 0.3:
            Book(self._connection).restate(idle=True)
        self._connection.commit()


@pytest.mark.parametrize("seed", range(6))
def test_what_comes_between_the_steps_is_in_the_rebuilt_rows(
    mysql_schema: Any, rq: Any, root: Any, seed: int
) -> None:
    fill_books(mysql_schema, seed)
    if seed % 2:
        for damage in DAMAGES["a position says something else"]:
            run(root, damage)
    traffic = Traffic(mysql_schema, seed)
    rebuild_large(rq, 1, TOKEN, Steps(told=traffic, fills=15))
    assert traffic.rounds > 5
    while Book(mysql_schema).restate(idle=True):
        mysql_schema.commit()
    mysql_schema.commit()
    found = content(mysql_schema)[1]
    (again,) = rebuild_small(rq, [1])
    assert dict(again.differing) == {}
    assert again.after == found


def test_newer_fills_alone_are_caught_up_without_folding_again(
    mysql_schema: Any, rq: Any
) -> None:
    numbers = iter(range(10_000))

    def later(_folded: int = 0, count: int = 1) -> None:
        Book(mysql_schema).record_fills(
            [report(trade_id=str(n), fee="0.1", fee_asset="USDT",
                    executed_at_ms=FIRST_DAY + n * 10**7)
             for n in (next(numbers) for _ in range(count))]
        )  # fmt: skip
        mysql_schema.commit()

    later(count=200)
    folded: list[int] = []

    def told(fills: int) -> None:
        folded.append(fills)
        later()

    rebuilt = rebuild_large(rq, 1, TOKEN, Steps(told=told, fills=20))
    assert dict(rebuilt.differing) == {}
    assert 200 <= sum(folded) <= 200 + len(folded)  # each fill once at most


def test_a_position_that_changes_every_time_is_folded_under_the_lock(
    mysql_schema: Any, rq: Any
) -> None:
    fill_books(mysql_schema, 3)
    revisions = iter(range(2, 10_000))
    fields = json.loads(next(one for one in trades(3, FILLS, products=PRODUCTS)
                             if one.account_id == 1).data)  # fmt: skip

    def revise(_folded: int) -> None:
        revision = next(revisions)
        told = {**fields, "revision": revision + 5, "price": str(revision)}
        Book(mysql_schema).record_fills([report(**told)])
        mysql_schema.commit()

    rebuild_large(rq, 1, TOKEN, Steps(told=revise, fills=50))
    assert next(revisions) > 10
    (again,) = rebuild_small(rq, [1])
    assert dict(again.differing) == {}


def test_traffic_of_another_thread_meets_a_rebuild(
    mysql_schema: Any, rq: Any, settings: Settings
) -> None:
    fill_books(mysql_schema, 5)
    ended = threading.Event()
    failures: list[BaseException] = []

    def trade() -> None:
        try:
            with closing(connect(settings.mysql)) as connection:
                traffic = Traffic(connection, 5)
                # No more than this: a rebuild that is slower than the traffic would never end.
                while traffic.rounds < (20 if ended.is_set() else 300):
                    traffic()
        except BaseException as failure:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(failure)

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        for _ in range(5):
            rebuild_large(rq, 1, TOKEN, Steps(fills=20))
            rebuild_small(rq, ACCOUNTS)
    finally:
        ended.set()
        thread.join(60)
    assert not failures
    while Book(mysql_schema).restate(idle=True):
        mysql_schema.commit()
    mysql_schema.commit()
    assert differing(rebuild_small(rq, ACCOUNTS)) == {}


def test_a_position_whose_fills_an_administrator_took_away_goes(
    mysql_schema: Any, rq: Any, root: Any
) -> None:
    Book(mysql_schema).record_fills([report(), report(instrument="ETHUSDT")])
    mysql_schema.commit()
    taken: list[int] = []

    def take(folded: int) -> None:
        if folded and not taken:
            taken.append(run(root, "DELETE FROM fleet_fills WHERE instrument = 'ETHUSDT'"))

    rebuild_large(rq, 1, TOKEN, Steps(told=take, fills=1))
    assert taken == [1]
    assert rows(root, "SELECT instrument FROM fleet_positions") == [("BTCUSDT",)]
    assert rows(root, "SELECT instrument FROM fleet_pnl_daily") == [("BTCUSDT",)]


# ---- stopped, killed, superseded


class Stop:
    """Stops after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.folded: list[int] = []

    def steps(self) -> Steps:
        return Steps(told=self.folded.append, stop=self._stop, fills=20)

    def _stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_stopped_rebuild_leaves_the_live_rows_alone_and_goes_on_where_it_was(
    mysql_schema: Any, rq: Any, root: Any
) -> None:
    fill_books(mysql_schema, 6)
    expected = content(mysql_schema)
    run(root, "UPDATE fleet_positions SET qty = qty + 1")
    before = dump(root, PROJECTIONS)
    whole = Stop(10_000)
    for at in range(2, 40, 3):
        stop = Stop(at)
        try:
            rebuild_large(rq, 1, TOKEN, stop.steps())
        except Stopped:
            assert dump(root, PROJECTIONS) == before
            continue
        break
    else:
        pytest.fail("it never came to its end")
    assert at > 2
    assert content(root)[1] == expected[1]
    run(root, "UPDATE fleet_positions SET qty = qty + 1")
    rebuild_large(rq, 1, "b" * 32, whole.steps())
    assert sum(stop.folded) < sum(whole.folded)


def test_a_killed_rebuild_goes_on_with_what_it_had_committed(
    mysql_schema: Any, rq: Any, root: Any, settings_for: Callable[..., Settings]
) -> None:
    fill_books(mysql_schema, 6)
    expected = content(mysql_schema)
    run(root, "DELETE FROM fleet_positions")

    steps = iter(range(100))

    def kill(_folded: int) -> None:
        if next(steps) == 9:
            run(root, "KILL %s", rq.thread_id())

    with pytest.raises(Unavailable):
        rebuild_large(rq, 1, TOKEN, Steps(told=kill, fills=10))
    assert rows(root, "SELECT COUNT(*) FROM fleet_rebuild_positions WHERE complete") != [(0,)]
    with closing(connect(settings_for("rq").mysql)) as again:
        rebuild_large(again, 1, TOKEN, Steps(fills=10))
    assert content(root)[1] == expected[1]


def test_a_run_of_another_token_begins_anew_and_the_first_one_stops(
    mysql_schema: Any, rq: Any, root: Any, settings_for: Callable[..., Settings]
) -> None:
    fill_books(mysql_schema, 6)
    run(root, "UPDATE fleet_positions SET qty = 0")
    with closing(connect(settings_for("rq").mysql)) as other:

        def overtake(_folded: int) -> None:
            if not rows(root, "SELECT * FROM fleet_rebuilds WHERE token <> 'x'"):
                return
            done = Stop(3)
            with pytest.raises(Stopped):
                rebuild_large(other, 1, "b" * 32, done.steps())

        with pytest.raises(Superseded):
            rebuild_large(rq, 1, TOKEN, Steps(told=overtake, fills=10))
        rebuild_large(other, 1, "b" * 32)
    assert not any(dump(root, SHADOWS).values())
    assert differing(rebuild_small(rq, [1])) == {}


# ---- which accounts


def test_accounts_come_in_order_of_id_with_their_fills(mysql_schema: Any, rq: Any) -> None:
    Book(mysql_schema).record_fills(
        [report(account_id=account, trade_id=str(trade)) for account, trade in
         [(70, 1), (9, 1), (9, 2), (2**63, 1)]]
    )  # fmt: skip
    Book(mysql_schema).record_cash([cash(account_id=8)])
    mysql_schema.commit()
    assert accounts_after(rq, 0, 3) == [(8, 0), (9, 2), (70, 1)]
    assert accounts_after(rq, 70, 3) == [(2**63, 1)]
