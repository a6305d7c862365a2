"""Books against an account's own reports, on real servers: what differs, why, and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from shared.ledger.fill import merge
from shared.ledger.position import FLAT, legs
from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.ledger_world import DAY_MS, FIRST_DAY, cash, report, trades
from tests.reports import Desk, held, opening, wallet
from tests.runtime_world import World
from workers.reconcile import reconcile_all, reconcile_waiting

pytestmark = pytest.mark.database

D = Decimal
NOON = FIRST_DAY + DAY_MS // 2
HOUR = 3_600_000


@pytest.fixture
def desk(mysql_connection: Any, settings_for: Callable[..., Settings]) -> Iterator[Desk]:
    """Recording as the role streams, comparing as the role jobs."""
    settings = settings_for("jobs", FLEET_LARAVEL_JOBS="App\\Jobs\\Fleet\\PositionDiverged")
    with closing(connect(settings.mysql)) as connection:
        yield Desk(mysql_connection, connection, settings)


def buy(trade: int, at_ms: int, qty: str = "1", price: str = "100", **more: Any) -> Any:
    return report(trade_id=str(trade), executed_at_ms=at_ms, qty=qty, price=price, **more)


def sell(trade: int, at_ms: int, qty: str = "1", price: str = "100", **more: Any) -> Any:
    return buy(trade, at_ms, qty, price, side="sell", **more)


# ---- positions as of a watermark


def test_books_and_report_that_agree_leave_no_break(desk: Desk) -> None:
    desk.record(buy(1, NOON), buy(2, NOON + 1, price="101"))
    desk.record(held(qty="2", entry_price="100.5", watermark_ms=NOON + 1))
    assert desk.differs() == []
    assert desk.announced() == []


@pytest.mark.parametrize("later", [1, HOUR, DAY_MS, 3 * DAY_MS])
def test_a_fill_at_the_watermark_is_in_the_report_and_one_after_it_is_not(
    desk: Desk, later: int
) -> None:
    """Trap 13: a snapshot and a stream without a watermark count twice."""
    desk.record(buy(1, NOON - 1), buy(2, NOON), sell(3, NOON + later, qty="2"))
    desk.record(held(qty="2", entry_price="100", watermark_ms=NOON))
    assert desk.differs() == []
    desk.record(held(qty="1", watermark_ms=NOON - 1, entry_price="100"))
    assert desk.differs() == [], "an older report is not the newest"
    desk.record(held(qty="1", watermark_ms=NOON + later - 1 + 1))
    assert [one[:3] for one in desk.tells()] == [("quantity", "0", "1")]


def test_a_report_that_is_older_than_every_fill_is_compared_with_nothing_held(desk: Desk) -> None:
    desk.record(buy(1, NOON), held(qty="0", watermark_ms=NOON - DAY_MS))
    assert desk.differs() == []


def test_an_entry_price_is_equal_within_a_unit_of_the_report_s_last_decimal(desk: Desk) -> None:
    desk.record(buy(1, NOON, price="100"), buy(2, NOON, qty="2", price="101"))  # 100.666...
    desk.record(held(qty="3", entry_price="100.67", watermark_ms=NOON))
    assert desk.differs() == []
    desk.record(held(qty="3", entry_price="100.68", watermark_ms=NOON + 1))
    ((what, ours, venues, cause),) = desk.tells()
    assert (what, venues, cause) == ("entry_price", "100.68", "unexplained")
    assert ours == "100.666666666666666667"


def test_the_entry_of_an_inverse_contract_is_compared_as_the_venue_averages(desk: Desk) -> None:
    """Bybit's example: 1000 at 5000 and 2000 at 6000 are 5625.00."""
    inverse = {"product": "inverse", "instrument": "BTCUSD", "settle_asset": "BTC"}
    desk.record(
        buy(1, NOON, qty="1000", price="5000", **inverse),
        buy(2, NOON, qty="2000", price="6000", **inverse),
        held(qty="3000", entry_price="5625.00", watermark_ms=NOON, **inverse),
    )
    assert desk.differs() == []


def test_a_position_that_no_report_names_is_not_taken_for_flat(desk: Desk) -> None:
    """Trap 12: an empty or failed answer is no report."""
    desk.record(buy(1, NOON), buy(2, NOON, instrument="ETHUSDT"))
    desk.record(held(watermark_ms=NOON + HOUR, entry_price="100"))  # of BTCUSDT only
    assert desk.differs() == []


