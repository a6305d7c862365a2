"""Our verdict on a run beside that of Laravel's own Queue/Worker.php, for the same payload."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.laravel.payload import Payload, read_payload
from shared.laravel.verdict import (
    Defaults,
    backoff_seconds,
    exceptions_used_up,
    is_last_attempt,
    may_run,
    timeout_seconds,
)

database = pytest.mark.database
NOW = 1_795_314_407

# A worker whose queue only notes what it is told, and which survives its own timeout.
WORKER = r"""
$app = require 'bootstrap/app.php';
$app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();

class Noted extends Illuminate\Queue\RedisQueue {
    public $delay = null;
    public function __construct() {}
    public function deleteReserved($queue, $job) {}
    public function deleteAndRelease($queue, $job, $delay) { $this->delay = $delay; }
}
class Work {
    public static $ran = false; public static $raises = false;
    public function fire($job, $data) {
        self::$ran = true;
        if (self::$raises) { throw new RuntimeException('no luck'); }
        $job->delete();
    }
}
class Surviving extends Illuminate\Queue\Worker {
    public $killed = false;
    public function kill(
        $status = 0, $options = null, $reason = null, $connectionName = null, $queue = null
    ) { $this->killed = true; }
    public function seconds($job, $options) { return $this->timeoutForJob($job, $options); }
    public function timeOut($job, $options) {
        $given = (new ReflectionMethod($this, 'registerTimeoutHandler'))->getNumberOfParameters();
        $given === 2
            ? $this->registerTimeoutHandler($job, $options)
            : $this->registerTimeoutHandler('redis', 'fleet', $job, $options);
        pcntl_alarm(0);
        posix_kill(getmypid(), SIGALRM);
        pcntl_signal_dispatch();
    }
}
while (($line = fgets(STDIN)) !== false) {
    $case = json_decode($line, true);
    Illuminate\Support\Carbon::setTestNow(
        Illuminate\Support\Carbon::createFromTimestamp($case['now'])
    );
    $cache = new Illuminate\Cache\Repository(new Illuminate\Cache\ArrayStore);
    if ($case['exceptions'] > 0) { $cache->put('job-exceptions:u-1', $case['exceptions'], 60); }
    $worker = new Surviving(
        app('queue'), app('events'), app(Illuminate\Contracts\Debug\ExceptionHandler::class),
        fn () => false
    );
    $worker->setCache($cache);
    $options = new Illuminate\Queue\WorkerOptions(
        backoff: $case['backoff'], timeout: $case['timeout'], maxTries: $case['tries']
    );
    $queue = new Noted;
    $job = new Illuminate\Queue\Jobs\RedisJob(
        app(), $queue, $case['payload'], $case['payload'], 'redis', 'fleet'
    );
    [Work::$ran, Work::$raises] = [false, $case['how'] !== 'returns'];
    $error = null;
    try {
        $case['how'] === 'hangs'
            ? $worker->timeOut($job, $options)
            : $worker->process('redis', $job, $options);
    } catch (Throwable $e) { $error = get_class($e); }
    echo json_encode([
        'ran' => Work::$ran, 'failed' => $job->hasFailed(), 'deleted' => $job->isDeleted(),
        'delay' => $queue->delay, 'killed' => $worker->killed, 'error' => $error,
        'exceptions' => $cache->get('job-exceptions:u-1'),
        'seconds' => (int) $worker->seconds($job, $options),
    ]), "\n";
}
"""


class Case(NamedTuple):
    """One run: how it ends, when, how often its exceptions were counted before, worker options."""

    fields: dict[str, Any]
    how: str = "raises"
    exceptions: int = 0
    defaults: Defaults = Defaults()

    def text(self) -> str:
        return json.dumps({"uuid": "u-1", "job": "Work", "attempts": 0, "data": []} | self.fields)


class PhpWorker:
    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process = process
        self._errors = errors

    def verdict(self, case: Case) -> dict[str, Any]:
        tries, backoff, timeout = case.defaults
        asked = {
            "payload": case.text(), "how": case.how, "now": NOW, "exceptions": case.exceptions,
            "tries": tries, "backoff": backoff, "timeout": timeout,
        }  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._errors.read_text(encoding="utf-8")
        return dict(json.loads(answer))


@pytest.fixture(scope="module")
def php_worker(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PhpWorker]:
    """One process for all cases of this file."""
    errors = tmp_path_factory.mktemp("php") / "stderr"
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [servers["SERVERS_PHP"], "-d", "display_errors=stderr", "-r", WORKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
        ) as process,
    ):  # fmt: skip
        yield PhpWorker(process, errors)
        process.kill()


def ours(case: Case) -> dict[str, Any]:
    """What the worker and its endings do, by our functions alone."""
    payload = read_payload(case.text().encode())
    attempts = payload.attempts + 1
    told: dict[str, Any] = {
        "ran": case.how != "hangs", "failed": False, "deleted": False, "delay": None,
        "killed": case.how == "hangs", "error": None, "exceptions": case.exceptions or None,
        "seconds": timeout_seconds(payload, case.defaults),
    }  # fmt: skip
    if case.how != "hangs" and not may_run(payload, attempts, NOW, case.defaults):
        too_many = "Illuminate\\Queue\\MaxAttemptsExceededException"
        return told | {"ran": False, "failed": True, "deleted": True, "error": too_many}
    if case.how == "returns":
        return told | {"deleted": True}
    last = is_last_attempt(payload, attempts, NOW, case.defaults)
    if payload.max_exceptions is not None:
        counted = case.exceptions + 1
        used_up = exceptions_used_up(payload, counted)
        last = last or used_up
        told["exceptions"] = None if used_up else counted
    if case.how == "hangs":
        last = last or bool(payload.fail_on_timeout)
    else:
        told["error"] = "RuntimeException"
        told["delay"] = None if last else backoff_seconds(payload, attempts, case.defaults)
    return told | {"failed": last, "deleted": last}


# -- beside PHP ------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.integers(-3, 99).map(str),
    st.sampled_from(["", " 5", "5 ", "\t5", "abc", "5abc", "+7", "-", "+-5", "007", "0x1A"]),
    st.sampled_from(["1e3", "1.9e1", "1E2x", ".5e1", "5.", "1e", "1_0", "9" * 30, "-" + "9" * 30]),
    st.text("0123456789 +-.eE", max_size=6),
)
NUMBER_TEXTS = st.integers(1, 5).map(str)
FIELDS = st.fixed_dictionaries(
    {"attempts": st.integers(0, 6)},
    optional={
        "maxTries": st.none() | st.integers(-1, 5) | NUMBER_TEXTS,
        "maxExceptions": st.none() | st.integers(-1, 4) | NUMBER_TEXTS,
        "failOnTimeout": st.none() | st.booleans(),
        "backoff": st.none() | st.lists(STEPS, max_size=4).map(",".join) | st.integers(-3, 99),
        "delay": st.none() | st.integers(-3, 5000),
        "timeout": st.none() | st.integers(-1, 90),
        "retryUntil": st.none()
        | st.sampled_from([0, -1, 1, NOW - 1, NOW, NOW + 1, NOW + 1000, str(NOW + 1)]),
    },
)
CASES = st.builds(
    Case,
    fields=FIELDS,
    how=st.sampled_from(["returns", "raises", "raises", "hangs"]),
    exceptions=st.integers(0, 4),
    defaults=st.builds(
        Defaults,
        tries=st.integers(0, 4),
        backoff=st.sampled_from(["0", "3", "3,7,11", ""]),
        timeout=st.sampled_from([0, 60]),
    ),
)


@database
@settings(max_examples=400, deadline=None)
@given(CASES)
@example(Case({"maxTries": 0, "attempts": 200}))
@example(Case({"maxTries": "0"}))
@example(Case({"maxTries": 0.0}))
@example(Case({"maxTries": "00.0", "attempts": 1}))
@example(Case({"maxTries": -0.5}))
@example(Case({"maxTries": 3, "attempts": 2, "retryUntil": 0}))
@example(Case({"maxTries": 1, "attempts": 9, "retryUntil": NOW}))
@example(Case({"retryUntil": NOW - 1}))
@example(Case({"retryUntil": NOW + 1, "backoff": "1,5,10", "attempts": 7}))
@example(Case({"maxTries": 9, "backoff": "1,5,10", "attempts": 1}))
@example(Case({"maxTries": 9, "backoff": "", "delay": 4000}))
@example(Case({"maxTries": 9, "backoff": "1e3"}))
@example(Case({"maxTries": 9, "backoff": "1e999"}))
@example(Case({"maxTries": 9, "backoff": "9e18"}))
@example(Case({"maxTries": 9, "delay": 4000}))
@example(Case({"maxTries": 9, "maxExceptions": 2}, exceptions=1))
@example(Case({"maxTries": 9, "maxExceptions": 0}))
@example(Case({"maxTries": 9, "failOnTimeout": True}, how="hangs"))
@example(Case({"maxTries": 9, "maxExceptions": 2}, how="hangs", exceptions=1))
@example(Case({"maxTries": 1, "maxExceptions": 3}, exceptions=1))
def test_the_verdict_is_that_of_the_real_worker(php_worker: PhpWorker, case: Case) -> None:
    assert ours(case) == php_worker.verdict(case)


# -- for readers: the same rules, spelled out ------------------------------------------------------


def payload(**fields: Any) -> Payload:
    return read_payload(Case(fields).text().encode())


@pytest.mark.parametrize(
    ("tries", "attempts", "runs"),
    [(None, 1, True), (None, 2, False), (0, 1000, True), (3, 3, True), (3, 4, False)],
)
def test_tries_of_the_payload_or_the_workers_option_bound_the_attempts(
    tries: int | None, attempts: int, *, runs: bool
) -> None:
    assert may_run(payload(maxTries=tries), attempts, NOW, Defaults()) == runs
    assert is_last_attempt(payload(maxTries=tries), attempts, NOW, Defaults()) == (
        tries != 0 and attempts >= (tries or 1)
    )


@pytest.mark.parametrize(
    ("until", "runs", "last"),
    [(NOW + 1, True, False), (NOW, True, True), (NOW - 1, False, True), (0, False, True)],
)
def test_a_time_limit_stands_above_tries(until: int, *, runs: bool, last: bool) -> None:
    """0 is no limit: then the worker's one try counts."""
    limited = payload(retryUntil=until)
    assert may_run(limited, 2, NOW, Defaults()) == runs
    assert is_last_attempt(limited, 2, NOW, Defaults()) == last


