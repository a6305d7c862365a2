"""`fleet reconcile` and `fleet breaks` as an operator types them, as the role `cli`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from shared.mysql.connection import connect
from shared.settings import Settings
from tests.ledger_world import FIRST_DAY, cash, report
from tests.reports import Desk, held, wallet
from tests.runtime_world import World
from tests.workers.conftest import Fleet

pytestmark = pytest.mark.database


@pytest.fixture
def desk(mysql_connection: Any, settings_for: Callable[..., Settings]) -> Iterator[Desk]:
    settings = settings_for("jobs")
    with closing(connect(settings.mysql)) as connection:
        yield Desk(mysql_connection, connection, settings)


def diverged(desk: Desk) -> None:
    """Account 1 differs in a position and in a wallet, account 2 in nothing."""
    desk.record(
        report(), held(qty="3", entry_price="100"), wallet("10", FIRST_DAY),
        wallet("11.5", FIRST_DAY + 1), cash(amount="1", at_ms=FIRST_DAY + 1),
    )  # fmt: skip
    desk.record(report(account_id=2), held(account_id=2, entry_price="100"))


def test_without_a_difference_it_is_one_line_and_exit_0(desk: Desk, fleet: Fleet) -> None:
    desk.record(report(), held(entry_price="100"))
    told = fleet("reconcile")
    assert (told.exit_code, told.output) == (0, "nothing differs: 1 accounts compared\n")


def test_without_a_report_it_says_that_nothing_was_compared(desk: Desk, fleet: Fleet) -> None:
    desk.record(report())
    told = fleet("reconcile", "--account", "1")
    assert told.exit_code == 0
    assert told.output.startswith("nothing compared: account 1 has no report yet")
    assert fleet("reconcile").output.startswith("nothing compared: no account has a report yet")


def test_each_difference_is_a_row_with_its_cause_and_exit_1(desk: Desk, fleet: Fleet) -> None:
    diverged(desk)
    told = fleet("reconcile")
    assert told.exit_code == 1
    position = next(line for line in told.output.splitlines() if "BTCUSDT" in line)
    cells = [cell.strip() for cell in position.strip("│").split("│")]
    assert cells[:6] == ["1", "linear BTCUSDT net", "quantity", "1", "3", "2"]
    assert cells[6].startswith("unexplained: nothing found that explains it")
    purse = next(line for line in told.output.splitlines() if "USDT" in line and "wallet" in line)
    cells = [cell.strip() for cell in purse.strip("│").split("│")]
    assert cells[:6] == ["1", "USDT", "wallet", "11", "11.5", "0.5"]
    assert fleet("reconcile", "--account", "2").exit_code == 0


def test_json_is_for_programs_with_amounts_as_text(desk: Desk, fleet: Fleet) -> None:
    diverged(desk)
    told = fleet("reconcile", "--json")
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert found["accounts"] == 2
    position, purse = sorted(found["differences"], key=lambda one: str(one["kind"]), reverse=True)
    assert (position["ours"], position["venues"], position["difference"]) == ("1", "3", "2")
    assert position["kind"] == "position_diverged"
    assert purse["details"]["from_fills"] == "realized, commission"
    nothing = fleet("reconcile", "--account", "2", "--json")
    assert (nothing.exit_code, json.loads(nothing.output)["differences"]) == (0, [])


def test_breaks_of_realized_figures_are_shown_with_the_others(
    desk: Desk, world: World, fleet: Fleet
) -> None:
    desk.record(report(), held(entry_price="100"))
    world.run(
        "INSERT INTO fleet_breaks (kind, account_id, identity, details, expected, actual, cause)"
        " VALUES ('realized_diverged', 1, %s, '{\"what\":\"realized\"}', 5, 4, 'unexplained')",
        '["fill",1,"linear","BTCUSDT","9","sell"]',
    )
    told = fleet("reconcile")
    assert told.exit_code == 1
    assert "fill linear BTCUSDT 9 sell" in told.output


def test_breaks_are_listed_and_shown(desk: Desk, world: World, fleet: Fleet) -> None:
    diverged(desk)
    fleet("reconcile")
    listed = fleet("breaks", "list").output
    assert "position_diverged" in listed
    assert "balance_diverged" in listed
    assert "position_diverged" not in fleet("breaks", "list", "--kind", "balance_diverged").output
    assert "diverged" not in fleet("breaks", "list", "--account", "2").output
    number = world.one("SELECT id FROM fleet_breaks WHERE kind = 'balance_diverged'")
    shown = fleet("breaks", "show", str(number)).output
    assert "untied       2024-10-04 00:00:00.001 UTC" in shown
    assert "difference   0.5" in shown
    assert "from fills   realized, commission" in shown
    missing = fleet("breaks", "show", "999")
    assert missing.exit_code == 1
    assert "no break 999; `fleet breaks list` shows them" in missing.output


def test_an_operator_closes_a_break_of_reports_and_it_keeps_the_reason(
    desk: Desk, world: World, fleet: Fleet
) -> None:
    desk.record(cash(amount="1"))
    desk.record(cash(amount="2"))
    assert "open breaks: 1 cash_conflict: `fleet breaks list`" in fleet("status").output
    number = str(world.one("SELECT id FROM fleet_breaks"))
    assert fleet("breaks", "close", number).exit_code == 2  # without a reason
    assert fleet("breaks", "close", number, "--reason", "double ref").output == (
        f"break {number} closed\n"
    )
    assert "open breaks: none" in fleet("status").output
    again = fleet("breaks", "close", number, "--reason", "again")
    assert again.exit_code == 1
    assert "it is closed since" in again.output
    shown = fleet("breaks", "show", number).output
    assert "UTC: double ref" in shown
    assert "amount       1, 2" in shown


def test_a_closed_break_opens_again_only_for_something_new(
    desk: Desk, world: World, fleet: Fleet
) -> None:
    desk.record(cash(amount="1"))
    desk.record(cash(amount="2"))
    number = str(world.one("SELECT id FROM fleet_breaks"))
    fleet("breaks", "close", number, "--reason", "why")
    desk.record(cash(amount="2"))
    assert world.one("SELECT closed_at IS NOT NULL FROM fleet_breaks") == 1
    desk.record(cash(amount="3"))
    assert world.one("SELECT closed_at IS NULL FROM fleet_breaks") == 1
    fleet("breaks", "close", number, "--reason", "and why again")
    shown = fleet("breaks", "show", number).output
    assert "UTC: why" in shown
    assert "UTC: and why again" in shown


def test_a_break_that_closes_by_itself_is_left_to_it(
    desk: Desk, world: World, fleet: Fleet
) -> None:
    diverged(desk)
    fleet("reconcile")
    number = str(world.one("SELECT MIN(id) FROM fleet_breaks"))
    told = fleet("breaks", "close", number, "--reason", "why")
    assert told.exit_code == 1
    assert "closes by itself" in told.output
    assert "no break 999" in fleet("breaks", "close", "999", "--reason", "why").output


def test_closed_breaks_are_listed_when_asked_for(desk: Desk, fleet: Fleet) -> None:
    diverged(desk)
    fleet("reconcile")
    desk.record(
        report(trade_id="2", qty="2"), cash(ref="2", amount="0.5", at_ms=FIRST_DAY + 1)
    )
    assert fleet("reconcile").exit_code == 0
    assert "diverged" not in fleet("breaks", "list").output
    assert fleet("breaks", "list", "--closed").output.count("diverged") == 2


def test_breaks_of_reports_that_contradict_one_another_are_listed_too(
    desk: Desk, fleet: Fleet
) -> None:
    desk.record(report(), report(price="101"))
    listed = fleet("breaks", "list").output
    assert "fill_conflict" in listed
    assert "fill linear BTCUSDT 1 buy" in listed
    assert "price" in listed
    assert "100, 101" in fleet("breaks", "show", "1").output
