"""What exchanges do wrong, met by the whole sync: at the end every fill is booked once, no cursor
is ahead of its rows, and reconciliation finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from shared.exchanges.venue import Product
from shared.settings import Settings
from tests.runtime_world import World
from tests.waiting import eventually
from tests.workers.sync.exchange_desk import POOLS, ExchangeDesk, exchange_desk

pytestmark = pytest.mark.any_database

Pool = tuple[str, Product]
Opened = Callable[..., ExchangeDesk]
FILLS_PATH = {
    ("binance", "linear"): "userTrades",
    ("binance", "spot"): "myTrades",
    ("bybit", "linear"): "execution/list",
    ("okx", "linear"): "trade/fills",
}
BROKEN = [
    ("truncated", 0), ("empty", 0), ("status", 503), ("late_status", 503), ("dropped", 0),
]  # fmt: skip


@pytest.fixture
def opened(world: World, settings_for: Callable[..., Settings]) -> Iterator[Opened]:
    """A desk at one venue, whose accounts are linked and were read once."""
    with ExitStack() as stack:

        def open_(venue: str, product: Product, accounts: int = 2, **more: Any) -> ExchangeDesk:
            numbers = tuple(range(1, accounts + 1))
            opening = exchange_desk(world, settings_for, venue, product, numbers, **more)
            desk = stack.enter_context(opening)
            desk.link()
            desk.ask_all()
            desk.pass_()
            return desk

        yield open_


def assert_right(desk: ExchangeDesk, fills: int) -> None:
    """Once it is over and quiet. fills: of all accounts."""
    with desk.booking():
        desk.ask_when_quiet()
    assert desk.differences() == []
    assert desk.world.one("SELECT COUNT(*) FROM fleet_fills") == fills
    assert desk.world.one("SELECT COUNT(*) FROM fleet_breaks") == 0
    unread = "SELECT COUNT(*) FROM fleet_syncs WHERE kind = 'fills' AND complete_through_ms IS NULL"
    assert desk.world.one(unread) == 0


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS, ids="-".join)
def test_a_page_that_ends_inside_one_millisecond(opened: Opened, pool: Pool) -> None:
    desk = opened(*pool, accounts=1)
    at_ms = desk.now_ms() - 2_000
    desk.trade(1, repeat=620, at_ms=at_ms)
    desk.trade(1, "sell", repeat=600, at_ms=at_ms + 1)
    assert_right(desk, 1_220)


@pytest.mark.parametrize("pool", POOLS, ids="-".join)
def test_rows_that_come_twice_or_late_or_change(opened: Opened, pool: Pool) -> None:
    desk = opened(*pool, accounts=3)
    twice, late, changing = desk.accounts
    at_ms = desk.now_ms() - 2_000
    desk.fault("duplicate", twice, times=None)
    desk.trade(twice, repeat=3)
    desk.trade(late, at_ms=at_ms, hidden=True)
    desk.trade(late, at_ms=at_ms + 900)
    desk.trade(changing, fee_known=False)
    with desk.booking():
        desk.ask_all()
    assert desk.world.one("SELECT COUNT(*) FROM fleet_fills") == 5
    desk.pass_(120_000)
    desk.do("show_late", late)
    desk.do("settle_fees", changing, fee="0.12345678", asset="BNB")
    assert_right(desk, 6)


@pytest.mark.parametrize("pool", POOLS, ids="-".join)
def test_what_the_exchange_wrote_is_kept_letter_by_letter(
    opened: Opened, pool: Pool
) -> None:
    """The second account's answers have their numbers without quotes."""
    desk = opened(*pool)
    desk.fault("unquoted", 2, times=None)
    for account in desk.accounts:
        desk.trade(account, price="60000.10", fee="0.10000000", fee_asset="BNB")
        desk.trade(account, "buy", price="59999.90", fee="-0.00000010", fee_asset="BNB")
    assert_right(desk, 4)
    for account in desk.accounts:
        wrote = {
            tuple(row[name] for name in FILL_TEXTS[desk.venue]) for row in rows_of(desk, account)
        }
        bodies = desk.told("order.filled.1", account)
        told = {(body["price"], body["qty"], body["fee"]) for body in bodies}
        sign = "-" if desk.venue == "okx" else ""  # there a fee is negative when paid
        assert told == {(price, qty, turned(fee, sign)) for price, qty, fee in wrote}


