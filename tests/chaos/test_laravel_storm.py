"""A short storm over one of Laravel's queues in every test run, and the rules of its verdict."""

from __future__ import annotations

import pytest

from tests.chaos.laravel_storm import (
    RESERVED_US,
    Failed,
    Nap,
    Plan,
    Run,
    Spec,
    Start,
    differences,
    reserved,
    run,
)

SEED = 20261125
PLAIN, FAILING = Spec(5, 0, None), Spec(5, 9, 2)
GIVEN_UP = "Illuminate\\Queue\\MaxAttemptsExceededException: ..."


@pytest.mark.database
def test_php_and_python_on_one_queue_account_for_every_job_of_a_storm() -> None:
    outcome = run(Plan(SEED, kills=5))
    assert outcome.found == []
    assert outcome.struck["killed in mid-job"] == 5
    assert min(outcome.ran["php"], outcome.ran["python"]) > outcome.pushed / 20
    assert outcome.failed > 0


def ran(attempt: int, at_us: int, runner: str = "php") -> Run:
    return Run("a", attempt, runner, 1, at_us, at_us)


@pytest.mark.parametrize(
    ("spec", "runs", "failed", "words"),
    [
        (PLAIN, [ran(1, 0)], None, None),
        (PLAIN, [ran(1, 0), ran(2, RESERVED_US)], None, None),
        (PLAIN, [ran(1, 0), ran(2, RESERVED_US - 1)], None, "twice within"),
        (PLAIN, [ran(2, RESERVED_US - 1), ran(1, 0)], None, "twice within"),
        (FAILING, [], Failed("a", "it was told to fail", 9), None),
        (FAILING, [ran(1, 0)], None, "told to fail"),
        (PLAIN, [], Failed("a", "it was told to fail", 9), "without a reason"),
        (PLAIN, [], Failed("a", "Duplicate entry", 9), "without a reason"),
        (PLAIN, [], Failed("a", GIVEN_UP, 9), None),
        (PLAIN, [ran(1, 0)], Failed("a", GIVEN_UP, 9), None),
        (PLAIN, [ran(1, 8_000_000)], Failed("a", GIVEN_UP, 8), "given up"),
    ],
)
def test_the_verdict_on_one_job(
    spec: Spec, runs: list[Run], failed: Failed | None, words: str | None
) -> None:
    found = differences({"a": spec}, runs, [failed] if failed else [], set())
    assert len(found) == (0 if words is None else 1)
    assert all(str(words) in line for line in found)


def test_a_job_that_nobody_pushed_or_that_failed_and_waits_is_found() -> None:
    failed = Failed("a", GIVEN_UP, 9)
    assert differences({}, [], [], {"a"}) == ["a was never pushed"]
    assert differences({"a": PLAIN}, [], [failed], {"a"}) == ["a failed and waits"]


def test_the_first_run_after_a_nap_counts_as_reserved_before_it() -> None:
    nap = Nap(pid=1, from_us=1_000_000, to_us=7_000_000)
    runs = [ran(1, 7_500_000), ran(2, 8_000_000), ran(3, 7_100_000)._replace(pid=2)]
    starts = [Start("a", run.attempt, run.runner, run.pid, run.started_us) for run in runs]
    found = reserved(runs, starts, [nap])
    assert [run.reserved_us for run in found] == [1_000_000, 8_000_000, 7_100_000]
