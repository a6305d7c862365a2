from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from shared.errors import FleetError, SettingsError
from tests.waiting import eventually
from tests.workers import operator_node
from tests.workers.fleet_env import ROOT, Surroundings, forget_rq, keys, process, surroundings
from workers.drain_build import ask_to_drain, look_at_drain, undrain
from workers.jobs import operator, table
from workers.jobs.operator import JobState, Progress

COMMAND = [sys.executable, "-m", "tests.workers.operator_node"]


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    forget_rq()
    monkeypatch.setattr(table, "OPERATOR_JOBS", operator_node.JOBS)
    with surroundings() as found:
        yield found
    forget_rq()


def worker(around: Surroundings, log: Path) -> AbstractContextManager[Any]:
    return process(COMMAND, around.environ, log)


def end_of(around: Surroundings, job_id: str, seconds: float = 30) -> JobState:
    def ended() -> JobState | None:
        state = operator.look(around.settings, job_id)
        return state if state.ended else None

    state = eventually(ended, seconds)
    assert state is not None
    return state


def scraped(around: Surroundings) -> str:
    url = f"http://127.0.0.1:{around.environ['FLEET_METRICS_PORT']}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def test_a_job_runs_and_tells_its_progress(around: Surroundings, tmp_path: Path) -> None:
    with worker(around, tmp_path / "log"):
        job_id = operator.enqueue(around.settings, "count", {"to": 30, "pause": 0.05}, actor="ann")
        said: list[str] = []
        result = operator.watch(around.settings, job_id, said.append)
    assert result == {"outcome": "done", "steps": 30, "from": 0}
    assert said[-1] == "count finished: 30 of 30"
    assert any("started" in line for line in said)
    assert operator.look(around.settings, job_id).actor == "ann"


def test_a_failed_job_says_why(around: Surroundings, tmp_path: Path) -> None:
    with worker(around, tmp_path / "log"):
        job_id = operator.enqueue(around.settings, "fail", {})
        state = end_of(around, job_id)
        counted = 'fleet_operator_jobs_total{job_name="fail",outcome="failed"} 1.0'
        eventually(lambda: counted in scraped(around))  # by the worker: the horse is gone
    assert state.status == "failed"
    assert state.error == "ValueError: no such account"
    with pytest.raises(FleetError, match="no such account"):
        operator.watch(around.settings, job_id, lambda _: None)


def test_cancel_stops_at_a_step_and_resume_goes_on_from_there(
    around: Surroundings, tmp_path: Path
) -> None:
    with worker(around, tmp_path / "log"):
        first = operator.enqueue(around.settings, "count", {"to": 400, "pause": 0.02})
        eventually(lambda: operator.look(around.settings, first).done > 0, 20)
        operator.cancel(around.settings, first)
        stopped = end_of(around, first)
        assert stopped.status == "cancelled"
        assert stopped.checkpoint is not None
        assert 0 < stopped.checkpoint["at"] < 400
        second = operator.enqueue(around.settings, "count", {"to": 400}, resume=first)
        done = end_of(around, second)
    assert done.result["from"] == stopped.checkpoint["at"]
    assert done.result["steps"] == 400 - stopped.checkpoint["at"]


def test_a_queued_job_can_be_cancelled_before_it_starts(around: Surroundings) -> None:
    job_id = operator.enqueue(around.settings, "count", {"to": 1})
    operator.cancel(around.settings, job_id)
    assert operator.look(around.settings, job_id).status == "canceled"


def test_cancel_now_kills_the_running_process(around: Surroundings, tmp_path: Path) -> None:
    with worker(around, tmp_path / "log"):
        job_id = operator.enqueue(around.settings, "count", {"to": 2, "pause": 50})
        eventually(lambda: operator.look(around.settings, job_id).status == "started", 20)
        operator.cancel(around.settings, job_id, now=True)
        assert end_of(around, job_id).status == "stopped"


