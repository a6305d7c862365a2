"""The artisan commands and migrations of tradefleet/laravel, on a real Laravel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.mysql.connection import connect
from shared.mysql.schema import sources
from shared.settings import Settings, load
from shared.streams.keys import stream_key
from tests.laravel_application import SECONDS, LaravelApplication
from tests.waiting import eventually
from workers.migrate import migrate_mysql
from workers.status import collect

pytestmark = pytest.mark.database

MIGRATIONS = "vendor/tradefleet/laravel/database/migrations"
PING = "Tradefleet\\Laravel\\Jobs\\Ping"


def laravel_version(app: LaravelApplication) -> tuple[int, ...]:
    return tuple(int(part) for part in app.artisan("--version").split()[2].split("."))


# -- install ---------------------------------------------------------------------------------------

INSTALL = """
use Illuminate\\Support\\Facades\\{Artisan, File};
$folder = storage_path('framework/cache/'.getenv('REDIS_PREFIX'));
File::makeDirectory($folder.'/config', 0755, true);
$app->useConfigPath($folder.'/config');
$app->useDatabasePath($folder.'/database');
$app->getProvider(Tradefleet\\Laravel\\FleetServiceProvider::class)->boot();
$told = function () use ($folder) {
    Artisan::call('fleet:install');
    foreach (File::allFiles($folder) as $file) {
        $found[$file->getRelativePathname()] = $file->getContents();
    }
    return [Artisan::output(), $found];
};
"""


def test_install_copies_once_and_says_what_is_left(app: LaravelApplication) -> None:
    code = """
        say($told());
        File::put($folder.'/config/fleet.php', '<?php return [];');
        say($told());
        File::deleteDirectory($folder);
    """
    (said, first), (_, second) = app.php(INSTALL + code)
    package = Path(__file__).parents[2] / "deploy" / "laravel"
    assert first == {
        str(path.relative_to(package)): path.read_text()
        for path in [package / "config" / "fleet.php", *(package / "database").rglob("*.php")]
    }
    assert second == {**first, "config/fleet.php": "<?php return [];"}
    for step in ("FLEET_DB_DATABASE=fleet", "php artisan migrate", "fleet:export", "fleet:doctor"):
        assert step in said


# -- migrations ------------------------------------------------------------------------------------


@pytest.fixture
def fresh(app: LaravelApplication, fleet_schema: str) -> Iterator[LaravelApplication]:
    """An application before its first migration, on two empty schemas."""
    names = (f"{fleet_schema}_new", f"{fleet_schema}_new_laravel")
    for name in names:
        app.rows(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    environ = {**app.environ, "FLEET_DB_DATABASE": names[0], "DB_DATABASE": names[1]}
    yield LaravelApplication(app.php_path, environ, app.connection, app.redis, app.prefix)
    for name in names:
        app.rows(f"DROP DATABASE {name}")


@pytest.fixture
def migrate_settings(
    fresh: LaravelApplication, servers: Mapping[str, str], tmp_path: Path
) -> Settings:
    """Of the role `migrate`, on the same two schemas."""
    (tmp_path / ".env").touch()
    reachable = {name: servers[name] for name in ("DB_HOST", "DB_PORT", "REDIS_HOST", "REDIS_PORT")}
    mine = {"FLEET_ENV_FILE": str(tmp_path / ".env"), **reachable}
    return load("migrate", {**mine, **fresh.environ})


def table_of(app: LaravelApplication, schema: str) -> str:
    ((_, text),) = app.rows(f"SHOW CREATE TABLE {schema}.fleet_outbox")
    return str(text)


def test_the_outbox_that_laravel_makes_is_the_one_that_python_makes(
    fresh: LaravelApplication, fleet_schema: str
) -> None:
    fresh.artisan("migrate", "--force")
    fresh.artisan("migrate", "--force", f"--path={MIGRATIONS}")
    schema = fresh.environ["FLEET_DB_DATABASE"]
    assert table_of(fresh, schema) == table_of(fresh, fleet_schema)
    tables = {name for (name,) in fresh.rows(f"SHOW TABLES FROM {fresh.environ['DB_DATABASE']}")}
    assert {"job_batches", "cache", "cache_locks", "failed_jobs"} <= tables


def test_laravel_first_and_then_python_keep_rows_and_the_application_s_view(
    fresh: LaravelApplication, migrate_settings: Settings
) -> None:
    fresh.artisan("migrate", "--force")
    fresh.artisan("migrate", "--force", f"--path={MIGRATIONS}")
    fresh.php(
        "app(Tradefleet\\Laravel\\Transport\\Outbox::class)->insert(new Tradefleet\\Laravel\\"
        "Stream\\Entry('orders', 'x', '1', 'e', '1', '{}'));"
    )
    migrate_mysql(migrate_settings)
    schema, laravel = fresh.environ["FLEET_DB_DATABASE"], fresh.environ["DB_DATABASE"]
    rows = fresh.rows(f"SELECT event_id FROM {schema}.fleet_outbox")  # noqa: S608 - ours
    assert rows == [("e",)]
    connection = connect(migrate_settings.mysql)
    assert sources(connection, laravel).own
    connection.close()


def test_the_view_reads_the_columns_that_the_config_names(
    fresh: LaravelApplication, migrate_settings: Settings
) -> None:
    migrate_mysql(migrate_settings)
    schema, laravel = fresh.environ["FLEET_DB_DATABASE"], fresh.environ["DB_DATABASE"]
    fresh.rows(
        f"CREATE TABLE {laravel}.app_keys (nr BIGINT UNSIGNED, owner BIGINT UNSIGNED, k TEXT,"
        " s TEXT, market VARCHAR(16), ended_at DATETIME NULL)"
    )
    fresh.rows(
        f"INSERT INTO {laravel}.app_keys VALUES (5, 50, 'key', 'secret', 'spot', NULL),"  # noqa: S608
        " (6, 60, 'k2', 's2', 'linear', NOW())"
    )
    code = """
        use Illuminate\\Support\\Facades\\Artisan;
        config(['database.connections.mysql.prefix' => 'app_']);
        config(['fleet.accounts' => ['table' => 'keys', 'columns' => [
            'id' => 'nr', 'user_id' => 'owner', 'venue' => "('binance')", 'product' => 'market',
            'api_key' => 'k', 'api_secret' => 's', 'passphrase' => null, 'settings' => null,
            'active' => '(ended_at IS NULL)',
        ]]]);
        DB::purge();
        $path = 'vendor/tradefleet/laravel/database/migrations';
        $code = Artisan::call('migrate', ['--force' => true, '--path' => $path]);
        say([$code, Artisan::output()]);
        config(['fleet.accounts.columns.api_key' => null]);
        $sources = app(Tradefleet\\Laravel\\Schema\\AccountSources::class);
        say(refusal(fn () => $sources->createStatement()));
    """
    (code_, said), (_, refused) = fresh.php("use Illuminate\\Support\\Facades\\DB;" + code)
    assert code_ == 0, said
    seen = fresh.rows(f"SELECT * FROM {schema}.fleet_account_sources ORDER BY id")  # noqa: S608
    assert seen == [
        (5, 50, "binance", "spot", "key", "secret", None, None, 1),
        (6, 60, "binance", "linear", "k2", "s2", None, None, 0),
    ]
    assert refused.startswith("config/fleet.php: accounts.columns.api_key is missing; write a")


# -- export ----------------------------------------------------------------------------------------


@pytest.fixture
def exported(
    app: LaravelApplication, servers: Mapping[str, str], tmp_path: Path
) -> Callable[..., tuple[dict[str, Any], Settings]]:
    """What `fleet:export` writes, and what the fleet makes of it with no other knowledge."""

    def export(first: str = "", **more: str) -> tuple[dict[str, Any], Settings]:
        code = """
            $path = storage_path('framework/cache/'.getenv('REDIS_PREFIX').'.json');
            $artisan = Illuminate\\Support\\Facades\\Artisan::getFacadeRoot();
            say([$artisan->call('fleet:export', ['--path' => $path]), $artisan->output()]);
            say([file_get_contents($path), glob($path.'.*')]);
            unlink($path);
        """
        (code_, said), (text, left) = app.php(first + code, **more)
        assert (code_, left) == (0, []), said
        for secret in ("DB_PASSWORD", "REDIS_PASSWORD", "APP_KEY", "SERVERS_DB_ROOT_PASSWORD"):
            assert servers[secret] not in text
        (tmp_path / "fleet.laravel.json").write_text(text)
        (tmp_path / ".env").touch()
        environ = {"FLEET_ENV_FILE": str(tmp_path / ".env"), "DB_PASSWORD": "x", "DB_USERNAME": "y"}
        values: dict[str, Any] = json.loads(text)["values"]
        return values, load("laravel", environ)

    return export


def test_the_fleet_reads_the_export_as_laravel_meant_it(
    exported: Callable[..., Any], app: LaravelApplication, fleet_schema: str
) -> None:
    values, settings = exported(APP_NAME="Größe & Co", CACHE_PREFIX="c_")
    version = laravel_version(app)
    assert settings.app_name == "Größe & Co"
    assert settings.prefix == app.prefix
    assert settings.mysql.database == fleet_schema
    assert settings.mysql.laravel_database == app.environ["DB_DATABASE"]
    assert (settings.redis.database, settings.cache.redis.database) == (0, 1)
    assert settings.cache.store == "redis"
    assert settings.cache.prefixes == ("c_:" if version[0] < 11 else "c_",)
    assert settings.queue.retry_after == 90
    assert settings.queue.failed_database == app.environ["DB_DATABASE"]
    assert (settings.queue.failed_driver, settings.queue.failed_table) == (
        "database-uuids", "failed_jobs",
    )  # fmt: skip
    assert settings.laravel.version == version
    assert str(settings.laravel.storage).endswith("/storage")
    assert settings.laravel.jobs == {
        "App\\Jobs\\Fleet\\DayClosed",
        "App\\Jobs\\Fleet\\DayRestated",
        "App\\Jobs\\Fleet\\PositionDiverged",
        "App\\Jobs\\Fleet\\AccountSuspended",
        "Tradefleet\\Laravel\\Jobs\\HandBack",
    }
    assert (settings.queues, settings.events_queue) == (("fleet",), "fleet-events")
    assert "HORIZON_PREFIX" not in values
    assert "FLEET_LARAVEL_HORIZON" not in values
    assert settings.notes == ()


def test_what_env_changes_the_export_tells(exported: Callable[..., Any]) -> None:
    _, settings = exported(
        CACHE_DRIVER="database", QUEUE_FAILED_DRIVER="file", REDIS_QUEUE_RETRY_AFTER="120",
        REDIS_DB="3", REDIS_CACHE_DB="4", APP_TIMEZONE="Europe/Paris", APP_CIPHER="AES-256-GCM",
        FLEET_QUEUES="books, reports", FLEET_EVENTS_QUEUE="back",
    )  # fmt: skip
    assert settings.cache.store == "database"
    assert settings.queue.failed_driver == "file"
    assert settings.queue.retry_after == 120
    assert (settings.redis.database, settings.cache.redis.database) == (3, 4)
    assert (str(settings.laravel.timezone), settings.laravel.cipher) == (
        "Europe/Paris", "aes-256-gcm",
    )  # fmt: skip
    assert (settings.queues, settings.events_queue) == (("books", "reports"), "back")


def test_a_store_by_another_name_is_told_by_its_driver(exported: Callable[..., Any]) -> None:
    first = """
        config(['cache.stores.mine' => ['driver' => 'file', 'prefix' => 'own', 'path' => '/tmp']]);
        config(['cache.default' => 'mine', 'app.maintenance' => ['driver' => 'cache']]);
    """
    values, settings = exported(first)
    assert (values["CACHE_STORE"], values["CACHE_PREFIX"]) == ("file", "own")
    assert settings.laravel.maintenance_store == "file"


def test_a_retry_after_of_null_is_sixty_seconds_unless_horizon_is_there(
    exported: Callable[..., Any],
) -> None:
    values, _ = exported(REDIS_QUEUE_RETRY_AFTER="null")
    assert values["REDIS_QUEUE_RETRY_AFTER"] == 60
    horizon = """eval('namespace Composer; class InstalledVersions {
        public static function isInstalled($name) { return $name === "laravel/horizon"; }
        public static function getPrettyVersion($name) { return "v5.45.6"; }
    }'); config(['horizon.prefix' => 'desk_horizon:']);"""
    values, settings = exported(horizon, REDIS_QUEUE_RETRY_AFTER="null")
    assert values["REDIS_QUEUE_RETRY_AFTER"] is None
    assert settings.laravel.horizon == "v5.45.6"
    assert settings.horizon_prefix == "desk_horizon:"