def test_hedge_legs_of_one_instrument_are_compared_apart(desk: Desk) -> None:
    """Trap 20: keyed by symbol only, a long and a short of equal size would be flat."""
    desk.record(
        buy(1, NOON, position_side="long", qty="2"), sell(2, NOON, position_side="short", qty="3"),
        held(position_side="long", qty="2", watermark_ms=NOON),
        held(position_side="short", qty="-1", watermark_ms=NOON),
    )  # fmt: skip
    (one,) = desk.differs()
    assert one.identity == '["position",1,"linear","BTCUSDT","short"]'
    assert (one.expected, one.actual) == (-3, -1)


def test_accounts_with_the_same_fills_are_compared_apart(desk: Desk) -> None:
    """Trap 25: an account that is linked twice; each has its own reports."""
    for account_id in (1, 2):
        desk.record(
            buy(1, NOON, account_id=account_id), held(account_id=account_id, watermark_ms=NOON)
        )
    assert desk.differs(1) == desk.differs(2) == []
    desk.record(held(account_id=2, qty="2", watermark_ms=NOON + 1))
    assert desk.differs(1) == []
    assert len(desk.differs(2)) == 1


def test_a_leg_below_zero_is_a_break_only_at_a_watermark(desk: Desk) -> None:
    """A close that comes before its open is folded as it comes."""
    long = {"position_side": "long"}
    desk.record(sell(2, NOON + 1, qty="3", **long))
    assert desk.differs() == []
    desk.record(held(qty="0", watermark_ms=NOON + 1, **long))
    (one,) = desk.differs()
    assert (one.kind, one.expected, one.actual) == ("negative_leg", -3, 0)
    assert one.cause == "missing fills"
    desk.record(buy(1, NOON, qty="3", **long))
    assert desk.differs() == []


def test_a_leg_below_zero_is_seen_at_the_report_of_the_other_leg(desk: Desk) -> None:
    desk.record(
        buy(1, NOON, position_side="short"), buy(2, NOON, position_side="long"),
        held(position_side="long", watermark_ms=NOON - 1, qty="0"),
    )  # fmt: skip
    assert desk.differs() == []
    desk.record(held(position_side="long", watermark_ms=NOON, qty="1"))
    (one,) = desk.differs()
    assert (one.kind, one.expected, one.actual) == ("negative_leg", 1, None)


# ---- causes


def test_parked_events_are_the_cause_as_long_as_they_are(desk: Desk, world: World) -> None:
    desk.record(buy(1, NOON), held(qty="2", watermark_ms=NOON))
    world.run("UPDATE fleet_account_state SET incomplete = 1")
    assert desk.tells() == [("quantity", "1", "2", "incomplete")]
    world.run("UPDATE fleet_account_state SET incomplete = 0")
    assert desk.tells()[0][3] != "incomplete"


def test_a_fold_that_waits_is_named_and_the_break_closes_once_it_is_folded(desk: Desk) -> None:
    desk.record(sell(9, NOON + 9), held(qty="0", watermark_ms=NOON + 9))
    desk.record(buy(1, NOON), inline_refold_fills=0)
    assert desk.tells() == [("quantity", "-1", "0", "late")]
    Book(desk.books).restate(idle=True)
    desk.books.commit()
    assert desk.differs() == []


def test_a_fold_that_waits_is_the_cause_of_a_wallet_that_its_fills_explain(desk: Desk) -> None:
    desk.record(
        wallet("100", NOON + DAY_MS), buy(1, NOON), buy(2, NOON + HOUR),
        sell(9, NOON + DAY_MS + 9, price="110", qty="2"), wallet("119.00", NOON + DAY_MS + 9),
    )  # fmt: skip
    assert desk.tells() == [("wallet", "120", "119", "unexplained")]
    desk.record(buy(0, NOON - 1, price="102"), sell(3, NOON + 1), inline_refold_fills=0)
    assert desk.tells() == [("wallet", "120", "119", "late")]
    Book(desk.books).restate(idle=True)
    desk.books.commit()
    assert desk.differs() == [], "bought at 102 and 100, one left at 101, another bought at 100"


