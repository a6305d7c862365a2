"""Replay and skip: one transaction per event, the account whole again only when nothing is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import MySQLdb
import pytest

from shared.errors import Unavailable
from shared.mysql.parked import Filter
from shared.settings import Settings
from shared.streams.decode import routes
from tests.runtime_world import World, book_fills, fill, with_apply
from tests.waiting import eventually
from workers.jobs.replay_parked import Replayed, replay, run, skip
from workers.registry import EVENTS, EventType

pytestmark = pytest.mark.database
EVERYTHING = Filter()


def park(world: World, **bad: Sequence[int]) -> None:
    """Fills 1 … 5 of account 7, of which `bad["trades"]` are parked for a failing handler."""
    trades = {str(trade) for trade in bad.get("trades", ())}

    def apply(book: Any, events: Sequence[Any]) -> None:
        if trades & {event.body["trade_id"] for event in events}:
            raise ValueError("not yet mended")
        book_fills(book, events)

    world.add_fills(7, range(1, 6))
    number = world.partition(7)
    with world.reading(table=with_apply(apply)):
        eventually(lambda: world.offset(number, "entries_read") == 5)


def again(
    world: World,
    wanted: Filter = EVERYTHING,
    table: dict[str, EventType] | None = None,
    **more: Any,
) -> Replayed:
    chosen = table or dict(EVENTS)
    return replay(world.connection, chosen, routes(chosen), world.partitions, wanted, **more)


def incomplete(world: World, account: int = 7) -> int:
    return int(
        world.one("SELECT incomplete FROM fleet_account_state WHERE account_id = %s", account)
    )


def resolutions(world: World) -> list[str | None]:
    return [row[0] for row in world.rows("SELECT resolution FROM fleet_parked ORDER BY entry_id")]


def test_mended_events_are_applied_and_the_account_is_complete(world: World) -> None:
    park(world, trades=[2, 4])
    assert world.trades(7) == ["1", "3", "5"]
    assert incomplete(world) == 1
    seen: list[int] = []
    assert again(world, progress=seen.append) == Replayed(2, 0)
    assert world.trades(7) == ["1", "2", "3", "4", "5"]
    assert world.one("SELECT qty, fills FROM fleet_positions") == (5, 5)
    assert resolutions(world) == ["replayed", "replayed"]
    assert incomplete(world) == 0
    assert seen == [1, 2]
    assert again(world) == Replayed(0, 0)


def test_what_is_not_mended_stays_open_and_stops_nothing_else(world: World) -> None:
    park(world, trades=[2, 4])

    def still_bad(book: Any, events: Sequence[Any]) -> None:
        book_fills(book, events)
        if events[0].body["trade_id"] == "2":
            raise ValueError("still not mended")

    assert again(world, table=with_apply(still_bad)) == Replayed(1, 1)
    assert world.trades(7) == ["1", "3", "4", "5"]
    assert sorted(resolutions(world), key=str) == [None, "replayed"]
    assert incomplete(world) == 1
    tries, error = world.one("SELECT tries, error FROM fleet_parked WHERE resolution IS NULL")
    assert (tries, error) == (2, "ValueError: still not mended")


def test_only_events_that_match_are_replayed(world: World) -> None:
    park(world, trades=[2, 4])
    entry = world.parked()[0][0]
    assert again(world, Filter(key="8")) == Replayed(0, 0)
    assert again(world, Filter(reason="overflow")) == Replayed(0, 0)
    assert again(world, Filter(type="order.filled.1", stream="orders", entry_id=entry)) == (1, 0)
    assert world.trades(7) == ["1", "2", "3", "5"]


def test_an_event_on_the_wrong_partition_is_cured_by_its_key(world: World) -> None:
    wrong = (world.partition(7) + 1) % world.partitions
    world.add(7, fill(7, 1), partition=wrong)
    with world.reading():
        eventually(lambda: [reason for _, reason in world.parked()] == ["wrong_partition"])
    assert again(world) == Replayed(1, 0)
    assert world.trades(7) == ["1"]


def test_invalid_input_is_refused_again_with_the_reason_of_now(world: World) -> None:
    world.add(7, "{")
    with world.reading():
        eventually(lambda: len(world.parked()) == 1)
    world.run("UPDATE fleet_parked SET reason = 'handler_failed'")
    assert again(world) == Replayed(0, 1)
    assert [reason for _, reason in world.parked()] == ["invalid_json"]


def test_an_event_that_came_again_and_was_booked_is_superseded(world: World) -> None:
    park(world, trades=[2])
    world.add(7, fill(7, 2, revision=2))
    with world.reading():
        eventually(lambda: world.trades(7) == ["1", "2", "3", "4", "5"])
    assert resolutions(world) == ["superseded"]
    assert incomplete(world) == 0
    assert again(world) == Replayed(0, 0)


def test_a_cancelled_replay_stops_between_two_events(world: World) -> None:
    park(world, trades=[2, 4])
    asked = iter([False, True])
    assert again(world, cancelled=lambda: next(asked)) == Replayed(1, 0)
    assert world.trades(7) == ["1", "2", "3", "5"]


def test_a_server_that_is_away_is_said_and_nothing_is_resolved(world: World) -> None:
    park(world, trades=[2])

    def away(book: Any, events: Sequence[Any]) -> None:
        book_fills(book, events)
        raise MySQLdb.OperationalError(1213, "deadlock")

    with pytest.raises(Unavailable, match="1213"):
        again(world, table=with_apply(away))
    assert resolutions(world) == [None]
    assert world.trades(7) == ["1", "3", "4", "5"]


def test_skipping_keeps_the_reason_and_completes_the_account(world: World) -> None:
    park(world, trades=[2, 4])
    assert skip(world.connection, Filter(key="8"), "none of ours") == 0
    assert skip(world.connection, Filter(key="7"), "test data") == 2
    assert resolutions(world) == ["skipped", "skipped"]
    assert {row[0] for row in world.rows("SELECT resolved_reason FROM fleet_parked")} == {
        "test data"
    }
    assert incomplete(world) == 0
    assert world.trades(7) == ["1", "3", "5"]


class FakeProgress:
    checkpoint = None

    def __init__(self) -> None:
        self.updates: list[int] = []

    def update(self, done: int, **_: object) -> None:
        self.updates.append(done)

    def cancelled(self) -> bool:
        return False


def test_the_operator_job_works_as_the_role_rq(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    world.partitions = 32
    park(world, trades=[2])
    progress: Any = FakeProgress()
    ended = run(settings_for("rq"), progress, **Filter(key="7")._asdict())
    assert ended == {"replayed": 1, "refused": 0}
    assert progress.updates == [1]
