"""Row events as changes: what an event must tell, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from shared.cdc import table_map
from shared.cdc.errors import SourceStopped
from shared.cdc.rows import ROW_EVENTS, Declared, Shapes, table_id
from shared.changes import Row
from shared.endpoints import MySQLSettings
from tests.raw_log import TABLE_MAP, RawLog


@pytest.fixture(scope="module")
def log(mysql_root: MySQLSettings, schema_name: str) -> Iterator[RawLog]:
    with closing(RawLog(mysql_root, f"{schema_name}_rows")) as found:
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


def seen(log: RawLog, position: tuple[str, int]) -> list[tuple[str, Row | None, Row | None]]:
    return [
        (change.op, change.before, change.after)
        for change in log.changes(position, log.shapes("t"))
    ]


# -- what becomes of rows --------------------------------------------------------------------------


def test_inserts_updates_and_deletes_with_both_images(log: RawLog) -> None:
    position = table(log, "id INT PRIMARY KEY, a VARCHAR(9), b INT")
    log.run(
        "INSERT INTO t VALUES (1, 'x', NULL), (2, NULL, 5)",
        "UPDATE t SET b = 7",
        "DELETE FROM t WHERE id = 2",
    )
    expected: list[tuple[str, Row | None, Row | None]] = [
        ("c", None, [1, "x", None]),
        ("c", None, [2, None, 5]),
        ("u", [1, "x", None], [1, "x", 7]),
        ("u", [2, None, 5], [2, None, 7]),
        ("d", [2, None, 7], None),
    ]
    assert seen(log, position) == expected


def test_a_changed_key_is_a_delete_and_a_create(log: RawLog) -> None:
    position = table(log, "id INT PRIMARY KEY, a VARCHAR(9), UNIQUE (a)")
    log.run(
        "INSERT INTO t VALUES (1, 'x')",
        "UPDATE t SET id = 2",
        "REPLACE INTO t VALUES (3, 'x')",
        "INSERT INTO t VALUES (3, 'z') ON DUPLICATE KEY UPDATE id = 4",
    )
    changes = seen(log, position)
    rows: dict[object, object] = {}
    for op, before, after in changes:
        assert op in {"c", "d"}
        if op == "d":
            assert isinstance(before, list)
            assert rows.pop(before[0]) == before
        else:
            assert isinstance(after, list)
            assert after[0] not in rows
            rows[after[0]] = after
    assert rows == {4: [4, "x"]}
    assert changes[1] == ("d", [1, "x"], None)
    assert changes[2] == ("c", None, [2, "x"])


def test_without_a_key_the_whole_row_is_one(log: RawLog) -> None:
    position = table(log, "a INT NULL, b INT NULL")
    log.run("INSERT INTO t VALUES (1, 2)", "UPDATE t SET b = 3")
    (first, *changed) = log.changes(position, log.shapes("t"))
    assert first.table.key == ()
    assert [(one.op, one.before, one.after) for one in changed] == [
        ("d", [1, 2], None),
        ("c", None, [1, 3]),
    ]


def test_without_a_primary_key_a_unique_one_without_nulls_is_the_key(log: RawLog) -> None:
    position = table(
        log,
        "n INT NULL, b INT NOT NULL, a INT NOT NULL, c CHAR(9) NOT NULL, UNIQUE k1 (n),"
        " UNIQUE k3 (c(2)), UNIQUE k2 (a, b)",
    )
    log.run("INSERT INTO t VALUES (1, 2, 3, 'x')")
    (change,) = log.changes(position, log.shapes("t"))
    assert change.table.key == (2, 1)


@pytest.mark.only("mysql")
def test_a_primary_key_that_mysql_makes_itself(log: RawLog) -> None:
    log.run("SET SESSION sql_generate_invisible_primary_key = ON")
    position = table(log, "a INT")
    log.run("SET SESSION sql_generate_invisible_primary_key = OFF")
    log.run("INSERT INTO t (a) VALUES (1)", "UPDATE t SET a = 2")
    changes = log.changes(position, log.shapes("t"))
    assert changes[0].table.columns == ("my_row_id", "a")
    assert changes[0].table.key == (0,)
    assert [(change.op, change.after) for change in changes] == [
        ("c", ["1", 1]),
        ("u", ["1", 2]),
    ]


def test_a_primary_key_over_prefixes_and_out_of_order(log: RawLog) -> None:
    position = table(log, "a INT, b VARCHAR(99), c INT, PRIMARY KEY (c, b(5))")
    log.run("INSERT INTO t VALUES (1, 'x', 3)")
    (change,) = log.changes(position, log.shapes("t"))
    assert change.table.key == (2, 1)


def test_generated_columns_are_there_where_the_server_logs_them(log: RawLog) -> None:
    """MariaDB does so with inserts only; there they are left out of all images."""
    position = table(
        log,
        "id INT PRIMARY KEY, a INT GENERATED ALWAYS AS (id * 2) STORED,"
        " b INT GENERATED ALWAYS AS (id * 3) VIRTUAL, c INT INVISIBLE DEFAULT 4",
    )
    log.run("INSERT INTO t (id) VALUES (1)", "UPDATE t SET id = 2", "DELETE FROM t")
    changes = log.changes(position, log.shapes("t"))
    assert changes[0].table.columns == (("id", "c") if log.mariadb else ("id", "a", "b", "c"))
    assert [(change.op, change.before, change.after) for change in changes] == (
        [("c", None, [1, 4]), ("d", [1, 4], None), ("c", None, [2, 4]), ("d", [2, 4], None)]
        if log.mariadb
        else [
            ("c", None, [1, 2, 3, 4]),
            ("d", [1, 2, 3, 4], None),
            ("c", None, [2, 4, 6, 4]),
            ("d", [2, 4, 6, 4], None),
        ]
    )


def test_types_are_told_as_sql_writes_them(log: RawLog) -> None:
    columns = {
        "c1": "bigint unsigned", "c2": "decimal(38,18)", "c3": "varchar(64)", "c4": "datetime(6)",
        "c5": "enum('a','it''s')", "c6": "char(3)", "c7": "binary(16)", "c8": "timestamp",
        "c9": "mediumtext", "c10": "bit(9)", "c11": "year", "c12": "time(3)", "c13": "tinyblob",
        "c14": "varbinary(700)", "c15": "set('x','y')", "c16": "smallint", "c17": "point",
        "c18": "double", "c19": "varchar(700)", "c20": "multipolygon",
    }  # fmt: skip
    position = table(log, ", ".join(f"{name} {type_} NULL" for name, type_ in columns.items()))
    log.run("INSERT INTO t () VALUES ()")
    (change,) = log.changes(position, log.shapes("t"))
    assert dict(zip(change.table.columns, change.table.types, strict=True)) == columns
    assert change.after == [None] * len(columns)


def test_columns_that_are_added_moved_and_renamed_need_no_schema_store(log: RawLog) -> None:
    position = table(log, "id INT PRIMARY KEY, a INT")
    log.run(
        "INSERT INTO t VALUES (1, 2)",
        "ALTER TABLE t ADD COLUMN b VARCHAR(9) FIRST",
        "INSERT INTO t VALUES ('x', 2, 3)",
        "ALTER TABLE t RENAME COLUMN a TO z",
        "INSERT INTO t VALUES ('y', 3, 4)",
    )
    changes = log.changes(position, log.shapes("t"))
    assert [change.table.columns for change in changes] == [
        ("id", "a"), ("b", "id", "a"), ("b", "id", "z"),
    ]  # fmt: skip
    assert [change.after for change in changes] == [[1, 2], ["x", 2, 3], ["y", 3, 4]]
    assert len({change.table.shape for change in changes}) == 3


def test_many_columns_and_a_row_of_only_nulls(log: RawLog) -> None:
    names = [f"c{number}" for number in range(400)]
    position = table(log, ", ".join(f"{name} INT" for name in names))
    log.run("INSERT INTO t () VALUES ()", "INSERT INTO t (c7, c399) VALUES (1, 2)")
    first, second = log.changes(position, log.shapes("t"))
    assert first.after == [None] * 400
    assert second.after == [{"c7": 1, "c399": 2}.get(name) for name in names]


def test_a_row_of_many_megabytes(log: RawLog) -> None:
    position = table(log, "id INT PRIMARY KEY, a LONGBLOB, b LONGTEXT")
    log.run("INSERT INTO t VALUES (1, REPEAT(x'FF', 9000000), REPEAT('é', 4000000))")
    (change,) = log.changes(position, log.shapes("t"))
    assert change.after is not None
    assert change.after[1] == {"$base64": "/" * 12_000_000}
    assert change.after[2] == "é" * 4_000_000


# -- what leaves the collector ---------------------------------------------------------------------


def test_columns_are_dropped_and_hashed_before_anybody_sees_them(log: RawLog) -> None:
    position = table(log, "id INT PRIMARY KEY, email VARCHAR(99), api_key TEXT, n INT")
    log.run("INSERT INTO t VALUES (1, 'a@b.c', 'k', 5), (2, NULL, 'k', 6)")
    shapes = log.shapes("t", columns={"t.email": "hash"})
    first, second = log.changes(position, shapes)
    assert first.table.columns == ("id", "email", "n")
    assert first.table.types == ("int", "char(64)", "int")
    assert first.after == [1, shapes.selection.hashed("a@b.c"), 5]
    assert second.after == [2, None, 6]


def test_a_hashed_key_is_still_a_key(log: RawLog) -> None:
    position = table(log, "email VARCHAR(99) PRIMARY KEY, n INT")
    log.run("INSERT INTO t VALUES ('a', 1)", "UPDATE t SET n = 2", "UPDATE t SET email = 'b'")
    changes = log.changes(position, log.shapes("t", columns={"t.email": "hash"}))
    assert [change.op for change in changes] == ["c", "u", "d", "c"]
    assert changes[0].table.key == (0,)


def test_a_dropped_key_stops(log: RawLog) -> None:
    position = table(log, "secret_id INT PRIMARY KEY, n INT")
    log.run("INSERT INTO t VALUES (1, 2)")
    with pytest.raises(SourceStopped, match=r"secret_id.*FLEET_CDC_COLUMNS=t\.secret_id=hash"):
        log.changes(position, log.shapes("t"))


def test_tables_that_are_only_looked_at(log: RawLog) -> None:
    log.run(
        "DROP TABLE IF EXISTS fleet_cdc_heartbeat",
        "CREATE TABLE fleet_cdc_heartbeat (id INT PRIMARY KEY, n BIGINT)",
    )
    position = log.position()
    log.run(
        "INSERT INTO fleet_cdc_heartbeat VALUES (1, 5)",
        "UPDATE fleet_cdc_heartbeat SET n = 6",
        "DELETE FROM fleet_cdc_heartbeat",
    )
    shapes = log.shapes("t")
    shapes.selection.schemas = shapes.selection.schemas._replace(fleet=log.schema)
    shape, noted = None, []
    for type_, body in log.events(position):
        if type_ == TABLE_MAP:
            shape = shapes.shape(body)
        elif type_ in ROW_EVENTS and shape is not None:
            assert shape.interest == "noted"
            noted += shape.noted(type_, body)
    assert [(one.table, one.op, dict(one.values)) for one in noted] == [
        ("fleet_cdc_heartbeat", "c", {"id": 1, "n": "5"}),
        ("fleet_cdc_heartbeat", "u", {"id": 1, "n": "6"}),
        ("fleet_cdc_heartbeat", "d", {"id": 1, "n": "6"}),
    ]


def test_a_table_of_no_interest_is_not_even_read(log: RawLog) -> None:
    """Whatever its TABLE_MAP says: types of its columns, names or none."""
    position = table(log, "id INT PRIMARY KEY")
    log.run("INSERT INTO t VALUES (1)")
    map_, _ = events(log, position)
    names_end = 9 + map_[8] + 2 + map_[9 + map_[8] + 1] + 1
    assert log.shapes("another").shape(map_[:names_end] + b"\x01\xa0") is None


def test_the_same_table_map_is_read_once(log: RawLog) -> None:
    position = table(log, "a INT NOT NULL, UNIQUE (a)")
    for number in range(3):
        log.run(f"INSERT INTO t VALUES ({number})")  # noqa: S608
    log.run("FLUSH TABLES t", "INSERT INTO t VALUES (9)")
    asked = list[str]()

    def declarations(schema: str, name: str) -> Declared:
        asked.append(f"{schema}.{name}")
        return Declared({})

    shapes = Shapes(log.shapes("t").selection, declarations, mariadb=log.mariadb)
    bodies = [body for type_, body in log.events(position) if type_ == TABLE_MAP]
    ours = [body for body in bodies if table_map.names(body)[0] == log.schema]
    found = {id(shapes.shape(body)) for body in ours}
    assert len({table_id(body) for body in ours}) == 2
    assert len(found) == 1
    assert len(asked) <= 1
    shapes.forget()
    assert id(shapes.shape(ours[0])) not in found
