"""The Laravel worker on real servers, fed by real PHP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from shared.laravel.reservations import Reservations, Taken
from tests.laravel_queues import attempts, uuids
from tests.laravel_stores import STORES, Storage
from tests.laravel_world import QUICK, LaravelWorld
from tests.waiting import eventually
from tests.workers.laravel.conftest import Configure
from tests.workers.laravel.jobs import (
    NOTE,
    Cut,
    Gate,
    Note,
    Worked,
    behind_proxy,
    command,
    note,
)
from workers.laravel.endings import HAND_BACK
from workers.laravel.hand import HandBounds
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context
from workers.laravel_jobs.table import JobClass

pytestmark = pytest.mark.database


def requests(world: LaravelWorld) -> list[tuple[Any, ...]]:
    return world.rows("SELECT class, arguments, attempts FROM fleet_requests ORDER BY answered_at")


PING = """
class_exists('Tradefleet\\\\Laravel\\\\Jobs\\\\Ping') || eval('
namespace Tradefleet\\\\Laravel\\\\Jobs;
class Ping implements \\\\Illuminate\\\\Contracts\\\\Queue\\\\ShouldQueue {
    use \\\\Illuminate\\\\Bus\\\\Queueable, \\\\Illuminate\\\\Foundation\\\\Bus\\\\Dispatchable,
        \\\\Illuminate\\\\Queue\\\\InteractsWithQueue, \\\\Illuminate\\\\Queue\\\\SerializesModels;
    public function __construct(public string $token) {}
}');
"""

# The class of the tests' handler, with whatever else one dispatch wants of it.
NOTE_CLASS = r"""
eval('namespace App\Jobs;
class Note implements \Illuminate\Contracts\Queue\ShouldQueue%s {
    use \Illuminate\Bus\Batchable, \Illuminate\Bus\Queueable,
        \Illuminate\Foundation\Bus\Dispatchable, \Illuminate\Queue\InteractsWithQueue,
        \Illuminate\Queue\SerializesModels;
    %s
    public function __construct(public string $name) {}
    public function handle() {}
}');
"""


def note_class(body: str = "", interface: str = "") -> str:
    return NOTE_CLASS % (interface and rf", \Illuminate\Contracts\Queue\{interface}", body)


def counted(world: LaravelWorld, name: str) -> int:
    """How many exceptions of a job PHP knows of."""
    key = f"job-exceptions:uuid-{name}"
    code = f"echo (int) Illuminate\\Support\\Facades\\Cache::get('{key}'), PHP_EOL;"
    (found,) = world.php(code)
    return int(found)


# -- from PHP to Python ----------------------------------------------------------------------------


def test_a_job_that_php_dispatched_is_run_and_leaves_nothing(laravel: LaravelWorld) -> None:
    laravel.php(PING + "Tradefleet\\Laravel\\Jobs\\Ping::dispatch('abc')->onQueue('fleet');")
    assert laravel.lengths() == (1, 0, 0)
    with laravel.working():
        eventually(lambda: requests(laravel))
        eventually(lambda: laravel.lengths() == (0, 0, 0))
    assert requests(laravel) == [
        ("Tradefleet\\Laravel\\Jobs\\Ping", json.dumps({"token": "abc"}, separators=(",", ":")), 1)
    ]
    assert laravel.failed() == []


def test_an_encrypted_job_is_run_too(worked: Worked) -> None:
    """Trap 37: there are two layers of serialization inside."""
    worked.world.php(
        note_class(interface="ShouldBeEncrypted")
        + "App\\Jobs\\Note::dispatch('é secret')->onQueue('fleet');"
    )
    (payload,) = worked.queue.ready()
    assert b"secret" not in payload
    with worked.working():
        eventually(lambda: worked.handler.names == ["é secret"])
        eventually(worked.empty)


def test_a_job_that_php_delayed_runs_when_it_is_due(worked: Worked) -> None:
    worked.world.php(
        note_class() + "App\\Jobs\\Note::dispatch('late')->onQueue('fleet')->delay(3600);"
    )
    with worked.working():
        worked.push("early")
        eventually(lambda: worked.handler.names == ["early"])
        assert len(worked.queue.delayed()) == 1
        worked.queue.delays_pass()
        eventually(lambda: worked.handler.names == ["early", "late"])


def test_a_job_pushed_by_name_needs_no_object(worked: Worked) -> None:
    """Trap 23: the worker deletes it; in PHP the handler must."""
    worked.world.php(
        "app('queue')->connection('redis')->push('App\\Jobs\\Raw@run', ['name' => 'raw'], 'fleet');"
        "app('queue')->connection('redis')->push('App\\Jobs\\Empty', [], 'fleet');"
    )
    seen: list[Any] = []
    table = {
        "App\\Jobs\\Raw@run": worked.handler.table[NOTE],
        "App\\Jobs\\Empty": JobClass(Arguments, lambda _, one: seen.append(one)),
    }
    with worked.working(table=table):
        eventually(lambda: worked.handler.names == ["raw"] and len(seen) == 1)
        eventually(worked.empty)


def test_a_unique_job_can_be_dispatched_again_when_it_is_done(worked: Worked) -> None:
    """Trap 18."""
    unique = note_class(
        "public $uniqueFor = 500; public function uniqueId() { return $this->name; }",
        "ShouldBeUnique",
    )
    dispatch = unique + "App\\Jobs\\Note::dispatch('one')->onQueue('fleet');"
    worked.world.php(dispatch)
    worked.world.php(dispatch)
    assert len(worked.queue.ready()) == 1
    with worked.working():
        eventually(lambda: worked.handler.names == ["one"])
        eventually(worked.empty)
    worked.world.php(dispatch)
    assert len(worked.queue.ready()) == 1


# -- an attempt that failed ------------------------------------------------------------------------


def test_a_handler_that_raises_is_tried_again_after_its_backoff(worked: Worked) -> None:
    worked.handler.fails("a", times=2)
    worked.push("a", maxTries=3, backoff="50,100,200")
    with worked.working():
        eventually(lambda: len(worked.queue.delayed()) == 1)
        ((payload, due),) = worked.queue.delayed().items()
        assert 40 < due - worked.queue.now() <= 50
        assert attempts(payload) == 1
        worked.queue.delays_pass()
        eventually(lambda: len(worked.handler.ran) == 2 and worked.queue.delayed())
        ((payload, due),) = worked.queue.delayed().items()
        assert 90 < due - worked.queue.now() <= 100
        worked.queue.delays_pass()
        eventually(lambda: worked.answered() == {"uuid-a": 3})
        eventually(worked.empty)
    assert worked.handler.ran == [("a", 1), ("a", 2), ("a", 3)]
    assert worked.world.failed() == []
    assert [bool(error) for _, error in worked.outcomes()] == [True, True, False]


def test_nothing_of_a_failed_attempt_is_committed(worked: Worked) -> None:
    def half(context: Context) -> None:
        context.record("{}", {"state": "half done"})
        raise RuntimeError("no luck")

    worked.handler.on("a", half)
    worked.push("a")
    with worked.working():
        eventually(worked.world.failed)
    assert worked.answered() == {}


def test_the_last_attempt_fails_for_good(worked: Worked) -> None:
    worked.handler.fails("a")
    text = json.dumps(note("a", tags=["t:1"])).encode()
    worked.queue.push(text)
    with worked.working():
        eventually(worked.world.failed)
        eventually(worked.empty)
    ((uuid, connection, queue, payload, exception),) = worked.world.failed()
    assert (uuid, connection, queue) == ("uuid-a", "redis", "fleet")
    assert payload.encode() == text
    assert exception.startswith("RuntimeError: no luck with a in ")
    assert "Stack trace:" in exception
    assert "uuid-a" in worked.world.artisan("queue:failed")
    redis: Any = worked.world.redis
    record = redis.hgetall(f"{worked.settings.horizon_prefix}uuid-a")
    assert record[b"status"] == b"failed"
    assert record[b"exception"].decode() == exception
    # Horizon's list and the row: a retry in one of them does not see the other (trap 24).
    assert redis.zscore(f"{worked.settings.horizon_prefix}failed_jobs", "uuid-a") < 0


def test_a_failed_job_is_retried_by_artisan_and_runs(worked: Worked) -> None:
    worked.handler.fails("a")
    worked.push("a")
    with worked.working():
        eventually(worked.world.failed)
        worked.world.artisan("queue:retry", "uuid-a")
        eventually(lambda: worked.answered() == {"uuid-a": 1})
    assert worked.world.failed() == []


def test_a_class_that_nobody_knows_fails_with_a_sentence(worked: Worked) -> None:
    """Its attempt is used, as with a PHP worker that does not know a class."""
    worked.queue.push(note("a") | {"data": {"commandName": "App\\X", "command": command("App\\X")}})
    worked.push("b")
    with worked.working():
        eventually(worked.world.failed)
        eventually(lambda: worked.handler.names == ["b"])
    ((*_, exception),) = worked.world.failed()
    assert "no Python handler for App\\X" in exception
    assert "queue:retry" in exception


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({}, "`name` has no value here"),
        ({"name": None}, "`name`"),
        ({"name": "a", "extra": 1}, "`extra` is a property of the PHP class and no field here"),
    ],
)
def test_arguments_that_are_not_the_models_fail_with_a_sentence(
    worked: Worked, properties: dict[str, Any], told: str
) -> None:
    """Traps 11 and 36: what Laravel left out or lost is said, and no default is made up."""
    data = {"commandName": NOTE, "command": command(**properties)}
    worked.queue.push(note("a") | {"data": data})
    with worked.working():
        eventually(worked.world.failed)
    ((*_, exception),) = worked.world.failed()
    assert told in exception
    assert worked.handler.ran == []


def test_a_command_that_is_no_object_fails_with_a_sentence(worked: Worked) -> None:
    worked.queue.push(note("a") | {"data": {"commandName": NOTE, "command": "O:3:garbage"}})
    worked.queue.push(note("b") | {"data": {"commandName": NOTE, "command": "no ciphertext"}})
    with worked.working():
        eventually(lambda: len(worked.world.failed()) == 2)
    assert all("`data.command`" in row[4] for row in worked.world.failed())


def test_a_job_that_was_tried_too_often_fails_without_a_run(worked: Worked) -> None:
    """As one whose worker was killed in each attempt."""
    worked.push("a", maxTries=2, attempts=2)
    with worked.working():
        eventually(worked.world.failed)
        eventually(worked.empty)
    assert worked.handler.ran == []
    ((*_, exception),) = worked.world.failed()
    assert exception.startswith("Illuminate\\Queue\\MaxAttemptsExceededException: ")


def test_a_job_past_its_time_fails_without_a_run(worked: Worked) -> None:
    worked.push("a", maxTries=9, retryUntil=1)
    worked.push("b", maxTries=1, attempts=5, retryUntil=worked.queue.now() + 600)
    with worked.working():
        eventually(worked.world.failed)
        eventually(lambda: worked.answered() == {"uuid-b": 6})
    assert worked.handler.names == ["b"]


def test_without_tries_of_its_own_a_job_has_the_workers(configure: Configure) -> None:
    worked = configure(FLEET_QUEUE_TRIES="2", FLEET_QUEUE_BACKOFF="70")
    worked.handler.fails("a", times=2)
    worked.push("a")
    with worked.working():
        eventually(worked.queue.delayed)
        ((_, due),) = worked.queue.delayed().items()
        assert 60 < due - worked.queue.now() <= 70
        worked.queue.delays_pass()
        eventually(worked.world.failed)
    assert worked.handler.ran == [("a", 1), ("a", 2)]


def test_a_job_fails_when_its_exceptions_are_used_up_on_both_sides_together(
    worked: Worked,
) -> None:
    """One exception in PHP, one here: the counter is one."""
    worked.world.php(
        "use Illuminate\\Support\\Facades\\Cache;"
        " Cache::put('job-exceptions:uuid-a', 0, 600); Cache::increment('job-exceptions:uuid-a');"
    )
    worked.handler.fails("a", times=5)
    worked.push("a", maxTries=9, maxExceptions=3, backoff="60")
    with worked.working():
        eventually(worked.queue.delayed)
        worked.queue.delays_pass()
        eventually(worked.world.failed)
        eventually(worked.empty)
    assert len(worked.handler.ran) == 2
    assert counted(worked.world, "a") == 0


def test_an_exception_with_odd_text_is_recorded_like_any(worked: Worked) -> None:
    worked.handler.fails("a", error=RuntimeError("half a pair: \ud83d, and \0"))
    worked.push("a", "b")
    with worked.working():
        eventually(worked.world.failed)
        eventually(lambda: worked.answered() == {"uuid-b": 1})
    ((*_, exception),) = worked.world.failed()
    assert "half a pair: \\ud83d" in exception


# -- servers that are away -------------------------------------------------------------------------


def connection_of(context: Context) -> int:
    cursor = context.mysql().cursor()
    cursor.execute("SELECT CONNECTION_ID()")
    return int(cursor.fetchone()[0])


def test_a_commit_that_failed_leaves_the_job_reserved_and_it_is_tried_again(
    worked: Worked,
) -> None:
    """Trap 25: done means committed."""

    def kill_after(context: Context) -> None:
        context.record("{}", {"state": "lost with its connection"})
        worked.world.connection.cursor().execute("KILL %s", (connection_of(context),))

    worked.handler.on("a", kill_after)
    worked.push("a")
    with worked.working():
        eventually(lambda: worked.answered() == {"uuid-a": 1})
        eventually(worked.empty)
    assert worked.handler.ran == [("a", 1), ("a", 1)]
    assert worked.outcomes() == [("uuid-a", None)]


def pauses(node: Any) -> Callable[[], bool]:
    """The worker has noticed that a server is away."""
    return lambda: not node.ready() and node.info()["last_error"] is not None


def test_mysql_away_is_no_attempt(configure: Configure, worked: Worked) -> None:
    with behind_proxy(worked.settings.mysql) as proxy:
        away = configure(DB_PORT=str(proxy.port))
        cut = Cut(proxy)
        away.handler.on("a", cut)
        away.push("a", maxTries=1)
        with away.working() as node:
            cut.wait()
            eventually(pauses(node))
            assert len(away.queue.reserved()) == 1
            proxy.join()
            eventually(lambda: away.answered() == {"uuid-a": 1})
            eventually(away.empty)
            eventually(node.ready)
    assert set(away.handler.ran) == {("a", 1)}
    assert away.world.failed() == []


def test_a_worker_that_stops_while_mysql_is_away_gives_the_job_back(
    configure: Configure, worked: Worked
) -> None:
    with behind_proxy(worked.settings.mysql) as proxy:
        away = configure(DB_PORT=str(proxy.port))
        cut = Cut(proxy)
        away.handler.on("a", cut)
        away.push("a", "b")
        before = away.queue.ready()
        with away.working() as node:
            cut.wait()
            eventually(pauses(node))
        assert away.queue.ready() == before
        assert away.queue.lengths()[1:3] == (0, 0)
    with worked.working():
        eventually(lambda: worked.answered() == {"uuid-a": 1, "uuid-b": 1})


def test_redis_away_at_the_end_of_a_job_does_not_run_it_again(
    configure: Configure, worked: Worked
) -> None:
    """What is committed leaves its reservation when Redis is back."""
    with behind_proxy(worked.settings.redis) as proxy:
        away = configure(REDIS_PORT=str(proxy.port))
        cut = Cut(proxy)
        away.handler.on("a", cut)
        away.push("a")
        with away.working() as node:
            cut.wait()
            eventually(lambda: worked.answered() == {"uuid-a": 1})
            eventually(pauses(node))
            assert len(away.queue.reserved()) == 1
            proxy.join()
            eventually(away.empty)
            away.push("b")
            eventually(lambda: away.answered() == {"uuid-a": 1, "uuid-b": 1})
    assert away.handler.names == ["a", "b"]
    assert sorted(away.outcomes()) == [("uuid-a", None), ("uuid-b", None)]


def test_redis_away_when_a_job_failed_releases_it_later_and_counts_once(
    configure: Configure, worked: Worked
) -> None:
    with behind_proxy(worked.settings.redis) as proxy:
        away = configure(REDIS_PORT=str(proxy.port))
        cut = Cut(proxy, RuntimeError("no luck"))
        away.handler.on("a", cut)
        away.push("a", maxTries=9, maxExceptions=2, backoff="60")
        with away.working() as node:
            cut.wait()
            eventually(pauses(node))
            proxy.join()
            eventually(away.queue.delayed)
    assert counted(away.world, "a") == 1


def test_mysql_away_when_a_job_failed_fails_it_later_and_counts_once(
    configure: Configure, worked: Worked
) -> None:
    """The count is one exception, however often the row has to be written."""
    with behind_proxy(worked.settings.mysql) as proxy:
        away = configure(DB_PORT=str(proxy.port))
        cut = Cut(proxy, RuntimeError("no luck"))
        away.handler.on("a", cut)
        away.push("a", maxTries=1, maxExceptions=100)
        with away.working() as node:
            cut.wait()
            eventually(lambda: not node.ready() and node._worker._pauses > 3)
            proxy.join()
            eventually(away.world.failed)
            eventually(away.empty)
    assert counted(away.world, "a") == 1


def test_a_look_that_waits_for_mysql_keeps_no_finished_job(
    configure: Configure, worked: Worked
) -> None:
    """With the cache in MySQL the worker looks there; a job's end does not wait for that."""
    with behind_proxy(worked.settings.mysql) as proxy:
        away = configure(DB_PORT=str(proxy.port), CACHE_STORE="database")
        cut = Cut(proxy)
        table = {NOTE: JobClass(Note, lambda context, _: cut(context))}
        away.push("a")
        with away.working(table=table, bounds=replace(QUICK, look_seconds=0)) as node:
            cut.wait()
            eventually(pauses(node))
            eventually(away.empty)
        assert away.outcomes() == [("uuid-a", None)]


# -- signals ---------------------------------------------------------------------------------------


def test_a_paused_queue_waits_and_the_other_goes_on(configure: Configure) -> None:
    worked = configure(FLEET_QUEUES="urgent,fleet")
    urgent = worked.view("urgent")
    key = "illuminate:queue:paused:redis:urgent"
    worked.world.php(STORES + f"Cache::forever('{key}', true);", "/tmp", "redis")  # noqa: S108 - no file is written
    urgent.push(note("u"))
    worked.push("f")
    with worked.working() as node:
        eventually(lambda: worked.handler.names == ["f"])
        assert node.info()["paused"] == ["urgent"]
        assert len(urgent.ready()) == 1
        worked.world.php(STORES + f"Cache::forget('{key}');", "/tmp", "redis")  # noqa: S108 - the same
        eventually(lambda: worked.handler.names == ["f", "u"])


@pytest.mark.parametrize("driver", ["file", "cache"])
def test_in_maintenance_mode_nothing_is_reserved(
    configure: Configure, storage: Storage, driver: str
) -> None:
    worked = configure(
        FLEET_LARAVEL_STORAGE=str(storage.path),
        APP_MAINTENANCE_DRIVER=driver,
        APP_MAINTENANCE_STORE="redis",
    )
    told = STORES + (
        f"config(['app.maintenance.driver' => '{driver}', 'app.maintenance.store' => 'redis']);"
    )
    worked.world.php(told + "Artisan::call('down');", storage.inside, "redis")
    worked.push("a")
    with worked.working() as node:
        eventually(lambda: node.info()["maintenance"])
        assert worked.queue.lengths() == (1, 0, 0, 1)
        worked.world.php(told + "Artisan::call('up');", storage.inside, "redis")
        eventually(lambda: worked.handler.names == ["a"])


def test_a_restart_ends_the_worker_once_after_the_job_in_hand(worked: Worked) -> None:
    gate = Gate()
    worked.handler.on("a", gate)
    worked.push("a", "b")
    with worked.working():
        gate.wait()
        worked.world.artisan("queue:restart")
        gate.open()
        eventually(lambda: worked.world.restarts)
        eventually(lambda: not worked.queue.reserved())
    assert worked.world.restarts == 1
    assert worked.handler.names == ["a"]
    assert [attempts(payload) for payload in worked.queue.ready()] == [0]


def test_a_restart_before_the_start_is_none(worked: Worked) -> None:
    worked.world.artisan("queue:restart")
    worked.push("a")
    with worked.working():
        eventually(lambda: worked.handler.names == ["a"])
    assert worked.world.restarts == 0


def test_a_cache_out_of_reach_is_said_and_jobs_run(configure: Configure) -> None:
    """Trap 40: reported, and never taken for silence."""
    worked = configure(CACHE_STORE="memcached")
    worked.push("a")
    worked.handler.fails("a")
    with worked.working() as node:
        eventually(worked.world.failed)
        unreachable = node.info()["unreachable"]
    assert isinstance(unreachable, list)
    assert any("memcached" in sentence for sentence in unreachable)


# -- what PHP takes over ---------------------------------------------------------------------------


def handed_back(worked: Worked) -> list[dict[str, Any]]:
    found = [json.loads(payload) for payload in worked.events.ready()]
    assert all(one["job"] == f"{HAND_BACK}@handle" for one in found)
    return found


def test_a_chain_goes_back_to_php_with_the_job_that_is_done(worked: Worked) -> None:
    """Trap 17."""
    worked.world.php(
        note_class() + "Illuminate\\Support\\Facades\\Bus::chain([new App\\Jobs\\Note('first'),"
        " new App\\Jobs\\Note('second')])->onQueue('fleet')->dispatch();"
    )
    (pushed,) = worked.queue.ready()
    with worked.working():
        eventually(worked.events.ready)
        eventually(worked.empty)
    (back,) = handed_back(worked)
    sent = json.loads(pushed)
    assert back["data"] == {
        "uuid": sent["uuid"], "command": sent["data"]["command"], "outcome": "completed",
    }  # fmt: skip
    assert worked.events.notices() == 1
    assert worked.handler.names == ["first"]


BATCH = (
    note_class() + "$batch = Illuminate\\Support\\Facades\\Bus::batch([new App\\Jobs\\Note('a'),"
    " new App\\Jobs\\Note('b')])->allowFailures()->onQueue('fleet')->dispatch();"
)


def test_every_job_of_a_batch_is_told_to_php_done_or_failed(worked: Worked) -> None:
    worked.world.php(BATCH)
    worked.handler.fails("b")
    with worked.working():
        eventually(lambda: len(worked.events.ready()) == 2)
        eventually(worked.empty)
    done, failed = sorted(handed_back(worked), key=lambda back: str(back["data"]["outcome"]))
    assert set(done["data"]) == {"uuid", "command", "outcome"}
    assert failed["data"]["outcome"] == "failed"
    assert failed["data"]["exceptionClass"] == "RuntimeError"
    assert failed["data"]["exception"].startswith("RuntimeError: no luck with b")
    ((uuid, *_),) = worked.world.failed()
    assert failed["data"]["uuid"] == uuid


def test_a_job_of_a_cancelled_batch_is_passed_over_and_told(worked: Worked) -> None:
    worked.world.php(BATCH + "$batch->cancel();")
    with worked.working():
        eventually(lambda: len(worked.events.ready()) == 2)
        eventually(worked.empty)
    assert worked.handler.names == []
    assert [back["data"]["outcome"] for back in handed_back(worked)] == ["completed"] * 2


def test_an_attempt_that_is_released_hands_nothing_back(worked: Worked) -> None:
    worked.world.php(
        note_class("public $tries = 2; public $backoff = 60;")
        + "Illuminate\\Support\\Facades\\Bus::chain([new App\\Jobs\\Note('first'),"
        " new App\\Jobs\\Note('second')])->onQueue('fleet')->dispatch();"
    )
    worked.handler.fails("first")
    with worked.working():
        eventually(worked.queue.delayed)
    assert worked.events.ready() == []


# -- several queues, several workers ---------------------------------------------------------------


def test_a_queue_is_emptied_before_the_next_one_has_a_turn(configure: Configure) -> None:
    worked = configure(FLEET_QUEUES="urgent,calm")
    urgent, calm = worked.view("urgent"), worked.view("calm")
    for at in range(5):
        calm.push(note(f"c{at}"))
        urgent.push(note(f"u{at}"))
    with worked.working():
        eventually(lambda: len(worked.handler.ran) == 10)
    assert worked.handler.names == [f"u{at}" for at in range(5)] + [f"c{at}" for at in range(5)]


def test_hundreds_of_quick_jobs_run_each_once_and_in_their_order(worked: Worked) -> None:
    names = [str(at) for at in range(300)]
    worked.push(*names)
    with worked.working():
        eventually(lambda: len(worked.handler.ran) >= 300)
        eventually(worked.empty)
    assert worked.handler.names == names
    assert len(worked.answered()) == 300
    assert [error for _, error in worked.outcomes()] == [None] * 300
    assert worked.queue.held() == 0


def test_two_nodes_on_one_queue_run_each_job_once(worked: Worked) -> None:
    names = [str(at) for at in range(200)]
    worked.push(*names)
    with ExitStack() as nodes:
        for node in ("laravel-1@a", "laravel-2@b"):
            nodes.enter_context(worked.working(node=node))
        eventually(lambda: len(worked.handler.ran) >= 200)
        eventually(worked.empty)
    assert sorted(worked.handler.names) == sorted(names)
    assert set(worked.answered().values()) == {1}


def test_jobs_behind_a_slow_one_go_to_another_worker_and_are_not_committed_twice(
    worked: Worked,
) -> None:
    """The slow worker does not know that its hold is over, as one that was stopped for so long. The
    other's reservations are the very same strings in Redis.
    """
    names = [str(at) for at in range(40)]
    gate = Gate()
    worked.handler.on("30", gate)
    worked.push(*names)
    with worked.working(node="slow"):
        gate.wait()
        worked.queue.holds_pass()
        with worked.working(node="other"):
            eventually(lambda: len(worked.answered()) == 39)
        gate.open()
        eventually(lambda: len(worked.answered()) == 40)
        eventually(worked.empty)
    by_node = worked.world.rows(
        "SELECT JSON_VALUE(answer, '$.node'), COUNT(*) FROM fleet_requests GROUP BY 1"
    )
    assert dict(by_node) == {"slow": 31, "other": 9}
    assert set(worked.answered().values()) == {1}


# The first job comes alone, the next two in one hand.
HANDS = replace(QUICK, hand=HandBounds(seconds=60))


@pytest.mark.parametrize("attempted", [0, 4])
def test_a_worker_that_overslept_its_hold_ends_nothing(
    worked: Worked, laravel: LaravelWorld, attempted: int
) -> None:
    """Neither failed by its handler nor by its attempts: the job is somebody else's by now."""
    other = Reservations(laravel.redis, worked.settings.prefix, connection="redis", seconds=90)
    gate = Gate()
    worked.handler.on("slow", gate)
    worked.handler.fails("held")
    worked.push("first", "slow")
    worked.push("held", maxTries=1, attempts=attempted)
    with worked.working(bounds=HANDS):
        gate.wait()
        assert worked.queue.held() == 1
        worked.queue.holds_pass()
        (taken,) = other.reserve(["fleet"]).taken
        gate.open()
        worked.push("last")
        eventually(lambda: "uuid-last" in worked.answered())
        eventually(lambda: len(worked.queue.reserved()) == 1)
    assert list(worked.queue.reserved()) == [taken.reserved]
    assert worked.world.failed() == []
    assert worked.queue.lengths()[:3] == (0, 0, 1)
    assert set(worked.answered()) == {"uuid-first", "uuid-slow", "uuid-last"}


def test_a_worker_that_overslept_its_reservation_commits_nothing(configure: Configure) -> None:
    """As after a SIGSTOP: neither it nor its watch did anything meanwhile."""
    worked = configure(REDIS_QUEUE_RETRY_AFTER="1")
    other = Reservations(worked.world.redis, worked.settings.prefix, connection="redis", seconds=90)
    found: list[Taken] = []

    def oversleep(_context: Context) -> None:
        worked.queue.reservations_pass()
        found.extend(other.reserve(["fleet"]).taken)
        eventually(lambda: time.monotonic() > begun + 1)

    worked.handler.on("a", oversleep)
    worked.push("a", maxTries=9)
    begun = time.monotonic()
    with worked.working():
        eventually(lambda: worked.outcomes() == [("uuid-a", None)])
    assert worked.answered() == {}
    assert list(worked.queue.reserved()) == [one.reserved for one in found]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ResponseError("WRONGTYPE Operation against a key"), 2),
        (NoPermissionError("this user has no permissions"), 2),
        (ResponseError("MISCONF Redis is configured to save"), 1),
        (ReadOnlyError("You can't write against a read only replica."), 1),
    ],
)
def test_what_redis_refuses_a_handler_for_good_is_a_failed_attempt(
    worked: Worked, error: Exception, attempts: int
) -> None:
    worked.handler.fails("a", error=error)
    worked.push("a", maxTries=2)
    with worked.working():
        eventually(lambda: worked.answered() == {"uuid-a": attempts})


