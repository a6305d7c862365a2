"""The status page as HTML: no script, nothing from elsewhere, everything that was told escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from workers.alerts import Problem
from workers.page.picture import Picture, Verdict, runbook, verdict
from workers.page.sections import SECTIONS, Cell, Section, Shown, filled
from workers.troubles import Trouble

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
REFRESH_SECONDS = 5
_WORDS = {"page": "URGENT", "ticket": "LATER"}


def document(title: str, body: str, *, refresh: bool) -> bytes:
    """A whole page."""
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{again}<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>"
    ).encode()


def status_page(found: Picture | None, now: datetime) -> bytes:
    """Verdict, problems, last errors, then plane by plane."""
    said = verdict(found, now)
    parts = [_head(said, found)]
    if found is not None:
        parts += [_problems(found.problems), _errors(found.troubles)]
        parts += [_section(section, found) for section in SECTIONS]
    return document(f"{said.text} - Tradefleet", "".join(parts), refresh=True)


def _head(said: Verdict, found: Picture | None) -> str:
    mark = "well" if said.well else "page" if said.wakes else "ticket"
    at = f"As of {found.at:%Y-%m-%d %H:%M:%S} UTC. " if found else ""
    return (
        f'<header class="{mark}"><h1 id="verdict" role="status">{escape(said.text)}</h1>'
        f'<p class="quiet">{at}This page loads itself anew every {REFRESH_SECONDS} s. What is '
        "counted over minutes (failed batches, losses of Redis) only Prometheus sees.</p>"
        '<nav><a href="/runbooks">runbooks</a><a href="/status.json">as JSON</a>'
        '<a href="/metrics">metrics</a></nav></header>'
    )


def _problems(found: Sequence[Problem]) -> str:
    items = "".join(
        f'<li class="{one.alert.severity}"><p><span class="word">{_WORDS[one.alert.severity]}'
        f"</span> {escape(one.what)}</p><p>Do: <code>{escape(one.do)}</code></p>"
        f'<p>{_link(one.name)}</p></li>'
        for one in found
    )
    return f'<ul class="problems">{items}</ul>' if items else ""


def _errors(found: Sequence[Trouble]) -> str:
    if not found:
        return '<h2 id="errors">Last errors</h2><p class="quiet">None.</p>'
    items = "".join(
        f'<li><p class="quiet">{_when(one.at)} · {escape(one.where)}</p><p>{escape(one.why)}</p>'
        f"<p>Do: <code>{escape(one.do)}</code> · {_link(one.alert)}</p></li>"
        for one in found
    )
    return f'<h2 id="errors">Last errors</h2><ul class="errors">{items}</ul>'


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "now"


def _link(alert: str) -> str:
    return f'<a href="{escape(runbook(alert))}">{escape(alert)}</a>'


def _section(section: Section, found: Picture) -> str:
    grids = [filled(grid, found.samples) for grid in section.grids]
    shown = "".join(_facts(grid) if grid.facts else _table(grid) for grid in grids if grid.rows)
    empty = '<p class="quiet">Nothing is there.</p>'
    return f"<section><h2>{escape(section.title)}</h2>{shown or empty}</section>"


def _facts(grid: Shown) -> str:
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd{_mark(cell)}>{escape(cell.text)}</dd></div>"
        for name, cell in zip(grid.head, grid.rows[0], strict=True)
        if cell.text
    )
    return f"<dl>{rows}</dl>"


def _table(grid: Shown) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in grid.head)
    rows = "".join(f"<tr>{_row(grid.head, row)}</tr>" for row in grid.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(head: Iterable[str], row: Iterable[Cell]) -> str:
    return "".join(
        f'<td data-of="{escape(name)}"{_mark(cell)}>{escape(cell.text)}</td>'
        for name, cell in zip(head, row, strict=True)
    )


def _mark(cell: Cell) -> str:
    return f' class="{cell.severity}"' if cell.severity else ""