def test_a_stop_of_the_worker_hands_the_job_to_the_next(
    around: Surroundings, tmp_path: Path
) -> None:
    with worker(around, tmp_path / "one") as first:
        job_id = operator.enqueue(around.settings, "count", {"to": 200, "pause": 0.02})
        eventually(lambda: operator.look(around.settings, job_id).done > 0, 20)
        first.send_signal(signal.SIGTERM)
        assert first.wait(15) == 0
    waiting = operator.look(around.settings, job_id)
    assert waiting.status == "queued"
    assert waiting.checkpoint is not None
    with worker(around, tmp_path / "two"):
        done = end_of(around, job_id)
    assert done.status == "finished"
    assert done.result["from"] == waiting.checkpoint["at"] > 0


def test_a_drained_worker_hands_its_job_back_and_goes_on_with_it_later(
    around: Surroundings, tmp_path: Path
) -> None:
    settings = around.settings
    with worker(around, tmp_path / "log") as node:
        job_id = operator.enqueue(settings, "count", {"to": 400, "pause": 0.02})
        eventually(lambda: operator.look(settings, job_id).done > 0, 20)
        ask_to_drain(settings, "rq", "")
        eventually(lambda: look_at_drain(settings, "rq").done, 20)
        waiting = operator.look(settings, job_id)
        assert waiting.status == "queued"
        assert waiting.checkpoint is not None
        undrain(settings, "rq")
        done = end_of(around, job_id)
        assert node.poll() is None
    assert done.result["from"] == waiting.checkpoint["at"] > 0


def test_every_key_is_under_our_prefix_and_nothing_is_pickled(around: Surroundings) -> None:
    with around.redis() as redis:
        before = keys(redis)
        job_id = operator.enqueue(around.settings, "count", {"to": 1})
        new = keys(redis) - before
        assert any(key.startswith(f"{around.settings.broker_prefix}rq:") for key in new)
        assert not any(key.startswith("rq:") for key in new)
        raw: Any = redis.hget(f"{around.settings.broker_prefix}rq:job:{job_id}", "data")
        assert zlib.decompress(raw).startswith(b"[")


def test_one_process_serves_one_prefix(around: Surroundings) -> None:
    operator.queue(around.settings)
    with surroundings() as other, pytest.raises(SettingsError, match="one prefix per process"):
        operator.queue(other.settings)


def test_sentry_in_the_worker_keeps_the_prefix(around: Surroundings) -> None:
    code = (
        "from shared.settings import load; from shared.masking import Mask;"
        "from shared.telemetry import start_sentry; from workers.jobs import operator;"
        "operator.use_prefix(load('rq'));"
        "start_sentry('https://p@s.invalid/1', Mask(), with_rq=True);"
        "import rq.defaults; print(rq.defaults.RQ_KEY_PREFIX)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=around.environ, cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert found.stdout.strip() == f"{around.settings.broker_prefix}rq"


def test_a_prefix_that_rq_refuses_says_what_to_write() -> None:
    forget_rq()
    with (
        surroundings(FLEET_BROKER_PREFIX="desk/1:") as strange,
        pytest.raises(SettingsError, match="FLEET_BROKER_PREFIX"),
    ):
        operator.use_prefix(strange.settings)


def test_an_unknown_job_names_the_known_ones(around: Surroundings) -> None:
    with pytest.raises(SettingsError, match="count, fail"):
        operator.enqueue(around.settings, "cuont", {})


class FakeJob:
    """The two things of a job that Progress touches."""

    def __init__(self) -> None:
        self.meta: dict[str, Any] = {}
        self.saves = 0

    def save_meta(self) -> None:
        self.saves += 1


def test_progress_writes_at_most_twice_a_second() -> None:
    job, now = FakeJob(), [0.0]
    progress = Progress(job, lambda: False, clock=lambda: now[0])
    for step in range(1000):
        now[0] = step / 1000
        progress.update(step, 1000)
    assert job.saves == 2
    assert job.meta["done"] == 999


def test_a_cancel_is_asked_for_at_most_twice_a_second_and_stays() -> None:
    asked = []
    now = [0.0]

    def cancel_asked() -> bool:
        asked.append(now[0])
        return now[0] >= 1

    progress = Progress(FakeJob(), cancel_asked, clock=lambda: now[0])
    for step in range(3000):
        now[0] = step / 1000
        cancelled = progress.cancelled()
    assert cancelled
    assert len(asked) == 3