def test_a_folder_that_cannot_be_written_is_one_sentence(app: LaravelApplication) -> None:
    done = app.run("artisan", "fleet:export", "--path=/proc/fleet.json")
    assert done.returncode == 1
    assert "/proc/fleet.json cannot be written: run this as a user who may" in done.stdout


# -- doctor ----------------------------------------------------------------------------------------


def doctor(app: LaravelApplication, *words: str, **more: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that are wrong with their cures."""
    done = app.run("artisan", "fleet:doctor", *(words or ("--wait=0",)), **more)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return done.returncode, [line for line in lines if not line.startswith("ok")]


@pytest.fixture
def ready(app: LaravelApplication) -> LaravelApplication:
    """The application beside a fleet that has been started once."""
    app.redis.set(f"{app.prefix}fleet:partitions", 8)
    return app


@pytest.mark.parametrize(
    ("connection", "state"),
    [("sync", "has the driver sync"), ("database", "has the driver database"),
     ("nowhere", "is not in config/queue.php")],
)  # fmt: skip
def test_a_queue_connection_that_is_not_redis_is_refused_in_one_sentence(
    ready: LaravelApplication, connection: str, state: str
) -> None:
    code, lines = doctor(ready, FLEET_LARAVEL_CONNECTION=connection)
    assert code == 1
    (line,) = lines
    assert line == (
        f"Queue connection `{connection}` {state}, and the fleet shares Redis queues only: set "
        "FLEET_LARAVEL_CONNECTION to a connection whose driver is redis."
    )
    assert ready.queued("fleet") == []


def answer(app: LaravelApplication, **more: str) -> None:
    """As Python does: the next Ping runs, and its row says so."""
    (payload,) = eventually(lambda: app.queued("fleet"))
    assert payload["data"]["commandName"] == PING
    _, _, rest = payload["data"]["command"].partition('s:5:"token";s:32:"')
    token = rest[:32]
    said = {"token": token, "node": "laravel-1@desk", "fleet": "1.2.3"} | more
    app.rows(
        "INSERT INTO fleet_requests (uuid, class, arguments, answer, attempts, answered_at)"
        " VALUES (%s, %s, %s, %s, 1, UTC_TIMESTAMP(6))",
        payload["uuid"], PING, json.dumps({"token": token}), json.dumps(said),
    )  # fmt: skip


def test_all_is_well_when_one_job_went_there_and_back(ready: LaravelApplication) -> None:
    command = [ready.php_path, "artisan", "fleet:doctor"]
    with subprocess.Popen(
        command, env=dict(ready.environ), stdout=subprocess.PIPE, text=True
    ) as process:
        answer(ready)
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 6
    assert lines[-1].endswith("Python ran a job: node laravel-1@desk, fleet 1.2.3")


def test_an_answer_to_another_question_is_wrong(ready: LaravelApplication) -> None:
    command = [ready.php_path, "artisan", "fleet:doctor"]
    with subprocess.Popen(
        command, env=dict(ready.environ), stdout=subprocess.PIPE, text=True
    ) as process:
        answer(ready, token="another")
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "wrong Python answered something else than it was asked" in said


def test_silence_says_how_many_jobs_wait_and_what_to_start(ready: LaravelApplication) -> None:
    code, (wrong, cure) = doctor(ready)
    assert code == 1
    assert wrong == "wrong no answer within 0 s; 1 jobs wait on queue `fleet`"
    assert cure.startswith("      cure: start the fleet's Laravel workers")


def test_a_job_that_somebody_took_and_did_not_answer_is_told_apart(
    ready: LaravelApplication,
) -> None:
    command = [ready.php_path, "artisan", "fleet:doctor", "--wait=1"]
    with subprocess.Popen(
        command, env=dict(ready.environ), stdout=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: ready.queued("fleet"))
        ready.take("fleet")
        said, _ = process.communicate(timeout=SECONDS)
    assert "0 jobs wait on queue `fleet`" in said
    assert "cure: somebody took the job and did not answer" in said


def test_missing_partitions_are_told(app: LaravelApplication) -> None:
    code, lines = doctor(app)
    assert code == 1
    assert lines[0].startswith(
        f"wrong the number of partitions cannot be read: `{app.prefix}fleet:partitions` is not in"
    )
    assert lines[1].startswith("      cure: start the fleet once")


def test_missing_tables_are_told_in_the_server_s_own_words(
    fresh: LaravelApplication, ready: LaravelApplication
) -> None:
    schema = fresh.environ["FLEET_DB_DATABASE"]
    code, lines = doctor(fresh)
    assert (code, ready.prefix) == (1, fresh.prefix)
    wrong = [line for line in lines if line.startswith("wrong")]
    assert [f"{schema}.{table}' doesn't exist" in line for line, table in zip(
        wrong, ("fleet_outbox", "fleet_account_sources", "fleet_requests"), strict=True
    )] == [True] * 3  # fmt: skip
    assert all("SQL:" not in line for line in wrong)


def test_a_user_who_may_not_write_the_outbox_is_told(
    ready: LaravelApplication, fleet_schema: str
) -> None:
    user = f"{fleet_schema}_reader"
    ready.rows(f"CREATE USER {user} IDENTIFIED BY 'pw'")
    ready.rows(f"GRANT SELECT ON {fleet_schema}.* TO {user}")
    ready.rows(f"GRANT SELECT ON {fleet_schema}_laravel.* TO {user}")
    code, lines = doctor(ready, DB_USERNAME=user, DB_PASSWORD="pw")
    ready.rows(f"DROP USER {user}")
    assert code == 1
    assert lines[0].startswith(f"wrong this user cannot write `{fleet_schema}`.`fleet_outbox`: ")
    assert "INSERT command denied" in lines[0]
    assert f"GRANT SELECT, INSERT ON `{fleet_schema}`.`fleet_outbox`" in lines[1]
    assert ready.rows("SELECT COUNT(*) FROM fleet_outbox") == [(0,)]


def test_a_serializer_on_the_queue_s_redis_is_wrong_where_laravel_packs_delayed_jobs(
    ready: LaravelApplication,
) -> None:
    _, lines = doctor(ready, REDIS_SERIALIZER="1", REDIS_COMPRESSION="1")
    packs = laravel_version(ready) < (12, 45)
    told = "wrong Redis connection `default` of the queue has serializer and compression set"
    assert lines[0].startswith(told) == packs
    assert ("give the queue a Redis connection of its own" in lines[1]) == packs


def test_a_retry_after_of_null_is_wrong(ready: LaravelApplication) -> None:
    code, lines = doctor(ready, REDIS_QUEUE_RETRY_AFTER="null")
    assert code == 1
    assert lines[0].startswith("wrong retry_after of the queue connection is null")
    assert "'retry_after' => 90" in lines[1]


def test_the_doctor_leaves_nothing_in_the_outbox(ready: LaravelApplication) -> None:
    doctor(ready)
    assert ready.rows("SELECT COUNT(*) FROM fleet_outbox") == [(0,)]


# -- status ----------------------------------------------------------------------------------------


def test_status_tells_what_python_s_own_status_tells(app: LaravelApplication) -> None:
    for number, read in ((0, 1), (1, 3), (2, 0)):
        app.rows(
            "INSERT INTO fleet_offsets (consumer, stream, partition_no, last_id, entries_read,"
            " halted_reason) VALUES ('ledger', 'orders', %s, %s, %s, %s)",
            number, f"{read}-0", read, "three bugs in a row" if number == 2 else None,
        )  # fmt: skip
    for number in (0, 1):
        for at in range(1, 4):
            app.redis.xadd(stream_key(app.prefix, "orders", number), {"a": "b"}, id=f"{at}-0")
    for at, reason in enumerate(("malformed", "malformed", "overflow")):
        app.rows(
            "INSERT INTO fleet_parked (stream, partition_no, entry_id, event_key, type, event_id,"
            " fields, data, reason, error) VALUES ('orders', 0, %s, '', '', '', '', '', %s, '')",
            f"{at}-1", reason,
        )  # fmt: skip
    for state in (0, 1, 1, 2):
        app.rows(
            "INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data, state)"
            " VALUES ('orders', 't', '1', 'e', 1, '{}', %s)",
            state,
        )
    app.rows(
        "INSERT INTO fleet_requests (uuid, class, arguments, attempts) VALUES ('u', 'Sync', '', 1)"
    )
    app.rows(
        "INSERT INTO fleet_closed_days (day, grace_seconds, accounts)"
        " VALUES ('2026-02-28', 600, 2), ('2026-03-01', 600, 2)"
    )
    for at in range(3):
        app.rows(
            "INSERT INTO fleet_breaks (kind, identity, details, closed_at)"
            " VALUES ('position', %s, '{}', %s)",
            str(at), "2026-03-01" if at == 2 else None,
        )  # fmt: skip
    theirs = collect(app.connection, app.redis, app.prefix, ["orders"], 4, budget_bytes=None)
    said = app.artisan("fleet:status")
    row = next(line for line in said.splitlines() if "ledger" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["ledger", "orders", "3", str(theirs.lag_events)]
    assert theirs.lag_events == 2
    assert cells[4].endswith(" s")
    assert cells[5] == "2: three bugs in a row"
    assert "parked: malformed 2, overflow 1" in said
    assert "outbox: 1 waiting, 2 unconfirmed" in said
    assert "requests of the last day: Sync 1" in said
    assert "books: closed through 2026-03-01, 2 open breaks" in said


def test_status_of_a_fleet_that_has_done_nothing_yet(app: LaravelApplication) -> None:
    said = app.artisan("fleet:status")
    assert "parked: nothing" in said
    assert "books: no day is closed yet, 0 open breaks" in said


def test_status_before_the_first_migration_says_whom_to_ask(fresh: LaravelApplication) -> None:
    done = fresh.run("artisan", "fleet:status")
    assert done.returncode == 1
    assert "fleet_offsets' doesn't exist" in done.stdout
    assert "`php artisan fleet:doctor` says what is missing." in done.stdout
