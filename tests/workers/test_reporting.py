from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from shared import telemetry
from tests.waiting import eventually
from tests.workers.fleet_env import Surroundings, free_port, process, surroundings
from workers.batch_report import BatchReport
from workers.reporting import EventSender, Pending, Report, Reporter, Summary, task_events
from workers.roles import ROLES


def report(stream: str = "orders", events: int = 10, error: str | None = None) -> Report:
    trace = "trace" if error else None
    batch = BatchReport(stream, (1,), events, 0, 0.01, "1-0", "2-0", error, trace)
    return batch.for_flower()


REPORTS = st.lists(
    st.builds(
        report,
        st.sampled_from(["orders", "signals", "market"]),
        st.integers(1, 500),
        st.sampled_from([None, None, "Unavailable"]),
    ),
    max_size=60,
)


@given(st.lists(REPORTS, max_size=10), st.data())
def test_nothing_is_lost_or_counted_twice(rounds: list[list[Report]], data: Any) -> None:
    pending, sent, now = Pending(rate=2), [], 0.0
    for reports in rounds:
        for one in reports:
            pending.add(one)
        now += data.draw(st.floats(0, 3))
        taken = pending.take(now)
        if data.draw(st.booleans()):
            pending.put_back(taken)  # the broker was away
        else:
            sent.extend(taken)
    while len(pending):
        now += 1
        sent.extend(pending.take(now))
    everything = [one for reports in rounds for one in reports]
    assert sum(summary.counts["events"] for summary in sent) == sum(
        one.counts["events"] for one in everything
    )
    assert sum(summary.runs for summary in sent) == len(everything)
    failures = [summary for summary in sent if summary.error is not None]
    assert len(failures) == sum(one.error is not None for one in everything)


def test_at_most_ten_summaries_a_second_leave_a_node() -> None:
    pending = Pending()
    taken = 0
    for step in range(1001):  # ten seconds of 300 batches/s over 3 streams
        for stream in ("orders", "signals", "market"):
            pending.add(report(stream))
        taken += len(pending.take(step / 100))
    assert 95 <= taken <= 110 + 1


def test_no_stream_starves_another() -> None:
    pending = Pending(rate=1)
    seen = []
    for step in range(30):
        for stream in ("orders", "signals", "market"):
            pending.add(report(stream))
        seen += [summary.task for summary in pending.take(float(step))]
    assert {stream: seen.count(stream) for stream in set(seen)} == {
        f"stream.{stream}.batch": 10 for stream in ("orders", "signals", "market")
    }


def test_failures_do_not_wait_for_tokens_and_stay_apart() -> None:
    pending = Pending(rate=1)
    for _ in range(50):
        pending.add(report(error="Unavailable"))
    assert len(pending.take(0.0)) == 50


def test_failures_beyond_the_bound_share_one_with_their_number() -> None:
    pending = Pending(failures=10)
    for _ in range(100):
        pending.add(report(error="Unavailable"))
    taken = pending.take(0.0)
    assert len(taken) == 10
    assert sum(summary.runs for summary in taken) == 100


def test_a_summary_keeps_its_id_when_it_is_sent_again() -> None:
    """Else Flower would show the half-sent one as running for ever."""
    pending = Pending()
    pending.add(report())
    (first,) = pending.take(0.0)
    pending.put_back([first])
    pending.add(report())
    (second,) = pending.take(5.0)
    assert second.uuid == first.uuid
    assert second.runs == 2


def test_events_of_a_summary_end_with_its_outcome() -> None:
    good = task_events(Summary.of(report()))
    bad = task_events(Summary.of(report(error="Unavailable: MySQL")))
    assert [type_ for type_, _ in good] == ["task-received", "task-started", "task-succeeded"]
    assert bad[-1][0] == "task-failed"
    assert bad[-1][1]["traceback"] == "trace"
    assert json.dumps(good)  # nothing that JSON cannot carry


