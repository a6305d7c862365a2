"""The data dictionary names every column of the migrated schema, and nothing that is not there."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from tests.timescale_world import Timescale
from workers.dictionary import MARK, PATH, dictionary

TEXT = PATH.read_text(encoding="utf-8")


def named(text: str) -> set[str]:
    """Columns in the first cells of the tables of a text."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def sections() -> dict[str, str]:
    """Table or view -> its text."""
    parts = re.split(r"^### (fleet_\w+)$", TEXT.partition(MARK)[0], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def columns_of(table: str) -> set[str]:
    """What the dictionary says of a table; `Columns of fleet_x` takes over those of another."""
    text = sections()[table].partition("\n## ")[0]
    others = re.findall(r"Columns of `(fleet_\w+)`", text)
    return named(text).union(*(columns_of(other) for other in others))


EVERYWHERE = named(TEXT.partition("mean the same everywhere")[2].partition("\n## ")[0])


@pytest.fixture
def schema(mysql_root: MySQLSettings, fleet_schema: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with closing(connect(mysql_root, fleet_schema)) as root:
        cursor = root.cursor()
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = %s",
            (fleet_schema,),
        )
        for table, column in cursor.fetchall():
            found.setdefault(table, set()).add(column)
    return found


@pytest.mark.database
def test_every_table_and_view_has_a_section(schema: dict[str, set[str]]) -> None:
    assert sections().keys() == schema.keys()


@pytest.mark.database
def test_every_column_is_named_and_no_other(schema: dict[str, set[str]]) -> None:
    missing = {
        f"{table}.{column}"
        for table, columns in schema.items()
        for column in columns - EVERYWHERE - columns_of(table)
    }
    assert missing == set()
    unknown = {
        f"{table}.{column}"
        for table, columns in schema.items()
        if "Columns of" not in sections()[table]
        for column in columns_of(table) - columns
    }
    assert unknown == set()


@pytest.mark.database
def test_the_equity_in_timescale_has_the_columns_of_ours(
    schema: dict[str, set[str]], timescale: Timescale
) -> None:
    found = timescale.run(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'fleet' AND table_name = 'equity'"
    )
    assert {name for (name,) in found} == schema["fleet_equity"]
    assert ("equity",) in timescale.run(
        "SELECT hypertable_name FROM timescaledb_information.hypertables"
        " WHERE hypertable_schema = 'fleet'"
    )


@pytest.mark.database
def test_every_table_and_view_of_timescale_is_named(timescale: Timescale) -> None:
    found = timescale.run(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'fleet'"
        " AND table_name <> 'alembic_version'"
    )
    text = TEXT.partition("## TimescaleDB")[2].partition("## How it runs")[0]
    missing = [name for (name,) in found if f"{name}`" not in text and f"fleet.{name}" not in text]
    assert missing == []


def test_the_measures_are_those_of_the_docstrings() -> None:
    assert dictionary(TEXT) == TEXT, "run python -m workers.dictionary"