FILL_TEXTS = {
    "binance": ("price", "qty", "commission"),
    "bybit": ("execPrice", "execQty", "execFee"),
    "okx": ("fillPx", "fillSz", "fee"),
}


def turned(fee: str, sign: str) -> str:
    return fee.removeprefix("-") if fee.startswith("-") and sign else sign + fee


def rows_of(desk: ExchangeDesk, account: int) -> list[Any]:
    """The exchange's own JSON of the account's fills."""
    return desk.exchange.do(
        lambda one: [
            orjson.loads(orjson.dumps(fill.row))
            for fill in one.account(desk.venue, f"key-{account}").fills
        ]
    )


# -- answers that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS, ids="-".join)
def test_broken_answers_cost_their_account_a_run_and_nobody_a_fill(
    opened: Opened, pool: Pool
) -> None:
    desk = opened(*pool, accounts=len(BROKEN) + 2)
    once, undisturbed = desk.accounts[-2:]
    for account, (kind, value) in zip(desk.accounts, BROKEN, strict=False):
        desk.fault(kind, account, value=value, path=FILLS_PATH[pool], times=None)
    desk.fault("truncated", once)
    for account in desk.accounts:
        desk.trade(account, repeat=2)
    assert desk.ask() == {"failed": len(BROKEN), "done": 2}
    for account in (once, undisturbed):
        assert desk.account(account, "failures, error") == (0, None)
    assert desk.account(1, "failures, state") == (1, "active")
    desk.exchange.do(lambda one: one.clear_faults())
    assert_right(desk, 2 * len(desk.accounts))


# -- limits ----------------------------------------------------------------------------------------


EGRESSES = {"FLEET_EGRESS": "left=127.0.0.1,right=127.0.0.2"}
RETRY_AFTER = 7


def test_a_429_stops_every_worker_of_its_address_and_no_other(opened: Opened) -> None:
    desk = opened("binance", "linear", accounts=8, **EGRESSES)
    left, right = by_address(desk)
    for account in desk.accounts:
        desk.trade(account)
    first, second = desk.worker(), desk.worker()
    desk.fault("limited", address="127.0.0.1", value=RETRY_AFTER, path="userTrades")
    with ThreadPoolExecutor(2) as threads:
        began = datetime.now(UTC)
        refused = threads.submit(desk.ask, left[0], tools=first)
        eventually(lambda: desk.refused() == {"429": 1})
        waiting = threads.submit(desk.ask, *left[1:], tools=second)
        assert desk.ask(*right, tools=first) == {"done": len(right)}
        assert not refused.done()
        assert not waiting.done()
        assert refused.result() == {"done": 1}
        assert waiting.result() == {"done": len(left) - 1}
        assert (datetime.now(UTC) - began).total_seconds() >= RETRY_AFTER
    assert desk.refused() == {"429": 1}
    assert_right(desk, len(desk.accounts))


def by_address(desk: ExchangeDesk) -> tuple[list[int], list[int]]:
    pinned = dict(desk.world.rows("SELECT account_id, egress FROM fleet_sync_accounts"))
    left = [account for account, egress in sorted(pinned.items()) if egress == "left"]
    right = [account for account, egress in sorted(pinned.items()) if egress == "right"]
    assert len(left) > 1
    assert right
    return left, right


def test_an_address_that_is_banned_asks_nothing_until_the_ban_is_over(opened: Opened) -> None:
    desk = opened("binance", "spot", accounts=8, **EGRESSES)
    left, right = by_address(desk)
    for account in desk.accounts:
        desk.trade(account)
    other = desk.worker()
    desk.fault("banned", address="127.0.0.1", value=180)
    assert desk.ask(left[0], tools=desk.worker()) == {"paused": 1}
    assert desk.ask(*desk.accounts, tools=other) == {"paused": len(left), "done": len(right)}
    assert desk.refused() == {"418": 1}
    failures, due_in = desk.account(
        left[0], "failures, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), due_at)"
    )
    assert failures == 0
    assert 170 < due_in <= 180
    desk.pass_(181_000)
    assert_right(desk, len(desk.accounts))