class Recording:
    """A sender that works, refuses, or breaks in a way nobody foresaw."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.sent: list[str] = []

    def send(self, type_: str, fields: dict[str, Any]) -> None:
        del fields
        if self.error is not None:
            raise self.error
        self.sent.append(type_)

    def close(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [OSError("away"), KeyError("a bug of ours")])
def test_an_outage_delays_summaries_and_loses_none(error: Exception) -> None:
    sender = Recording()
    reporter = Reporter(lambda: sender, clock=iter(range(100)).__next__, away=(OSError, KeyError))
    sender.error = error
    for _ in range(5):
        reporter(report())
        reporter.turn()
    sender.error = None
    reporter.turn()
    assert sender.sent == ["task-received", "task-started", "task-succeeded"]


def test_an_unforeseen_error_does_not_end_reporting(caplog: pytest.LogCaptureFixture) -> None:
    sender = Recording()
    reporter = Reporter(lambda: sender, clock=iter(range(100)).__next__)
    reporter(report())
    sender.send = _raise_once(sender)  # type: ignore[method-assign,assignment]
    reporter.turn()
    reporter.turn()
    assert sender.sent[-1] == "task-succeeded"
    assert "reports_failed" in caplog.text


def _raise_once(sender: Recording) -> Callable[[str, dict[str, Any]], None]:
    calls = iter([ZeroDivisionError()])

    def send(type_: str, fields: dict[str, Any]) -> None:
        del fields
        for error in calls:
            raise error
        sender.sent.append(type_)

    return send


def test_a_broker_that_is_away_costs_the_reader_no_time() -> None:
    app = Celery("away", broker=f"redis://127.0.0.1:{free_port()}/0")
    reporter = Reporter(lambda: EventSender(app, "streams-1@test"))
    reporter.start()
    started = time.monotonic()
    for _ in range(2000):
        reporter(report())
    assert time.monotonic() - started < 2
    before = _dropped()
    reporter.stop(0.1)
    # One summary may be in hand, on its way to the broker; all that came since are merged in one.
    assert before + 1 <= _dropped() <= before + 2
    app.close()


def _dropped() -> float:
    registry = telemetry.meter().registry
    return registry.get_sample_value("fleet_reports_total", {"outcome": "dropped"}) or 0.0


# --- with a real broker, worker and Flower -------------------------------------------------


class Desk(NamedTuple):
    around: Surroundings
    node_log: Path
    flower_port: int
    flower_pid: int

    def ask(self, path: str, *, method: str = "GET", auth: bool = True) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.flower_port, timeout=10)
        login = base64.b64encode(b"fleet:flower-canary").decode()
        headers = {"Authorization": f"Basic {login}"} if auth else {}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(body) if "json" in kind else body.decode()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A stream node and Flower, both as the Procfile starts them (but for the reader)."""
    logs = tmp_path_factory.mktemp("desk")
    port = free_port()
    with surroundings(FAKE_READER="ok", FLOWER_PORT=str(port)) as around:
        node = ROLES["streams"].command.replace("workers.app", "tests.workers.stream_node")
        node = node.replace("${FLEET_SLOT:-1}", "1")
        environ = {**around.environ, "FLEET_ROLE": "flower"}
        environ["FLEET_FLOWER_AUTH"] = "fleet:flower-canary"
        with (
            process(node.split(), around.environ, logs / "node.log"),
            process(ROLES["flower"].command.split(), environ, logs / "flower.log") as flower,
        ):
            found = Desk(around, logs / "node.log", port, flower.pid)
            eventually(lambda: _is_up(found), 40)
            yield found


def _is_up(desk: Desk) -> bool:
    try:
        return desk.ask("/healthcheck")[0] == 200 and len(desk.ask("/api/tasks")[1]) > 2
    except OSError:
        return False


def test_batches_are_tasks_in_flower(desk: Desk) -> None:
    def good() -> dict[str, Any] | None:
        tasks = desk.ask("/api/tasks?limit=200")[1].values()
        return next((task for task in tasks if task["state"] == "SUCCESS"), None)

    task = eventually(good, 20)
    assert task is not None
    assert task["name"] == "stream.orders.batch"
    assert task["worker"].startswith("streams-1@")
    assert task["args"].endswith("parked)")
    assert json.loads(task["result"])["runs"] >= 1


def test_failed_batches_show_their_traceback(desk: Desk) -> None:
    def failed() -> dict[str, Any] | None:
        tasks = desk.ask("/api/tasks?limit=500")[1].values()
        return next((task for task in tasks if task["state"] == "FAILURE"), None)

    task = eventually(failed, 20)
    assert task is not None
    assert "MySQL is away" in task["exception"]
    assert "Traceback" in task["traceback"]


def test_the_worker_page_shows_what_the_reader_does(desk: Desk) -> None:
    def reader() -> dict[str, Any] | None:
        workers = desk.ask("/api/workers?refresh=1")[1]
        found = [one.get("stats", {}).get("reader") for one in workers.values()]
        return next((one for one in found if one), None)

    shown = eventually(reader, 20)
    assert shown is not None
    assert shown["lag"] == 42


def test_flower_needs_a_password_and_only_reads(desk: Desk) -> None:
    assert desk.ask("/api/workers", auth=False)[0] == 401
    assert desk.ask("/", auth=False)[0] == 401
    worker = next(iter(desk.ask("/api/workers")[1]))
    assert desk.ask(f"/api/worker/shutdown/{worker}", method="POST")[0] == 403
    assert desk.ask("/api/task/send-task/fleet.trim_streams", method="POST")[0] == 403


def test_no_password_stands_in_a_command_line_or_on_a_page(desk: Desk) -> None:
    argv = Path(f"/proc/{desk.flower_pid}/cmdline").read_bytes()
    assert b"flower-canary" not in argv
    pages = [desk.ask(path)[1] for path in ("/workers", "/broker", "/api/workers?refresh=1")]
    assert desk.around.password not in json.dumps(pages)


def test_flower_sees_the_queues_under_our_key_prefix(desk: Desk) -> None:
    status, found = desk.ask("/api/queues/length")
    assert status == 200
    assert "fleet.control" in {queue["name"] for queue in found["active_queues"]}
