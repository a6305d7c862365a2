"""`fleet trace` on a terminal, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import compress
from typing import Any

from rich.console import Console
from rich.table import Table

from shared.ledger.money import plain
from shared.ledger.position import State, average_entry
from workers.terminal import cell, moment, number, shown, written
from workers.trace import FIGURES, Figures, Line, RowTrace, Wanted
from workers.trace_identity import About, Record

# ---- for a person


def print_trace(console: Console, wanted: Wanted, rows: Iterable[RowTrace]) -> None:
    """Row by row: the lines, their sum beside the row, and what stood there before."""
    for row in rows:
        product, instrument, asset = row.key
        name = f"{product} {instrument}".strip() or "no instrument"
        version = f"version {row.version}" if row.stored else "no row"
        console.rule(shown(f"{name} · {asset} · {wanted.day} · {version}"), align="left")
        _print_lines(console, row)
        for figure in row.figures:
            console.print(_sum_line(row, figure), markup=False, highlight=False)
        if "realized" in row.figures:
            stored = (row.stored or Figures()).fills
            same = "=" if row.fills == stored else "differs from"
            console.print(f"fills: {row.fills} {same} {stored} in the row", highlight=False)
        for note in row.notes:
            console.print(f"note: {note}", markup=False, highlight=False)
        _print_earlier(console, row)
        console.print()


def _print_lines(console: Console, row: RowTrace) -> None:
    lines = [_cells(line, row) for line in row.lines]
    used = [any(column) for column in zip(*lines, strict=True)]  # an empty one only takes space
    table = Table(*compress(_headings(row.figures), used), show_edge=False)
    for cells in lines:
        table.add_row(*compress(cells, used))
    if lines:
        console.print(table)
    for line in row.lines:
        for report in line.reports:
            console.print(f"{line.identity}: {shown(report)}", markup=False, highlight=False)


def _headings(figures: Iterable[str]) -> list[str]:
    held = ["before", "after", "entry", "venue's own", "difference"]
    return [
        "time", "what", "id", "order", "source", "qty", "price", *figures,
        *(held if "realized" in figures else []),
    ]  # fmt: skip


def _cells(line: Line, row: RowTrace) -> list[Any]:
    fill = line.fill
    what = f"{line.what} {line.position_side}" if line.position_side in ("long", "short") else (
        line.what
    )
    cells = [
        cell(moment(line.at_ms)[11:]),
        cell(what),
        cell(line.ref),
        cell(fill.order_id or fill.client_order_id if fill else None),
        cell(fill.source if fill else None),
        number(fill.qty if fill else None),
        number(fill.price if fill else None),
        *(number(line.parts.get(name)) for name in row.figures),
    ]
    if "fees" in row.figures and fill is not None and fill.fee is None:
        cells[7 + row.figures.index("fees")] = number("not known yet")
    if "realized" not in row.figures:
        return cells
    return [
        *cells,
        number(_held(line.before)),
        number(_held(line.after)),
        number(_entry(line, row)),
        number(fill.reported_realized if fill else None),
        number(line.venue_difference),
    ]


def _held(state: State | None) -> str | None:
    if state is None:
        return None
    unknown = state.unknown_basis_qty
    return plain(state.qty) + (f" ({plain(unknown)} of unknown basis)" if unknown else "")


def _entry(line: Line, row: RowTrace) -> Decimal | None:
    if line.after is None:
        return None
    return average_entry(row.key[0], line.after, line.contract_size)


def _sum_line(row: RowTrace, figure: str) -> str:
    made, stored = row.sum_of(figure), row.stored_of(figure)
    if made == stored:
        return f"{figure}: {plain(made)}, the sum of these lines = the row"
    return f"{figure}: {plain(made)} is the sum of these lines, THE ROW HOLDS {plain(stored)}"


def _print_earlier(console: Console, row: RowTrace) -> None:
    if not row.earlier:
        return
    table = Table(
        "restated at", "version", *FIGURES, "fills", "because of",
        title="what stood there before", title_justify="left", show_edge=False,
    )  # fmt: skip
    for one in row.earlier:
        causes = [*one.identities, *([f"and {one.more} more"] if one.more else [])]
        figures = one.figures if one.version else [None] * len(one.figures)
        table.add_row(
            cell(one.restated_at), cell(one.version or "no row"),
            *(number(figure) for figure in figures), cell("  ".join(causes)),
        )  # fmt: skip
    console.print(table)


def print_about(console: Console, found: About) -> None:
    """Everything recorded about one identity, in sections."""
    console.rule(shown(found.identity), align="left")
    _print_records(console, "as it stands", [found.record] if found.record else [])
    _print_records(console, "its order", [found.order] if found.order else [])
    for key, line in found.lines:
        parts = ", ".join(f"{name} {plain(amount)}" for name, amount in line.parts.items())
        where = " ".join(part for part in key if part)
        console.print(shown(f"adds to {where} of {moment(line.at_ms)[:10]}: {parts}"), markup=False)
        if line.before is not None and line.after is not None:
            state = f"position: {_held(line.before)} before, {_held(line.after)} after"
            console.print(state, markup=False, highlight=False)
    for title, records in (
        ("breaks", found.breaks),
        ("closed days it restated, as they stood", found.restatements),
        ("parked events that said the same", found.parked),
    ):
        _print_records(console, title, records)
    if found.reports:
        console.print("\nreports, verbatim")
    for report in found.reports:
        console.print(shown(report), markup=False, highlight=False)


def _print_records(console: Console, title: str, records: Iterable[Record]) -> None:
    for record in records:
        table = Table("name", "value", title=title, title_justify="left", show_edge=False)
        for name, value in record.items():
            if value is not None:
                table.add_row(cell(name), cell(value))
        console.print(table)


# ---- for programs


def trace_as_dict(wanted: Wanted, rows: Iterable[RowTrace]) -> dict[str, Any]:
    """Amounts as texts of plain decimals."""
    return {
        "account_id": wanted.account_id,
        "day": wanted.day.isoformat(),
        "rows": [_row_as_dict(row) for row in rows],
    }


def about_as_dict(found: About) -> dict[str, Any]:
    told: dict[str, Any] = plainly(found._asdict())
    told["lines"] = [
        {"row": list(key), **_line_as_dict(line, key[0])} for key, line in found.lines
    ]
    return told


def _row_as_dict(row: RowTrace) -> dict[str, Any]:
    product, instrument, asset = row.key
    return {
        "product": product,
        "instrument": instrument,
        "asset": asset,
        "version": row.version,
        "stored": plainly(row.stored._asdict()) if row.stored else None,
        "sums": {name: plain(row.sum_of(name)) for name in row.figures},
        "fills": row.fills,
        "ties": row.ties,
        "lines": [_line_as_dict(line, product) for line in row.lines],
        "earlier": [
            {**plainly(one._asdict()), "figures": plainly(one.figures._asdict())}
            for one in row.earlier
        ],
        "notes": row.notes,
    }


def _line_as_dict(line: Line, product: str) -> dict[str, Any]:
    fill = line.fill
    entry = None
    if line.after is not None:
        entry = average_entry(product, line.after, line.contract_size)
    return dict(plainly({
        "at_ms": line.at_ms,
        "what": line.what,
        "ref": line.ref,
        "identity": line.identity,
        "position_side": line.position_side,
        "parts": dict(line.parts),
        "before": line.before._asdict() if line.before else None,
        "after": line.after._asdict() if line.after else None,
        "average_entry": entry,
        "fill": fill._asdict() if fill else None,
        "venue_difference": line.venue_difference,
        "reports": list(line.reports),
    }))


def plainly(value: Any) -> Any:
    """For JSON: amounts, moments and days as texts, whatever they stand in."""
    if isinstance(value, Mapping):
        return {str(name): plainly(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plainly(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (Decimal, date)):
        return written(value)
    return value
