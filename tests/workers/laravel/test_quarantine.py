"""Payloads that no worker can run: from Redis into MySQL, byte for byte, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from shared.mysql.connection import connect
from shared.streams.connection import data_client
from tests.waiting import eventually
from tests.workers.laravel.conftest import Configure
from tests.workers.laravel.jobs import Worked, behind_proxy, note
from workers.laravel.quarantine import (
    AT_ONCE,
    MOST_BYTES,
    REASON_CHARACTERS,
    drain,
    find,
    listed,
    remove,
    requeue,
)
from workers.laravel.status import collect_laravel

pytestmark = pytest.mark.database

# Redis' own library refuses the first ones, we the others.
BAD: dict[str, bytes] = {
    "no JSON": b"ping\n\nping",
    "nothing": b"",
    "binary": bytes(range(256)),
    "a list": b"[1,2]",
    "no attempts": b'{"uuid":"a","job":"A"}',  # trap 2
    "a lone surrogate": b'{"uuid":"\\ud83d","job":"A","attempts":0}',  # trap 3
    "a message of Celery": b'{"body":"W10=","headers":{"task":"t"},"properties":{}}',  # trap 15
    "no identity": b'{"job":"A","attempts":0}',  # traps 4 and 6
    "no job": b'{"uuid":"a","attempts":0}',
    "not UTF-8": b'{"uuid":"a\xff","job":"A","attempts":0}',
    "backoff a list": b'{"uuid":"a","job":"A","attempts":0,"backoff":[1]}',  # trap 31
    "no command": b'{"uuid":"a","attempts":0,'
    b'"job":"Illuminate\\\\Queue\\\\CallQueuedHandler@call"}',
}


@pytest.fixture
def mysql(worked: Worked) -> Iterator[Any]:
    """As the role `laravel`."""
    with closing(connect(worked.settings.mysql)) as connection:
        yield connection


@pytest.fixture
def redis(worked: Worked) -> Iterator[Any]:
    with closing(data_client(worked.settings.redis, "test")) as client:
        yield client


def rows(worked: Worked) -> list[tuple[str, bytes]]:
    """Queue and payload of everything in quarantine."""
    sql = "SELECT queue, payload FROM fleet_quarantine ORDER BY quarantined_at, token"
    return worked.world.rows(sql)


def put(worked: Worked, count: int, first: int = 0) -> list[bytes]:
    """As the reserving script leaves them."""
    payloads = [b"bad\n%d" % at for at in range(first, first + count)]
    elements = [b"token-%d\nwhy\n%b" % (first + at, one) for at, one in enumerate(payloads)]
    worked.world.redis.rpush(worked.queue.keys.quarantine, *elements)
    return payloads


# -- by the worker ---------------------------------------------------------------------------------


def test_every_bad_payload_is_kept_with_its_bytes_and_the_job_behind_it_runs(
    worked: Worked,
) -> None:
    for at, payload in enumerate(BAD.values()):
        worked.queue.push(payload)
        worked.push(str(at))
    with worked.working() as node:
        eventually(lambda: len(worked.answered()) == len(BAD))
        eventually(lambda: len(rows(worked)) == len(BAD))
        eventually(node.ready)
    assert sorted(rows(worked)) == sorted(("fleet", payload) for payload in BAD.values())
    assert worked.queue.aside() == []
    assert worked.queue.lengths()[:3] == (0, 0, 0)
    assert worked.world.failed() == []
    assert len(worked.outcomes()) == len(BAD)


def test_a_bad_payload_is_never_tried_again(worked: Worked) -> None:
    worked.queue.push(BAD["no job"])
    with worked.working():
        eventually(lambda: len(rows(worked)) == 1)
    worked.queue.reservations_pass()
    worked.push("a")
    with worked.working():
        eventually(lambda: worked.answered() == {"uuid-a": 1})
    assert len(rows(worked)) == 1


def test_each_says_why_in_a_sentence(worked: Worked, mysql: Any) -> None:
    worked.queue.push(BAD["no command"])
    with worked.working():
        eventually(lambda: listed(mysql, 10))
    (found,) = listed(mysql, 10)
    assert found.reason.startswith("no worker can run this payload: ")
    assert "`commandName` and `command`" in found.reason


def test_what_is_put_aside_while_mysql_is_away_is_moved_later(
    configure: Configure, worked: Worked
) -> None:
    with behind_proxy(worked.settings.mysql) as proxy:
        away = configure(DB_PORT=str(proxy.port))
        with away.working() as node:
            eventually(node.ready)
            proxy.cut()
            for payload in BAD.values():
                away.queue.push(payload)
            eventually(lambda: not away.queue.ready())
            eventually(lambda: not node.ready())
            assert rows(worked) == []
            proxy.join()
            eventually(lambda: len(rows(worked)) == len(BAD))
            eventually(node.ready)
    assert worked.queue.aside() == []
    assert worked.queue.lengths()[:3] == (0, 0, 0)


def test_what_another_worker_left_there_is_moved_too(worked: Worked) -> None:
    payloads = put(worked, 3)
    with worked.working():
        eventually(lambda: [payload for _, payload in rows(worked)] == payloads)


# -- the move --------------------------------------------------------------------------------------


def test_a_long_list_is_moved_in_pieces_and_in_full(
    worked: Worked, mysql: Any, redis: Any
) -> None:
    payloads = put(worked, 2 * AT_ONCE + 1)
    assert drain(redis, mysql, worked.settings.prefix, ["other", "fleet"]) == len(payloads)
    assert drain(redis, mysql, worked.settings.prefix, ["other", "fleet"]) == 0
    assert sorted(payload for _, payload in rows(worked)) == sorted(payloads)
    assert worked.queue.aside() == []


def test_a_payload_of_any_size_keeps_nobody_from_moving(
    worked: Worked, mysql: Any, redis: Any
) -> None:
    """No server takes a packet of any size: such a one stays in Redis, and is counted."""
    huge = b"x" * (MOST_BYTES + 1)
    worked.world.redis.rpush(worked.queue.keys.quarantine, b"token-huge\nwhy\n" + huge)
    payloads = put(worked, 2)
    prefix = worked.settings.prefix
    assert drain(redis, mysql, prefix, ["fleet"]) == 3
    assert drain(redis, mysql, prefix, ["fleet"]) == 0
    assert sorted(payload for _, payload in rows(worked)) == payloads
    kept: Any = worked.world.redis.lrange(f"{prefix}fleet:quarantine:fleet:large", 0, -1)
    assert [element.split(b"\n", 2)[2] for element in kept] == [huge]
    status = collect_laravel(worked.world.connection, worked.world.redis, prefix, ["fleet"])
    assert [queue.quarantined for queue in status.queues] == [1]


class Dying:
    """A client whose process dies before the first element is taken off the list."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    def lrange(self, *words: Any) -> Any:
        return self._redis.lrange(*words)

    def lrem(self, *_: Any) -> None:
        raise KeyboardInterrupt


