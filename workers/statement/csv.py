"""A statement as one CSV file. The first column of every line names its section, whose first line
holds the names of its columns: `flows,asset,at,kind,reference,amount`.

Text that a spreadsheet would take for a formula begins with an apostrophe here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from workers.statement.format import exact
from workers.statement.records import Statement
from workers.statement.sections import Section, Value, curve, of_account, of_asset

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(statement: Statement) -> str:
    """All digits, no thousands separators; moments in UTC, ISO 8601."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in _lines(statement):
        writer.writerow([_cell(value) for value in line])
    return text.getvalue()


def _lines(statement: Statement) -> Iterator[tuple[Value, ...]]:
    yield ("statement", "name", "value")
    yield ("statement", "account", statement.account_id)
    yield ("statement", "from", statement.first_day)
    yield ("statement", "to", statement.last_day)
    yield ("statement", "made at", statement.made_at)
    yield ("statement", "closed through", statement.closed_through)
    for owner in statement.owners:
        yield ("statement", f"user from {owner.valid_from}", owner.user_id)
    yield ("warnings", "text")
    yield from (("warnings", text) for text in statement.warnings)
    for asset, section in _by_name(statement):
        if asset is None:
            yield (section.name, "asset", *section.columns)
        else:
            yield from ((section.name, asset, *row) for row in section.rows)
    for section in of_account(statement):
        yield (section.name, *section.columns)
        yield from ((section.name, *row) for row in section.rows)


def _by_name(statement: Statement) -> Iterator[tuple[str | None, Section]]:
    """Each kind of section once without an asset, for its heading; then with each asset."""
    tables = [(one.asset, [*of_asset(one), curve(one)]) for one in statement.assets]
    for number in range(len(tables[0][1]) if tables else 0):
        yield None, tables[0][1][number]
        yield from ((asset, sections[number]) for asset, sections in tables)


def _cell(value: Value) -> str:
    text = exact(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