# -- clocks and keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "skew_ms"), [*((pool, 20_000) for pool in POOLS), (POOLS[0], -20_000)]
)
def test_a_clock_that_is_off_is_put_right_by_nobody(
    opened: Opened, pool: Pool, skew_ms: int
) -> None:
    desk = opened(*pool)
    desk.pass_(60_000)
    exchanges, row = desk.tools.desk.exchanges, desk.venues[pool]
    desk.tools.loop.wait(exchanges.now_ms(row), 10)
    desk.exchange.do(lambda one: one.skew(desk.venue, skew_ms))
    for account in desk.accounts:
        desk.trade(account, repeat=3)
    before = desk.reports()
    # What was asked for at a time to come is thrown away; it is asked again, by itself.
    assert desk.ask() == {"done" if skew_ms > 0 else "failed": 2}
    assert desk.reports() == before
    assert desk.ask() == {"done": 2}
    assert_right(desk, 6)


SUSPENDED = "App\\Jobs\\Fleet\\AccountSuspended"


def test_one_revoked_key_among_a_hundred_accounts(opened: Opened) -> None:
    desk = opened("binance", "linear", accounts=100, scale=100, FLEET_LARAVEL_JOBS=SUSPENDED)
    revoked = 42
    for account in desk.accounts:
        desk.trade(account)
    desk.do("change_account", revoked, revoked=True)
    assert desk.ask() == {"suspended": 1, "done": 99}
    why = desk.account(revoked, "error")[0]
    assert "-2015" in why
    assert desk.world.rows("SELECT account_id, reason FROM fleet_account_state") == [(revoked, why)]
    [told] = suspensions_told(desk)
    assert why in told
    asked = desk.exchange.do(lambda one: one.requests.total())
    assert desk.ask(revoked) == {"gone": 1}
    assert desk.exchange.do(lambda one: one.requests.total()) == asked
    desk.do("rotate_key", revoked, new_key="new", secret=f"secret-{revoked}")
    assert desk.store_keys({revoked: "new"}) == 1
    with desk.booking():
        desk.pass_()
        desk.ask_all()
    desk.exchange.do(lambda one: one.exchange.accounts.update({
        (desk.venue, f"key-{revoked}"): one.exchange.accounts[desk.venue, "new"]}))  # fmt: skip
    assert desk.differences() == []
    assert desk.world.one("SELECT COUNT(*) FROM fleet_fills") == 100


def suspensions_told(desk: ExchangeDesk) -> list[str]:
    """What waits for Laravel."""
    rows = desk.world.rows("SELECT class, payload FROM fleet_dispatches")
    assert {name for name, _ in rows} <= {SUSPENDED}
    return [payload for _, payload in rows]


# -- snapshots -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS, ids="-".join)
def test_a_snapshot_between_two_fills_is_not_told(opened: Opened, pool: Pool) -> None:
    desk = opened(*pool, accounts=1)
    before = desk.reports()
    at_ms = desk.now_ms()
    desk.trade(1, at_ms=at_ms)
    desk.do("freeze_snapshot", 1)
    desk.trade(1, at_ms=at_ms)
    assert desk.ask() == {"done": 1}
    assert len(desk.told("order.filled.1", 1)) == 2
    assert desk.reports() == before
    desk.do("thaw_snapshot", 1)
    assert_right(desk, 2)


def test_an_account_that_never_rests_is_booked_and_not_judged(opened: Opened) -> None:
    desk = opened("binance", "linear", accounts=1)
    before = desk.reports()
    with desk.booking():
        for number in range(20):
            desk.trade(1, "buy" if number % 3 else "sell")
            assert desk.ask() == {"done": 1}
            desk.trade(1)
            assert desk.breaks() == []
    assert desk.reports() == before
    assert_right(desk, 40)
