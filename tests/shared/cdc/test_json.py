"""MySQL's JSON: every kind of document, printed as SELECT prints it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from shared.cdc.json_binary import json_text
from shared.endpoints import MySQLSettings
from tests.raw_log import RawLog

ESCAPES = (
    r"""'"\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0000 \\u001f """
    r"""\\u007f \\u00fc \\u65e5 \\ud83d\\ude00"'"""
)
DOCUMENTS = (
    "NULL", "'null'", "'true'", "'[false, null, true]'", "'{}'", "'[]'", "'\"\"'", "'\"text\"'",
    "'0'", "'-1'", "'32767'", "'32768'", "'-32768'", "'-32769'", "'65535'", "'65536'",
    "'2147483647'", "'2147483648'", "'-2147483649'", "'4294967295'", "'4294967296'",
    "'9223372036854775807'", "'-9223372036854775808'", "'18446744073709551615'",
    "'18446744073709551616'", "'[1, -1, 70000, -70000, 4294967296, 18446744073709551615]'",
    "'1.0'", "'-0.0'", "'1e0'", "'0.1'", "'1e15'", "'1e14'", "'1.5e300'", "'1e-7'", "'12345678.5'",
    "'1234567890123456.7'", "'1e22'", "'5e-324'", "'[0.00001, 100.0, 1e100]'", "'0.0001'",
    ESCAPES,
    '\'{"b": 1, "a": {"nested": [1, {"deep": null}]}, "": 2, "long key": [[[]]]}\'',
    '\'{"ü": "é", "日本": "😀"}\'',
    "JSON_OBJECT('d', CAST(1.10 AS DECIMAL(10,2)), 'n', CAST(-0.000001 AS DECIMAL(20,6)))",
    f"JSON_ARRAY(CAST({'9' * 35}.{'9' * 30} AS DECIMAL(65,30)), CAST(0 AS DECIMAL(5,0)))",
    "JSON_ARRAY(DATE '2026-11-26', TIME '-838:59:58.000001', TIME '08:00:00')",
    "JSON_ARRAY(TIMESTAMP '2026-11-26 08:00:00.000001', CAST('2026-11-26 08:00' AS DATETIME))",
    "JSON_ARRAY(x'00FF', CAST('abc' AS BINARY(5)), b'101', CAST(2026 AS YEAR))",
    "JSON_OBJECT('long', CAST(REPEAT('z', 100) AS BINARY))",
    "JSON_OBJECT('exactly', CAST(REPEAT('z', 57) AS BINARY))",
    "JSON_ARRAY(ST_GeomFromText('POINT(1 2)'), CAST(x'01' AS CHAR CHARACTER SET latin1))",
    "JSON_ARRAY(1e0, CAST(1 AS DOUBLE), CAST(0.1 AS FLOAT), TRUE)",
    # Large ones have offsets of four bytes, and whole numbers of four bytes in their entries.
    "CONCAT('[', REPEAT('1,', 40000), '2]')",
    """CONCAT('{"k": "', REPEAT('v', 70000), '", "n": 70000, "m": -70000, "big": 5000000000}')""",
    """CONCAT('{"', REPEAT('k', 99), '": ["', REPEAT('x', 127), '", "', REPEAT('y', 128), '"]}')""",
    "CONCAT(REPEAT('[', 99), REPEAT(']', 99))",
    """CONCAT('{"a": ', REPEAT('{"a": ', 50), '1', REPEAT('}', 50), '}')""",
)


@pytest.fixture(scope="module")
def log(mysql_root: MySQLSettings, schema_name: str) -> Iterator[RawLog]:
    with closing(RawLog(mysql_root, f"{schema_name}_json")) as found:
        yield found


def compare(log: RawLog, documents: tuple[str, ...]) -> None:
    log.run("DROP TABLE IF EXISTS j", "CREATE TABLE j (id INT PRIMARY KEY, doc JSON, after_it INT)")
    position = log.position()
    for place, document in enumerate(documents):
        log.run(f"INSERT INTO j VALUES ({place}, {document}, 7)")  # noqa: S608
    asked = log.ask("SELECT doc FROM j ORDER BY id")
    found = [change.after for change in log.changes(position, log.shapes("j"))]
    assert len(found) == len(documents)
    for document, row, (answer,) in zip(documents, found, asked, strict=True):
        assert row is not None
        assert row[1] == answer, document
        assert row[2] == 7


@pytest.mark.only("mysql")
def test_documents_are_printed_as_select_prints_them(log: RawLog) -> None:
    compare(log, DOCUMENTS)


@pytest.mark.only("mysql")
def test_random_documents_are_too(log: RawLog) -> None:
    dice = random.Random(6)

    def value(depth: int) -> object:
        kind = dice.randrange(8 if depth else 6)
        if kind == 0:
            return dice.choice([None, True, False])
        if kind in {1, 2}:
            return dice.randint(-(2**63), 2**64 - 1) >> dice.randrange(64)
        if kind == 3:
            return dice.uniform(-1, 1) * 10 ** dice.randrange(-30, 30)
        if kind in {4, 5}:
            return "".join(chr(dice.choice((65, 0xE9, 0x65E5, 0x1F600, 9, 34))) for _ in range(9))
        if kind == 6:
            return [value(depth - 1) for _ in range(dice.randrange(8))]
        return {str(dice.random()): value(depth - 1) for _ in range(dice.randrange(8))}

    texts = [json.dumps(value(4)) for _ in range(200)]
    compare(log, tuple(log.connection.escape(text) for text in texts))


@pytest.mark.only("mysql")
def test_an_update_by_json_functions_is_read_whole(log: RawLog) -> None:
    """MySQL may keep freed space inside a document: offsets then skip it."""
    log.run("DROP TABLE IF EXISTS j", "CREATE TABLE j (id INT PRIMARY KEY, doc JSON)")
    log.run("""INSERT INTO j VALUES (1, '{"a": "long text that goes", "b": [1, 2, 3], "c": 1}')""")
    position = log.position()
    log.run("UPDATE j SET doc = JSON_SET(doc, '$.a', 'x')")
    log.run("UPDATE j SET doc = JSON_REMOVE(doc, '$.b')")
    log.run("UPDATE j SET doc = JSON_REPLACE(doc, '$.c', CAST(2.50 AS DECIMAL(5,2)))")
    last = log.changes(position, log.shapes("j"))[-1]
    assert last.after is not None
    assert last.after[1] == log.ask("SELECT doc FROM j")[0][0]


def test_an_empty_document_is_null() -> None:
    """Of a NOT NULL column that was added to rows that were there."""
    assert json_text(b"") == "null"
