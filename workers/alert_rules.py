"""Prometheus' rules and their unit tests, written from `workers.alerts`.

`python -m workers.alert_rules` writes alerts.yml, alerts_test.yml and counters_test.yml in
deploy/prometheus; a test says when that was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from shared.metrics import METRICS
from workers.alerts import ALERTS, Above, Alert, Counted, Missing, promql

FOLDER = Path(__file__).parents[1] / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yml"
TESTS = FOLDER / "alerts_test.yml"
COUNTER_TESTS = FOLDER / "counters_test.yml"
HEAD = "# Written by python -m workers.alert_rules from workers/alerts.py: change it there.\n"
# As prometheus.yml has it.
STEP = 5
COUNTER_STEP = 30
"""Windows of counters are minutes: every fifth second of them would take promtool long."""
CALM = 120
"""Seconds before a test breaks something."""
OFTEN = 7
"""What a counter has counted before anybody looked."""


def rules(alerts: Mapping[str, Alert] = ALERTS) -> str:
    """alerts.yml: a group per plane, in the table's order."""
    lines = [HEAD + "groups:"]
    plane = None
    for name, alert in alerts.items():
        if alert.plane != plane:
            plane = alert.plane
            lines += [f"  - name: fleet-{plane}", "    rules:"]
        lines += _rule(name, alert)
    return "\n".join(lines) + "\n"


def _rule(name: str, alert: Alert) -> Iterator[str]:
    yield f"      - alert: {name}"
    yield "        expr: >-"
    yield from (f"          {line}" for line in promql(alert.when).splitlines())
    if alert.hold_seconds:
        yield f"        for: {alert.hold_seconds}s"
    yield f"        labels: {{plane: {alert.plane}, severity: {alert.severity}}}"
    yield "        annotations:"
    said = {label: f"{{{{ $labels.{label} }}}}" for label in _by(alert)}
    said["value"] = f'{{{{ printf "{_format(alert)}" $value }}}}'
    for key, text in _annotations(name, alert, said):
        yield f"          {key}: {json.dumps(text)}"