@pytest.mark.parametrize(
    ("backoff", "delay", "attempts", "seconds"),
    [
        ("1,5,10", None, 1, 1),
        ("1,5,10", None, 2, 5),
        ("1,5,10", None, 9, 10),
        (None, None, 1, 4),
        (None, 4000, 1, 4000),  # trap 34
        ("2", 4000, 1, 2),
        ("", 4000, 1, 0),
        (" 5", None, 1, 5),
        ("abc", None, 1, 0),
        ("1e3", None, 1, 1000),
        ("9" * 30, None, 1, 2**63 - 1),
        ("9" * 400, None, 1, 0),
    ],
)
def test_the_backoff_is_an_item_of_the_list_else_the_delay_else_the_workers(
    backoff: str | None, delay: int | None, attempts: int, seconds: int
) -> None:
    found = backoff_seconds(payload(backoff=backoff, delay=delay), attempts, Defaults(backoff="4"))
    assert found == seconds


@pytest.mark.parametrize(("limit", "used_up"), [(None, False), (3, False), (2, True), (1, True)])
def test_the_exception_in_hand_counts_too(limit: int | None, *, used_up: bool) -> None:
    assert exceptions_used_up(payload(maxExceptions=limit), 2) == used_up


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 60), (0, 0), (-1, -1), (30, 30)])
def test_a_timeout_of_the_payload_beats_the_workers(timeout: int | None, seconds: int) -> None:
    assert timeout_seconds(payload(timeout=timeout), Defaults()) == seconds