def test_a_job_is_not_committed_when_nobody_knows_whether_it_was_ours_to_start(
    configure: Configure, worked: Worked
) -> None:
    """Redis went away between the start of a held job and its answer. As with a PHP worker that
    died there, the attempt counts; the job returns when its reservation runs out.
    """
    with behind_proxy(worked.settings.redis) as proxy:
        away = configure(REDIS_PORT=str(proxy.port))

        def lose_redis(_context: Context) -> None:
            proxy.cut()
            proxy.join()
            raise RedisConnectionError("the handler's own")

        away.handler.on("1", lose_redis)
        away.push("0", "1", "2", maxTries=2)
        with away.working(bounds=HANDS):
            eventually(lambda: {"uuid-0", "uuid-2"} <= set(away.answered()))
            assert "uuid-1" not in away.answered()
            away.queue.holds_pass()
            away.queue.reservations_pass()
            eventually(lambda: "uuid-1" in away.answered())
            eventually(away.empty)
    assert away.world.failed() == []


def test_a_worker_that_stops_gives_back_what_it_has_in_hand(worked: Worked) -> None:
    names = [str(at) for at in range(40)]
    gate = Gate()
    worked.handler.on("30", gate)
    worked.push(*names)
    with worked.working() as node:
        gate.wait()
        node.stop()
        gate.open()
    left = worked.queue.ready()
    assert uuids(left) == [f"uuid-{name}" for name in names[len(worked.handler.ran) :]]
    assert {attempts(payload) for payload in left} <= {0}
    assert (worked.queue.held(), len(worked.queue.reserved())) == (0, 0)
    assert worked.handler.names == names[:31]


# -- the node --------------------------------------------------------------------------------------


def test_a_node_tells_what_it_is_doing(worked: Worked) -> None:
    gate = Gate()
    worked.handler.on("a", gate)
    worked.push("a")
    with worked.working() as node:
        gate.wait()
        info = node.info()
        assert (info["running"], info["queues"], info["jobs"]) == (NOTE, ["fleet"], 1)
        assert node.alive(float("inf"))  # the watch looks after a job that runs long
        gate.open()
        eventually(lambda: node.info()["running"] is None)
        eventually(node.ready)
        assert not node.alive(float("inf"))


def test_a_push_wakes_an_idle_worker(worked: Worked) -> None:
    """An idle worker waits at the notices of its queues, PHP's pushes among them."""
    with worked.working() as node:
        eventually(node.ready)
        worked.world.php(note_class() + "App\\Jobs\\Note::dispatch('a')->onQueue('fleet');")
        eventually(lambda: worked.handler.names == ["a"], seconds=2)