def _annotations(name: str, alert: Alert, said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "summary", alert.what.format_map(said)
    yield "action", alert.do.format_map(said)
    # Of the exporter's pages, and of deploy/runbooks.
    yield "runbook", f"/runbooks/{alert.plane}#{name}"


def _format(alert: Alert) -> str:
    """Parts of a whole need their decimals; seconds and counts do not."""
    part = not isinstance(alert.when, Missing) and 0 < alert.when.limit < 1
    return "%.2f" if part else "%.0f"


def _by(alert: Alert) -> tuple[str, ...]:
    return () if isinstance(alert.when, Missing) else alert.when.by


# --- their tests -----------------------------------------------------------------------------


class Series(NamedTuple):
    """values: as promtool writes them, `0x23 1x5`: 24 samples of 0, 6 of 1."""

    name: str
    values: str


class Case(NamedTuple):
    """told: at a second of the test, the value that the alert shows; None: it does not fire."""

    title: str
    series: tuple[Series, ...]
    told: tuple[tuple[int, float | None], ...]


def unit_tests(alerts: Mapping[str, Alert] = ALERTS) -> str:
    """alerts_test.yml: each alert does not fire just below its limit, fires beyond it once its
    hold time is over, and clears.
    """
    held = {n: one for n, one in alerts.items() if not isinstance(one.when, Counted)}
    return _file(held, STEP)


def counter_tests(alerts: Mapping[str, Alert] = ALERTS) -> str:
    """counters_test.yml: the same of what counts within minutes."""
    counted = {n: one for n, one in alerts.items() if isinstance(one.when, Counted)}
    return _file(counted, COUNTER_STEP)


def _file(alerts: Mapping[str, Alert], step: int) -> str:
    lines = [HEAD + "rule_files: [alerts.yml]", f"evaluation_interval: {step}s", "tests:"]
    for name, alert in alerts.items():
        for case in _cases(alert):
            lines += _test(name, alert, case, step)
    return "\n".join(lines) + "\n"


def _test(name: str, alert: Alert, case: Case, step: int) -> Iterator[str]:
    yield f"  - name: {json.dumps(f'{name}: {case.title}')}"
    yield f"    interval: {step}s"
    yield "    input_series:"
    for series in case.series:
        yield f"      - {{series: {json.dumps(series.name)}, values: {json.dumps(series.values)}}}"
    yield "    alert_rule_test:"
    for at, value in case.told:
        yield f"      - eval_time: {at}s"
        yield f"        alertname: {name}"
        if value is None:
            yield "        exp_alerts: []"
            continue
        labels = {label: f"{label}-1" for label in _by(alert)}
        said = {**labels, "value": _format(alert) % value}
        yield "        exp_alerts:"
        wanted = {"plane": alert.plane, "severity": alert.severity, **labels}
        yield f"          - exp_labels: {json.dumps(wanted)}"
        yield "            exp_annotations:"
        for key, text in _annotations(name, alert, said):
            yield f"              {key}: {json.dumps(text)}"


def _cases(alert: Alert) -> Iterator[Case]:
    condition = alert.when
    if isinstance(condition, Missing):
        yield _held(
            alert, "gone and back", (Series(condition.metric, _phases("1", "_", "1", alert)),), 1
        )
        return
    if isinstance(condition, Counted):
        yield from _counted(condition)
        return
    step = 0.01 if 0 < condition.limit < 1 else 1
    beyond = condition.limit + (step if isinstance(condition, Above) else -step)
    at, wrong = f"{condition.limit:.15g}", f"{beyond:.15g}"
    well = Series(_series(condition.metric, condition.where, "2"), f"{at}x60")
    broken = Series(
        _series(condition.metric, condition.where, "1"), _phases(at, wrong, at, alert)
    )
    other = [
        Series(_series(condition.metric, ((name, "another"),), "1"), f"{wrong}x60")
        for name, _ in condition.where
    ]
    labelled = METRICS[condition.metric].labels
    series = (broken, *([well] if set(labelled) - dict(condition.where).keys() else []), *other)
    yield _held(alert, "at its limit, beyond it, and back", series, beyond)


def _phases(before: str, wrong: str, after: str, alert: Alert) -> str:
    """Wrong from CALM on, until two steps after the alert must be out."""
    long = alert.hold_seconds // STEP + 2
    broken = f"stale _x{long}" if wrong == "_" else f"{wrong}x{long}"
    return f"{before}x{CALM // STEP - 1} {broken} {after}x20"


def _held(alert: Alert, title: str, series: tuple[Series, ...], value: float) -> Case:
    out = CALM + alert.hold_seconds
    early = ((out - STEP, None),) if alert.hold_seconds else ()
    return Case(
        title, series, ((CALM - STEP, None), *early, (out, value), (out + 3 * STEP, None))
    )


def _counted(condition: Counted) -> Iterator[Case]:
    window = condition.minutes * 60
    limit = int(condition.limit)
    name = _series(condition.metric, condition.where, "1")
    all_along = 4 * window // COUNTER_STEP
    watched = Series("fleet_collect_success", f"1x{all_along}")
    others = [
        Series(_series(condition.metric, ((label, "another"),), "1"), f"0+9x{all_along}")
        for label, _ in condition.where
    ]
    quiet = window // COUNTER_STEP + CALM // COUNTER_STEP
    first = quiet * COUNTER_STEP
    # A limit of nothing is reached by resting.
    at_limit = f"{OFTEN + limit}x{quiet - 1} " if limit else ""
    beyond = first * 2 if limit else first
    values = f"{OFTEN}x{quiet - 1} {at_limit}{OFTEN + 2 * limit + 1}x{quiet}"
    yield Case(
        "it rises by its limit, then by one more, and rests",
        (Series(name, values), watched, *others),
        (
            *(((first, None),) if limit else ()),
            (beyond - COUNTER_STEP, None), (beyond, limit + 1), (beyond + window, None),
        ),
    )  # fmt: skip
    yield Case(
        "the first one that a process counts",
        (Series(name, f"_x{quiet} {limit + 1}x{quiet}"), watched),
        ((first - COUNTER_STEP, None), (first, limit + 1), (first + window, None)),
    )
    yield Case(
        "counts from before Prometheus looked",
        (Series(name, f"{OFTEN}x{2 * quiet}"), watched),
        ((CALM, None), (window, None), (first, None)),
    )


def _series(metric: str, where: tuple[tuple[str, str], ...], which: str) -> str:
    labels = {name: f"{name}-{which}" for name in METRICS[metric].labels} | dict(where)
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return metric + (f"{{{text}}}" if text else "")


def main() -> None:
    RULES.write_text(rules(), encoding="utf-8")
    TESTS.write_text(unit_tests(), encoding="utf-8")
    COUNTER_TESTS.write_text(counter_tests(), encoding="utf-8")


if __name__ == "__main__":
    main()
