"""Reservations beside Laravel's own RedisQueue, on the same queues of a real Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from shared.laravel import reservations as module
from shared.laravel.payload import read_payload
from shared.laravel.reservations import (
    HOLD_SECONDS,
    Completed,
    HandBack,
    Job,
    Reservations,
    Taken,
    queue_keys,
)
from shared.streams.connection import data_client
from tests.laravel_queues import QueueView, attempts, job, uuids
from tests.laravel_world import LaravelWorld
from tests.own_redis import OwnRedis, own_redis
from tests.workers.proxy import Proxy

pytestmark = pytest.mark.database

Make = Callable[..., Reservations]


@pytest.fixture
def queue(laravel: LaravelWorld) -> QueueView:
    return QueueView(laravel.redis, laravel.settings.prefix)


@pytest.fixture
def make(laravel: LaravelWorld) -> Iterator[Make]:
    """`make(seconds=90)`: a worker's reservations, as the role `laravel`."""
    clients: list[Redis] = []

    def made(redis: Redis | None = None, **more: Any) -> Reservations:
        if redis is None:
            redis = data_client(laravel.settings.redis, "test")
            clients.append(redis)
        options: dict[str, Any] = {"connection": "redis", "seconds": 90} | more
        return Reservations(redis, laravel.settings.prefix, **options)

    yield made
    for client in clients:
        client.close()


@pytest.fixture
def worker(make: Make) -> Reservations:
    return make()


@pytest.fixture
def other(make: Make) -> Reservations:
    """A second worker."""
    return make()


def take(worker: Reservations, most: int = 1) -> list[Taken]:
    return worker.reserve(["fleet"], most).taken


def take_one(worker: Reservations) -> Job:
    (taken,) = take(worker)
    return as_job(taken)


def as_job(taken: Taken) -> Job:
    payload = read_payload(taken.original)
    return Job(*taken, payload, payload.attempts + 1)


def complete(worker: Reservations, taken: Job) -> bool:
    worker.complete(Completed(taken, 1.0))
    worker.settle()
    return worker.ended()[-1][1]


# -- one job, step by step -------------------------------------------------------------------------


def test_a_reserved_job_is_off_the_list_with_one_attempt_more(
    queue: QueueView, worker: Reservations
) -> None:
    """Trap 1: it is in Redis all the time, whatever happens to the worker."""
    pushed = queue.push('{"id":"a","attempts":0}')
    before = queue.now()
    assert worker.reserve(["fleet"]).taken == [Taken("fleet", pushed, b'{"id":"a","attempts":1}')]
    ((reserved, score),) = queue.reserved().items()
    assert reserved == b'{"id":"a","attempts":1}'
    assert before + 90 <= score <= queue.now() + 90
    assert queue.lengths() == (0, 0, 1, 0)


def test_an_empty_queue_gives_nothing_and_stays_as_it_is(
    queue: QueueView, worker: Reservations
) -> None:
    assert worker.reserve(["fleet"]) == module.Found([], False, 0)
    assert queue.lengths() == (0, 0, 0, 0)


def test_an_empty_list_in_the_payload_is_an_object_afterwards(
    queue: QueueView, worker: Reservations
) -> None:
    """Trap 30; the original is handed out too, because the copy has lost that and more."""
    queue.push('{"attempts":0,"tags":[],"o":{}}')
    (taken,) = take(worker)
    assert json.loads(taken.reserved) == {"attempts": 1, "tags": {}, "o": {}}
    assert json.loads(taken.original) == {"attempts": 0, "tags": [], "o": {}}


def test_numbers_that_redis_shortens_are_read_from_the_original(
    queue: QueueView, worker: Reservations
) -> None:
    """Trap 29."""
    queue.push('{"uuid":"u","job":"Work","attempts":0,"data":{"id":12345678901234567}}')
    (taken,) = take(worker)
    assert b"1.2345678901235e+16" in taken.reserved
    assert as_job(taken).payload.data == {"id": 12_345_678_901_234_567}


def test_a_completed_job_leaves_nothing(queue: QueueView, worker: Reservations) -> None:
    queue.push(job("a"))
    assert complete(worker, take_one(worker))
    assert queue.lengths() == (0, 0, 0, 0)


