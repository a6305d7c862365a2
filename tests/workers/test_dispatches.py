"""Jobs towards Laravel on real servers: recorded in a transaction, pushed once, run by PHP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import date
from typing import Any

import pytest

from shared.laravel.dispatch import Dispatch, Options, Pusher
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.laravel_queues import QueueView, uuids
from tests.laravel_world import LaravelWorld
from tests.runtime_world import running
from tests.waiting import eventually
from tests.workers.proxy import Proxy
from workers import dispatch_relay, dispatches
from workers.build import dispatch_relay_of
from workers.dispatches import day_closed, dispatch, dispatch_class, push_waiting
from workers.laravel_jobs.outgoing import (
    ACCOUNTS_PER_JOB,
    OUTGOING,
    AccountSuspended,
    DayClosed,
    DayRestated,
    PositionDiverged,
)

pytestmark = pytest.mark.database

EVENTS = "fleet-events"
DAY = date(2026, 11, 24)
LAST_ID = 2**63 - 1  # of PHP's integers


class Outbox:
    """A caller in the role `jobs`, and what its rows became."""

    def __init__(self, world: LaravelWorld, settings: Settings, connection: Any) -> None:
        self.world = world
        self.settings = settings
        self.connection = connection
        self.queue = QueueView(world.redis, settings.prefix, EVENTS)

    def rows(self) -> list[tuple[Any, ...]]:
        """Class and whether it is pushed."""
        return self.world.rows(
            "SELECT class, pushed_at IS NOT NULL FROM fleet_dispatches ORDER BY id"
        )

    def record(self, name: str, queue: str = EVENTS, **options: Any) -> str:
        """Committed; its uuid."""
        made = dispatch_class(
            self.connection, "App\\Jobs\\Told", {"name": name}, queue, Options(**options)
        )
        self.connection.commit()
        return made


@pytest.fixture
def outbox(
    laravel: LaravelWorld, settings_for: Callable[..., Settings]
) -> Iterator[Outbox]:
    settings = settings_for("jobs", FLEET_LARAVEL_JOBS=",".join(OUTGOING))
    with closing(connect(settings.mysql)) as connection:
        yield Outbox(laravel, settings, connection)


@pytest.fixture
def relay_settings(outbox: Outbox, settings_for: Callable[..., Settings]) -> Settings:
    del outbox
    return settings_for("relay")


@pytest.fixture
def relay_mysql(relay_settings: Settings) -> Iterator[Any]:
    """MySQL as the role `relay`."""
    with closing(connect(relay_settings.mysql)) as connection:
        yield connection


@pytest.fixture
def pusher(laravel: LaravelWorld) -> Pusher:
    return Pusher(laravel.redis, laravel.settings.prefix, connection="redis")


TOLD = r"""
use Illuminate\Support\Facades\Artisan;
$classes = ['DayClosed', 'DayRestated', 'PositionDiverged', 'AccountSuspended'];
foreach (['Told', ...array_map(fn ($one) => 'Fleet\\'.$one, $classes)] as $name) {
    $parts = explode('\\', 'App\\Jobs\\'.$name);
    $short = array_pop($parts);
    eval('namespace '.implode('\\', $parts).'; class '.$short.' {
        use \Illuminate\Bus\Queueable, \Illuminate\Queue\InteractsWithQueue;
        public $name; public string $day; public array $accountIds; public int $breakId;
        public int $accountId; public string $reason; public array $days; public array $causes;
        public function handle() {
            $own = array_intersect_key(get_object_vars($this), array_flip(
                ["name", "day", "accountIds", "breakId", "accountId", "reason", "days", "causes"]));
            \say([static::class, array_filter($own, fn ($one) => $one !== null),
                $this->job->maxTries(), $this->job->backoff(), $this->job->uuid()]);
        }
    }');
}
for ($times = json_decode(fgets(STDIN)); $times > 0; $times--) {
    Artisan::call('queue:work', ['--once' => true, '--queue' => 'fleet-events']);
}
"""


def run(world: LaravelWorld, times: int) -> list[Any]:
    """What PHP's worker says of so many jobs."""
    return world.php(TOLD, times)


# -- the row ---------------------------------------------------------------------------------------


