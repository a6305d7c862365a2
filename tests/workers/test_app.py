from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from celery import Celery
from celery.utils.serialization import jsonify
from kombu.exceptions import OperationalError
from kombu.utils.encoding import safe_repr

from shared.errors import SettingsError
from tests.waiting import eventually
from tests.workers.fleet_env import ROOT, Surroundings, keys, process, surroundings
from tests.workers.proxy import Proxy
from workers.config import TASK_SECONDS, celery_settings, refuse_overrides
from workers.lease import run_once
from workers.roles import ROLES
from workers.scheduled.table import SCHEDULED
from workers.wiring import make_app


@pytest.fixture
def around() -> Iterator[Surroundings]:
    with surroundings() as found:
        yield found


@pytest.fixture
def app(around: Surroundings) -> Iterator[Celery]:
    found = make_app(around.settings, "jobs")
    yield found
    found.close()


# --- the table -------------------------------------------------------------------------------


def test_nothing_but_json_is_accepted(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.event_serializer == "json"


def test_redelivery_waits_twice_the_longest_task(app: Celery) -> None:
    options = app.conf.broker_transport_options
    assert options["visibility_timeout"] == 2 * app.conf.task_time_limit == 2 * TASK_SECONDS
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit
    assert options["unacked_restore_throttle"] == 1


def test_a_killed_child_costs_a_retry_and_not_the_task(app: Celery) -> None:
    assert app.conf.task_acks_late
    assert app.conf.task_retry_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1


def test_no_socket_waits_for_ever(app: Celery) -> None:
    for options in (app.conf.broker_transport_options, app.conf.redbeat_redis_options):
        assert options["socket_timeout"] <= 30
        assert options["socket_connect_timeout"] <= 5


def test_soft_shutdown_is_for_prefork_only(around: Surroundings) -> None:
    """Threads cannot be killed: there it ends in NotImplementedError after the full wait."""
    for name, role in ROLES.items():
        has = "worker_soft_shutdown_timeout" in celery_settings(around.settings, name)
        assert has == (role.pool == "prefork")


def test_beat_takes_over_within_half_a_minute(app: Celery) -> None:
    assert app.conf.redbeat_lock_timeout == 30
    assert app.conf.beat_max_loop_interval == 5
    assert app.conf.timezone == "UTC"


@pytest.mark.parametrize("name", sorted(SCHEDULED))
def test_every_schedule_names_a_registered_task_and_expires(app: Celery, name: str) -> None:
    entry = app.conf.beat_schedule[name]
    assert entry["task"] in app.tasks
    assert entry["options"]["expires"] >= entry["schedule"].total_seconds()


def test_a_misspelt_queue_is_an_error(app: Celery) -> None:
    with pytest.raises(Exception, match="nosuch"):
        app.send_task("fleet.trim_streams", queue="fleet.nosuch")


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"])
def test_celerys_own_variables_may_not_overrule_the_broker(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        refuse_overrides({name: "redis://elsewhere/0"})


def test_no_form_of_the_settings_shows_the_password(app: Celery, around: Surroundings) -> None:
    """`inspect conf` answers anybody who reaches the broker, and Flower shows it."""
    shown = [
        app.conf.humanize(with_defaults=True),
        json.dumps(jsonify(app.conf.table(with_defaults=True), unknown_type_filter=safe_repr)),
        app.bugreport(),
        repr(app.conf.redbeat_redis_options),
    ]
    assert around.password
    for text in shown:
        assert around.password not in text


def test_redbeat_still_reaches_its_redis(app: Celery) -> None:
    from redbeat.schedulers import get_redis  # noqa: PLC0415 - needs the app first

    assert get_redis(app).ping()


def test_importing_any_module_connects_to_nothing_and_reads_no_environment() -> None:
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "workers").rglob("*.py")
        if path.name not in {"app.py", "__init__.py"}
    )
    code = (
        "import socket, importlib\n"
        "def refuse(*_): raise SystemExit('connects at import')\n"
        "socket.socket.connect = refuse\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-800:]


# --- messages --------------------------------------------------------------------------------


def test_arguments_never_show_whoever_sends(app: Celery, around: Surroundings) -> None:
    app.send_task("fleet.trim_streams", kwargs={"note": "canary"}, queue="fleet.jobs")
    app.tasks["fleet.trim_streams"].apply_async()
    raw: Any = around.redis().lrange(f"{around.settings.broker_prefix}fleet.jobs", 0, -1)
    assert len(raw) == 2
    for message in raw:
        headers = json.loads(message)["headers"]
        assert headers["argsrepr"] == headers["kwargsrepr"] == "(hidden)"


def test_the_key_of_sentry_is_not_left_in_the_broker(app: Celery, around: Surroundings) -> None:
    baggage = {"baggage": "sentry-public_key=canary"}
    app.tasks["fleet.trim_streams"].apply_async(headers={**baggage, "headers": dict(baggage)})
    (message,) = cast(
        "Any", around.redis().lrange(f"{around.settings.broker_prefix}fleet.jobs", 0, -1)
    )
    assert b"canary" not in message


def test_a_second_run_at_the_same_time_is_skipped(around: Surroundings) -> None:
    settings = around.settings
    seen: list[int | None] = []

    def work() -> int:
        seen.append(run_once(settings, "fleet.test", lambda: 1))
        return 7

    assert run_once(settings, "fleet.test", work) == 7
    assert seen == [None]
    assert run_once(settings, "fleet.test", lambda: 8) == 8


def test_a_failed_run_gives_its_lease_back_and_is_no_success(around: Surroundings) -> None:
    def broken() -> int:
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        run_once(around.settings, "fleet.test", broken)
    assert not [key for key in keys(around.redis()) if key.endswith("last_success")
                and key.startswith(around.prefix)]  # fmt: skip
    assert run_once(around.settings, "fleet.test", lambda: 1) == 1


# --- stream nodes, as processes --------------------------------------------------------------


def node_command() -> list[str]:
    command = ROLES["streams"].command.replace("workers.app", "tests.workers.stream_node")
    return command.replace("${FLEET_SLOT:-1}", "1").split()


@pytest.mark.parametrize("ending", ["raise", "return"])
def test_a_reader_that_ends_takes_its_process_along(ending: str, tmp_path: Path) -> None:
    """Else the node heartbeats on, green, and reads nothing."""
    with (
        surroundings(FAKE_READER=ending) as around,
        process(node_command(), around.environ, tmp_path / "log") as node,
    ):
        assert eventually(lambda: node.poll() is not None, 40)
        assert node.returncode not in {0, None}
    log = (tmp_path / "log").read_text()
    assert "reader_failed" in log or "reader_returned" in log


def test_a_stream_node_answers_reports_and_stops_cleanly(tmp_path: Path) -> None:
    with (
        surroundings(FAKE_READER="ok", FLEET_RUN_DIR=str(tmp_path)) as around,
        process(node_command(), around.environ, tmp_path / "log") as node,
    ):
        port = eventually(lambda: _port(tmp_path, "streams"), 30)
        assert eventually(lambda: _status(port, "/ready") == 200, 10)
        assert _status(port, "/live") == 200
        app = make_app(around.settings, "cli")
        inspect = app.control.inspect(timeout=2)
        stats = eventually(inspect.stats, 20)
        (found,) = stats.values()
        assert found["reader"]["lag"] == 42
        before = keys(around.redis())
        assert all(key.startswith(around.settings.broker_prefix) for key in before
                   if key.startswith(around.prefix))  # fmt: skip
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 0
        app.close()
    log = (tmp_path / "log").read_text()
    assert "reader stopped cleanly" in log
    assert around.password not in log
    batch = next(json.loads(line) for line in log.splitlines() if '"event":"batch"' in line)
    assert batch["events"] == 500


def test_an_outage_of_the_broker_does_not_stop_the_reader(tmp_path: Path) -> None:
    with surroundings(FAKE_READER="ok", FLEET_RUN_DIR=str(tmp_path)) as direct:
        proxy = Proxy(direct.settings.broker.host, direct.settings.broker.port)
        url = direct.environ["FLEET_BROKER_URL"].replace(
            f":{direct.settings.broker.port}/", f":{proxy.port}/"
        )
        environ = {**direct.environ, "FLEET_BROKER_URL": url}
        with process(node_command(), environ, tmp_path / "log") as node:
            port = eventually(lambda: _port(tmp_path, "streams"), 30)
            eventually(lambda: _metric(port, 'fleet_reports_total{outcome="sent"}') > 3, 20)
            proxy.cut()
            done = _metric(port, 'fleet_events_total{stream="orders"}')
            eventually(lambda: _metric(port, 'fleet_reports_total{outcome="delayed"}') > 0, 20)
            eventually(lambda: _metric(port, 'fleet_events_total{stream="orders"}') > done, 5)
            sent = _metric(port, 'fleet_reports_total{outcome="sent"}')
            assert _status(port, "/live") == 200
            proxy.join()
            eventually(lambda: _metric(port, 'fleet_reports_total{outcome="sent"}') > sent, 30)
            app = make_app(direct.settings, "cli")
            eventually(lambda: app.control.inspect(timeout=1).ping(), 40)
            app.close()
            assert node.poll() is None
        proxy.close()


def test_a_waiting_beat_stops_when_told(tmp_path: Path) -> None:
    command = ROLES["beat"].command.split()
    with (
        surroundings(FLEET_ROLE="beat", FLEET_RUN_DIR=str(tmp_path)) as around,
        process(command, around.environ, tmp_path / "one"),
    ):
        eventually(lambda: "Acquired lock" in (tmp_path / "one").read_text(), 30)
        with process(command, around.environ, tmp_path / "two") as standby:
            eventually(lambda: len(list(tmp_path.glob("beat.*.port"))) == 2, 30)
            standby.send_signal(signal.SIGTERM)
            assert standby.wait(ROLES["beat"].drain_seconds) == 0


def test_two_beats_send_each_run_once(tmp_path: Path) -> None:
    command = ROLES["beat"].command.split()
    with surroundings(FLEET_ROLE="beat") as around:
        queue = f"{around.settings.broker_prefix}fleet.jobs"
        with (
            process(command, around.environ, tmp_path / "one"),
            process(command, around.environ, tmp_path / "two"),
        ):
            eventually(lambda: _sent(around, queue) >= 3, 40)
            messages: Any = around.redis().lrange(queue, 0, -1)
    ids = [json.loads(message)["properties"]["correlation_id"] for message in messages]
    assert len(set(ids)) == len(ids)
    logs = [(tmp_path / name).read_text() for name in ("one", "two")]
    assert sum("Sending due task" in log for log in logs) == 1
    assert all(around.password not in log for log in logs)


def _metric(port: int | None, series: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=5)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return next((float(line.split()[-1]) for line in lines if line.startswith(series)), 0.0)


def _sent(around: Surroundings, queue: str) -> int:
    length: Any = around.redis().llen(queue)
    return int(length)


def _port(folder: Path, role: str) -> int | None:
    return next((int(path.read_text() or 0) for path in folder.glob(f"{role}.*.port")), None)


def _status(port: int | None, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