def test_a_crash_between_the_row_and_the_list_is_one_row(
    worked: Worked, mysql: Any, redis: Any
) -> None:
    payloads = put(worked, 3)
    dying: Any = Dying(redis)
    with pytest.raises(KeyboardInterrupt):
        drain(dying, mysql, worked.settings.prefix, ["fleet"])
    assert len(rows(worked)) == len(worked.queue.aside()) == 3
    assert drain(redis, mysql, worked.settings.prefix, ["fleet"]) == 3
    assert [payload for _, payload in rows(worked)] == payloads
    assert worked.queue.aside() == []


def test_two_workers_that_move_at_once_lose_and_double_nothing(worked: Worked) -> None:
    payloads = put(worked, 300)
    failures: list[BaseException] = []

    def move() -> None:
        try:
            with (
                closing(connect(worked.settings.mysql)) as mysql,
                closing(data_client(worked.settings.redis, "test")) as redis,
            ):
                drain(redis, mysql, worked.settings.prefix, ["fleet"])
        except BaseException as failure:  # noqa: BLE001 - raised by the test
            failures.append(failure)

    movers = [threading.Thread(target=move) for _ in range(2)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert failures == []
    assert sorted(payload for _, payload in rows(worked)) == sorted(payloads)
    assert worked.queue.aside() == []


def test_a_reason_of_any_length_and_bytes_is_kept(worked: Worked, mysql: Any, redis: Any) -> None:
    worked.world.redis.rpush(worked.queue.keys.quarantine, b"t\n" + b"\xffwhy " * 900 + b"\nbad")
    assert drain(redis, mysql, worked.settings.prefix, ["fleet"]) == 1
    (found,) = listed(mysql, 10)
    assert len(found.reason) == REASON_CHARACTERS
    assert found.reason.startswith("�why ")
    assert found.payload == b"bad"


# -- for operators ---------------------------------------------------------------------------------


def test_what_is_in_quarantine_can_be_listed_found_and_removed(
    worked: Worked, mysql: Any, redis: Any
) -> None:
    put(worked, 3)
    drain(redis, mysql, worked.settings.prefix, ["fleet"])
    operators = worked.world.connection
    assert {aside.payload for aside in listed(mysql, 9)} == {b"bad\n0", b"bad\n1", b"bad\n2"}
    assert len(listed(mysql, 2)) == 2
    found = find(mysql, "token-1")
    assert found is not None
    assert (found.queue, found.reason, found.payload) == ("fleet", "why", b"bad\n1")
    assert find(mysql, "nobody") is None
    assert remove(operators, "token-1")
    assert not remove(operators, "token-1")
    operators.commit()
    assert find(mysql, "token-1") is None


def test_a_payload_that_was_mended_runs_when_it_is_queued_again(
    worked: Worked, redis: Any
) -> None:
    text = worked.queue.push(note("a"))
    worked.world.redis.delete(worked.queue.keys.ready, worked.queue.keys.notify)
    requeue(redis, worked.settings.prefix, "fleet", text)
    assert worked.queue.lengths() == (1, 0, 0, 1)
    with worked.working():
        eventually(lambda: worked.answered() == {"uuid-a": 1})