def test_a_job_completed_twice_is_ours_once(queue: QueueView, worker: Reservations) -> None:
    queue.push(job("a"))
    taken = take_one(worker)
    assert complete(worker, taken)
    assert not complete(worker, taken)


def test_the_end_of_a_job_goes_out_with_the_next_reservation(
    queue: QueueView, worker: Reservations
) -> None:
    queue.push(job("a"))
    queue.push(job("b"))
    first = take_one(worker)
    worker.complete(Completed(first, 1.0))
    assert (len(queue.reserved()), worker.ended()) == (1, [])
    second = take_one(worker)
    assert uuids(list(queue.reserved())) == ["b"]
    assert [(completed.job, ours) for completed, ours in worker.ended()] == [(first, True)]
    assert worker.ended() == []
    assert second.payload.uuid == "b"


def test_a_released_job_is_due_after_its_delay_with_its_attempt_counted(
    queue: QueueView, worker: Reservations
) -> None:
    queue.push(job("a"))
    taken = take_one(worker)
    before = queue.now()
    assert worker.release(taken, 30)
    ((payload, due),) = queue.delayed().items()
    assert payload == taken.reserved
    assert before + 30 <= due <= queue.now() + 30  # trap 12: seconds, not milliseconds
    assert take(worker) == []
    queue.delays_pass()
    assert take_one(worker).attempts == 2


@pytest.mark.parametrize("delay", [0, -5, 2**63 - 1, -(2**63)])
def test_every_delay_that_php_can_ask_for_is_kept(
    queue: QueueView, worker: Reservations, delay: int
) -> None:
    queue.push(job("a"))
    assert worker.release(take_one(worker), delay)
    assert len(queue.delayed()) == 1


def test_a_failed_job_leaves_the_queue(queue: QueueView, worker: Reservations) -> None:
    queue.push(job("a"))
    assert worker.fail(take_one(worker), "RuntimeException: no luck")
    assert queue.lengths() == (0, 0, 0, 0)


