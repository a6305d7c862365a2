"""Rows of failed jobs, handled by the real `queue:failed`, `queue:retry`, `queue:forget`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.errors import SettingsError, Unavailable
from shared.laravel.failed_jobs import (
    FILE_ROWS,
    DatabaseFailedJobs,
    FailedJob,
    FailedJobs,
    FileFailedJobs,
    NoFailedJobs,
)
from shared.mysql.connection import connect, transaction
from tests.laravel_queues import QueueView, job
from tests.laravel_stores import Storage
from tests.laravel_world import LaravelWorld

pytestmark = pytest.mark.database

UTC_ZONE = ZoneInfo("UTC")
PARIS = ZoneInfo("Europe/Paris")
AT = datetime(2026, 7, 14, 21, 30, 5, 987_654, tzinfo=UTC)

TABLES = {
    # As the migration of Laravel before 8 made it.
    "failed_jobs_old": """
        CREATE TABLE failed_jobs_old (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        connection TEXT NOT NULL, queue TEXT NOT NULL, payload LONGTEXT NOT NULL,
        exception LONGTEXT NOT NULL, failed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)
        COLLATE utf8mb4_unicode_ci""",
    # As that of Laravel 13 does.
    "failed_jobs_new": """
        CREATE TABLE failed_jobs_new (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        uuid VARCHAR(255) NOT NULL UNIQUE, connection VARCHAR(255) NOT NULL,
        queue VARCHAR(255) NOT NULL, payload LONGTEXT NOT NULL, exception LONGTEXT NOT NULL,
        failed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        INDEX (connection, queue, failed_at)) COLLATE utf8mb4_unicode_ci""",
}
DRIVERS = {
    "failed_jobs": "database-uuids",
    "failed_jobs_new": "database-uuids",
    "failed_jobs_old": "database",
}

# What an application says of its failed jobs; `fails` names driver and table.
FAILED = """
$folder = json_decode(fgets(STDIN)); [$driver, $table, $zone] = json_decode(fgets(STDIN));
$app->useStoragePath($folder);
date_default_timezone_set($zone);
config(['app.timezone' => $zone, 'queue.failed' => $driver === 'file'
    ? ['driver' => 'file', 'path' => "$folder/framework/cache/failed-jobs.json"]
    : ['driver' => $driver, 'database' => 'mysql', 'table' => $table]]);
use Illuminate\\Support\\Facades\\Artisan;
class Work {
    public function fire($job, $data) {
        say([$job->uuid(), $job->attempts(), $data]);
        $job->delete();
    }
}
"""
WORK_ONCE = "Artisan::call('queue:work', ['--once' => true, '--queue' => 'fleet']);"


class Failing:
    """One place for failed jobs: `ours` writes, `php` commands work on it."""

    def __init__(self, world: LaravelWorld, storage: Storage, table: str, ours: FailedJobs) -> None:
        self.world = world
        self.ours = ours
        self._storage = storage
        self._table = table
        self.driver = DRIVERS.get(table, table)

    def php(self, code: str, zone: str = "UTC") -> list[Any]:
        given = [self.driver, self._table, zone]
        return self.world.php(FAILED + code, self._storage.inside, given)

    def ids(self) -> list[Any]:
        (found,) = self.php("say(array_map(fn ($row) => $row->id, $app['queue.failer']->all()));")
        return list(found)

    def rows(self) -> list[dict[str, Any]]:
        (found,) = self.php("say($app['queue.failer']->all());")
        return list(found)


PLACES = ("failed_jobs", "failed_jobs_new", "failed_jobs_old", "file")


def database_jobs(
    world: LaravelWorld, connection: Any, table: str, zone: ZoneInfo = UTC_ZONE
) -> DatabaseFailedJobs:
    return DatabaseFailedJobs(partial(transaction, connection), world.schema, table, zone)


@pytest.fixture
def tables(laravel: LaravelWorld) -> Iterator[Any]:
    """The administrator's connection, with tables of other versions beside the usual one."""
    cursor = laravel.connection.cursor()
    schema = laravel.schema
    for name, statement in TABLES.items():
        cursor.execute(f"DROP TABLE IF EXISTS `{schema}`.{name}")
        cursor.execute(statement.replace(f"TABLE {name}", f"TABLE `{schema}`.{name}"))
    yield laravel.connection
    laravel.connection.rollback()
    for name in TABLES:
        cursor.execute(f"DROP TABLE `{schema}`.{name}")


@pytest.fixture(params=PLACES)
def failing(
    request: pytest.FixtureRequest, laravel: LaravelWorld, storage: Storage, tables: Any
) -> Iterator[Failing]:
    """Every driver and schema of the supported versions; the usual one as the role `laravel`."""
    place = str(request.param)
    if place == "file":
        path = storage.path / "framework" / "cache" / "failed-jobs.json"
        yield Failing(laravel, storage, place, FileFailedJobs(path, UTC_ZONE))
    elif place == "failed_jobs":
        with closing(connect(laravel.settings.mysql)) as connection:
            yield Failing(laravel, storage, place, database_jobs(laravel, connection, place))
    else:
        yield Failing(laravel, storage, place, database_jobs(laravel, tables, place))


