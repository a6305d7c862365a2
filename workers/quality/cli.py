"""`fleet quality`: what the checks of the data found."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from shared.mysql.connection import connect
from shared.settings import Settings
from workers.quality.checks import Check, checks_of
from workers.quality.found import Found
from workers.quality.run import OLD_SECONDS, Stored, look, stored
from workers.roles import load_settings
from workers.terminal import cell, number, shown

console = Console()


@click.command()
@click.option("--now", "at_once", is_flag=True, help="Look now instead of showing the last look.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def quality(at_once: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Whether the data is complete, right, in time, once; exit 1 if an objective is missed."""
    settings = load_settings("cli")
    checks, found = checks_of(settings), _found(settings, at_once=at_once)
    missed = [name for name, one in checks.items() if not met(one, found.get(name))]
    if as_json:
        click.echo(json.dumps([_told(name, one, found.get(name)) for name, one in checks.items()]))
    else:
        told = {name: _told(name, one, found.get(name)) for name, one in checks.items()}
        _print(told)
        for name in missed:
            _explain(told[name])
    sys.exit(1 if missed else 0)


COMMANDS = (quality,)


def met(check: Check, last: Stored | None) -> bool:
    """One that could not look for long, or never, is not met."""
    if last is None or last.found is None or last.age_seconds > OLD_SECONDS:
        return False
    return last.found.part >= check.objective


def _found(settings: Settings, *, at_once: bool) -> dict[str, Stored]:
    if not at_once:
        with closing(connect(settings.mysql)) as connection:
            return dict(stored(connection))
    now = datetime.now(UTC)
    return {
        name: Stored(one, now, 0.0, "") if isinstance(one, Found) else Stored(None, None, 0.0, one)
        for name, one in look(settings, now).items()
    }


def _told(name: str, check: Check, last: Stored | None) -> dict[str, Any]:
    found = last.found if last else None
    return {
        "check": name,
        "dimension": check.dimension,
        "what": check.what,
        "good": found.good if found else None,
        "total": found.total if found else None,
        "part": found.part if found else None,
        "objective": check.objective,
        "met": met(check, last),
        "detail": found.detail if found else "",
        "age_seconds": round(last.age_seconds, 1) if last and last.checked_at else None,
        "checked_at": last.checked_at.isoformat() if last and last.checked_at else None,
        "error": _error(last),
        "do": check.do,
    }


def _error(last: Stored | None) -> str:
    if last is not None and (last.error or last.age_seconds <= OLD_SECONDS):
        return last.error
    return f"{'nobody looks' if last else 'never looked'}: are the roles beat and jobs running?"


def _print(told: dict[str, dict[str, Any]]) -> None:
    """Fits a terminal of 80 columns."""
    table = Table("check", "dimension", "found", "must be", "looked", "", box=box.SIMPLE)
    for name, one in told.items():
        found = "" if one["total"] is None else f"{one['good']:,} of {one['total']:,}"
        looked = "" if one["age_seconds"] is None else f"{one['age_seconds']:.0f} s ago"
        table.add_row(
            cell(name), cell(one["dimension"]), number(found), number(f"{one['objective']:.1%}"),
            number(looked), cell("" if one["met"] else "MISSED"),
        )  # fmt: skip
    console.print(table)


def _explain(one: dict[str, Any]) -> None:
    """What is counted, which are not good, where to begin."""
    for line in (
        f"{one['check']}: {one['what']}",
        *(f"    {said}" for said in (one["detail"], one["error"]) if said),
        f"    {one['do']}",
    ):
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