def test_what_php_takes_back_is_pushed_in_the_step_that_ends_the_job(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    """Trap 17: chains and batches go on."""
    events = QueueView(laravel.redis, laravel.settings.prefix, "fleet-events")
    back = HandBack("fleet-events", b'{"uuid":"b"}', "b", "Back")
    queue.push(job("a"))
    worker.complete(Completed(take_one(worker), 1.0, back))
    worker.settle()
    assert (events.ready(), events.notices()) == ([b'{"uuid":"b"}'], 1)
    queue.push(job("c"))
    assert worker.fail(take_one(worker), "no luck", back)
    assert (events.ready(), events.notices()) == ([b'{"uuid":"b"}'] * 2, 2)


def test_a_job_that_is_no_longer_ours_hands_nothing_back(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    back = HandBack("fleet-events", b'{"uuid":"b"}', "b", "Back")
    queue.push(job("a"))
    taken = take_one(worker)
    assert complete(worker, taken)
    worker.complete(Completed(taken, 1.0, back))
    assert not worker.fail(taken, "no luck", back)
    assert QueueView(laravel.redis, laravel.settings.prefix, "fleet-events").ready() == []


# -- what comes due --------------------------------------------------------------------------------


def test_delayed_jobs_and_abandoned_ones_come_back_without_any_php(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """Trap 8."""
    queue.push(job("delayed"))
    queue.push(job("abandoned"))
    assert worker.release(take_one(worker), 60)
    take(worker)
    queue.delays_pass()
    queue.reservations_pass()
    found = [take_one(other), take_one(other)]
    assert [(taken.payload.uuid, taken.attempts) for taken in found] == [
        ("delayed", 2),
        ("abandoned", 2),
    ]


def test_due_jobs_go_behind_those_that_wait_earliest_first(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    members = {json.dumps(job(name)): score for name, score in (("late", 3), ("early", 2))}
    laravel.redis.zadd(queue.keys.delayed, members)
    queue.push(job("ready"))
    assert uuids([taken.original for taken in take(worker, 3)]) == ["ready", "early", "late"]


def test_only_so_many_due_jobs_are_moved_at_once(
    laravel: LaravelWorld,
    queue: QueueView,
    worker: Reservations,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MIGRATE_AT_ONCE", 2)
    laravel.redis.zadd(queue.keys.delayed, {json.dumps(job(str(at))): at for at in range(5)})
    assert take_one(worker).payload.uuid == "0"
    assert uuids(queue.ready()) == ["1"]
    assert uuids(list(queue.delayed())) == ["2", "3", "4"]
    assert queue.notices() == 1


def test_a_thousand_due_jobs_come_in_one_step(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    laravel.redis.zadd(queue.keys.delayed, {json.dumps(job(str(at))): at for at in range(1000)})
    take(worker)
    assert uuids(queue.ready()) == [str(at) for at in range(1, 1000)]
    assert queue.notices() == 999


def test_two_identical_delayed_payloads_are_one_job(
    laravel: LaravelWorld, queue: QueueView
) -> None:
    """Trap 7: why every payload of ours has a uuid of its own."""
    for score in (5, 9):
        laravel.redis.zadd(queue.keys.delayed, {"same": score})
    assert queue.delayed() == {b"same": 9}


def test_without_retry_after_a_reservation_never_runs_out(queue: QueueView, make: Make) -> None:
    worker = make(seconds=None)
    queue.push(job("a"))
    taken = take_one(worker)
    assert queue.reserved() == {taken.reserved: float("inf")}
    assert worker.renew("fleet", taken.reserved)
    queue.reservations_pass()
    assert take(worker) == []


# -- whose reservation it is -----------------------------------------------------------------------


def test_a_renewed_reservation_holds_for_another_period(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """Trap 20."""
    queue.push(job("a"))
    taken = take_one(worker)
    queue.reservations_pass()
    assert worker.renew("fleet", taken.reserved)
    assert queue.reserved()[taken.reserved] >= queue.now() + 89
    assert take(other) == []


def test_a_late_worker_neither_deletes_nor_releases(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """Traps 21 and 22: the string that it reserved is gone, so every step of its replies 0."""
    queue.push(job("a"))
    late = take_one(worker)
    queue.reservations_pass()
    current = take_one(other)
    mine = Taken(late.queue, late.original, late.reserved)
    assert current.attempts == 2
    assert not complete(worker, late)
    assert not worker.release(late, 0)
    assert not worker.fail(late, "no luck")
    assert not worker.give_back(mine)
    assert not worker.set_aside(mine, "odd")
    assert not worker.renew("fleet", late.reserved)
    assert list(queue.reserved()) == [current.reserved]
    assert queue.lengths() == (0, 0, 1, 0)
    assert queue.aside() == []
    assert complete(other, current)


def test_a_late_worker_of_php_cannot_make_us_lose_the_job(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    """PHP's release is unconditional: its second copy is a job, ours stays what it was."""
    queue.push(job("a"))
    laravel.php(
        """
        $queue = app('queue')->connection('redis');
        $late = $queue->pop('fleet');
        $redis = $queue->getConnection();
        $redis->zadd('queues:fleet:reserved', 1, $late->getReservedJob());
        $queue->migrateExpiredJobs('queues:fleet:reserved', 'queues:fleet');
        $taken = $queue->pop('fleet');
        $late->delete();
        $queue->getConnection()->zadd('queues:fleet:reserved', 1, $taken->getReservedJob());
        """
    )
    assert take_one(worker).attempts == 3


def test_both_sides_score_in_seconds_of_one_clock(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    """Traps 12 and 27: ours is the clock of Redis."""
    queue.push(job("ours"))
    queue.push(job("theirs"))
    take(worker)
    laravel.php("app('queue')->connection('redis')->pop('fleet');")
    ours, theirs = sorted(queue.reserved().values())
    assert 0 <= theirs - ours <= 30


# -- beside PHP's own queue ------------------------------------------------------------------------

ODD: list[str] = [
    '{"uuid":"a","attempts":0}',
    '{"attempts":7,"uuid":"a","tags":[],"o":{},"n":null,"t":true}',
    '{"uuid":"a","attempts":"0"}',
    '{"uuid":"a","attempts":0,"d":[12345678901234567,9007199254740993,1234567890123456]}',
    '{"uuid":"a","attempts":0,"d":[1700000000.123456,1.10,3.0,1e3,-0.0,0.1]}',
    '{"uuid":"a","attempts":0,"d":"a/b \\u00e9 \\ud83d\\ude00 \\u0000\\u0001\\u007f \\\\ \\" \\n"}',
    '{"uuid":"é€😀","attempts":0,"d":[[[[{"a":[null]}]]]]}',
    '{"uuid":"a","attempts":1e2}',
    '{"uuid":"a","attempts":0,"data":' + "[" * 900 + "]" * 900 + "}",
]
EACH = """
$queue = app('queue')->connection('redis');
while (($line = fgets(STDIN)) !== false) {
    $payload = json_decode($line);
    $queue->pushRaw($payload, 'theirs');
    $job = $queue->pop('theirs');
    $job->release(60);
    echo json_encode([base64_encode($job->getReservedJob()), $job->attempts()]), "\\n";
}
"""


def test_the_reserved_string_is_byte_for_byte_that_of_php(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    theirs = QueueView(laravel.redis, laravel.settings.prefix, "theirs")
    for payload in ODD:
        queue.push(payload)
        (taken,) = take(worker)
        told = {"uuid": "u", "job": "Work", "attempts": int(attempts(taken.original))}
        assert worker.release(as_job(taken._replace(original=json.dumps(told).encode())), 60)
    laravel.php(EACH, *ODD)
    assert set(queue.delayed()) == set(theirs.delayed())
    assert queue.lengths() == theirs.lengths() == (0, len(set(theirs.delayed())), 0, 0)
    assert all(abs(ours - theirs.delayed()[text]) < 30 for text, ours in queue.delayed().items())


STEP = """
$queue = app('queue')->connection('redis');
$say = fn ($what) => print(json_encode($what)."\\n");
"""


def test_a_job_goes_back_and_forth_between_python_and_php(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    laravel.php(
        STEP
        + "$queue->pushRaw(json_encode(['uuid' => 'a', 'job' => 'Work', 'id' => 'a',"
        + " 'attempts' => 0, 'data' => ['amount' => '1.10', 'none' => []]]), 'fleet');"
    )
    assert queue.lengths() == (1, 0, 0, 1)
    taken = take_one(worker)
    assert (taken.attempts, taken.payload.data["amount"]) == (1, "1.10")
    assert worker.release(taken, 0)
    (seen,) = laravel.php(
        STEP + "$job = $queue->pop('fleet'); $say([$job->attempts(), $job->uuid()]);"
        " $job->release(0);"
    )
    assert seen == [2, "a"]
    assert queue.lengths() == (0, 1, 0, 0)
    taken = take_one(worker)
    assert taken.attempts == 3
    assert laravel.php(STEP + "$say($queue->size('fleet'));") == [1]
    assert complete(worker, taken)
    assert queue.lengths() == (0, 0, 0, 0)


def test_a_job_that_php_delayed_or_pushed_by_the_hundred_comes_in_its_order(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    laravel.php(
        STEP
        + """
        $queue->later(3600, 'Work@late', ['n' => 1], 'fleet');
        $queue->bulk(array_map(fn ($n) => "Work@n$n", range(1, 300)), [], 'fleet');
        """
    )
    assert queue.lengths() == (300, 1, 0, 300)
    (due,) = queue.delayed().values()
    assert abs(due - queue.now() - 3600) < 30
    queue.delays_pass()
    names = []
    while found := take(worker, 32):
        names += [as_job(taken).payload.job for taken in found]
    assert names == [f"Work@n{at}" for at in range(1, 301)] + ["Work@late"]
    assert queue.notices() == 0


def test_php_counts_and_clears_what_we_hold(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """`queue:clear` has its documented effect: everything of the queue is gone for good."""
    for at in range(8):
        queue.push(job(str(at)))
    taken = as_job(take(worker, 4)[0])
    assert worker.release(taken, 60)
    assert laravel.php(STEP + "$say([$queue->size('fleet'), $queue->clear('fleet')]);") == [[8, 8]]
    assert queue.lengths() == (0, 0, 0, 0)
    assert not complete(worker, taken)
    queue.holds_pass()
    assert take(other) == []
    assert queue.lengths() == (0, 0, 0, 0)


def test_no_key_of_ours_is_a_queue_to_laravel(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    queue.push("no job")
    queue.push(job("a"))
    queue.push(job("b"))
    take(worker, 2)
    found: Any = laravel.redis.keys(f"{laravel.settings.prefix}queues:*")
    assert {key.decode() for key in found} == {queue.keys.reserved}


def test_all_keys_of_a_queue_with_braces_are_in_one_slot() -> None:
    """Trap 19: where Laravel's Redis is a cluster, the queue's name has them."""
    found = queue_keys("p_", "{fleet}")
    assert found.ready == "p_queues:{fleet}"
    assert {key_slot(key.encode()) for key in found} == {key_slot(b"fleet")}


# -- several queues --------------------------------------------------------------------------------


def test_the_first_queue_that_has_a_job_is_emptied_before_the_next(
    laravel: LaravelWorld, worker: Reservations
) -> None:
    urgent = QueueView(laravel.redis, laravel.settings.prefix, "urgent")
    calm = QueueView(laravel.redis, laravel.settings.prefix, "calm")
    calm.push(job("c1"))
    urgent.push(job("u1"))
    urgent.push(job("u2"))
    order = []
    while found := worker.reserve(["urgent", "calm"], 2).taken:
        order.append([(taken.queue, as_job(taken).payload.uuid) for taken in found])
    assert order == [[("urgent", "u1"), ("urgent", "u2")], [("calm", "c1")]]


# -- what no worker can run ------------------------------------------------------------------------

LOST_BY_PHP: dict[str, bytes] = {
    "no JSON": b"ping",
    "nothing": b"",
    "binary": bytes(range(256)),
    "a list": b"[1,2]",
    "a text": b'"{}"',
    "a number": b"5",
    "null": b"null",
    "no attempts": b'{"id":"a"}',  # trap 2
    "attempts null": b'{"id":"a","attempts":null}',  # trap 2
    "attempts a list": b'{"id":"a","attempts":[]}',
    "attempts not finite": b'{"id":"a","attempts":1e999}',
    "a lone surrogate": b'{"id":"\\ud83d","attempts":0}',  # trap 3
    "nesting over 1000": b'{"attempts":0,"d":' + b"[" * 1001 + b"]" * 1001 + b"}",  # trap 3
    "PHP's serialization": b'O:8:"stdClass":0:{}',
}


@pytest.mark.parametrize("kind", LOST_BY_PHP)
def test_what_redis_cannot_reserve_is_set_aside_and_the_next_job_runs(
    queue: QueueView, worker: Reservations, kind: str
) -> None:
    """Trap 16: no error is taken for an empty queue."""
    queue.push(LOST_BY_PHP[kind])
    queue.push(job("next"))
    found = worker.reserve(["fleet"])
    assert (uuids([taken.original for taken in found.taken]), found.aside) == (["next"], 1)
    assert queue.aside() == [LOST_BY_PHP[kind]]
    assert queue.lengths() == (0, 0, 1, 0)


def test_every_payload_set_aside_says_why_under_a_token_of_its_own(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    for payload in LOST_BY_PHP.values():
        queue.push(payload)
    assert worker.reserve(["fleet"]) == module.Found([], False, len(LOST_BY_PHP))
    found: Any = laravel.redis.lrange(queue.keys.quarantine, 0, -1)
    tokens, reasons, payloads = zip(*(one.split(b"\n", 2) for one in found), strict=True)
    assert list(payloads) == list(LOST_BY_PHP.values())
    assert len(set(tokens)) == len(found)
    assert all(reasons)


def test_a_flood_of_bad_payloads_is_set_aside_in_bounded_steps(
    queue: QueueView, worker: Reservations
) -> None:
    for _ in range(250):
        queue.push("bad")
    queue.push(job("next"))
    assert [worker.reserve(["fleet"]).aside for _ in range(2)] == [100, 100]
    found = worker.reserve(["fleet"])
    assert (found.aside, len(found.taken), len(queue.aside())) == (50, 1, 250)


def test_a_payload_that_redis_reads_and_we_do_not_is_set_aside_by_name(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    pushed = queue.push(b'{"attempts":0,"text":"\xff"}')
    (taken,) = take(worker)
    assert worker.set_aside(taken, "two\nlines")
    redis: Any = laravel.redis
    (element,) = redis.lrange(queue.keys.quarantine, 0, -1)
    assert element.split(b"\n", 2)[1:] == [b"two lines", pushed]
    assert queue.lengths() == (0, 0, 0, 0)
    assert not worker.set_aside(taken, "again")


TAKEN_BY_HORIZON = ["pending_jobs", "masters", "monitoring", "queue:fleet", "master:a", "failed:b"]


@pytest.mark.parametrize("identity", TAKEN_BY_HORIZON)
def test_a_job_that_is_called_like_a_key_of_horizon_is_set_aside(
    laravel: LaravelWorld, queue: QueueView, make: Make, identity: str
) -> None:
    """Its record would stand where Horizon has something else, and break every job after it."""
    horizon = f"{laravel.settings.prefix}horizon:"
    worker = make(horizon=horizon)
    queue.push(job(identity))
    queue.push(job("next"))
    found = worker.reserve(["fleet"])
    assert (uuids([taken.original for taken in found.taken]), found.aside) == (["next"], 1)
    assert laravel.redis.exists(horizon + identity) == 0
    assert b"Horizon" in laravel.redis.lindex(queue.keys.quarantine, 0)  # type: ignore[operator]


def test_without_horizon_a_job_may_be_called_anything(
    queue: QueueView, worker: Reservations
) -> None:
    queue.push(job("pending_jobs"))
    assert complete(worker, take_one(worker))


def test_a_parent_that_is_no_job_does_not_keep_its_retry_from_ending(
    laravel: LaravelWorld, queue: QueueView, make: Make
) -> None:
    horizon = f"{laravel.settings.prefix}horizon:"
    laravel.redis.zadd(f"{horizon}odd", {"a": 1})
    worker = make(horizon=horizon)
    queue.push(job("a", retry_of="odd"))
    assert complete(worker, take_one(worker))
    queue.push(job("b", retry_of="odd"))
    assert worker.fail(take_one(worker), "no luck")
    assert laravel.redis.zcard(f"{horizon}failed_jobs") == 1


# -- a hand full of jobs ---------------------------------------------------------------------------


def push_many(queue: QueueView, count: int) -> None:
    # The order of their texts is not the order of their pushes.
    for at in range(count):
        queue.push(job(str(at), rank=-at))


def start(worker: Reservations, taken: Taken) -> bool:
    worker.start(taken)
    return worker.started()


def test_a_hand_of_jobs_comes_in_their_order_and_is_held(
    queue: QueueView, worker: Reservations
) -> None:
    push_many(queue, 5)
    found = worker.reserve(["fleet"], 3)
    assert uuids([taken.original for taken in found.taken]) == ["0", "1", "2"]
    assert found.held
    assert queue.held() == 3
    assert queue.lengths() == (2, 0, 3, 2)


def test_a_single_job_is_tried_at_once_and_not_held(
    queue: QueueView, worker: Reservations
) -> None:
    push_many(queue, 2)
    found = worker.reserve(["fleet"])
    assert (len(found.taken), found.held, queue.held()) == (1, False, 0)
    assert worker.started()


def test_the_next_jobs_are_asked_for_while_others_are_worked_off(
    queue: QueueView, worker: Reservations
) -> None:
    push_many(queue, 5)
    first, second = (as_job(taken) for taken in take(worker, 2))
    worker.ask_ahead("fleet", 2)
    worker.start(Taken(*first[:3]))
    worker.complete(Completed(first, 1.0))
    assert start(worker, Taken(*second[:3]))
    worker.complete(Completed(second, 1.0))
    found = worker.asked()
    assert uuids([taken.original for taken in found.taken]) == ["2", "3"]
    assert [ours for _, ours in worker.ended()] == [True, True]
    assert worker.asked() == module.Found([], True, 0)
    assert (queue.held(), len(queue.reserved())) == (2, 2)


def test_a_started_job_is_an_ordinary_reservation(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    push_many(queue, 2)
    first, second = take(worker, 2)
    assert start(worker, first)
    assert start(worker, second)
    assert queue.held() == 0
    queue.holds_pass()
    assert take(other) == []
    queue.reservations_pass()
    assert [as_job(taken).attempts for taken in take(other, 2)] == [2, 2]


def test_a_job_that_went_back_before_its_start_is_not_ours(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """A worker that was asleep for so long must not commit what another one does too."""
    push_many(queue, 1)
    (taken,) = take(worker, 2)
    queue.holds_pass()
    assert len(take(other)) == 1
    assert not start(worker, taken)
    assert not worker.started()
    take(worker)
    assert worker.started()


def test_what_a_dead_worker_held_returns_to_the_head_as_it_was(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """Its tried job waits for the end of its reservation; the untried ones lose no attempt."""
    push_many(queue, 12)
    first, *_ = take(worker, 10)
    assert start(worker, first)
    assert take_one(other).payload.uuid == "10"
    queue.holds_pass()
    again = take(other, 9)
    assert uuids([taken.original for taken in again]) == [str(at) for at in range(1, 10)]
    assert [as_job(taken).attempts for taken in again] == [1] * 9
    assert uuids(queue.ready()) == ["11"]
    assert set(uuids(list(queue.reserved()))) == {str(at) for at in range(11)}


def test_jobs_held_by_two_dead_workers_return_the_earlier_hand_first(
    queue: QueueView, worker: Reservations, other: Reservations, make: Make
) -> None:
    push_many(queue, 8)
    take(worker, 4)
    take(other, 4)
    queue.holds_pass()
    again = [taken.original for taken in take(make(), 8)]
    assert uuids(again) == [str(at) for at in range(8)]


def test_a_hold_lasts_its_seconds(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    push_many(queue, 4)
    before = queue.now()
    take(worker, 4)
    redis: Any = laravel.redis
    ends = [score for _, score in redis.zrange(queue.keys.held, 0, -1, withscores=True)]
    assert len(ends) == 4
    assert ends == sorted(set(ends))
    assert before + HOLD_SECONDS <= min(ends)
    assert max(ends) <= queue.now() + HOLD_SECONDS + 1
    assert take(other) == []


@pytest.mark.parametrize(("seconds", "hold"), [(None, 5), (90, 5), (10, 5), (5, 2), (1, 0)])
def test_a_hold_ends_long_before_the_reservation(
    make: Make, seconds: int | None, hold: int
) -> None:
    assert make(seconds=seconds).hold_seconds == hold


def test_jobs_given_back_stand_where_they_stood(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """Trap 33: a look is no attempt."""
    push_many(queue, 5)
    before = queue.ready()
    for taken in reversed(take(worker, 4)):
        assert worker.give_back(taken, held=True)
    assert queue.ready() == before
    assert queue.lengths() == (5, 0, 0, 5)
    assert queue.held() == 0
    assert take_one(other).attempts == 1


def test_a_job_that_went_back_meanwhile_is_not_given_back_again(
    queue: QueueView, worker: Reservations, other: Reservations
) -> None:
    """Its new reservation is the same string as the old one, for no attempt was counted."""
    push_many(queue, 1)
    (held,) = take(worker, 2)
    queue.holds_pass()
    current = take_one(other)
    assert current.reserved == held.reserved
    assert not worker.give_back(held, held=True)
    assert list(queue.reserved()) == [current.reserved]
    assert queue.ready() == []
    assert complete(other, current)


def test_a_started_job_can_be_given_back(queue: QueueView, worker: Reservations) -> None:
    """When its worker has to stop and nothing of it is committed."""
    push_many(queue, 2)
    first, second = take(worker, 2)
    assert start(worker, first)
    assert worker.give_back(second, held=True)
    assert worker.give_back(first, "0")
    assert uuids(queue.ready()) == ["0", "1"]
    assert [attempts(payload) for payload in queue.ready()] == [0, 0]


def test_a_held_job_that_failed_its_reservation_is_not_released_twice(
    queue: QueueView, worker: Reservations, make: Make
) -> None:
    """A reservation shorter than the hold: the ordinary way back comes first and counts it."""
    push_many(queue, 2)
    take(worker, 2)
    queue.reservations_pass()
    other = make()
    assert [take_one(other).attempts for _ in range(2)] == [2, 2]
    queue.holds_pass()
    assert take(make()) == []
    assert (len(queue.reserved()), queue.held()) == (2, 0)


# -- a Redis that forgets, breaks off, or is full --------------------------------------------------


def test_scripts_that_redis_forgot_in_the_middle_are_loaded_again(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    back = HandBack("fleet-events", b'{"uuid":"b"}', "b", "Back")  # with it, the end is a script
    push_many(queue, 3)
    first, second = take(worker, 2)
    worker.start(first)
    laravel.redis.script_flush()
    worker.complete(Completed(as_job(first), 1.0, back))
    worker.start(second)
    laravel.redis.script_flush()
    worker.complete(Completed(as_job(second), 1.0, back))
    worker.ask_ahead("fleet", 2)
    (third,) = worker.asked().taken
    assert as_job(third).payload.uuid == "2"
    assert [ours for _, ours in worker.ended()] == [True, True]
    assert worker.started()
    assert start(worker, third)
    assert complete(worker, as_job(third))
    assert (queue.lengths(), queue.held()) == ((0, 0, 0, 0), 0)


@pytest.fixture
def proxy(laravel: LaravelWorld) -> Iterator[Proxy]:
    found = Proxy(laravel.settings.redis.host, laravel.settings.redis.port)
    yield found
    found.close()


def through(laravel: LaravelWorld, proxy: Proxy) -> Redis:
    return data_client(laravel.settings.redis.model_copy(update={"port": proxy.port}), "test")


def test_what_was_not_answered_is_told_and_can_be_said_again(
    laravel: LaravelWorld, queue: QueueView, make: Make, proxy: Proxy
) -> None:
    push_many(queue, 2)
    with closing(through(laravel, proxy)) as client:
        worker = make(client)
        jobs = [as_job(taken) for taken in take(worker, 2)]
        for one in jobs:
            worker.complete(Completed(one, 1.0))
        proxy.cut()
        with pytest.raises(RedisError):
            worker.settle()
        lost = worker.unanswered()
    assert [completed.job for completed in lost] == jobs
    assert worker.unanswered() == []
    assert worker.ended() == []
    again = make()
    for completed in lost:
        again.complete(completed)
    again.settle()
    assert [ours for _, ours in again.ended()] == [True, True]
    assert queue.lengths() == (0, 0, 0, 0)


def test_a_connection_that_broke_off_carries_nothing_over(
    laravel: LaravelWorld, queue: QueueView, make: Make, proxy: Proxy
) -> None:
    """A reply that is still on its way would be taken for the answer to the next question."""
    push_many(queue, 3)
    with closing(through(laravel, proxy)) as client:
        worker = make(client)
        first = take_one(worker)
        worker.complete(Completed(first, 1.0))
        proxy.cut()
        with pytest.raises(RedisError):
            take(worker)
        proxy.join()
        worker.unanswered()
        assert take_one(worker).payload.uuid == "1"
    assert complete(make(), first)


def test_an_error_of_a_script_is_an_error_and_no_empty_queue(
    laravel: LaravelWorld, queue: QueueView, worker: Reservations
) -> None:
    """Trap 16."""
    laravel.redis.set(queue.keys.ready, "no list")
    with pytest.raises(RedisError, match="WRONGTYPE"):
        take(worker)
    laravel.redis.delete(queue.keys.ready)
    queue.push(job("a"))
    assert take_one(worker).payload.uuid == "a"


@pytest.fixture
def full(servers: Mapping[str, str]) -> Iterator[OwnRedis]:
    with own_redis(servers) as found:
        yield found


def test_a_redis_without_memory_lets_consumers_go_on(full: OwnRedis) -> None:
    """What they do moves memory or frees it; a job in hand must be able to end."""
    with closing(data_client(full.where, "test")) as client, closing(full.client()) as root:
        queue = QueueView(root, "p:")
        worker = Reservations(client, "p:", connection="redis", seconds=90, horizon="h:")
        for payload in (job("a"), job("b"), job("c"), job("d"), "bad"):
            queue.push(payload)
        full.fill_up()
        first, second, third, fourth = (as_job(taken) for taken in take(worker, 4))
        assert all(start(worker, Taken(*one[:3])) for one in (first, second, third))
        assert worker.release(first, 60)
        assert worker.fail(second, "no luck")
        assert worker.give_back(Taken(*fourth[:3]), held=True)
        assert worker.renew("fleet", third.reserved)
        assert complete(worker, third)
        assert worker.reserve(["fleet"], 2).aside == 1
        assert queue.lengths() == (0, 1, 1, 0)


def test_a_redis_that_was_restarted_empty_is_an_error_once(full: OwnRedis) -> None:
    with closing(data_client(full.where, "test")) as client:
        worker = Reservations(client, "p:", connection="redis", seconds=90)
        with closing(full.client()) as root:
            QueueView(root, "p:").push(job("a"))
        taken = take_one(worker)
        full.stop()
        with pytest.raises(RedisError):
            worker.renew("fleet", taken.reserved)
        full.start()
        assert not worker.renew("fleet", taken.reserved)
        assert not complete(worker, taken)
