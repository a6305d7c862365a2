"""Who is asked next: everybody in turn, nobody twice, as many as the budget can serve."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from tests.waiting import eventually
from tests.workers.sync.conftest import EGRESSES, SyncWorld
from tests.workers.sync.samples import page
from workers.sync.planner import OUTSTANDING, ask_all_now, ask_now, pinned_to, plan

pytestmark = pytest.mark.database


def test_those_that_wait_longest_come_first_and_nobody_comes_twice(sync: SyncWorld) -> None:
    accounts = [one for one in range(1, 40) if pinned_to(one, EGRESSES) == "left"]
    sync.link(*accounts)
    cursor = sync.world.connection.cursor()
    for place, account in enumerate(reversed(accounts)):
        cursor.execute(
            "UPDATE fleet_sync_accounts SET due_at = UTC_TIMESTAMP(6) - INTERVAL %s SECOND"
            " WHERE account_id = %s",
            (100 - place, account),
        )
    sync.world.connection.commit()
    assert sync.plan() == accounts[::-1]
    assert sync.plan() == []


def test_no_more_are_in_hand_than_an_address_can_serve(sync: SyncWorld) -> None:
    sync.link(*range(1, 301))
    assert len(sync.plan()) == 2 * OUTSTANDING
    assert sync.plan() == []


def test_a_claim_whose_task_was_lost_ends_by_itself(sync: SyncWorld) -> None:
    sync.link(1)
    assert sync.plan() == [1]
    sync.world.connection.cursor().execute(
        "UPDATE fleet_sync_accounts SET claimed_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND"
    )
    sync.world.connection.commit()
    assert sync.plan() == [1]


def test_a_broker_that_is_away_leaves_nothing_claimed(sync: SyncWorld) -> None:
    sync.link(1, 2)

    def away(_accounts: object) -> None:
        raise ConnectionError("broker")

    with closing(connect(sync.settings.mysql)) as connection, pytest.raises(ConnectionError):
        plan(connection, ["testing"], EGRESSES, away)
    assert sorted(sync.plan()) == [1, 2]


def test_accounts_follow_laravel(sync: SyncWorld) -> None:
    sync.answers = {"cash": page(), "fills": page()}
    sync.link(1, 2)
    sync.sync(1)
    sync.link(2, active=False)
    assert sync.account(2, "state") == ("inactive",)
    assert sync.plan() == []
    sync.link(2)
    assert sync.plan() == [2]
    sync.link(3, venue="elsewhere")
    assert sync.world.rows("SELECT 1 FROM fleet_sync_accounts WHERE account_id = 3") == []


def test_a_venue_is_known_however_laravel_spells_it(sync: SyncWorld) -> None:
    sync.link(1, venue="Testing")
    assert sync.account(1, "venue") == ("testing",)
    assert sync.note() == 0
    assert sync.plan() == [1]


def test_an_account_that_moved_to_where_nobody_can_ask_rests(sync: SyncWorld) -> None:
    sync.link(1, 2)
    sync.link(1, venue="kraken")
    assert sync.account(1, "state, venue") == ("inactive", "testing")
    assert sync.plan() == [2]
    sync.link(1)
    assert sync.account(1, "state") == ("active",)


def test_an_account_that_moved_to_another_venue_begins_again(sync: SyncWorld) -> None:
    sync.answers = {"cash": page(), "fills": page()}
    sync.link(1)
    sync.world.connection.cursor().execute(
        "UPDATE fleet_sync_accounts SET venue = 'before', since_ms = 5"
    )
    sync.world.connection.cursor().execute(
        "INSERT INTO fleet_syncs (account_id, kind, place) VALUES (1, 'cash', '{}')"
    )
    sync.world.connection.commit()
    assert sync.note() == 1
    assert sync.account(1, "venue, since_ms") == ("testing", None)
    assert sync.kinds(1, "place") == {}


def test_an_address_that_is_gone_gives_its_accounts_to_those_that_are_left(sync: SyncWorld) -> None:
    sync.link(*range(1, 21))
    sync.world.connection.cursor().execute("UPDATE fleet_sync_accounts SET egress = 'sold'")
    sync.world.connection.commit()
    assert sync.note() == 20
    rows = sync.world.rows("SELECT account_id, egress FROM fleet_sync_accounts")
    assert dict(rows) == {one: pinned_to(one, EGRESSES) for one in range(1, 21)}


def test_whoever_is_asked_for_comes_now(sync: SyncWorld) -> None:
    sync.answers = {"cash": page(), "fills": page()}
    sync.link(1, 2)
    sync.sync(1, 2)
    assert sync.plan() == []
    with closing(connect(sync.settings.mysql)) as connection:
        assert ask_now(connection, [1, 99]) == 1
        connection.commit()
        assert sync.plan() == [1]
        assert ask_all_now(connection) == 2
        connection.commit()
    assert sync.plan() == [2]


def test_asking_waits_for_a_run_that_writes_and_neither_is_a_victim(
    sync: SyncWorld, mysql_root: MySQLSettings
) -> None:
    sync.answers = {"cash": page(), "fills": page()}
    sync.link(1, 2)
    sync.sync(1, 2)
    with (
        closing(connect(sync.settings.mysql)) as run,
        closing(connect(sync.settings.mysql)) as asking,
        closing(connect(mysql_root)) as root,
        ThreadPoolExecutor(1) as aside,
    ):
        run.cursor().execute("SELECT 1 FROM fleet_sync_accounts WHERE account_id = 2 FOR UPDATE")
        thread_id = asking.thread_id()
        asked = aside.submit(ask_all_now, asking)
        eventually(lambda: waits(root, thread_id))
        run.cursor().execute("UPDATE fleet_syncs SET place = '{}' WHERE account_id = 2")
        run.commit()
        assert asked.result() == 2
        asking.commit()


def waits(root: Any, thread_id: int) -> bool:
    """Whether a connection waits for a lock. InnoDB writes this table anew only where nobody has
    read it for a tenth of a second: who polls faster sees one picture for ever.
    """
    cursor = root.cursor()
    cursor.execute("DO SLEEP(0.15)")
    cursor.execute(
        "SELECT 1 FROM information_schema.innodb_trx"
        " WHERE trx_mysql_thread_id = %s AND trx_state = 'LOCK WAIT'",
        (thread_id,),
    )
    return cursor.fetchone() is not None
