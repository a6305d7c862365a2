"""`fleet sync` as an operator types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from shared.exchanges.errors import KeyRefused, VenueAway
from tests.workers.conftest import Fleet
from tests.workers.sync.conftest import SyncWorld
from tests.workers.sync.samples import page
from workers.sync.run import REFUSED

pytestmark = pytest.mark.database


@pytest.fixture
def linked(sync: SyncWorld) -> SyncWorld:
    sync.answers = {"cash": page(through_ms=1_764_000_000_000), "fills": page()}
    sync.link(1, 2, 3)
    return sync


@contextmanager
def working(sync: SyncWorld) -> Iterator[None]:
    """Beat and a worker."""
    ending = Event()

    def work() -> None:
        while not ending.wait(0.02):
            accounts = sync.plan()
            if accounts:
                sync.sync(*accounts)

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def test_it_shows_how_fresh_the_accounts_are_and_who_fails_why(
    linked: SyncWorld, fleet: Fleet
) -> None:
    linked.exchanges.troubles |= {2: VenueAway("binance answers 503"), 3: KeyRefused("-2015", "")}
    linked.sync(1, 2, 3)
    linked.link(9, venue="kraken")
    shown = fleet("sync")
    assert shown.exit_code == 0
    assert "binance answers 503" in shown.output
    assert REFUSED.format("-2015") in shown.output
    assert "not synced: 1 active accounts with venue 'kraken'" in shown.output
    told = json.loads(fleet("sync", "--json").output)
    names = ("state", "tier", "accounts", "failing")
    groups = {tuple(one[name] for name in names) for one in told["groups"]}
    # Nothing moved on the first; of the other two nobody knows yet.
    assert groups == {("active", "idle", 1, 0), ("active", "active", 1, 1),
                      ("suspended", "active", 1, 1)}  # fmt: skip
    assert {bad["account_id"] for bad in told["failing"]} == {2, 3}


def test_one_account_is_asked_now_and_waited_for(linked: SyncWorld, fleet: Fleet) -> None:
    linked.sync(1)
    asked = len(linked.exchanges.asked)
    with working(linked):
        shown = fleet("sync", "--account", "1")
    assert (shown.exit_code, len(linked.exchanges.asked) > asked) == (0, True)
    assert "2025-11-24 16:00:00.000" in shown.output  # cash, found through


def test_what_the_exchange_says_ends_the_command(linked: SyncWorld, fleet: Fleet) -> None:
    linked.exchanges.troubles[1] = VenueAway("binance answers 503")
    with working(linked):
        shown = fleet("sync", "--account", "1")
    assert shown.exit_code == 1
    assert "binance answers 503" in shown.output


@pytest.mark.parametrize(("account", "why"), [("99", "is not synced"), ("3", "is suspended")])
def test_an_account_that_nobody_asks_is_named_with_the_reason(
    linked: SyncWorld, fleet: Fleet, account: str, why: str
) -> None:
    linked.exchanges.troubles[3] = KeyRefused("-2015", "")
    linked.sync(3)
    shown = fleet("sync", "--account", account)
    assert shown.exit_code == 1
    assert why in shown.output


def test_everybody_can_be_asked_now(linked: SyncWorld, fleet: Fleet) -> None:
    linked.sync(1, 2, 3)
    assert linked.plan() == []
    assert "3 accounts are due" in fleet("sync", "--all").output
    assert sorted(linked.plan()) == [1, 2, 3]
