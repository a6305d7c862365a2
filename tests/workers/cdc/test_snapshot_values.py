"""A row that a snapshot reads is the row that the log tells, value for value, for every type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from shared.cdc.table_chunks import TableChunks, execute
from shared.changes import Row, Table
from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect, transaction
from tests.raw_log import RawLog
from tests.shared.cdc.test_types import FLOATS, GROUPS, Group, named
from workers.cdc.snapshot_tables import CannotRead, chunks_of, prepare

MORE = {
    "floats": Group({"FLOAT": FLOATS, "FLOAT(7,2)": FLOATS[:4], "DOUBLE(20,3)": FLOATS[:4]}),
    "padded": Group(
        {
            "INT(9) ZEROFILL": ("0", "42"),
            "BIGINT ZEROFILL": ("0", "42", "18446744073709551615"),
            "DECIMAL(10,3) ZEROFILL": ("0", "0.5", "42", "1234567.891"),
        }
    ),
    "charsets": Group(
        {
            f"VARCHAR(20) CHARACTER SET {name}": ("'é'", "''", "x'81'")
            for name in ("latin1", "cp1250", "koi8r", "gbk", "sjis", "utf16", "ucs2", "utf8mb3")
        }
        | {"CHAR(8) CHARACTER SET ascii": ("'ab  '",), "VARCHAR(8)": ("'ab  '",)}
    ),
    "labels with signs": Group(
        {r"ENUM('a\\b','c\nd','it''s','x,y')": ("1", "2", "3", "4"), "SET('it''s','b')": ("3",)}
    ),
    "json of mysql": Group(
        {
            "JSON": (
                '\'{"b": 1.0, "a": [1, 2, null, true], "text": "ü \\\\u0001 \\\\"quoted\\\\""}\'',
                "'null'", "JSON_OBJECT('d', CAST('2026-11-26 08:00:00' AS DATETIME(6)))", "'1e30'",
                "JSON_ARRAY(CAST('1.50' AS DECIMAL(10,2)), 18446744073709551615, -1, '')",
            )
        },
        only="mysql",
    ),
    "generated": Group(
        {
            "INT": ("1", "2"),
            "INT AS (c0 + 1) STORED": ("DEFAULT", "DEFAULT"),
            "INT AS (c0 + 2) VIRTUAL": ("DEFAULT", "DEFAULT"),
        }
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def log(mysql_root: MySQLSettings, schema_name: str) -> Iterator[RawLog]:
    with closing(RawLog(mysql_root, f"{schema_name}_snapshot_values")) as found:
        yield found


@pytest.fixture(scope="module")
def reader(mysql_root: MySQLSettings) -> Iterator[Any]:
    with closing(connect(mysql_root, "", raw=True)) as connection:
        with transaction(connection) as cursor:
            prepare(cursor)
        yield connection


@pytest.mark.parametrize("name", named(GROUPS | MORE))
def test_a_snapshot_reads_what_the_log_tells(log: RawLog, reader: Any, name: str) -> None:
    group = (GROUPS | MORE)[name]
    table, told = written(log, group)
    chunks = described(log, reader)

    assert chunks.table == table
    assert read(reader, chunks) == told


@pytest.mark.parametrize(
    "key",
    [
        "INT", "BIGINT UNSIGNED", "DECIMAL(20,8)", "FLOAT", "DOUBLE", "DATE", "DATETIME(6)",
        "TIMESTAMP(3)", "TIME(2)", "YEAR", "BIT(20)", "VARCHAR(40)", "CHAR(9) CHARACTER SET latin1",
        "VARCHAR(40) CHARACTER SET utf16", "VARBINARY(20)", "BINARY(4)", "ENUM('c','a','b')",
        "SET('z','y')",
    ],
)  # fmt: skip
def test_rows_come_in_parts_by_a_key_of_every_type(log: RawLog, reader: Any, key: str) -> None:
    """A key of two columns, so that a part may end within the first one's value."""
    log.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (k {key}, n INT, PRIMARY KEY (k, n))")
    for number, value in enumerate(KEYS[key.partition(" ")[0].partition("(")[0]]):
        log.run(f"INSERT INTO t VALUES ({value}, {number % 2}), ({value}, 7)")  # noqa: S608
    chunks = described(log, reader)

    whole, parts, after = read(reader, chunks), list[Row](), None
    while found := rows(reader, chunks.rows_between(after, None, 3)):
        parts += [chunks.row(raw)[1] for raw in found]
        after = chunks.key(found[-1][-2:])
    assert parts == whole
    assert len(parts) >= 6
    through = chunks.row(rows(reader, chunks.rows_between(None, None, 3))[-1])[0]
    assert len(rows(reader, chunks.rows_between(None, through, 99))) == 3
    assert chunks.key(rows(reader, chunks.last_key())[0]) == after


