"""`fleet trace`: every figure of a day back to the fills and venue rows that made it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.ledger.identity import cash_identity, entry_identity, fill_identity
from shared.mysql.connection import connect
from tests.ledger_world import batches, cash, entry, retold, shuffled, trades
from tests.workers.conftest import Fleet
from tests.workers.ledger_desk import FIRST, LedgerDesk, at, on

pytestmark = pytest.mark.database

D = Decimal
DAY = FIRST.isoformat()
OF_FIRST = ("trace", "--account", "1", "--day", DAY)


@pytest.fixture
def desk(
    mysql_connection: Any, mysql_root: MySQLSettings, fleet_schema: str
) -> Iterator[LedgerDesk]:
    with closing(connect(mysql_root, fleet_schema)) as root:
        yield LedgerDesk(mysql_connection, root)


def traced(fleet: Fleet, *words: str, exit_code: int = 0) -> list[dict[str, Any]]:
    result = fleet(*words, "--json")
    assert result.exit_code == exit_code, result.output
    rows: list[dict[str, Any]] = json.loads(result.output)["rows"]
    return rows


# ---- what it tells


def test_each_fill_says_what_it_realized_and_what_was_held_before_and_after(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.fills(
        on(-1, "1", qty="2", price="100"),
        on(0, "2", qty="2", price="110", fee="0.5", fee_asset="USDT", order_id="o1"),
        on(0, "3", "sell", "120", qty="3", executed_at_ms=at(0, 13), realized_pnl="45.01"),
    )
    (row,) = traced(fleet, *OF_FIRST)
    assert (row["product"], row["instrument"], row["asset"]) == ("linear", "BTCUSDT", "USDT")
    bought, sold = row["lines"]
    assert bought["parts"] == {"realized": "0", "fees": "0.5"}
    assert bought["fill"]["order_id"] == "o1"
    assert (bought["before"]["qty"], bought["after"]["qty"]) == ("2", "4")
    assert bought["average_entry"] == "105"
    assert sold["parts"] == {"realized": "45"}
    assert (sold["before"]["qty"], sold["after"]["qty"]) == ("4", "1")
    assert sold["venue_difference"] == "0.01"
    assert row["sums"] == {"realized": "45", "fees": "0.5", "funding": "0", "other": "0"}
    assert row["ties"]


def test_a_fee_in_a_third_asset_stands_in_the_row_of_that_asset(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.fills(on(0, "1", fee="0.01", fee_asset="BNB"))
    bnb, usdt = traced(fleet, *OF_FIRST)
    assert (bnb["asset"], bnb["sums"]["fees"], bnb["fills"]) == ("BNB", "0.01", 0)
    assert (usdt["asset"], usdt["sums"]["fees"], usdt["fills"]) == ("USDT", "0", 1)


def test_funding_and_other_are_the_venues_own_rows(desk: LedgerDesk, fleet: Fleet) -> None:
    desk.fills(on(0, "1"))
    desk.cash(
        cash(ref="f", amount="-0.25"),
        cash(ref="b", amount="3", kind="bonus", venue_type="BONUS", instrument="", product=""),
        cash(ref="t", amount="1000", kind="transfer_in", venue_type="TRANSFER"),
    )
    (funding,) = traced(fleet, *OF_FIRST, "--figure", "funding", "--instrument", "BTCUSDT")
    assert [line["ref"] for line in funding["lines"]] == ["f"]
    assert funding["sums"] == {"funding": "-0.25"}
    nowhere = traced(fleet, *OF_FIRST, "--figure", "other", "--instrument", "")
    assert [line["what"] for row in nowhere for line in row["lines"]] == ["bonus"]
    assert nowhere[0]["sums"] == {"other": "3"}


def test_an_entry_shows_as_what_moved_the_position(desk: LedgerDesk, fleet: Fleet) -> None:
    desk.entries(entry(at_ms=at(0, 1), qty="2", cost="180"))
    desk.fills(on(0, "1", "sell", "100", qty="2"))
    (row,) = traced(fleet, *OF_FIRST)
    assert [line["what"] for line in row["lines"]] == ["open", "sell"]
    assert row["lines"][0]["after"]["cost"] == "180"
    assert row["sums"]["realized"] == "20"


def test_a_person_reads_lines_and_a_sum_that_is_the_row(desk: LedgerDesk, fleet: Fleet) -> None:
    desk.fills(on(0, "777", qty="2"), on(0, "778", "sell", "103.5", qty="2"))
    shown = fleet(*OF_FIRST)
    assert shown.exit_code == 0
    assert "realized: 7, the sum of these lines = the row" in shown.output
    assert "777" in shown.output
    assert "fills: 2 = 2 in the row" in shown.output


def test_reports_are_told_verbatim(desk: LedgerDesk, fleet: Fleet) -> None:
    late = on(0, "1", fee="0.1", fee_asset="USDT", source="sync")
    desk.fills(on(0, "1"), late)
    (row,) = traced(fleet, *OF_FIRST, "--reports")
    assert sorted(row["lines"][0]["reports"]) == sorted([on(0, "1").data, late.data])
    shown = fleet(*OF_FIRST, "--reports").output
    assert late.data.replace("\n", "") in shown.replace("\n", "")


def test_what_a_terminal_would_obey_is_spelled_out(desk: LedgerDesk, fleet: Fleet) -> None:
    desk.fills(on(0, "1", order_id="[red]\x1b]0;owned"))
    shown = fleet(*OF_FIRST).output
    assert "\x1b" not in shown
    assert "[red]" in shown


# ---- earlier figures


def test_a_restated_row_shows_what_stood_there_and_because_of_what(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.fills(on(0, "2", "sell", "110"))
    desk.close_through(0)
    desk.fills(on(0, "1", executed_at_ms=at(0, 1)))
    (row,) = traced(fleet, *OF_FIRST)
    assert row["sums"]["realized"] == "10"
    (earlier,) = row["earlier"]
    assert earlier["figures"]["realized"] == "0"
    late = fill_identity(1, "linear", "BTCUSDT", "1", "buy")
    assert earlier["identities"] == [late]
    shown = fleet(*OF_FIRST).output
    assert "what stood there before" in shown
    assert '"fill",1,"linear"' in shown


def test_a_row_that_does_not_sum_up_is_loud(desk: LedgerDesk, fleet: Fleet) -> None:
    desk.fills(on(0, "1"), on(0, "2", "sell", "110"))
    desk.run("UPDATE fleet_pnl_daily SET realized = realized + 1")
    shown = fleet(*OF_FIRST)
    assert shown.exit_code == 1
    assert "realized: 10 is the sum of these lines, THE ROW HOLDS 11" in shown.output
    assert traced(fleet, *OF_FIRST, "--figure", "fees")[0]["ties"]


def test_a_fold_that_waits_is_told_and_the_lines_are_already_right(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.fills(*(on(0, str(n), price="110", executed_at_ms=at(0, n)) for n in range(2, 8)))
    desk.fills(on(1, "9", "sell", "120", qty="6"))
    desk.fills(on(-1, "1", price="50"), inline=0)
    (row,) = traced(fleet, "trace", "--account", "1", "--day", "2024-10-05", exit_code=1)
    assert row["notes"] == ["a fold of net waits: the row will be restated once it is done"]
    assert D(row["sums"]["realized"]) == 720 - (D(710) * 6 / 7).quantize(D("1E-18"))


# ---- whatever came, in whatever order


@pytest.mark.parametrize("product", ["linear", "inverse", "spot"])
@pytest.mark.parametrize("seed", range(2))
def test_lines_sum_to_every_row_after_late_fills_and_revisions(
    desk: LedgerDesk, fleet: Fleet, product: str, seed: int
) -> None:
    draw = random.Random(f"{product}{seed}")
    fills = trades(seed, 60, accounts=1, days=4, products=[product])
    told = [one for fill in fills for one in (fill, *retold(draw, fill))]
    desk.close_through(2)
    for batch in batches(draw, shuffled(draw, told), 12):
        desk.fills(*batch)
    desk.cash(*(cash(ref=str(n), amount=f"{n}.1", at_ms=at(n % 4)) for n in range(8)))
    days = desk.rows("SELECT DISTINCT day FROM fleet_pnl_daily WHERE account_id = 1")
    stored = desk.rows("SELECT COUNT(*) FROM fleet_pnl_daily WHERE account_id = 1")[0][0]
    found = 0
    for (day,) in days:
        rows = traced(fleet, "trace", "--account", "1", "--day", day.isoformat())
        found += sum(row["stored"] is not None for row in rows)
    assert found == stored > 4


# ---- identities


def test_a_fill_is_found_by_its_identity_with_all_that_is_recorded(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.fills(on(0, "1", order_id="o1"), on(0, "2", "sell", "120"))
    desk.close_through(0)
    other = on(0, "2", "sell", "121", source="sync")
    desk.fills(other)
    identity = fill_identity(1, "linear", "BTCUSDT", "2", "sell")
    told = json.loads(fleet("trace", "--identity", identity, "--json").output)
    assert told["record"]["trade_id"] == "2"
    assert other.data in told["reports"]
    assert [one["kind"] for one in told["breaks"]] == ["fill_conflict"]
    (line,) = told["lines"]
    assert line["row"] == ["linear", "BTCUSDT", "USDT"]
    spaced = json.dumps(json.loads(identity))
    assert json.loads(fleet("trace", "--identity", spaced, "--json").output) == told
    first = fill_identity(1, "linear", "BTCUSDT", "1", "buy")
    shown = fleet("trace", "--identity", first).output
    assert "its order" in shown
    assert "reports, verbatim" in shown


def test_a_late_fill_names_the_closed_days_that_it_restated(
    desk: LedgerDesk, fleet: Fleet
) -> None:
    desk.fills(on(0, "2", "sell", "110"))
    desk.close_through(0)
    desk.fills(on(0, "1", executed_at_ms=at(0, 1)))
    identity = fill_identity(1, "linear", "BTCUSDT", "1", "buy")
    told = json.loads(fleet("trace", "--identity", identity, "--json").output)
    assert [one["day"] for one in told["restatements"]] == [DAY]


def test_cash_entries_and_positions_are_found_too(desk: LedgerDesk, fleet: Fleet) -> None:
    funding, opening = cash(ref="f", amount="-0.25"), entry()
    desk.cash(funding)
    desk.entries(opening)
    of_cash = fleet("trace", "--identity", cash_identity(*funding[:5]), "--json").output
    assert json.loads(of_cash)["reports"] == [funding.data]
    assert json.loads(of_cash)["lines"][0]["parts"] == {"funding": "-0.25"}
    of_entry = fleet("trace", "--identity", entry_identity(*opening.key), "--json").output
    assert json.loads(of_entry)["record"]["cost"] == "100"
    position = '["refold",1,"linear","BTCUSDT","net"]'
    of_position = fleet("trace", "--identity", position, "--json").output
    assert json.loads(of_position)["record"]["qty"] == "1"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--account", "9", "--day", DAY), "nothing has ever come of account 9"),
        (("--account", "1", "--day", "2030-01-01"), "account 1 has nothing like that on"),
        (("--identity", "x"), "an identity is a JSON array"),
        (("--identity", '["fill",1]'), "no whole identity"),
        (("--identity", '["order",1]'), "begins with none of"),
        (("--identity", '["fill",9,"linear","X","1","buy"]'), "nothing is recorded about"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(
    desk: LedgerDesk, fleet: Fleet, words: tuple[str, ...], answer: str
) -> None:
    desk.fills(on(0, "1"))
    result = fleet("trace", *words)
    assert result.exit_code == 1
    assert answer in result.output
    assert len(result.output.splitlines()) == 1


def test_it_wants_an_account_and_a_day_or_an_identity(fleet: Fleet) -> None:
    assert fleet("trace", "--account", "1").exit_code == 2