def test_what_was_held_before_our_first_fill_is_an_unknown_past(desk: Desk) -> None:
    desk.record(held(qty="5", watermark_ms=NOON))
    assert desk.tells() == [("quantity", "0", "5", "unknown past")]
    desk.record(buy(1, NOON + 1), held(qty="6", watermark_ms=NOON + 1))
    assert desk.tells() == [("quantity", "1", "6", "unknown past")]


def test_a_change_at_the_venue_without_a_fill_of_ours_is_missing_fills(desk: Desk) -> None:
    desk.record(
        buy(1, NOON), held(qty="1", watermark_ms=NOON), held(qty="3", watermark_ms=NOON + HOUR)
    )
    (one,) = desk.differs()
    assert (one.expected, one.actual, one.cause) == (1, 3, "missing fills")
    assert one.details["tied_ms"] == str(NOON)
    many = [held(qty="3", watermark_ms=NOON + HOUR + n) for n in range(1, 150)]
    desk.record(*many)
    assert desk.differs()[0].details["tied_ms"] == str(NOON), "an open break remembers"
    desk.record(buy(2, NOON + 1))
    assert desk.tells() == [("quantity", "2", "3", "unexplained")]
    desk.record(buy(3, NOON + 2))
    assert desk.differs() == []


def test_an_opening_is_what_the_books_tie_from(desk: Desk) -> None:
    desk.record(
        held(qty="9", watermark_ms=NOON - HOUR), opening("5", "500", NOON),
    )  # fmt: skip
    assert desk.differs() == [], "what an opening supersedes is not compared"
    desk.record(held(qty="6", watermark_ms=NOON + HOUR))
    assert desk.tells() == [("quantity", "5", "6", "missing fills")]
    desk.record(buy(1, NOON + 1), buy(0, NOON - 1, qty="7"))
    assert desk.differs() == [], "fills before the opening are contained in it"


# ---- position modes


def test_fills_of_the_other_mode_are_a_conflict_from_the_day_of_the_fact(
    desk: Desk, world: World
) -> None:
    """Trap 20: the mode is changed by the user at the venue."""
    desk.record(buy(1, NOON), buy(2, NOON, position_side="long"), held(qty="1", watermark_ms=NOON))
    assert desk.differs() == []
    mode(world, "netting", NOON - HOUR)
    (one,) = desk.differs()
    assert (one.kind, one.cause) == ("mode_conflict", "position mode")
    assert one.details["trade_id"] == "2"
    mode(world, "hedge", NOON + 1)
    assert len(desk.differs()) == 1
    desk.record(buy(3, NOON + 1))
    kinds = [(one.kind, one.details.get("trade_id")) for one in desk.differs()]
    assert kinds == [("mode_conflict", "2"), ("mode_conflict", "3")]
    world.run("DELETE FROM fleet_position_modes")
    assert desk.differs() == []


def mode(world: World, name: str, from_ms: int) -> None:
    world.run(
        "INSERT INTO fleet_position_modes (account_id, product, instrument, valid_from, mode,"
        " source) VALUES (1, 'linear', '', FROM_UNIXTIME(%s / 1000), %s, 'test')", from_ms, name,
    )  # fmt: skip


# ---- wallets


def test_the_venue_s_rows_explain_its_wallet_to_the_last_digit(desk: Desk) -> None:
    """Rows of kind realized and commission are there, so the cash book must tie by itself; what the
    fills would say of the same trades is not counted a second time (trap 10).
    """
    desk.record(
        wallet("1000", NOON),
        buy(1, NOON + 1, fee="0.1", fee_asset="USDT"),
        sell(2, NOON + 2, price="110", fee="0.1", fee_asset="USDT"),
        row("1", "commission", "-0.1", NOON + 1), row("2", "commission", "-0.1", NOON + 2),
        row("3", "realized", "9.99999999", NOON + 2), row("4", "funding", "-0.05", NOON + 3),
        row("5", "transfer_in", "500", NOON + 4), row("6", "bonus", "5", NOON + 4),
        wallet("1514.74999999", NOON + 4),
    )  # fmt: skip
    assert desk.differs() == []
    desk.record(wallet("1514.75", NOON + 5))
    assert desk.tells() == [("wallet", "1514.74999999", "1514.75", "unexplained")]


