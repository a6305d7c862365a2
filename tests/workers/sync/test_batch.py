"""What a batch finds stands with its cursors, once, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from shared.errors import LimitReached, Unavailable
from shared.exchanges.errors import KeyRefused, Throttled, VenueAway
from shared.exchanges.venue import Account, Cursor, Page, Permissions
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import PARTITIONS, running
from tests.waiting import eventually
from tests.workers.sync.conftest import SyncWorld
from tests.workers.sync.samples import (
    NOW_MS,
    balance_found,
    fill_found,
    page,
    position_found,
)
from workers.build import relay_of
from workers.lease import broker_redis
from workers.sync import store
from workers.sync.run import REFUSED
from workers.sync.settle import TWICE, WITHDRAWS
from workers.sync.tiers import ACTIVE_MS, SAME_AGAIN_MS

pytestmark = pytest.mark.database


STATE = "SELECT status, reason FROM fleet_account_state WHERE account_id = %s"


def per_account(make: Callable[[int], Any]) -> Callable[[Account, Cursor], Page]:
    return lambda account, _cursor: page(make(account.account_id), through_ms=account.now_ms)


@pytest.fixture
def quiet(sync: SyncWorld) -> SyncWorld:
    """Three accounts that hold a position and made a fill a minute ago."""
    sync.answers = {
        "positions": per_account(position_found),
        "balances": per_account(balance_found),
        "cash": page(through_ms=NOW_MS),
        "fills": per_account(fill_found),
        "orders": page(),
    }
    sync.link(1, 2, 3)
    return sync


def test_cursors_and_events_are_committed_together(quiet: SyncWorld) -> None:
    assert quiet.sync(1, 2, 3) == {"done": 3}
    first = [(type_, data) for type_, data in quiet.outbox() if data["account_id"] == 1]
    assert [type_ for type_, _ in first] == [
        "position.opened.1", "order.filled.1", "position.observed.1", "balance.observed.1",
    ]  # fmt: skip
    assert first[1][1] == fill_found(1).body
    assert quiet.account(1, "since_ms, tier, failures, error") == (NOW_MS, "active", 0, None)
    assert quiet.kinds(1, "found_through_ms")["fills"] == NOW_MS
    quiet.sync(1)
    openings = [data for type_, data in quiet.outbox() if type_ == "position.opened.1"]
    assert len(openings) == 3  # linked once


def test_a_run_that_another_one_overtook_writes_nothing(quiet: SyncWorld) -> None:
    quiet.sync(1)
    before = quiet.outbox()

    def overtaken(account: Account, _cursor: Cursor) -> Page:
        quiet.world.connection.cursor().execute(
            "UPDATE fleet_sync_accounts SET version = version + 1 WHERE account_id = 1"
        )
        quiet.world.connection.commit()
        return page(fill_found(account.account_id, trade=2), cursor={"at": 2})

    quiet.answers["fills"] = overtaken
    make_due(quiet, 1)
    assert quiet.sync(1) == {"fenced": 1}
    assert quiet.outbox() == before
    assert quiet.kinds(1, "place")["fills"] == '{"at":1}'


def test_an_account_under_another_lease_is_skipped_and_counted(quiet: SyncWorld) -> None:
    with closing(broker_redis(quiet.settings)) as redis:
        redis.set(f"{quiet.settings.broker_prefix}sync:2", "somebody", px=60_000)
        assert quiet.sync(1, 2) == {"done": 1, "skipped": 1}
        assert redis.get(f"{quiet.settings.broker_prefix}sync:2") == b"somebody"
        assert redis.get(f"{quiet.settings.broker_prefix}sync:1") is None


def test_a_run_waits_for_no_lock_of_another_account(quiet: SyncWorld) -> None:
    quiet.link(*range(1, 101))
    with closing(connect(quiet.settings.mysql)) as other:
        lock = "SELECT 1 FROM fleet_sync_accounts WHERE account_id = 100 FOR UPDATE"
        other.cursor().execute(lock)
        assert quiet.sync(*range(1, 61)) == {"done": 60}


def test_one_revoked_key_suspends_its_account_and_disturbs_nobody(quiet: SyncWorld) -> None:
    quiet.exchanges.troubles[2] = KeyRefused("-2015 Invalid API-key", "-2015")
    assert quiet.sync(1, 2, 3) == {"done": 2, "suspended": 1}
    why = REFUSED.format("-2015 Invalid API-key")
    assert quiet.told == [(2, why)]
    [state] = quiet.world.rows(STATE, 2)
    assert state == ("suspended", why)
    assert quiet.account(2, "state") == ("suspended",)
    asked = len(quiet.exchanges.asked)
    assert quiet.sync(2) == {"gone": 1}
    assert len(quiet.exchanges.asked) == asked


def test_a_rotated_key_lifts_the_suspension(quiet: SyncWorld) -> None:
    quiet.exchanges.troubles[2] = KeyRefused("-2015", "-2015")
    quiet.sync(2)
    quiet.note()
    assert quiet.account(2, "state") == ("suspended",)  # the same key
    quiet.exchanges.troubles.clear()
    quiet.link(2, api_key="another")
    assert quiet.account(2, "state, error") == ("active", None)
    [state] = quiet.world.rows(STATE, 2)
    assert state == ("active", None)
    assert quiet.sync(2) == {"done": 1}


def test_an_account_that_is_switched_off_and_on_is_suspended_no_more(quiet: SyncWorld) -> None:
    quiet.exchanges.troubles[2] = KeyRefused("-2015", "-2015")
    quiet.sync(2)
    quiet.link(2, active=False)
    quiet.link(2)
    assert quiet.account(2, "state") == ("active",)
    assert quiet.world.rows(STATE, 2) == [("active", None)]


def test_a_key_that_may_withdraw_is_refused_unless_it_is_allowed(quiet: SyncWorld) -> None:
    quiet.permissions = Permissions(withdraw=True)
    assert quiet.sync(1) == {"suspended": 1}
    assert quiet.told == [(1, WITHDRAWS)]
    assert quiet.outbox() == []
    quiet.allow_withdraw = True
    assert quiet.sync(2) == {"done": 1}


def test_an_exchange_account_that_is_linked_twice_is_read_once(quiet: SyncWorld) -> None:
    quiet.permissions = Permissions(withdraw=False, uid="4711")
    quiet.sync(1)
    assert quiet.sync(2) == {"suspended": 1}
    assert quiet.told == [(2, TWICE.format(1))]
    assert {data["account_id"] for _, data in quiet.outbox()} == {1}


def test_a_venue_that_is_away_is_asked_more_and_more_rarely(quiet: SyncWorld) -> None:
    quiet.exchanges.troubles[1] = VenueAway("503")
    quiet.sync(1)
    first = quiet.due_in(1)
    quiet.sync(1)
    assert quiet.account(1, "failures, error") == (2, "503")
    assert 0 < first < quiet.due_in(1)
    quiet.exchanges.troubles.clear()
    quiet.sync(1)
    assert quiet.account(1, "failures, error") == (0, None)


def test_a_used_up_budget_is_waited_for_and_is_no_failure(quiet: SyncWorld) -> None:
    quiet.exchanges.troubles[1] = Throttled("weight", 7_000)
    assert quiet.sync(1) == {"paused": 1}
    assert quiet.account(1, "failures") == (0,)
    assert 5 < quiet.due_in(1) <= 7


def test_a_database_that_goes_away_before_the_commit_leaves_everything_as_it_was(
    quiet: SyncWorld,
) -> None:
    def cut(account: Account, _cursor: Cursor) -> Page:
        for (thread,) in quiet.world.rows(
            "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()"
            " AND user LIKE %s",
            quiet.settings.mysql.database, "%sync",
        ):  # fmt: skip
            quiet.world.connection.cursor().execute(f"KILL {thread}")
        return page(fill_found(account.account_id))

    answers = dict(quiet.answers)
    quiet.answers["fills"] = cut
    with pytest.raises(Unavailable):
        quiet.sync(1)
    assert quiet.outbox() == []
    assert quiet.kinds(1, "place") == {}
    quiet.answers = answers
    assert quiet.sync(1) == {"done": 1}  # and no lease was left


def test_a_bug_that_one_account_meets_costs_the_others_nothing(quiet: SyncWorld) -> None:
    def buggy(account: Account, _cursor: Cursor) -> Page:
        if account.account_id == 2:
            raise KeyError("a row that nobody has seen before")
        return page(fill_found(account.account_id))

    quiet.answers["fills"] = buggy
    assert quiet.sync(1, 2, 3) == {"done": 2, "failed": 1}
    assert {data["account_id"] for _, data in quiet.outbox()} == {1, 3}
    assert quiet.account(2, "since_ms, state") == (None, "active")


def test_a_venue_that_cannot_be_read_further_is_the_trouble_of_its_account_alone(
    quiet: SyncWorld,
) -> None:
    quiet.exchanges.troubles[2] = LimitReached("1000 rows of one millisecond")
    assert quiet.sync(1, 2, 3) == {"done": 2, "failed": 1}
    assert quiet.account(2, "state, error") == ("active", "1000 rows of one millisecond")


def test_a_cursor_is_complete_once_the_ledger_has_confirmed_what_was_found(
    quiet: SyncWorld, settings_for: Callable[..., Settings]
) -> None:
    quiet.sync(1)
    with closing(connect(quiet.settings.mysql)) as connection:
        assert store.confirm(connection) == 0
        assert quiet.kinds(1, "complete_through_ms")["fills"] is None
        relay = relay_of(settings_for("relay", FLEET_PARTITIONS=str(PARTITIONS)))
        with running(relay), quiet.world.reading():
            eventually(lambda: store.confirm(connection))
    assert quiet.kinds(1, "complete_through_ms")["fills"] == NOW_MS
    assert quiet.world.one("SELECT COUNT(*) FROM fleet_fills") == 1


def test_a_cursor_that_found_nothing_is_complete_at_once(quiet: SyncWorld) -> None:
    empty = page(through_ms=NOW_MS)
    quiet.answers |= {"positions": page(), "balances": page(), "fills": empty}
    quiet.sync(1)
    assert quiet.kinds(1, "complete_through_ms")["fills"] == NOW_MS


def make_due(sync: SyncWorld, account: int) -> None:
    sync.world.connection.cursor().execute(
        "UPDATE fleet_syncs SET due_at = UTC_TIMESTAMP(6) WHERE account_id = %s", (account,)
    )
    sync.world.connection.commit()


def observed(sync: SyncWorld) -> int:
    return sum(type_.endswith("observed.1") for type_, _ in sync.outbox())


def test_snapshots_that_say_nothing_new_are_told_every_ten_minutes(quiet: SyncWorld) -> None:
    quiet.sync(1)
    assert observed(quiet) == 2
    quiet.answers |= {"fills": page(through_ms=NOW_MS)}
    for ahead_ms, told in ((60_000, 2), (SAME_AGAIN_MS - 1, 2), (SAME_AGAIN_MS, 4)):
        quiet.exchanges.at_ms = NOW_MS + ahead_ms
        make_due(quiet, 1)
        assert quiet.sync(1) == {"done": 1}
        assert observed(quiet) == told


def test_snapshots_are_told_at_once_where_something_moved_or_they_differ(quiet: SyncWorld) -> None:
    quiet.sync(1)
    quiet.answers |= {"fills": page(fill_found(1, 2, NOW_MS + 10_000), through_ms=NOW_MS)}
    quiet.exchanges.at_ms = NOW_MS + 60_000
    make_due(quiet, 1)
    quiet.sync(1)
    assert observed(quiet) == 4  # as before, but a fill came
    quiet.answers |= {"fills": page(), "balances": page(balance_found(1, "999"))}
    make_due(quiet, 1)
    quiet.sync(1)
    assert observed(quiet) == 6


def test_a_bug_of_ours_costs_its_account_a_pause_and_no_other_one_anything(
    quiet: SyncWorld,
) -> None:
    quiet.exchanges.troubles[2] = ZeroDivisionError()
    assert quiet.sync(1, 2, 3) == {"done": 2, "failed": 1}
    assert quiet.account(2, "failures") == (1,)
    assert "ZeroDivisionError" in quiet.account(2, "error")[0]
    assert quiet.due_in(2) > 0
    assert {data["account_id"] for _, data in quiet.outbox()} == {1, 3}


def test_spot_has_no_positions_and_rests_all_the_same(sync: SyncWorld) -> None:
    """Else every spot account would be asked each minute for ever."""
    at_ms = NOW_MS - ACTIVE_MS - 1
    sync.answers = {
        "balances": per_account(balance_found),
        "cash": page(through_ms=NOW_MS),
        "fills": page(fill_found(1, at_ms=at_ms), through_ms=NOW_MS),
    }
    sync.link(1)
    sync.sync(1)
    assert sync.account(1, "tier, moved_ms") == ("idle", at_ms)
    sync.answers["fills"] = page(fill_found(1, 2, NOW_MS), through_ms=NOW_MS)
    make_due(sync, 1)
    sync.sync(1)
    assert sync.account(1, "tier") == ("active",)


def test_a_run_that_ended_early_leaves_the_tier_as_it_was(quiet: SyncWorld) -> None:
    quiet.sync(1)
    quiet.answers["positions"] = VenueAway("503")
    make_due(quiet, 1)
    quiet.sync(1)
    assert quiet.account(1, "tier, failures") == ("active", 1)