def failed(name: str = "u-1", **more: Any) -> FailedJob:
    payload = json.dumps(job(name, id=name, data={"amount": "1.10", "é": "\0😀"}))
    told: dict[str, Any] = {
        "id": name,
        "connection": "redis",
        "queue": "fleet",
        "payload": payload,
        "exception": "RuntimeException: no luck é😀 in work.py:3\nStack trace:\n#0 {main}",
        "failed_at": AT,
    }
    return FailedJob(**(told | more))


# -- what Laravel's commands make of it ------------------------------------------------------------


def test_a_row_is_what_laravel_itself_writes(failing: Failing) -> None:
    failing.ours.add(failed("ours"))
    one = failed("theirs")
    failing.php(
        f"Illuminate\\Support\\Carbon::setTestNow('{AT:%Y-%m-%d %H:%M:%S}');"
        f" $app['queue.failer']->log('redis', 'fleet', {one.payload!r},"
        " new RuntimeException('no luck'));"
    )
    found = {json.loads(row["payload"])["uuid"]: row for row in failing.rows()}
    ours, theirs = found["ours"], found["theirs"]
    assert list(ours) == list(theirs)
    same = ("connection", "queue", "failed_at")
    assert [ours[name] for name in same] == [theirs[name] for name in same]
    assert ours["payload"] == failed("ours").payload
    assert ours["exception"] == failed("ours").exception


def test_a_failed_job_is_listed(failing: Failing) -> None:
    failing.ours.add(failed())
    (told,) = failing.php("Artisan::call('queue:failed'); say(Artisan::output());")
    assert "redis@fleet" in told
    assert "Work" in told


def test_a_failed_job_is_retried_and_runs_again(failing: Failing) -> None:
    """Trap 13: the connection is Laravel's, attempts are there, and the queue is a bare name."""
    failing.ours.add(failed())
    (name,) = failing.ids()
    told = failing.php(f"Artisan::call('queue:retry', ['id' => ['{name}']]);" + WORK_ONCE)
    assert told == [["u-1", 1, {"amount": "1.10", "é": "\0😀"}]]
    assert failing.ids() == []
    queue = QueueView(failing.world.redis, failing.world.settings.prefix)
    assert queue.lengths() == (0, 0, 0, 0)


def test_a_retried_job_starts_from_its_first_attempt(failing: Failing) -> None:
    payload = json.dumps(job("u-1", attempts=4))
    failing.ours.add(failed(payload=payload))
    told = failing.php("Artisan::call('queue:retry', ['id' => ['all']]);" + WORK_ONCE)
    assert [attempts for _, attempts, _ in told] == [1]


COMMAND = """
class Plain implements Illuminate\\Contracts\\Queue\\ShouldQueue {
    use Illuminate\\Bus\\Queueable, Illuminate\\Queue\\InteractsWithQueue,
        Illuminate\\Queue\\SerializesModels;
    public $name; protected $secret;
    public function handle() { say(['ran', $this->name, $this->secret]); }
}
"""


def test_a_failed_object_job_is_retried_and_runs_again(failing: Failing) -> None:
    command = 'O:5:"Plain":2:{s:4:"name";s:2:"é";s:9:"\0*\0secret";s:3:"sec";}'
    payload = job(
        "u-1", job="Illuminate\\Queue\\CallQueuedHandler@call",
        data={"commandName": "Plain", "command": command},
    )  # fmt: skip
    failing.ours.add(failed(payload=json.dumps(payload)))
    retry = "Artisan::call('queue:retry', ['id' => ['all']]);"
    assert failing.php(COMMAND + retry + WORK_ONCE) == [["ran", "é", "sec"]]


def test_a_failed_job_can_be_forgotten(failing: Failing) -> None:
    failing.ours.add(failed("a"))
    failing.ours.add(failed("b"))
    name = next(
        row["id"] for row in failing.rows() if json.loads(row["payload"])["uuid"] == "a"
    )
    failing.php(f"Artisan::call('queue:forget', ['id' => '{name}']);")
    assert [json.loads(row["payload"])["uuid"] for row in failing.rows()] == ["b"]


def test_old_failed_jobs_are_pruned_and_younger_stay(failing: Failing) -> None:
    now = datetime.now(UTC)
    failing.ours.add(failed("old", failed_at=now - timedelta(hours=50)))
    failing.ours.add(failed("young", failed_at=now - timedelta(hours=1)))
    failing.php("Artisan::call('queue:prune-failed', ['--hours' => 48]);")
    assert [json.loads(row["payload"])["uuid"] for row in failing.rows()] == ["young"]