KEYS = {
    "INT": ("-5", "0", "7"), "BIGINT": ("0", "9", "18446744073709551615"),
    "DECIMAL": ("-1.5", "0", "123456789012.12345678"), "FLOAT": ("0.1", "-3.3333", "1e20"),
    "DOUBLE": ("0.1", "-3.3333333333", "1e200"),
    "DATE": ("'0000-00-00'", "'2026-00-15'", "'2026-11-26'"),
    "DATETIME": ("'0000-00-00'", "'2026-00-15 01:02:03.000001'", "'2026-11-26'"),
    "TIMESTAMP": ("'1970-01-01 00:00:01'", "'2026-11-26 08:00:00.123'", "'2038-01-19 03:14:07'"),
    "TIME": ("'-838:59:59'", "'00:00:00.25'", "'838:59:59'"), "YEAR": ("0", "1901", "2155"),
    "BIT": ("0", "5", "1048575"), "VARCHAR": ("''", "'Ä''x'", "'b%s'", "'é'"),
    "CHAR": ("''", "'é'", "'b'"), "VARBINARY": ("''", "x'00'", "x'0027FF'"),
    "BINARY": ("''", "x'00FF'", "'abcd'"), "ENUM": ("'a'", "'b'", "'c'"),
    "SET": ("''", "'y'", "'z,y'"),
}  # fmt: skip


def test_a_table_without_a_key_is_refused_with_a_cure(log: RawLog, reader: Any) -> None:
    log.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (a INT, b INT NOT NULL, UNIQUE KEY (a))")
    with pytest.raises(CannotRead, match="ALTER TABLE"):
        described(log, reader)


def test_the_first_unique_key_without_nulls_is_the_key(log: RawLog, reader: Any) -> None:
    log.run(
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (a VARCHAR(9) NOT NULL, b INT NOT NULL, c INT, UNIQUE z (c),"
        " UNIQUE p (a(3)), UNIQUE y (b), UNIQUE aa (a))",
    )
    position = log.position()
    log.run("INSERT INTO t VALUES ('x', 1, NULL)")
    (change,) = log.changes(position, log.shapes("t"))
    chunks = described(log, reader)
    assert chunks.table == change.table
    assert chunks.table.key == (1,)


def test_what_is_dropped_or_hashed_is_so_in_a_snapshot(log: RawLog, reader: Any) -> None:
    log.run(
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (id INT PRIMARY KEY, email VARCHAR(40), secret_word TEXT, note TEXT)",
    )
    position = log.position()
    log.run("INSERT INTO t VALUES (1, 'a@b.example', 'hush', 'free')")
    columns: Any = {"t.email": "hash", "t.note": "drop"}
    shapes = log.shapes("t", columns=columns)
    (change,) = log.changes(position, shapes)
    with transaction(reader) as cursor:
        chunks = chunks_of(cursor, shapes.selection, "t", mariadb=log.mariadb)
    assert chunks.table == change.table
    assert chunks.table.columns == ("id", "email")
    assert read(reader, chunks) == [change.after]
    assert "note" not in chunks.rows_between(None, None, 1)


def written(log: RawLog, group: Group) -> tuple[Table, list[Row]]:
    """The table and its rows as the log tells them."""
    listed = ", ".join(f"c{place} {ddl}" for place, ddl in enumerate(group.columns))
    log.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id INT PRIMARY KEY, {listed})")
    position = log.position()
    for number in range(max(len(values) for values in group.columns.values())):
        values = [
            of_column[number] if number < len(of_column) else "NULL"
            for of_column in group.columns.values()
        ]
        log.run(f"INSERT IGNORE INTO t VALUES ({number}, {', '.join(values)})")  # noqa: S608
    changes = log.changes(position, log.shapes("t"))
    rows = [change.after for change in changes if change.after is not None]
    assert rows
    return changes[0].table, rows


def described(log: RawLog, reader: Any) -> TableChunks:
    with transaction(reader) as cursor:
        return chunks_of(cursor, log.shapes("t").selection, "t", mariadb=log.mariadb)


def read(reader: Any, chunks: TableChunks) -> list[Row]:
    return [chunks.row(raw)[1] for raw in rows(reader, chunks.rows_between(None, None, 10_000))]


def rows(reader: Any, statement: str) -> Any:
    with transaction(reader) as cursor:
        return execute(cursor, statement)
