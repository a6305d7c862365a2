"""The table of metrics is what is told: nothing more, nothing less."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.metrics import FLEET, PROCESS
from tests.desk import ROOT

_CALLS = {"count", "gauge", "observe"}


def _told_by(path: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(metric, call, labels) of each `telemetry.count("fleet_…", …)`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in _CALLS or not node.args:
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant) and str(name.value).startswith("fleet_"):
            labels = [word.arg for word in node.keywords if word.arg not in {None, "amount"}]
            yield str(name.value), node.func.attr, tuple(sorted(str(one) for one in labels))


TOLD = [
    told
    for folder in ("workers", "shared")
    for path in sorted((ROOT / folder).rglob("*.py"))
    for told in _told_by(path)
]


@pytest.mark.parametrize("name", sorted(PROCESS))
def test_every_metric_of_a_process_is_told_by_one_with_its_labels(name: str) -> None:
    found = [(call, labels) for metric, call, labels in TOLD if metric == name]
    call = {"counter": "count", "gauge": "gauge", "histogram": "observe"}[PROCESS[name].kind]
    assert found
    assert set(found) == {(call, tuple(sorted(PROCESS[name].labels)))}


def test_no_process_tells_anything_else() -> None:
    assert {metric for metric, _, _ in TOLD} <= set(PROCESS)


def test_no_figure_of_a_process_is_zero_before_it_is_told() -> None:
    """A gauge without labels would stand in every process, and read as a bad figure."""
    assert not [name for name, row in PROCESS.items() if row.kind == "gauge" and not row.labels]


def test_a_metric_is_the_processes_or_the_fleets() -> None:
    assert not set(PROCESS) & set(FLEET)
    assert {row.kind for row in FLEET.values()} == {"gauge"}