def test_a_wallet_with_unrealized_profit_in_it_does_not_tie(desk: Desk) -> None:
    """Trap 3: ccxt's `total`."""
    desk.record(buy(1, NOON + 1), wallet("1000", NOON), wallet("1003.5", NOON + 9))
    ((what, ours, venues, _),) = desk.tells()
    assert (what, ours, venues) == ("wallet", "1000", "1003.5")


def test_a_deposit_is_in_the_wallet_and_in_no_profit(desk: Desk, world: World) -> None:
    """Trap 14."""
    desk.record(
        wallet("0", NOON), row("1", "transfer_in", "500", NOON + 1), wallet("500", NOON + 1)
    )
    assert desk.differs() == []
    assert world.rows("SELECT * FROM fleet_pnl_daily") == []


def test_fills_stand_in_where_the_venue_sends_no_rows_of_its_own(desk: Desk) -> None:
    """Realized and fees by their time, each fee in its own asset, over days and a flip."""
    desk.record(
        wallet("100", NOON), wallet("1", NOON, asset="BNB"),
        buy(1, NOON, qty="3", fee="5", fee_asset="USDT"),  # contained in the first report
        sell(2, NOON + 1, qty="1", price="110.5", fee="0.01", fee_asset="BNB"),
        sell(3, NOON + DAY_MS, qty="5", price="90", fee="0.2", fee_asset="USDT"),
        row("1", "funding", "-0.5", NOON + 2),
        wallet("110", NOON + HOUR), wallet("0.99", NOON + HOUR, asset="BNB"),
        wallet("89.8", NOON + DAY_MS), buy(4, NOON + DAY_MS + 1, price="80"),
    )  # fmt: skip
    assert desk.differs() == []
    desk.record(wallet("89.8", NOON + DAY_MS + 1))
    assert desk.tells() == [("wallet", "99.8", "89.8", "unexplained")]


def test_each_figure_stands_in_alone(desk: Desk) -> None:
    """A venue that sends commissions and no realized P&L."""
    desk.record(
        wallet("100", NOON), buy(1, NOON + 1, fee="1", fee_asset="USDT"),
        sell(2, NOON + 2, price="107", fee="1", fee_asset="USDT"),
        row("1", "commission", "-1", NOON + 1), row("2", "commission", "-1", NOON + 2),
        wallet("105", NOON + 2),
    )  # fmt: skip
    assert desk.differs() == []


def test_a_wallet_of_one_product_is_explained_by_that_product(desk: Desk) -> None:
    desk.record(
        wallet("10", NOON, product="linear"), wallet("20", NOON, product="spot"),
        row("1", "transfer_in", "1", NOON + 1, product="linear"),
        row("2", "transfer_in", "2", NOON + 1, product="spot"),
        wallet("11", NOON + 1, product="linear"), wallet("22", NOON + 1, product="spot"),
    )  # fmt: skip
    assert desk.differs() == []
    desk.record(
        row("3", "transfer_in", "4", NOON + 2, product=""),
        wallet("15", NOON + 2, product="linear"), wallet("22", NOON + 2, product="spot"),
    )  # fmt: skip
    assert [one.identity for one in desk.differs()] == ['["balance",1,"USDT","linear"]'], (
        "of two wallets nobody can say whose it is"
    )


def test_spot_wallets_are_what_was_bought_and_sold_less_fees(desk: Desk) -> None:
    spot = {"product": "spot", "instrument": "BTC/USDT", "settle_asset": "USDT"}
    desk.record(
        wallet("1000", NOON), wallet("0", NOON, asset="BTC"),
        buy(1, NOON + 1, qty="2", fee="0.002", fee_asset="BTC", **spot),
        sell(2, NOON + 2, qty="0.5", price="120", fee="0.06", fee_asset="USDT", **spot),
        wallet("859.94", NOON + 2), wallet("1.498", NOON + 2, asset="BTC"),
    )  # fmt: skip
    assert desk.differs() == []
    desk.record(wallet("1.5", NOON + 3, asset="BTC"))
    assert desk.tells() == [("wallet", "1.498", "1.5", "unexplained")]


def test_one_report_of_a_wallet_is_a_beginning_and_nothing_to_compare(desk: Desk) -> None:
    desk.record(row("1", "bonus", "7", NOON), wallet("12345", NOON))
    assert desk.differs() == []


