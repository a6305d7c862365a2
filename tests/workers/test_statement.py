"""`fleet statement`: figures against hand-computed ones, and sums that tie to the last digit."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product as product_of
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.ledger.money import LEDGER
from shared.mysql.connection import connect
from shared.mysql.facts import Owner, set_owner
from shared.mysql.prices import StoredPrice, record_prices
from tests.ledger_world import batches, cash, entry, report, shuffled, trades
from tests.workers.conftest import Fleet
from tests.workers.ledger_desk import FIRST, LedgerDesk, at, on

pytestmark = pytest.mark.database

D = Decimal
THREE_DAYS = ("statement", "--account", "1", "--from", "2024-10-04", "--to", "2024-10-06")
Csv = dict[str, list[dict[str, str]]]


@pytest.fixture
def desk(
    mysql_connection: Any, mysql_root: MySQLSettings, fleet_schema: str
) -> Iterator[LedgerDesk]:
    with closing(connect(mysql_root, fleet_schema)) as root:
        yield LedgerDesk(mysql_connection, root)


def price(desk: LedgerDesk, day: int, hour: int, amount: str, **named: Any) -> None:
    """The mark of linear BTCUSDT just before an hour of a day after FIRST."""
    moment = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=day, hours=hour)
    told: dict[str, Any] = {
        "venue": "binance", "product": "linear", "instrument": "BTCUSDT", "kind": "mark",
        "at": moment - timedelta(seconds=1), "price": D(amount), "base_asset": None,
        "quote_asset": None, "source": "import", **named,
    }  # fmt: skip
    desk.root.rollback()
    record_prices(desk.root, [StoredPrice(**told)])
    desk.root.commit()


def transfer(day: int, hour: int, amount: str, ref: str) -> Any:
    kind = "transfer_in" if D(amount) > 0 else "transfer_out"
    return cash(
        ref=ref, amount=amount, kind=kind, venue_type="TRANSFER", instrument="", product="",
        at_ms=at(day, hour),
    )  # fmt: skip


@pytest.fixture
def three_days(desk: LedgerDesk) -> LedgerDesk:
    """1000 come before, 500 within; two coins are bought, one is sold with a gain, one with a
    loss.
    """
    desk.cash(
        transfer(-1, 12, "1000", "t1"),
        cash(ref="f", amount="-0.25", at_ms=at(1, 16)),
        transfer(1, 18, "500", "t2"),
    )
    fee = {"fee_asset": "USDT", "strategy": "trend"}
    desk.fills(
        on(0, "1", qty="2", fee="1", **fee),
        on(1, "2", "sell", "120", fee="0.5", **fee),
        on(2, "3", "sell", "90", fee="0.5", fee_asset="USDT"),
    )
    price(desk, 1, 0, "110")
    price(desk, 1, 18, "115")
    price(desk, 2, 0, "115")
    desk.close_through(2)
    return desk


def stated(fleet: Fleet, *words: str) -> Csv:
    """The CSV, by section: its lines by the names of its columns."""
    result = fleet(*(words or THREE_DAYS), "--format", "csv")
    assert result.exit_code == 0, result.output
    found: Csv = {}
    heads: dict[str, list[str]] = {}
    for section, *values in csv.reader(io.StringIO(result.output)):
        if section not in heads:
            heads[section] = values
            found[section] = []
        else:
            found[section].append(dict(zip(heads[section], values, strict=True)))
    return found


def lines(told: Csv, section: str, asset: str = "USDT") -> dict[str, str]:
    """A section of two columns."""
    rows = [row for row in told[section] if row["asset"] == asset]
    name, value = [column for column in rows[0] if column != "asset"]
    return {row[name]: row[value] for row in rows}


def total(rows: Sequence[dict[str, str]], column: str, asset: str = "USDT") -> Decimal:
    amount = D(0)
    for row in rows:
        if row["asset"] == asset:
            amount = LEDGER.add(amount, D(row[column]))
    return amount


def exactly(amount: Fraction) -> Decimal:
    return D(round(amount * 10**18)).scaleb(-18, LEDGER)


# ---- figures


@pytest.mark.usefixtures("three_days")
def test_opening_flows_and_pnl_lead_to_the_closing_equity(fleet: Fleet) -> None:
    told = lines(stated(fleet), "tie_out")
    assert {name: D(text) for name, text in told.items()} == {
        "opening equity": D(1000),
        "flows": D(500),
        "realized": D(10),
        "fees": D(-2),
        "funding": D("-0.25"),
        "other": D(0),
        "change of unrealized": D(0),
        "closing equity": D("1507.75"),
        "difference": D(0),
    }
    assert told["realized"] == "10.000000000000000000"


@pytest.mark.usefixtures("three_days")
def test_returns_and_drawdown_are_those_of_the_definitions(fleet: Fleet) -> None:
    told = lines(stated(fleet), "performance")
    growth = Fraction("1033.25") / 1000 * Fraction("1507.75") / Fraction("1533.25")
    assert D(told["time-weighted return"]) == exactly(growth - 1)
    dietz = Fraction("7.75") / (1000 + 500 * Fraction("1.25") / 3)
    assert D(told["Modified Dietz return"]) == exactly(dietz)
    fall = Fraction("1507.75") / Fraction("1533.25") - 1
    assert abs(D(told["deepest drawdown"]) - exactly(fall)) <= D("2E-18")
    assert told["its peak"] == "2024-10-06T00:00:00+00:00"
    assert told["its trough"] == "2024-10-07T00:00:00+00:00"
    assert told["recovered"] == "not yet"
    assert told["its duration"] == str(24 * 60 * 60)
    assert (told["closed cycles"], told["wins"], told["losses"]) == ("1", "1", "0")
    assert D(told["average win"]) == D("7.75") == D(told["made, flows left out"])
    assert told["profit factor"] == ""


@pytest.mark.usefixtures("three_days")
def test_flows_are_listed_with_the_venues_own_ids(fleet: Fleet) -> None:
    (flow,) = stated(fleet)["flows"]
    assert flow == {
        "asset": "USDT",
        "at": "2024-10-05T18:00:00+00:00",
        "kind": "transfer_in",
        "reference": "TRANSFER t2",
        "amount": "500.000000000000000000",
    }


@pytest.mark.usefixtures("three_days")
def test_parts_by_instrument_day_and_cause_sum_to_the_whole(fleet: Fleet) -> None:
    told = stated(fleet)
    for section in ("instruments", "days", "causes"):
        assert total(told[section], "realized") == 10
        assert total(told[section], "fees") == 2
        assert total(told[section], "net") == D("7.75")
        assert total(told[section], "fills") == 3
    causes = {row["cause"]: row for row in told["causes"]}
    assert causes["strategy"]["strategy"] == "trend"
    assert D(causes["strategy"]["realized"]) == 20
    assert D(causes["manual"]["realized"]) == -10
    assert D(causes["cash"]["funding"]) == D("-0.25")


@pytest.mark.usefixtures("three_days")
def test_an_open_position_is_valued_at_the_last_price_before_the_end(fleet: Fleet) -> None:
    told = stated(fleet, *THREE_DAYS[:-1], "2024-10-05")
    (held,) = told["positions"]
    assert (held["instrument"], D(held["quantity"])) == ("BTCUSDT", D(1))
    assert D(held["average entry"]) == 100
    assert (D(held["price"]), held["kind"]) == (D(115), "mark")
    assert held["price of"] == "2024-10-05T23:59:59+00:00"
    assert D(held["unrealized"]) == 15
    tie_out = {name: D(text) for name, text in lines(told, "tie_out").items()}
    assert (tie_out["change of unrealized"], tie_out["difference"]) == (D(15), D(0))
    assert tie_out["closing equity"] == D("1533.25")


def test_a_position_without_a_price_is_unpriceable_and_the_cash_still_ties(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.cash(transfer(-1, 12, "1000", "t1"))
    desk.fills(on(0, "1", fee="1", fee_asset="USDT"))
    told = stated(fleet)
    assert told["positions"][0]["unrealized"] == "unpriceable"
    assert told["positions"][0]["kind"] == "no_price"
    tie_out = {name: D(text) for name, text in lines(told, "tie_out").items()}
    assert (tie_out["closing cash"], tie_out["difference"]) == (D(999), D(0))
    warnings = [row["text"] for row in told["warnings"]]
    assert any("linear BTCUSDT is unpriceable at the end" in text for text in warnings)
    assert lines(told, "performance")["made, flows left out"] == ""


def test_fees_in_a_third_asset_are_valued_at_their_time(desk: LedgerDesk, fleet: Fleet) -> None:
    desk.fills(
        on(0, "1", fee="0.01", fee_asset="BNB"),
        on(2, "2", "sell", "100", fee="0.02", fee_asset="BNB"),
    )
    price(
        desk, 0, 12, "600", product="spot", instrument="BNBUSDT", base_asset="BNB",
        quote_asset="USDT",
    )  # fmt: skip
    told = stated(fleet)
    (fees,) = told["foreign_fees"]
    assert (fees["asset"], fees["fee asset"], fees["fills"]) == ("USDT", "BNB", "2")
    assert (D(fees["paid"]), D(fees["value"]), fees["without a price"]) == (D("0.03"), D(6), "1")
    (unvalued,) = told["unvalued_fees"]
    assert (unvalued["trade id"], unvalued["reason"]) == ("2", "stale_price")
    assert D(lines(told, "tie_out", "BNB")["fees"]) == D("-0.03")


def test_a_spot_fee_in_the_base_asset_is_cost_and_no_loss_of_cash(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    spot = {"product": "spot", "fee_asset": "BTC"}
    desk.fills(on(0, "1", qty="2", fee="0.001", **spot), on(1, "2", "sell", "110", **spot))
    price(desk, 3, 0, "105", product="spot")
    told = stated(fleet)
    base = {name: D(text) for name, text in lines(told, "tie_out", "BTC").items()}
    assert (base["fees"], base["fees that are cost of a holding"]) == (D("-0.001"), D("0.001"))
    assert (base["closing equity"], base["difference"]) == (D(0), D(0))
    assert D(lines(told, "tie_out")["difference"]) == 0
    (fees,) = told["foreign_fees"]
    assert (fees["part of the cost"], D(fees["value"])) == ("yes", D("0.1"))


def test_an_inverse_position_is_stated_in_coins(desk: LedgerDesk, fleet: Fleet) -> None:
    inverse = {"product": "inverse", "settle_asset": "BTC", "instrument": "BTCUSD"}
    desk.fills(
        on(0, "1", qty="1000", price="5000", **inverse),
        on(0, "2", qty="2000", price="6000", **inverse),
    )
    price(desk, 3, 0, "6250", product="inverse", instrument="BTCUSD")
    told = stated(fleet)
    (held,) = told["positions"]
    assert D(held["average entry"]).quantize(D("0.01")) == 5625
    value = D("0.533333333333333333")  # 1000/5000 + 2000/6000
    assert D(held["unrealized"]) == value - D("0.48")
    assert D(lines(told, "tie_out", "BTC")["difference"]) == 0


def test_a_holding_that_comes_is_a_flow_at_its_price_and_no_gain(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.entries(entry(at_ms=at(1), qty="2", cost="180"))
    price(desk, 1, 12, "100")
    price(desk, 3, 0, "110")
    told = stated(fleet)
    tie_out = {name: D(text) for name, text in lines(told, "tie_out").items()}
    assert tie_out["flows"] == 20
    assert tie_out["change of unrealized"] == 20
    assert (tie_out["closing equity"], tie_out["difference"]) == (D(40), D(0))
    (flow,) = told["flows"]
    assert (flow["kind"], flow["reference"], D(flow["amount"])) == ("holding", "BTCUSDT", D(20))


@pytest.mark.parametrize("seed", range(3))
def test_everything_ties_for_random_trades_in_any_order(
    desk: LedgerDesk, fleet: Fleet, seed: int
) -> None:
    draw = random.Random(seed)
    fills = trades(seed, 80, accounts=1, days=3)
    for batch in batches(draw, shuffled(draw, fills), 20):
        desk.fills(*batch)
    desk.cash(*(cash(ref=str(n), amount=f"{n}.125", at_ms=at(n % 3, n)) for n in range(9)))
    desk.cash(*(transfer(n % 3, n, f"{n}000.5", f"t{n}") for n in range(1, 5)))
    for product, name in product_of(("linear", "inverse", "spot"), ("BTCUSDT", "ETHUSDT")):
        for day, hour in product_of(range(5), (0, 6, 12, 18)):
            mark = str(draw.randrange(1, 90_000))
            price(desk, day, hour, mark, product=product, instrument=name)
    told = stated(fleet)
    assets = {row["asset"] for row in told["tie_out"]}
    assert {"USDT", "BNB", "BTC"} <= assets
    for asset in assets:
        tie_out = {name: D(text) for name, text in lines(told, "tie_out", asset).items()}
        assert tie_out.pop("difference") == 0
        *parts, closing = tie_out.values()
        whole = D(0)
        for part in parts:
            whole = LEDGER.add(whole, part)
        assert whole == closing
        for section in ("instruments", "days", "causes"):
            assert total(told[section], "net", asset) == total(told["instruments"], "net", asset)
        assert total(told["flows"], "amount", asset) == tie_out["flows"]
        held = [row for row in told["positions"] if row["asset"] == asset]
        unrealized = lines(told, "performance", asset)["unrealized at the end"]
        assert total(held, "unrealized", asset) == D(unrealized or 0)
    assert not any("not attributed" in row["text"] for row in told["warnings"])


# ---- warnings


@pytest.mark.usefixtures("three_days")
def test_a_closed_and_complete_account_has_no_warnings(fleet: Fleet) -> None:
    assert stated(fleet)["warnings"] == []


def test_warnings_say_what_the_figures_lack(three_days: LedgerDesk, fleet: Fleet) -> None:
    three_days.close_through(1)
    three_days.fills(on(0, "1", qty="2", price="101", fee="1", fee_asset="USDT"))
    three_days.fills(on(0, "0", price="90", executed_at_ms=at(0, 1)), inline=0)
    three_days.run(
        "INSERT INTO fleet_parked (stream, partition_no, entry_id, event_key, type, event_id,"
        " fields, data, account_id, reason, error) VALUES"
        " ('orders', 0, '1-0', '1', 'order.filled.1', 'e', '{}', '{', 1, 'malformed', 'x')"
    )
    told = " ".join(row["text"] for row in stated(fleet)["warnings"])
    assert "The account is incomplete: 1 event is parked" in told
    assert "Late fills of linear BTCUSDT (net) wait to be folded" in told
    assert "from 2024-10-04 on are not final" in told
    assert "fill_conflict of [" in told
    assert "Days after 2024-10-05 are not closed yet" in told
    shown = fleet(*THREE_DAYS).output
    assert "! The account is incomplete" in shown


def test_funding_that_names_no_side_is_warned_of(three_days: LedgerDesk, fleet: Fleet) -> None:
    hedged: dict[str, Any] = {"instrument": "SOLUSDT", "executed_at_ms": at(0, 1)}
    for side in ("long", "short"):
        three_days.fills(on(0, side, position_side=side, side="buy", **hedged))
    three_days.cash(
        *(cash(ref=f"f{n}", amount="-0.25", instrument="SOLUSDT", at_ms=at(1, n)) for n in (1, 2)),
        cash(ref="before", instrument="SOLUSDT", at_ms=at(-1, 0)),
    )
    told = " ".join(row["text"] for row in stated(fleet)["warnings"])
    assert (
        "-0.5 USDT of funding of linear SOLUSDT in no cycle: it names no side, and both were open "
        "(2 times)." in told
    )


def test_what_is_not_attributed_yet_has_a_row_of_its_own(
    three_days: LedgerDesk, fleet: Fleet
) -> None:
    three_days.run(
        "INSERT INTO fleet_pnl_attribution (account_id, product, instrument, day, asset, bucket,"
        " strategy, signal_id, realized) VALUES (1, 'linear', 'ETHUSDT', %s, 'USDT', 'manual', '',"
        " '', 7)", FIRST,
    )  # fmt: skip
    told = stated(fleet)
    assert any("is not attributed" in row["text"] for row in told["warnings"])
    rest = [row for row in told["causes"] if row["cause"] == "not attributed yet"]
    assert D(rest[0]["realized"]) == -7
    assert total(told["causes"], "realized") == 10


def test_restated_days_are_counted_with_their_last_time(
    three_days: LedgerDesk, fleet: Fleet
) -> None:
    for number in (8, 9):
        three_days.fills(on(0, str(number), "buy", "100", executed_at_ms=at(0, number)))
    told = stated(fleet)["restated"]
    assert {row["day"]: row["times"] for row in told}["2024-10-04"] == "2"
    assert datetime.fromisoformat(told[0]["last at"]) > datetime(2024, 1, 1, tzinfo=UTC)


def test_owners_of_the_period_are_named(three_days: LedgerDesk, fleet: Fleet) -> None:
    for valid_from, user in ((date(2024, 1, 1), 5), (date(2024, 10, 5), 6)):
        set_owner(three_days.root, Owner(1, valid_from, user, "operator"))
    three_days.root.commit()
    told = {row["name"]: row["value"] for row in stated(fleet)["statement"]}
    assert told["user from 1970-01-01"] == "5"
    assert told["user from 2024-10-05"] == "6"


# ---- what is not there


@pytest.mark.parametrize(
    ("account", "answer"),
    [("9", "nothing has ever come of account 9"), ("1", "account 1 has nothing from")],
)
def test_an_unknown_account_or_an_empty_period_is_said_in_one_sentence(
    desk: LedgerDesk, fleet: Fleet, account: str, answer: str
) -> None:
    desk.fills(on(0, "1"))
    result = fleet("statement", "--account", account, "--from", "2020-01-01", "--to", "2020-01-31")
    assert result.exit_code == 1
    assert answer in result.output
    assert len(result.output.splitlines()) == 1


def test_a_period_that_has_not_begun_is_refused(fleet: Fleet) -> None:
    words = ("statement", "--account", "1", "--from")
    assert fleet(*words, "2024-10-05", "--to", "2024-10-04").exit_code == 2
    assert fleet(*words, "2024-10-05", "--to", "2999-10-04").exit_code == 2


def test_without_days_it_is_this_month_so_far(desk: LedgerDesk, fleet: Fleet) -> None:
    today = datetime.now(UTC)
    desk.fills(report(executed_at_ms=int(today.timestamp() * 1000) - 1))
    told = {row["name"]: row["value"] for row in stated(fleet, *THREE_DAYS[:3])["statement"]}
    assert told["from"] == today.date().replace(day=1).isoformat()
    assert told["to"] == today.date().isoformat()
