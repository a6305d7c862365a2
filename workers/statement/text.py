"""A statement on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.statement.format import for_people, number_of
from workers.statement.records import AssetStatement, Statement
from workers.statement.sections import Section, for_reading, of_account, of_asset
from workers.terminal import shown

ROWS = 100
"""Of a table; the others are summed up in one. The CSV has them all."""


def print_statement(console: Console, statement: Statement) -> None:
    """Warnings first, then each asset, then what is open."""
    period = f"{statement.first_day} to {statement.last_day}, UTC"
    console.print(Text(f"Statement of account {statement.account_id}: {period}", style="bold"))
    for owner in statement.owners:
        console.print(f"of user {owner.user_id} from {owner.valid_from} on", highlight=False)
    for warning in statement.warnings:
        console.print(Text(f"! {shown(warning)}", style="yellow"))
    for one in statement.assets:
        _print_asset(console, one)
    _print_sections(console, of_account(statement))


def _print_asset(console: Console, one: AssetStatement) -> None:
    console.print()
    console.rule(shown(one.asset), align="left")
    tie_out, performance, *others = of_asset(one)
    console.print(Columns([_table(tie_out), _table(performance)], padding=(0, 4)))
    _print_sections(console, (for_reading(section, one, ROWS) for section in others))


def _print_sections(console: Console, sections: Iterable[Section]) -> None:
    for section in sections:
        if section.rows:
            console.print()
            console.print(_table(section))


def _table(section: Section) -> Table:
    table = Table(title=section.title, title_justify="left", title_style="bold", show_edge=False)
    for number, name in enumerate(section.columns):
        numeric = any(number_of(row[number]) is not None for row in section.rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for number, row in enumerate(section.rows):
        style = "bold" if number >= len(section.rows) - section.last else ""
        table.add_row(*(Text(shown(for_people(value))) for value in row), style=style)
    return table