def test_an_open_break_is_followed_from_where_the_books_tied_last(desk: Desk) -> None:
    """However long ago that is; a difference must not go away by itself."""
    desk.record(wallet("1", NOON), wallet("2", NOON + 1))
    ids = [one.id for one in desk.differs()]
    for days in (3, 9, 20, 40):
        desk.record(wallet("2", NOON + days * DAY_MS))
        assert [one.id for one in desk.differs()] == ids
    assert desk.tells() == [("wallet", "1", "2", "unexplained")]
    desk.record(row("1", "other", "1", NOON + 1))
    assert desk.differs() == []


def row(ref: str, kind: str, amount: str, at_ms: int, **more: Any) -> Any:
    return cash(ref=ref, kind=kind, venue_type=kind.upper(), amount=amount, at_ms=at_ms, **more)


# ---- breaks open, stay and close


def test_a_break_is_told_once_when_it_opens_and_again_only_when_it_opens_again(desk: Desk) -> None:
    desk.record(buy(1, NOON), held(qty="2", watermark_ms=NOON))
    (first,) = desk.differs()
    assert desk.announced() == [first.id]
    desk.record(held(qty="3", watermark_ms=NOON + 1))
    (second,) = desk.differs()
    assert (second.id, second.opened_at) == (first.id, first.opened_at)
    assert (second.expected, second.actual) == (1, 3)
    assert desk.announced() == [first.id]
    desk.record(held(qty="1", watermark_ms=NOON + 2))
    assert desk.differs() == []
    desk.record(held(qty="4", watermark_ms=NOON + 3))
    (third,) = desk.differs()
    assert third.id == first.id
    assert third.opened_at > first.opened_at
    assert third.closed_at is None
    assert desk.announced() == [first.id, first.id]