def test_the_moment_is_that_of_the_applications_clock(
    laravel: LaravelWorld, storage: Storage, tables: Any
) -> None:
    """Laravel writes failed_at in app.timezone, whatever the server's zone is."""
    path = storage.path / "framework" / "cache" / "failed-jobs.json"
    places: dict[str, FailedJobs] = {
        name: database_jobs(laravel, tables, name, PARIS) for name in DRIVERS
    } | {"file": FileFailedJobs(path, PARIS)}
    for name, ours in places.items():
        failing = Failing(laravel, storage, name, ours)
        ours.add(failed("ours"))
        failing.php(
            f"Illuminate\\Support\\Carbon::setTestNow('{AT:%Y-%m-%d %H:%M:%S} UTC');"
            f" $app['queue.failer']->log('redis', 'fleet', {failed('theirs').payload!r},"
            " new RuntimeException('no luck'));",
            "Europe/Paris",
        )
        (found,) = failing.php("say($app['queue.failer']->all());", "Europe/Paris")
        assert [row["failed_at"] for row in found] == ["2026-07-14 23:30:05"] * 2, name


@pytest.fixture
def server_zone(tables: Any) -> Iterator[str]:
    """The database server's own time zone, as it is for new sessions."""
    cursor = tables.cursor()
    cursor.execute("SELECT @@global.time_zone")
    (before,) = cursor.fetchone()
    cursor.execute("SET GLOBAL time_zone = '+05:30'")
    yield "+05:30"
    cursor.execute("SET GLOBAL time_zone = %s", (before,))


@pytest.mark.usefixtures("server_zone")
def test_laravel_reads_the_time_that_was_meant_whatever_the_servers_zone(failing: Failing) -> None:
    failing.ours.add(failed("a"))
    (row,) = failing.rows()
    assert row["failed_at"] == AT.strftime("%Y-%m-%d %H:%M:%S")


# -- twice --------------------------------------------------------------------------------------


def test_a_row_that_is_written_again_stays_one(failing: Failing) -> None:
    """A crash between the row and the reservation repeats the row."""
    failing.ours.add(failed("a"))
    failing.ours.add(failed("b"))
    failing.ours.add(failed("a"))
    assert sorted(json.loads(row["payload"])["uuid"] for row in failing.rows()) == ["a", "b"]


def test_payloads_that_differ_in_case_are_two_jobs(failing: Failing) -> None:
    failing.ours.add(failed("a", payload=json.dumps(job("a", data="x"))))
    failing.ours.add(failed("b", payload=json.dumps(job("a", data="X"))))
    assert len(failing.rows()) == 2


def test_a_long_payload_and_a_long_exception_are_kept_whole(failing: Failing) -> None:
    payload = json.dumps(job("a", data="😀" * 50_000))
    failing.ours.add(failed("a", payload=payload, exception="e" * 200_000))
    (row,) = failing.rows()
    assert row["payload"] == payload
    assert len(row["exception"]) == 200_000


# -- files -----------------------------------------------------------------------------------------


def test_a_file_keeps_the_newest_as_laravel_does(laravel: LaravelWorld, storage: Storage) -> None:
    path = storage.path / "framework" / "cache" / "failed-jobs.json"
    failing = Failing(laravel, storage, "file", FileFailedJobs(path, UTC_ZONE))
    for at in range(FILE_ROWS + 5):
        failing.ours.add(failed(str(at)))
    assert failing.ids() == [str(at) for at in range(FILE_ROWS + 4, 4, -1)]
    failing.php("$app['queue.failer']->log('redis', 'fleet', '{\"uuid\":\"p\"}', 'no luck');")
    assert failing.ids()[:2] == ["p", str(FILE_ROWS + 4)]
    failing.ours.add(failed("last"))
    assert failing.ids()[:2] == ["last", "p"]
    assert len(failing.ids()) == FILE_ROWS


@pytest.mark.parametrize("text", ["", " \n", "[]"])
def test_an_empty_file_is_no_failed_job(storage: Storage, text: str) -> None:
    path = storage.path / "failed-jobs.json"
    path.write_text(text, encoding="utf-8")
    FileFailedJobs(path, UTC_ZONE).add(failed())
    assert [row["id"] for row in json.loads(path.read_text(encoding="utf-8"))] == ["u-1"]


@pytest.mark.parametrize("text", ["[{", "garbage", '{"id":"a"}', "null", "[1]"])
def test_a_file_that_is_not_whole_is_waited_for(storage: Storage, text: str) -> None:
    """PHP empties it before it fills it; what stands there must not be thrown away for that."""
    path = storage.path / "failed-jobs.json"
    path.write_text(text, encoding="utf-8")
    ours = FileFailedJobs(path, UTC_ZONE)
    for step in (ours.add,):
        with pytest.raises(Unavailable, match=r"failed-jobs\.json"):
            step(failed())
    assert path.read_text(encoding="utf-8") == text


# -- places that keep none -------------------------------------------------------------------------


def test_an_application_that_keeps_none_gets_none(laravel: LaravelWorld, storage: Storage) -> None:
    failing = Failing(laravel, storage, "null", NoFailedJobs())
    failing.ours.add(failed())
    assert laravel.failed() == []
    assert failing.rows() == []


def test_a_table_that_is_missing_is_said_with_its_cure(laravel: LaravelWorld, tables: Any) -> None:
    ours = database_jobs(laravel, tables, "nowhere")
    with pytest.raises(SettingsError, match="queue:failed-table"):
        ours.add(failed())
