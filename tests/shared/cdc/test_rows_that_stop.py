"""Row events that can not be read exactly stop the reader, and say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from shared.cdc import table_map
from shared.cdc.errors import SourceStopped
from shared.cdc.rows import ROW_EVENTS, Shape, statement_ends, table_id
from shared.endpoints import MySQLSettings
from tests.raw_log import TABLE_MAP, RawLog


@pytest.fixture(scope="module")
def log(mysql_root: MySQLSettings, schema_name: str) -> Iterator[RawLog]:
    with closing(RawLog(mysql_root, f"{schema_name}_rows_that_stop")) as found:
        yield found


def table(log: RawLog, columns: str) -> tuple[str, int]:
    log.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t ({columns})")
    return log.position()


def events(log: RawLog, position: tuple[str, int]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The TABLE_MAP of table t, and its row events."""
    found = [event for event in log.events(position) if event[0] in ROW_EVENTS | {TABLE_MAP}]
    maps = [
        body for type_, body in found
        if type_ == TABLE_MAP and table_map.names(body) == (log.schema, "t")
    ]  # fmt: skip
    ids = {table_id(body) for body in maps}
    rows = [event for event in found if event[0] != TABLE_MAP and table_id(event[1]) in ids]
    return maps[0], rows


def without_fields(map_: bytes, *kinds: int) -> bytes:
    """A TABLE_MAP as it is written while binlog_row_metadata is not FULL."""
    at = 9 + map_[8] + 2 + map_[9 + map_[8] + 1] + 1
    count, at = table_map.packed(map_, at)
    length, at = table_map.packed(map_, at + count)
    at += length + (count + 7) // 8
    kept = map_[:at]
    while at < len(map_):
        length, begins = table_map.packed(map_, at + 1)
        if map_[at] not in kinds:
            kept += map_[at : begins + length]
        at = begins + length
    return kept


@pytest.mark.parametrize(
    ("kinds", "what"),
    [
        ((table_map.COLUMN_NAME,), "column names"),
        (tuple(range(1, 13)), "column names"),
        ((table_map.SIGNEDNESS,), "unsigned"),
        ((table_map.DEFAULT_CHARSET, table_map.COLUMN_CHARSET), "without its charset"),
    ],
)
def test_an_event_without_its_metadata_stops_whatever_the_variable_says_now(
    log: RawLog, kinds: tuple[int, ...], what: str
) -> None:
    position = table(log, "id INT UNSIGNED PRIMARY KEY, a VARCHAR(9)")
    log.run("INSERT INTO t VALUES (4294967295, 'x')")
    map_, _ = events(log, position)
    with pytest.raises(SourceStopped, match=what) as stopped:
        log.shapes("t").shape(without_fields(map_, *kinds))
    assert stopped.value.reason == "row_metadata"
    assert f"{log.schema}.t" in stopped.value.what
    assert "SET GLOBAL binlog_row_metadata = 'FULL'" in stopped.value.cure


@pytest.mark.parametrize("image", ["MINIMAL", "NOBLOB"])
def test_a_row_without_all_its_columns_stops(log: RawLog, image: str) -> None:
    position = table(log, "id INT PRIMARY KEY, a INT, b TEXT")
    log.run(
        "INSERT INTO t VALUES (1, 2, 'x')",
        f"SET SESSION binlog_row_image = '{image}'",
        "UPDATE t SET a = 3",
        "SET SESSION binlog_row_image = 'FULL'",
    )
    with pytest.raises(SourceStopped, match=f"{log.schema}.t") as stopped:
        log.changes(position, log.shapes("t"))
    assert stopped.value.reason == "row_image"
    assert "SET GLOBAL binlog_row_image = 'FULL'" in stopped.value.cure


def a_row(log: RawLog) -> tuple[bytes, Shape, int, bytes]:
    position = table(log, "id INT PRIMARY KEY, a VARCHAR(9), b DECIMAL(9,2)")
    log.run("INSERT INTO t VALUES (1, 'word', 1.5)")
    map_, [(type_, body)] = events(log, position)
    shape = log.shapes("t").shape(map_)
    assert shape is not None
    assert statement_ends(body)
    assert [change.after for change in shape.rows(type_, body)] == [[1, "word", "1.50"]]
    return map_, shape, type_, body


def test_an_event_that_is_cut_off_anywhere_stops_or_has_no_rows(log: RawLog) -> None:
    _, shape, type_, body = a_row(log)
    stops = 0
    for length in range(8, len(body)):
        rows: object = []
        with suppress(SourceStopped):
            stops += 1
            rows = shape.rows(type_, body[:length])
            stops -= 1
        assert rows == []
    assert stops >= len(body) - 10


def test_an_event_of_another_shape_stops(log: RawLog) -> None:
    map_, _, type_, body = a_row(log)
    table(log, "id INT PRIMARY KEY, a VARCHAR(9)")
    position = log.position()
    log.run("INSERT INTO t VALUES (1, 'word')")
    other, _ = events(log, position)
    shape = log.shapes("t").shape(other)
    assert shape is not None
    assert map_ != other
    with pytest.raises(SourceStopped, match="3 columns instead of 2"):
        shape.rows(type_, body)


def types_at(map_: bytes) -> int:
    return 9 + map_[8] + 2 + map_[9 + map_[8] + 1] + 2


def test_a_type_that_nobody_knows_stops_and_is_named(log: RawLog) -> None:
    map_, _, _, _ = a_row(log)
    at = types_at(map_)
    unknown = map_[:at] + b"\xc8" + map_[at + 1 :]
    with pytest.raises(SourceStopped, match=r"column 1 of .*\.t has a type .*\(number 200\)"):
        log.shapes("t").shape(unknown)


@pytest.mark.parametrize(("type_", "name"), [(7, "timestamp"), (11, "time"), (12, "datetime")])
def test_times_from_before_5_6_stop(log: RawLog, type_: int, name: str) -> None:
    """Their length is not in the log: with MariaDB's fractions there are several formats."""
    map_, _, _, _ = a_row(log)
    at = types_at(map_)
    old = map_[:at] + bytes((type_,)) + map_[at + 1 :]
    with pytest.raises(SourceStopped, match=f"has the {name} format .*ALTER TABLE .* FORCE"):
        log.shapes("t").shape(old)


def test_a_collation_that_nobody_knows_stops(log: RawLog) -> None:
    position = table(log, "id INT PRIMARY KEY, a VARCHAR(9)")
    log.run("INSERT INTO t VALUES (1, 'x')")
    map_, _ = events(log, position)
    bare = without_fields(map_, table_map.DEFAULT_CHARSET, table_map.COLUMN_CHARSET)
    unknown = bare + bytes((table_map.DEFAULT_CHARSET, 3, 0xFC)) + (9999).to_bytes(2, "little")
    with pytest.raises(SourceStopped, match="collation number 9999"):
        log.shapes("t").shape(unknown)


@pytest.mark.only("mariadb")
def test_a_system_versioned_table_stops(log: RawLog) -> None:
    log.run("DROP TABLE IF EXISTS t")
    log.run("CREATE TABLE t (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING")
    position = log.position()
    log.run("INSERT INTO t VALUES (1, 2)")
    with pytest.raises(SourceStopped, match="system-versioned"):
        log.changes(position, log.shapes("t"))
