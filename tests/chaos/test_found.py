"""What storms have found once, as schedules that are short and always the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.offsets import Offsets
from tests.chaos.scenarios import ACCOUNT, ONLY, Counted, Node
from tests.runtime_world import CONSUMER, TS_US, World

pytestmark = pytest.mark.database


@pytest.fixture
def counted(world: World, mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Counted]:
    made = Counted(world, mysql_root.model_copy(update={"database": fleet_schema}))
    yield made
    made.remove()


@pytest.fixture
def node(counted: Counted) -> Iterator[Node]:
    made = Node(counted, "only")
    yield made
    made.die()


def bad_entry() -> dict[Any, Any]:
    return {
        "type": "order.imagined.1", "key": str(ACCOUNT), "id": str(uuid.uuid4()), "ts_us": TS_US,
        "data": "{}",
    }  # fmt: skip


def test_a_bad_event_that_stands_twice_in_one_batch_is_parked_once(
    counted: Counted, node: Node
) -> None:
    world, entry = counted.world, bad_entry()
    for _ in range(2):
        world.redis.xadd(world.key(0), entry)
    node.turn()
    assert world.rows("SELECT reason, tries FROM fleet_parked") == [("unknown_type", 2)]


def test_the_lag_is_right_after_a_stream_was_made_anew_between_two_looks(
    counted: Counted, node: Node
) -> None:
    world = counted.world
    counted.add(5)
    node.turn()
    world.redis.delete(world.key(0))
    counted.add(2)
    node.lane._settle(node.lane._read())  # no look at the offset is due yet
    assert world.offset(0, "entries_read") == 7
    node.read()
    assert world.offset(0, "entries_read") == 2


def test_an_owner_that_lost_its_lease_and_comes_back_is_no_crash(
    counted: Counted, node: Node
) -> None:
    node.take()
    for _ in range(3):
        node.lane._holdings.drop(node.lane.owned[0])
        node.take()
    assert counted.world.offset(0, "epoch, crashes") == (4, 0)
    node.die()
    successor = Node(counted, "successor")
    successor.take()
    successor.die()
    assert counted.world.offset(0, "epoch, crashes") == (5, 1)


def test_a_node_starts_while_a_sleeping_owner_holds_its_row(counted: Counted) -> None:
    with closing(counted.connect()) as sleeper, closing(counted.connect()) as starting:
        Offsets(sleeper, CONSUMER).read(*ONLY, locked=True)
        offsets = Offsets(starting, CONSUMER)
        offsets.wait_for_locks(1)
        offsets.ensure([ONLY])
        starting.commit()


def test_a_sleeping_session_is_ended_by_the_server_itself(node: Node) -> None:
    node.take()
    cursor = node.lane._links.mysql().cursor()
    cursor.execute("SELECT @@SESSION.wait_timeout")
    assert cursor.fetchone() == (node.tools.bounds.silent_seconds,)
