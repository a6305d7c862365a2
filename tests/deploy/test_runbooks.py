"""The runbooks: each alert has its section, and each command in them exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from shared.metrics import METRICS
from tests.chaos.breakages import BREAKAGES
from workers.alerts import ALERTS
from workers.cli import fleet
from workers.roles import ROLES
from workers.scheduled.table import SCHEDULED

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "runbooks"
FILES = sorted(FOLDER.glob("*.md"))
PARTS = ("Means", "See", "Cure", "Never", "Tried")
LARAVELS_OWN = {
    "down", "up", "queue:failed", "queue:retry", "queue:forget", "queue:flush", "queue:clear",
    "queue:resume", "queue:work", "queue:restart",
}  # fmt: skip
_CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_PART = re.compile(r"^\*\*(\w+)\.\*\*", re.MULTILINE)
_LINK = re.compile(r"\]\((\w+\.md)(?:#([\w-]+))?\)")
_SHELL = ("|", "||", "&&", ">", "<")


def sections(file: Path) -> dict[str, str]:
    """Heading -> what stands below it."""
    _, *parts = re.split(r"^## ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in parts}


def commands(text: str) -> Iterator[list[str]]:
    """Every line of code, as words."""
    for block, span in _CODE.findall(text):
        for line in (block or span).splitlines():
            try:
                yield shlex.split(line)
            except ValueError:
                yield line.split()


def refused(words: list[str]) -> str | None:
    """Why `fleet …` would not be understood; None: it would be."""
    command: click.Command = fleet
    rest = words[1:]
    while rest and isinstance(command, click.Group):
        name, rest = rest[0], rest[1:]
        if name not in command.commands:
            return f"there is no {' '.join(words)}: no {name}"
        command = command.commands[name]
    if isinstance(command, click.Group):
        return None if not words[1:] or command is not fleet else "no command"
    known = {text for one in command.params for text in (*one.opts, *one.secondary_opts)}
    for word in rest:
        if word in _SHELL:
            break
        if word.startswith("--") and word.partition("=")[0] not in known:
            return f"{' '.join(words)}: no option {word}"
    return None


def of_make(words: list[str]) -> str | None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    if words[1] not in targets:
        return f"make {words[1]}: no such target"
    ways = re.findall(r"--break ([\w-]+)", " ".join(words))
    return next((f"no breakage {way}" for way in ways if way not in BREAKAGES), None)


def of_artisan(words: list[str]) -> str | None:
    source = "".join(
        file.read_text() for file in (ROOT / "deploy/laravel/src/Console").glob("*.php")
    )
    known = LARAVELS_OWN | set(re.findall(r"signature = '([\w:]+)", source))
    return None if words[2] in known else f"php artisan {words[2]}: unknown"


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_its_section_in_the_file_that_it_names(name: str) -> None:
    found = sections(FOLDER / ALERTS[name].runbook)
    assert name in found
    assert tuple(_PART.findall(found[name])) == PARTS


def test_no_section_is_of_an_alert_that_is_gone() -> None:
    for file in FILES:
        of_alerts = {name for name in sections(file) if name.startswith("Fleet")}
        assert of_alerts == {
            name for name, alert in ALERTS.items() if alert.runbook == file.name
        }, file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_command_of_a_runbook_exists(file: Path) -> None:
    wrong = []
    for words in commands(file.read_text(encoding="utf-8")):
        if words[:1] == ["fleet"]:
            wrong.append(refused(words))
        elif words[:1] == ["make"]:
            wrong.append(of_make(words))
        elif words[:2] == ["php", "artisan"] and len(words) > 2:
            wrong.append(of_artisan(words))
    assert not [line for line in wrong if line]


def test_every_command_of_the_alerts_exists() -> None:
    """`do` of the table is what stands on the page."""
    for name, alert in ALERTS.items():
        for words in re.findall(r"fleet(?: [a-z]+)+", alert.do):
            first = words.split()[1]
            if first in fleet.commands:
                command = fleet.commands[first]
                if isinstance(command, click.Group):
                    assert words.split()[2] in command.commands, f"{name}: {words}"


@pytest.mark.parametrize("name", ALERTS)
def test_each_cure_has_been_tried_on_a_fleet_or_in_a_test(name: str) -> None:
    tried = sections(FOLDER / ALERTS[name].runbook)[name].split("**Tried.**")[1]
    ways = re.findall(r"--break ([\w-]+)", tried)
    for way in ways:
        assert name in {BREAKAGES[way].alert, *BREAKAGES[way].also, "FleetQualityMissed"}, way
    tests = re.findall(r"(tests/[\w/]+\.py)::(\w+)", tried)
    for file, test in tests:
        assert f"def {test}(" in (ROOT / file).read_text(), test
    assert ways or tests


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_links_metrics_tasks_and_roles_of_a_runbook_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for other, section in _LINK.findall(text):
        assert (FOLDER / other).exists(), other
        assert not section or section in sections(FOLDER / other), section
    for alert in set(re.findall(r"\bFleet[A-Z]\w+", text)):
        assert alert in ALERTS, alert
    named = set(re.findall(r"`(fleet_\w+)`", text))
    tables = "".join(path.read_text() for path in (ROOT / "deploy/migrations").rglob("*.sql"))
    assert not {one for one in named if one not in METRICS and one not in tables}
    tasks = set(re.findall(r"`(fleet\.[a-z_]+)`", text)) - {"fleet.jobs", "fleet.sync"}
    assert not {one for one in tasks if one not in SCHEDULED and one not in tables}
    for role in re.findall(r"role `(\w+)`", text):
        assert role in ROLES, role


def test_the_list_of_ways_to_break_a_fleet_names_them_all() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--list"], cwd=ROOT, capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    assert all(f"{name}: " in said for name in BREAKAGES)
