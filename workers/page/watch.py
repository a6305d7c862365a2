"""The same picture in a terminal: problems first, each with what to do. `fleet status --watch`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workers.page.look import LastErrors, Turns, look
from workers.page.picture import Picture, verdict
from workers.page.sections import SECTIONS, Cell, Section, Shown, filled
from workers.terminal import shown

EVERY_SECONDS = 2.0
_STYLES = {"page": "bold red", "ticket": "yellow", "": ""}
_WORDS = {"page": "URGENT", "ticket": "LATER"}


def watch(
    console: Console,
    exporter: Turns,
    errors: LastErrors,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Redraws until Ctrl-C. Where the output is no terminal it says how things are, once."""

    def now() -> RenderableType:
        exporter.turn()
        at = datetime.now(UTC)
        return drawn(look(exporter, errors, at), at)

    if not console.is_terminal:
        console.print(now())
        return
    try:
        with Live(now(), console=console, screen=True, auto_refresh=False) as live:
            while True:
                sleep(EVERY_SECONDS)
                live.update(now(), refresh=True)
    except KeyboardInterrupt:
        return


def drawn(found: Picture | None, at: datetime) -> RenderableType:
    """What is wrong stands above what is known, so that a small window shows it."""
    said = verdict(found, at)
    style = "bold green" if said.well else _STYLES["page" if said.wakes else "ticket"]
    parts: list[RenderableType] = [Text(f"{said.text} · {at:%H:%M:%S} UTC", style=style)]
    if found is None:
        return Group(*parts)
    parts += [_problems(found), _errors(found)]
    parts += [part for section in SECTIONS for part in _section(section, found)]
    return Group(*parts)


def _problems(found: Picture) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for one in found.problems:
        severity = one.alert.severity
        table.add_row(
            Text(_WORDS[severity], style=_STYLES[severity]),
            Text(f"{shown(one.what)}\n  do: {shown(one.do)}  ({one.alert.runbook}: {one.name})"),
        )
    return table


def _errors(found: Picture) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    if found.troubles:
        table.add_row(Text("last errors", style="bold"))
    for one in found.troubles:
        when = f"{one.at:%m-%d %H:%M:%S}" if one.at else "now"
        why = f"{shown(one.where)}: {shown(one.why)}\n  do: {shown(one.do)}"
        table.add_row(Text(when, style="dim"), Text(why, overflow="fold"))
    return table


def _section(section: Section, found: Picture) -> list[RenderableType]:
    grids = [filled(grid, found.samples) for grid in section.grids]
    drawn = [_facts(grid) if grid.facts else _table(grid) for grid in grids if grid.rows]
    return [Text(f"\n{section.title}", style="bold"), *drawn] if drawn else []


def _facts(grid: Shown) -> RenderableType:
    line = Text()
    for name, cell in zip(grid.head, grid.rows[0], strict=True):
        if cell.text:
            line.append(" · " if line else "")
            line.append(f"{name} ", style="dim").append(_text(cell))
    return line


def _table(grid: Shown) -> RenderableType:
    table = Table(*grid.head, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for row in grid.rows:
        table.add_row(*map(_text, row))
    return table


def _text(cell: Cell) -> Text:
    return Text(f"{shown(cell.text)}{' !' if cell.severity else ''}", style=_STYLES[cell.severity])