def test_a_class_that_laravel_has_not_said_it_has_is_off(
    outbox: Outbox, settings_for: Callable[..., Settings]
) -> None:
    """A PHP worker that meets an unknown class fails the job."""
    off = settings_for("jobs")
    assert dispatch(outbox.connection, off, PositionDiverged(break_id=7)) is None
    assert day_closed(outbox.connection, off, DAY, [1, 2, 3]) == []
    some = settings_for("jobs", FLEET_LARAVEL_JOBS="App\\Jobs\\Fleet\\DayClosed")
    assert dispatch(outbox.connection, some, PositionDiverged(break_id=7)) is None
    assert len(day_closed(outbox.connection, some, DAY, [1, 2, 3])) == 1
    outbox.connection.commit()
    assert outbox.rows() == [("App\\Jobs\\Fleet\\DayClosed", 0)]


def test_a_job_is_in_its_callers_transaction(
    outbox: Outbox, relay_mysql: Any, pusher: Pusher
) -> None:
    """Trap 25: nothing is pushed before the commit, and a rollback leaves nothing."""
    dispatch(outbox.connection, outbox.settings, PositionDiverged(break_id=7))
    assert push_waiting(relay_mysql, pusher) == 0
    assert outbox.queue.lengths() == (0, 0, 0, 0)
    outbox.connection.rollback()
    assert push_waiting(relay_mysql, pusher) == 0
    assert outbox.rows() == []
    dispatch(outbox.connection, outbox.settings, PositionDiverged(break_id=7))
    outbox.connection.commit()
    assert push_waiting(relay_mysql, pusher) == 1
    assert outbox.queue.lengths() == (1, 0, 0, 1)


def test_php_runs_each_of_the_classes(
    outbox: Outbox, relay_mysql: Any, pusher: Pusher
) -> None:
    jobs = [
        DayClosed(day=DAY, account_ids=[1, LAST_ID]),
        DayRestated(account_id=42, days=[DAY], causes=['["fill",42]']),
        PositionDiverged(break_id=7),
        AccountSuspended(account_id=42, reason="the key was refused: é"),
    ]
    sent = [dispatch(outbox.connection, outbox.settings, job) for job in jobs]
    outbox.connection.commit()
    assert push_waiting(relay_mysql, pusher) == 4
    options = [5, "5,30,120"]
    given = {
        "DayClosed": {"day": "2026-11-24", "accountIds": [1, LAST_ID]},
        "DayRestated": {"accountId": 42, "days": ["2026-11-24"], "causes": ['["fill",42]']},
        "PositionDiverged": {"breakId": 7},
        "AccountSuspended": {"accountId": 42, "reason": "the key was refused: é"},
    }
    assert run(outbox.world, 4) == [
        [f"App\\Jobs\\Fleet\\{name}", properties, *options, uuid]
        for (name, properties), uuid in zip(given.items(), sent, strict=True)
    ]
    assert outbox.world.failed() == []


def test_a_day_of_many_accounts_is_sent_in_chunks(outbox: Outbox) -> None:
    accounts = list(range(1, 2 * ACCOUNTS_PER_JOB + 2))
    sent = day_closed(outbox.connection, outbox.settings, DAY, accounts)
    outbox.connection.commit()
    assert len(set(sent)) == 3
    rows = outbox.world.rows("SELECT payload FROM fleet_dispatches ORDER BY id")
    told = outbox.world.php(
        "while (($line = fgets(STDIN)) !== false) {"
        " $command = json_decode(json_decode($line), true)['data']['command'];"
        " $job = unserialize($command, ['allowed_classes' => false]);"
        " echo json_encode(((array) $job)['accountIds']), PHP_EOL; }",
        *(payload for (payload,) in rows),
    )
    assert [len(some) for some in told] == [ACCOUNTS_PER_JOB, ACCOUNTS_PER_JOB, 1]
    assert [account for some in told for account in some] == accounts


def test_a_day_without_accounts_sends_nothing(outbox: Outbox) -> None:
    assert day_closed(outbox.connection, outbox.settings, DAY, []) == []


def test_any_class_of_the_application_can_be_sent_to_any_queue(
    outbox: Outbox, relay_mysql: Any, pusher: Pusher
) -> None:
    told = "é😀\0'\\"
    outbox.record(told, tries=2, backoff=(7,), tags=("t:1",))
    outbox.record("later", delay_seconds=600)
    outbox.record("elsewhere", "other")
    assert push_waiting(relay_mysql, pusher) == 3
    ((name, properties, tries, backoff, _),) = run(outbox.world, 1)
    assert (name, properties, tries, backoff) == ("App\\Jobs\\Told", {"name": told}, 2, "7")
    ((payload, due),) = outbox.queue.delayed().items()
    assert (b"later" in payload, 500 < due - outbox.queue.now() <= 600) == (True, True)
    other = QueueView(outbox.world.redis, outbox.settings.prefix, "other")
    assert len(other.ready()) == 1


# -- pushed once -----------------------------------------------------------------------------------


