"""Jobs both ways on a real Laravel: the generated classes, and what follows a job of Python's."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from shared.laravel.command import read_command
from tests.laravel_application import LaravelApplication
from workers.laravel_jobs import ping, rebuild_pnl
from workers.laravel_jobs.outgoing import OUTGOING
from workers.laravel_jobs.php_classes import INCOMING
from workers.laravel_jobs.table import JOBS

pytestmark = pytest.mark.database

FLEET = "App\\Jobs\\Fleet\\"
TELL = "App\\Jobs\\Tell"
HAND_BACK = "Tradefleet\\Laravel\\Jobs\\HandBack"
FAILED = {"exception": "Unavailable: the venue is down", "exceptionClass": "shared.Unavailable"}


def dispatch(app: LaravelApplication, jobs: list[Any], *words: str, **more: str) -> None:
    app.artisan("desk:dispatch", f"--jobs={json.dumps(jobs)}", *words, **more)


def push_back(
    app: LaravelApplication, payload: dict[str, Any], outcome: str = "completed", **more: Any
) -> None:
    """As Python does after it ran (and deleted) a job."""
    data = {"uuid": payload["uuid"], "command": payload["data"]["command"], "outcome": outcome}
    job = {
        "uuid": str(uuid4()), "id": uuid4().hex, "displayName": HAND_BACK,
        "job": f"{HAND_BACK}@handle", "maxTries": 1, "attempts": 0,
        "data": {"exception": None, "exceptionClass": None, **data, **more},
    }  # fmt: skip
    app.redis.rpush(f"{app.prefix}queues:fleet-events", json.dumps(job))


def work(app: LaravelApplication, queues: str = "fleet-events,default", **more: str) -> str:
    """A real worker, until the queues are empty."""
    options = (f"--queue={queues}", "--stop-when-empty", "--sleep=0")
    return app.artisan("queue:work", "redis", *options, **more)


def failed_jobs(app: LaravelApplication) -> list[tuple[str, str]]:
    """Queue and first line of the exception of every failed job."""
    laravel = app.environ["DB_DATABASE"]
    rows = app.rows(f"SELECT queue, exception FROM {laravel}.failed_jobs")  # noqa: S608 - ours
    return [(queue, text.split("\n", 1)[0]) for queue, text in rows]


# -- the generated classes -------------------------------------------------------------------------

ARGUMENTS: dict[str, list[Any]] = {
    "SyncAccount": [42],
    "RebuildPnl": [42, "2026-01-31"],
    "ReplayParked": ["orders", "42"],
}


@pytest.mark.parametrize("name", INCOMING)
def test_what_laravel_dispatches_is_what_the_model_reads(
    app: LaravelApplication, name: str
) -> None:
    dispatch(app, [[FLEET + name, ARGUMENTS[name]]])
    (payload,) = app.queued("fleet")
    row = INCOMING[name]
    command = read_command(payload["data"]["command"], None)
    assert command.class_name == payload["displayName"] == FLEET + name
    model = command.arguments(JOBS[FLEET + name].model)
    assert list(model.model_dump(mode="json").values()) == ARGUMENTS[name]
    assert (command.connection, command.queue) == ("redis", "fleet")
    assert payload["maxTries"] == row.tries
    assert payload["backoff"] == ",".join(str(seconds) for seconds in row.backoff)


def test_defaults_may_be_left_out(app: LaravelApplication) -> None:
    dispatch(app, [[f"{FLEET}RebuildPnl", {"accountId": 42}]])
    command = read_command(app.take("fleet")["data"]["command"], None)
    model = command.arguments(rebuild_pnl.Model)
    assert model.model_dump() == {"account_id": 42, "from_": None}


def test_a_hundred_clicks_are_one_job(app: LaravelApplication) -> None:
    clicks = [[f"{FLEET}SyncAccount", [account]] for account in (7, 7, 8) * 20]
    dispatch(app, clicks)
    assert len(app.queued("fleet")) == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("SyncAccount", [7]), ("RebuildPnl", [7]), ("RebuildPnl", [7, "2026-01-31"])],
)
def test_python_names_a_unique_job_as_php_does(
    app: LaravelApplication, name: str, arguments: list[Any]
) -> None:
    dispatch(app, [[FLEET + name, arguments]])
    row = JOBS[FLEET + name]
    model = read_command(app.take("fleet")["data"]["command"], None).arguments(row.model)
    said = app.php(f"say((new {FLEET}{name}(...lines()->current()))->uniqueId());", arguments)
    assert said == [row.unique_id(model)]


def test_a_rebuild_from_a_day_does_not_keep_out_the_whole_one(app: LaravelApplication) -> None:
    rebuild = f"{FLEET}RebuildPnl"
    dispatch(app, [[rebuild, [7, "2026-01-31"]], [rebuild, [7]], [rebuild, [7]]])
    assert len(app.queued("fleet")) == 2


@pytest.mark.parametrize("name", INCOMING)
def test_php_that_runs_a_job_of_python_s_says_why_that_is_wrong(
    app: LaravelApplication, name: str
) -> None:
    dispatch(app, [[FLEET + name, ARGUMENTS[name]]])
    work(app, "fleet")
    raised = app.php(
        f"say(refusal(fn () => (new {FLEET}{name}(...lines()->current()))->handle()));",
        ARGUMENTS[name],
    )
    ((class_, sentence),) = raised
    assert class_ == "LogicException"
    assert sentence == (
        "Python runs this job. This PHP worker listens to a queue of the fleet: take `fleet` out "
        "of its --queue list."
    )


EVENTS: dict[str, dict[str, Any]] = {
    "DayClosed": {"day": "2026-01-31", "accountIds": [1, 2, 3]},
    "DayRestated": {
        "accountId": 7, "days": ["2026-01-30", "2026-01-31"],
        "causes": ['["fill",7,"linear","BTCUSDT","t1","buy"]'],
    },
    "PositionDiverged": {"breakId": 5},
    "AccountSuspended": {"accountId": 7, "reason": "the key was refused"},
}  # fmt: skip


@pytest.mark.parametrize("name", [name.rpartition("\\")[2] for name in OUTGOING])
def test_a_job_towards_laravel_fires_its_event(app: LaravelApplication, name: str) -> None:
    code = f"""
        Illuminate\\Support\\Facades\\Event::listen(
            function (Tradefleet\\Laravel\\Events\\{name} $event) {{ say((array) $event); }}
        );
        {FLEET}{name}::dispatch(...lines()->current());
        $queue = Illuminate\\Support\\Facades\\Queue::connection('redis');
        $queue->pop('fleet-events')->fire();
    """
    assert app.php(code, EVENTS[name]) == [EVENTS[name]]
    assert app.queued("fleet-events") == []


# -- the package's own jobs ------------------------------------------------------------------------


def test_a_completed_job_s_chain_goes_on(app: LaravelApplication) -> None:
    chain = [[f"{FLEET}SyncAccount", [7]], [TELL, ["next"]], [TELL, ["last"]]]
    dispatch(app, chain, "--as=chain")
    push_back(app, app.take("fleet"))
    work(app)
    assert app.told() == ["next", "last"]
    assert failed_jobs(app) == []
    assert app.redis.keys(f"{app.prefix}queues:fleet-events*") == []


def test_a_failed_job_ends_its_chain_and_the_catch_callback_learns_why(
    app: LaravelApplication,
) -> None:
    chain = [[TELL, ["python"]], [TELL, ["never"]]]
    dispatch(app, chain, "--as=chain")
    push_back(app, app.take("default"), "failed", **FAILED)
    work(app)
    caught, failed = app.told()
    assert caught == "chain caught: Unavailable: the venue is down"
    assert failed.startswith("python failed: Tradefleet\\Laravel\\Exceptions\\PythonJobFailed: ")
    assert failed_jobs(app) == []  # Python writes the row of the job that failed


def test_a_batch_finishes_when_python_and_php_have_done_their_parts(
    app: LaravelApplication,
) -> None:
    batch = [[TELL, ["python 1"]], [TELL, ["php"]], [TELL, ["python 2"]]]
    dispatch(app, batch, "--as=batch")
    one, php, two = (app.take("default") for _ in range(3))
    push_back(app, one)
    work(app)
    assert app.told() == []
    app.redis.rpush(f"{app.prefix}queues:default", json.dumps(php))
    push_back(app, two)
    work(app)
    assert app.told() == ["php", "batch then: 3 of 3", "batch finally: 0 failed"]


@pytest.mark.parametrize("allowed", [["--allow-failures"], []])
def test_a_failure_in_a_batch_is_counted_as_php_counts_it(
    app: LaravelApplication, allowed: list[str]
) -> None:
    batch = [[TELL, ["one"]], [TELL, ["two"]]]
    dispatch(app, batch, "--as=batch", *allowed)
    one, two = app.take("default"), app.take("default")
    push_back(app, one, "failed", **FAILED)
    push_back(app, two)
    work(app)
    told = app.told()
    assert "batch caught: Unavailable: the venue is down" in told
    assert told[-1] == "batch finally: 1 failed"
    laravel = app.environ["DB_DATABASE"]
    columns = "pending_jobs, failed_jobs, failed_job_ids, cancelled_at IS NULL"
    ((pending, failed, ids, going),) = app.rows(
        f"SELECT {columns} FROM {laravel}.job_batches"  # noqa: S608 - ours
    )
    assert (pending, failed, json.loads(ids), going) == (1, 1, [one["uuid"]], len(allowed))


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_the_unique_lock_goes_however_the_job_ended(app: LaravelApplication, outcome: str) -> None:
    click = [[f"{FLEET}SyncAccount", [7]]]
    dispatch(app, click)
    payload = app.take("fleet")
    dispatch(app, click)
    assert app.queued("fleet") == []
    push_back(app, payload, outcome)
    work(app)
    dispatch(app, click)
    assert len(app.queued("fleet")) == 1


def test_an_encrypted_command_is_handed_back_as_it_was(app: LaravelApplication) -> None:
    dispatch(app, [[TELL, ["python"]], [TELL, ["next"]]], "--as=chain")
    payload = app.take("default")
    code = "say(encrypt(lines()->current()));"
    (payload["data"]["command"],) = app.php(code, payload["data"]["command"])
    push_back(app, payload)
    work(app)
    assert app.told() == ["next"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ('O:13:"App\\Jobs\\Gone":0:{}', "The job that Python ran is of a class that this"),
        ("neither serialized nor encrypted", "DecryptException"),
    ],
)
@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_a_command_that_cannot_be_read_fails_as_any_job_does(
    app: LaravelApplication, command: str, why: str, outcome: str
) -> None:
    push_back(app, {"uuid": "u", "data": {"command": command}}, outcome)
    work(app)
    ((queue, exception),) = failed_jobs(app)
    assert queue == "fleet-events"
    assert why in exception


def test_a_hand_back_that_failed_can_be_retried(app: LaravelApplication) -> None:
    dispatch(app, [[TELL, ["python"]], [TELL, ["next"]]], "--as=chain")
    payload = app.take("default")
    command = payload["data"]["command"]
    payload["data"]["command"] = command.replace("App\\Jobs\\Tell", "App\\Jobs\\Tall", 1)
    push_back(app, payload)
    work(app)
    laravel = app.environ["DB_DATABASE"]
    app.rows(
        f"UPDATE {laravel}.failed_jobs SET payload = REPLACE(payload, 'Tall', 'Tell')"  # noqa: S608
    )
    app.artisan("queue:retry", "all")
    work(app)
    assert (app.told(), failed_jobs(app)) == (["next"], [])


def test_a_command_whose_model_is_gone_fails_and_is_not_dropped(app: LaravelApplication) -> None:
    code = """
        $account = App\\Models\\ExchangeAccount::query()->create([
            'id' => 5, 'user_id' => 1, 'venue' => 'x', 'product' => 'spot', 'api_key' => 'k',
            'api_secret' => 's',
        ]);
        $tell = new App\\Jobs\\Tell('x');
        $tell->middleware = $account;
        say(serialize($tell));
        $account->delete();
    """
    (command,) = app.php(code)
    assert "ModelIdentifier" in command
    push_back(app, {"uuid": "u", "data": {"command": command}})
    work(app)
    ((_, exception),) = failed_jobs(app)
    assert exception.startswith("Illuminate\\Database\\Eloquent\\ModelNotFoundException")


def test_an_unknown_outcome_is_refused(app: LaravelApplication) -> None:
    dispatch(app, [[TELL, ["python"]]])
    push_back(app, app.take("default"), "perhaps")
    work(app)
    ((_, exception),) = failed_jobs(app)
    assert "outcome is perhaps; completed or failed expected" in exception


def test_ping_carries_what_python_reads(app: LaravelApplication) -> None:
    app.php("Tradefleet\\Laravel\\Jobs\\Ping::dispatch('abc');")
    (payload,) = app.queued("fleet")
    command = read_command(payload["data"]["command"], None)
    assert command.arguments(ping.Model).model_dump() == {"token": "abc"}


def test_ping_is_pinned_and_explains_itself(app: LaravelApplication) -> None:
    code = """
        $ping = new Tradefleet\\Laravel\\Jobs\\Ping('abc');
        say([$ping->connection, $ping->queue, refusal(fn () => $ping->handle())[0]]);
    """
    assert app.php(code, FLEET_QUEUES="books, more") == [["redis", "books", "LogicException"]]


def test_a_batch_of_python_s_jobs_is_on_the_fleet_s_queue_and_finishes(
    app: LaravelApplication,
) -> None:
    batch = [[f"{FLEET}SyncAccount", [account]] for account in (7, 8)]
    dispatch(app, batch, "--as=batch", "--queue=fleet")
    for _ in batch:
        push_back(app, app.take("fleet"))
    work(app)
    assert app.told() == ["batch then: 2 of 2", "batch finally: 0 failed"]
