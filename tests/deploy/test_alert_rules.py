"""Prometheus' rules are the table's, and say what it says: judged by promtool."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from shared.metrics import METRICS
from tests.desk_tools import ToolFolder, fleet_rules, tool_folder
from workers.alert_rules import (
    COUNTER_TESTS,
    RULES,
    TESTS,
    counter_tests,
    rules,
    unit_tests,
)
from workers.alerts import ALERTS, Above, Alert, Below, Counted, Missing, promql

FILES = (TESTS.name, COUNTER_TESTS.name)
# A look of the exporter, one of Prometheus at it, one at the rules.
LOOKS_SECONDS = 15


@pytest.fixture
def folder() -> Iterator[ToolFolder]:
    """With the rules of deploy/prometheus."""
    with tool_folder() as found:
        for name, text in fleet_rules(9540).items():
            (found.path / name).write_text(text)
        for path in (TESTS, COUNTER_TESTS):
            (found.path / path.name).write_text(path.read_text())
        yield found


def test_the_files_are_written_from_the_table() -> None:
    why = "run python -m workers.alert_rules"
    assert RULES.read_text(encoding="utf-8") == rules(), why
    assert TESTS.read_text(encoding="utf-8") == unit_tests(), why
    assert COUNTER_TESTS.read_text(encoding="utf-8") == counter_tests(), why


def test_prometheus_understands_them(folder: ToolFolder) -> None:
    for words in (
        ("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"),
    ):
        done = folder.run("promtool", *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_fires_beyond_its_limit_and_only_there_and_clears(folder: ToolFolder) -> None:
    done = folder.run("promtool", "test", "rules", *FILES)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


def test_each_is_seen_to_fire_in_its_test() -> None:
    text = TESTS.read_text(encoding="utf-8") + COUNTER_TESTS.read_text(encoding="utf-8")
    fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", text))
    assert fires == set(ALERTS)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("FleetBooksBroken", "> 0", "> 1"),
        ("FleetStreamLag", "max by (stream)", "max"),
        ("FleetStreamLag", "for: 30s", "for: 60s"),
        ("FleetServerAway", "< 1", "<= 1"),
        ("FleetRedisBudget", "%.2f", "%.0f"),
        ("FleetRedisLost", "and on () fleet_collect_success offset 10m", ""),
        ("FleetRedisLost", "sum (fleet_redis_losses_total unless", "sum (vector(0) unless"),
        ("FleetOperatorJobsFail", 'outcome="failed"', ""),
    ],
)
def test_the_tests_see_a_rule_that_is_wrong(
    folder: ToolFolder, name: str, right: str, wrong: str
) -> None:
    table = {name: ALERTS[name]}
    text = rules(table)
    assert right in text
    (folder.path / TESTS.name).write_text(unit_tests(table))
    (folder.path / COUNTER_TESTS.name).write_text(counter_tests(table))
    for said, code in ((text, 0), (text.replace(right, wrong), 1)):
        (folder.path / "alerts.yml").write_text(said)
        done = folder.run("promtool", "test", "rules", *FILES)
        assert done.returncode == code, done.stdout


@pytest.mark.parametrize("name", ALERTS)
def test_each_asks_for_what_is_told(name: str) -> None:
    condition = ALERTS[name].when
    labels = set(METRICS[condition.metric].labels)
    if not isinstance(condition, Missing):
        assert {*condition.by, *(label for label, _ in condition.where)} <= labels
    counts = METRICS[condition.metric].kind == "counter"
    assert counts == isinstance(condition, Counted)


@pytest.mark.parametrize("name", METRICS)
def test_no_label_is_one_that_prometheus_gives_itself(name: str) -> None:
    """It would be called `exported_job` there, and no rule would find it."""
    assert not {"job", "instance"} & set(METRICS[name].labels)


@pytest.mark.parametrize("name", ALERTS)
def test_each_is_out_within_a_minute_of_its_condition(name: str) -> None:
    assert ALERTS[name].hold_seconds + LOOKS_SECONDS < 60


def test_conditions_become_questions() -> None:
    assert promql(Above("m", 0.7, ("a", "b"), (("c", "d"),))) == 'max by (a, b) (m{c="d"}) > 0.7'
    assert promql(Below("m", 1)) == "min (m) < 1"
    assert promql(Missing("m")) == "absent(m)"


def test_what_is_said_names_what_it_is_about() -> None:
    when = Above("fleet_lag_seconds", 10, ("stream",))
    table = {"Late": Alert("streams", "page", when, 5, "{stream}: {value} s", "see {stream}")}
    text = rules(table)
    assert r'summary: "{{ $labels.stream }}: {{ printf \"%.0f\" $value }} s"' in text
    assert 'action: "see {{ $labels.stream }}"' in text
    assert 'runbook: "/runbooks/streams#Late"' in text
