"""deploy/runbooks as HTML, so that a link of the page leads to what to do: headings, paragraphs,
lists, tables, code. What else Markdown can do stands there as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "runbooks"

_HEADING = re.compile(r"(#{1,3}) +(.+)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) +(.+)")
_SPAN = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>[^*]+)\*\*|\[(?P<text>[^\]]+)\]\((?P<to>[^)\s]+)\)"
)
_OTHER = re.compile(r"(?:\./)?(\w+)\.md(#[\w-]+)?")


INDEX = "README"


def names(folder: Path = FOLDER) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.md") if path.stem != INDEX)


def page(name: str, folder: Path = FOLDER) -> str | None:
    """The body of /runbooks/{name}; None: there is no such runbook."""
    if name not in names(folder):
        return None
    text = (folder / f"{name}.md").read_text(encoding="utf-8")
    return f'<nav><a href="/">status</a><a href="/runbooks">runbooks</a></nav>{html(text)}'


def index(folder: Path = FOLDER) -> str:
    items = "".join(f'<li><a href="/runbooks/{one}">{one}</a></li>' for one in names(folder))
    about = folder / f"{INDEX}.md"
    words = html(about.read_text(encoding="utf-8")) if about.exists() else "<h1>Runbooks</h1>"
    return f'<nav><a href="/">status</a></nav>{words}<ul>{items}</ul>'


def html(text: str) -> str:
    """Each block of lines as one element. A heading's id is its own words."""
    return "".join(_block(kind, lines) for kind, lines in _blocks(text))


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    kind, lines = "", list[str]()
    for line in text.splitlines():
        if kind == "code":
            if line.startswith("```"):
                yield kind, lines
                kind, lines = "", []
            else:
                lines.append(line)
            continue
        new = _kind(line, kind)
        if lines and (new != kind or new == "heading"):
            yield kind, lines
            lines = []
        if new:
            lines.append(line)
        kind = new
    if lines:
        yield kind, lines


def _kind(line: str, before: str) -> str:
    """What a line belongs to; "" for a blank one."""
    if not line.strip():
        return ""
    if line.startswith("```"):
        return "code"
    if _HEADING.fullmatch(line):
        return "heading"
    if line.startswith("|"):
        return "table"
    if _ITEM.match(line):
        return "list"
    return before if before in {"list", "text"} else "text"


def _block(kind: str, lines: list[str]) -> str:
    if kind == "code":
        return f"<pre>{escape(chr(10).join(lines[1:]))}</pre>"
    if kind == "heading":
        marks, words = _heading(lines[0])
        return f'<h{len(marks)} id="{escape(_anchor(words))}">{_spans(words)}</h{len(marks)}>'
    if kind == "table":
        return _table(lines)
    if kind == "list":
        return _list(lines)
    return f"<p>{_spans(' '.join(lines))}</p>"


def _heading(line: str) -> tuple[str, str]:
    found = _HEADING.fullmatch(line)
    assert found is not None, line
    return found[1], found[2]


def _anchor(words: str) -> str:
    return re.sub(r"[^\w-]+", "-", words).strip("-")


def _list(lines: list[str]) -> str:
    items = list[str]()
    for line in lines:
        if found := _ITEM.match(line):
            items.append(found[1])
        else:  # goes on below
            items[-1] += f" {line.strip()}"
    tag = "ol" if lines[0][0].isdigit() else "ul"
    return f"<{tag}>{''.join(f'<li>{_spans(item)}</li>' for item in items)}</{tag}>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    head, *body = [row for row in rows if not all(set(cell) <= set("-: ") for cell in row)]
    told = "".join(f"<tr>{_cells(head, row)}</tr>" for row in body)
    named = "".join(f"<th>{_spans(name)}</th>" for name in head)
    return f"<table><thead><tr>{named}</tr></thead><tbody>{told}</tbody></table>"


def _cells(head: list[str], row: list[str]) -> str:
    return "".join(
        f'<td data-of="{escape(name)}">{_spans(cell)}</td>'
        for name, cell in zip(head, row, strict=False)
    )


def _spans(text: str) -> str:
    parts, at = [], 0
    for found in _SPAN.finditer(text):
        parts += [escape(text[at : found.start()]), _span(found)]
        at = found.end()
    return "".join((*parts, escape(text[at:])))


def _span(found: re.Match[str]) -> str:
    if found["code"]:
        return f"<code>{escape(found['code'])}</code>"
    if found["bold"]:
        return f"<strong>{escape(found['bold'])}</strong>"
    to = _target(found["to"])
    return f'<a href="{escape(to)}">{escape(found["text"])}</a>' if to else escape(found["text"])


def _target(to: str) -> str:
    """Another runbook as this page has it; the web as it is; "" for files it does not show."""
    if other := _OTHER.fullmatch(to):
        return f"/runbooks/{other[1]}{other[2] or ''}"
    return to if to.startswith(("https://", "http://", "#")) else ""