def test_a_break_that_is_rolled_back_is_not_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.record(held(qty="2", watermark_ms=NOON))
    with monkeypatch.context() as patched:
        patched.setattr("workers.reconcile.open_of_account", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            desk.differs()
    assert desk.announced() == []
    (one,) = desk.differs()
    assert desk.announced() == [one.id]


def test_nothing_is_told_until_laravel_has_the_class(
    desk: Desk, settings_for: Callable[..., Settings]
) -> None:
    desk.settings = settings_for("jobs")
    desk.record(held(qty="2", watermark_ms=NOON))
    assert len(desk.differs()) == 1
    assert desk.announced() == []


def test_comparing_changes_no_books(desk: Desk, world: World) -> None:
    """Trap 11: no synthetic fill makes a quantity right."""
    desk.record(buy(1, NOON), held(qty="2", watermark_ms=NOON), wallet("1", 1), wallet("2", 2))
    tables = ("fleet_fills", "fleet_positions", "fleet_position_days", "fleet_pnl_daily",
              "fleet_cash_entries", "fleet_position_entries", "fleet_outbox")  # fmt: skip
    before = [world.rows(f"SELECT * FROM {name}") for name in tables]  # noqa: S608 - ours
    assert len(desk.differs()) == 2
    assert [world.rows(f"SELECT * FROM {name}") for name in tables] == before  # noqa: S608


# ---- the task


def test_the_task_compares_accounts_with_a_new_report_or_an_open_break(desk: Desk) -> None:
    for account_id in (1, 2):
        desk.record(
            buy(1, NOON, account_id=account_id), held(account_id=account_id, watermark_ms=NOON)
        )
    desk.record(buy(1, NOON, account_id=3))

    def waiting() -> tuple[int, int, int]:
        return reconcile_waiting(desk.connection, desk.settings, lambda: False)

    assert waiting() == (2, 0, 0)
    assert waiting() == (0, 0, 0)
    desk.record(held(account_id=2, qty="2", watermark_ms=NOON + HOUR))
    assert waiting() == (1, 1, 0)
    assert waiting() == (1, 1, 0), "an open break may be cured by what came since"
    desk.record(buy(2, NOON + HOUR, account_id=2))
    assert waiting() == (1, 0, 0)
    assert waiting() == (0, 0, 0)


def test_a_locked_account_is_left_to_the_next_run(desk: Desk) -> None:
    for account_id in (1, 2):
        desk.record(held(account_id=account_id, qty="1", watermark_ms=NOON))
    Book(desk.books).lock_accounts([1])
    done = reconcile_waiting(desk.connection, desk.settings, lambda: False)
    assert done == (1, 1, 0)
    desk.books.rollback()
    assert reconcile_waiting(desk.connection, desk.settings, lambda: False) == (2, 2, 0)


def test_a_run_ends_when_its_time_is_over(desk: Desk) -> None:
    for account_id in range(1, 5):
        desk.record(held(account_id=account_id, qty="0", watermark_ms=NOON))
    left = [False, False, True]
    assert reconcile_waiting(desk.connection, desk.settings, lambda: left.pop(0)) == (2, 0, 0)
    assert reconcile_waiting(desk.connection, desk.settings, lambda: False) == (2, 0, 0)


def test_figures_that_no_column_holds_are_told_and_hold_nobody_up(desk: Desk) -> None:
    most = "999999999999999999"
    rows = [row(str(n), "other", most, NOON + 1) for n in range(101)]
    desk.record(wallet("0", NOON), *rows, wallet("1", NOON + 1))
    desk.record(held(account_id=2, qty="0", watermark_ms=NOON))
    assert reconcile_all(desk.connection, desk.settings, [1, 2]) == (1, 0, 1)


# ---- random worlds


@pytest.mark.parametrize("seed", range(4))
def test_an_exchange_s_own_figures_tie_in_any_world(desk: Desk, seed: int) -> None:
    """A venue that folds the same fills and reports positions and wallets at any moments."""
    draw = random.Random(seed)
    fills = trades(seed, 150, accounts=1, days=3, products=["linear"])
    fills = [one._replace(settle_asset="USDT") for one in fills]
    keys = sorted({(*one[1:3], one.position_side) for one in fills})
    times = sorted(draw.sample([one.executed_at_ms for one in fills], 6))
    reports: list[Any] = []
    legs_of = {}
    for key in keys:
        mine = [one for one in fills if (*one[1:3], one.position_side) == key]
        ordered = sorted((merge([one])[0] for one in mine), key=_place)
        legs_of[key] = list(legs(FLAT, ordered, "linear"))
    for at in times:
        moved = D(0)
        fees: dict[str, Decimal] = {"USDT": D(0), "BNB": D(0), "BTC": D(0)}
        for (product, instrument, side), done in legs_of.items():
            past = [leg for leg in done if leg.fill.executed_at_ms <= at]
            qty = past[-1].state.qty if past else D(0)
            moved += sum((leg.realized for leg in past), D(0))
            for leg in past:
                if leg.fill.fee:
                    fees[leg.fill.fee_asset or ""] += leg.fill.fee
            wrong = (side == "long" and qty < 0) or (side == "short" and qty > 0)
            if not wrong:
                reports.append(
                    held(product=product, instrument=instrument, position_side=side,
                         qty=f"{qty:f}", watermark_ms=at)
                )  # fmt: skip
        reports += [
            wallet(f"{1000 - paid + (moved if asset == 'USDT' else 0):f}", at, asset=asset)
            for asset, paid in fees.items()
        ]
    told = [*fills, *reports]
    draw.shuffle(told)
    for first in range(0, len(told), 40):
        desk.record(*told[first : first + 40])
    Book(desk.books).restate(idle=True)
    desk.books.commit()
    assert [one for one in desk.differs() if one.kind != "negative_leg"] == []
    desk.record(wallet("1", times[-1] + 1))
    assert [one[0] for one in desk.tells() if one[0] == "wallet"] == ["wallet"]


def _place(fill: Any) -> Any:
    return (fill.executed_at_ms, fill.venue_seq, fill.trade_id_bytes, fill.trade_id, fill.side)


def test_a_hundred_fills_of_the_last_week_are_not_read_from_the_first_day(
    desk: Desk, world: World
) -> None:
    """The checkpoint before is enough: a stored state that is wrong shows."""
    desk.record(buy(1, NOON), buy(2, NOON + 30 * DAY_MS), buy(3, NOON + 31 * DAY_MS))
    world.run("UPDATE fleet_position_days SET qty = 10 WHERE day = '2024-10-04'")
    desk.record(held(qty="2", watermark_ms=NOON + 30 * DAY_MS))
    assert desk.tells()[0][:3] == ("quantity", "11", "2")