class Dying(Pusher):
    """Pushes, and dies before anybody hears of it."""

    def push(self, jobs: Iterable[Dispatch]) -> int:
        super().push(jobs)
        raise KeyboardInterrupt


def test_a_crash_between_push_and_mark_is_one_job(
    outbox: Outbox, relay_settings: Settings, laravel: LaravelWorld, pusher: Pusher
) -> None:
    sent = [outbox.record(str(at)) for at in range(3)]
    dying = Dying(laravel.redis, laravel.settings.prefix, connection="redis")
    with closing(connect(relay_settings.mysql)) as connection, pytest.raises(KeyboardInterrupt):
        push_waiting(connection, dying)
    assert uuids(outbox.queue.ready()) == sent
    assert {pushed for _, pushed in outbox.rows()} == {0}
    with closing(connect(relay_settings.mysql)) as connection:
        assert push_waiting(connection, pusher) == 3
        assert push_waiting(connection, pusher) == 0
    assert uuids(outbox.queue.ready()) == sent
    assert {pushed for _, pushed in outbox.rows()} == {1}


def test_a_second_relay_passes_over_what_the_first_has_in_hand(
    outbox: Outbox, relay_settings: Settings, laravel: LaravelWorld, pusher: Pusher
) -> None:
    seen: list[int] = []

    class Interrupted(Pusher):
        """While it pushes, another relay has its turn."""

        def push(self, jobs: Iterable[Dispatch]) -> int:
            with closing(connect(relay_settings.mysql)) as second:
                seen.append(push_waiting(second, pusher))
            return super().push(jobs)

    sent = [outbox.record(str(at)) for at in range(3)]
    first = Interrupted(laravel.redis, laravel.settings.prefix, connection="redis")
    with closing(connect(relay_settings.mysql)) as connection:
        assert push_waiting(connection, first) == 3
    assert seen == [0]
    assert uuids(outbox.queue.ready()) == sent


# -- paced -----------------------------------------------------------------------------------------


def test_a_full_queue_keeps_the_rest_in_mysql_and_holds_up_no_other(
    outbox: Outbox, relay_mysql: Any, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatches, "MOST_WAITING", 3)
    monkeypatch.setattr(dispatches, "AT_ONCE", 2)
    sent = [outbox.record(str(at)) for at in range(6)]
    outbox.record("elsewhere", "other")
    assert [push_waiting(relay_mysql, pusher) for _ in range(3)] == [3, 1, 0]
    assert uuids(outbox.queue.ready()) == sent[:3]
    assert len(run(outbox.world, 2)) == 2
    assert [push_waiting(relay_mysql, pusher) for _ in range(2)] == [2, 0]
    assert uuids(outbox.queue.ready()) == sent[2:5]


# -- the loop --------------------------------------------------------------------------------------


def test_the_loop_pushes_what_is_committed(
    outbox: Outbox, relay_settings: Settings
) -> None:
    with running(dispatch_relay_of(relay_settings)) as relay:
        sent = outbox.record("a")
        eventually(lambda: uuids(outbox.queue.ready()) == [sent])
        assert relay.alive()
    assert outbox.rows() == [("App\\Jobs\\Told", 1)]


@pytest.mark.parametrize("server", ["redis", "mysql"])
def test_the_loop_outlives_a_server_that_is_away(
    outbox: Outbox,
    relay_settings: Settings,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    server: str,
) -> None:
    monkeypatch.setattr(dispatch_relay, "PAUSE_SECONDS", 0.05)
    target = relay_settings.redis if server == "redis" else relay_settings.mysql
    proxy = Proxy(target.host, target.port)
    name = "REDIS_PORT" if server == "redis" else "DB_PORT"
    try:
        with running(dispatch_relay_of(settings_for("relay", **{name: str(proxy.port)}))) as relay:
            first = outbox.record("first")
            eventually(lambda: uuids(outbox.queue.ready()) == [first])
            proxy.cut()
            second = outbox.record("second")
            eventually(lambda: relay._away)
            assert relay.alive()
            assert uuids(outbox.queue.ready()) == [first]
            proxy.join()
            eventually(lambda: uuids(outbox.queue.ready()) == [first, second])
            eventually(lambda: not relay._away)
    finally:
        proxy.close()
    assert [pushed for _, pushed in outbox.rows()] == [1, 1]


def test_the_row_is_the_payload(outbox: Outbox) -> None:
    sent = outbox.record("a")
    ((uuid, payload),) = outbox.world.rows("SELECT uuid, payload FROM fleet_dispatches")
    assert uuid == sent == json.loads(payload)["uuid"]
