"""Every type with its limits, on a real server: what the log says is what SELECT says."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from shared.changes import Value
from shared.endpoints import MySQLSettings
from tests.raw_log import RawLog


class Group(NamedTuple):
    """A table: DDL of each column and the SQL of its values, row by row; shorter ones end in NULL.

    shown: how SELECT is asked, {} for the column.
    """

    columns: dict[str, tuple[str, ...]]
    shown: str = "{}"
    only: str = ""


def whole(bits: int) -> tuple[str, ...]:
    most = 1 << bits - 1
    return (str(-most), str(most - 1), "-1", "0", "1")


def without_sign(bits: int) -> tuple[str, ...]:
    return ("0", str((1 << bits) - 1), str(1 << bits - 1), "1")


INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "BIGINT": 64}
FRACTION = ("", ".1", ".12", ".123", ".1234", ".12345", ".123456")
DAYS = (
    "0000-00-00", "1000-01-01", "9999-12-31", "0001-01-01", "2024-02-29", "2026-02-31",
    "2026-00-15", "2026-11-00", "0000-01-01", "2023-02-29", "1970-01-01",
)  # fmt: skip
CLOCK = ("00:00:00", "23:59:59", "12:34:56")
TIMES = ("-838:59:59", "838:59:59", "00:00:00", "-00:00:00", "-00:00:01", "08:05:09", "100:00:00")


def texts(*values: str) -> tuple[str, ...]:
    return tuple(f"'{value}'" for value in values)


GROUPS = {
    "integers": Group(
        {name: whole(bits) for name, bits in INTEGERS.items()}
        | {f"{name} UNSIGNED": without_sign(bits) for name, bits in INTEGERS.items()}
        | {"BOOL": ("0", "1"), "TINYINT(1)": ("2", "-1"), "INT(1) ZEROFILL": ("7", "4294967295")}
    ),
    "decimals": Group(
        {
            f"DECIMAL({precision},{scale}){sign}": (
                "0", "1", "0.1", *(("-0.1", "-1", "-" + most) if not sign else ()),
                most, "1" + "0" * max(0, precision - scale - 1),
                "0." + "0" * max(0, scale - 1) + "1", "123456789.123456789",
            )
            for precision, scale in (
                (1, 0), (1, 1), (5, 0), (5, 5), (6, 3), (9, 0), (9, 9), (10, 5), (11, 6), (14, 5),
                (18, 0), (20, 8), (24, 15), (30, 30), (32, 6), (38, 18), (65, 0), (65, 30),
            )
            for most in ("9" * (precision - scale) + "." + "9" * scale,)
            for sign in ("", " UNSIGNED")
        }
    ),
    "doubles": Group(
        {
            "DOUBLE": (
                "0", "-0e0", "1", "0.1", "-1.5", "1e15", "1e14", "123456789012345",
                "1234567890123456", "12345678901234567", "1234567890123456.7", "1e-14", "1e-15",
                "0.0001", "0.00001234", "1.7976931348623157e308", "2.2250738585072014e-308",
                "5e-324", "-1.7976931348623157e308", "3.141592653589793", "1e22", "1e100", "2e-5",
                "1.5e300", "9007199254740993", "-0.00012345678901234567", "100", "1e2", "123e-20",
            ),
        }
    ),
    "bits": Group(
        {"BIT(1)": ("b'0'", "b'1'"), "BIT(9)": ("b'101010101'", "b'000000001'", "0"),
         "BIT(64)": ("b'1'", "18446744073709551615", "0")},
        "CASE '{0}' WHEN 'c0' THEN LPAD(BIN({0}),1,'0') WHEN 'c1' THEN LPAD(BIN({0}),9,'0')"
        " ELSE LPAD(BIN({0}),64,'0') END",
    ),
    "years": Group({"YEAR": ("1901", "2155", "0", "2026")}, "CAST({} AS SIGNED)"),
    "dates": Group({"DATE": texts(*DAYS)}),
    "datetimes": Group(
        {
            f"DATETIME({digits})": texts(
                *(f"{day} {clock}{FRACTION[digits]}" for day in DAYS for clock in CLOCK),
                "2026-11-26 08:00:00" + (".000001"[: digits + 1] if digits else ""),
            )
            for digits in range(7)
        }
    ),
    "timestamps": Group(
        {
            f"TIMESTAMP({digits}) NULL": texts(
                "0000-00-00 00:00:00", "1970-01-01 00:00:01", "2038-01-19 03:14:07",
                "2001-09-09 01:46:40", *(
                    f"{day} {clock}{FRACTION[digits]}" for day in ("2024-02-29", "2026-11-26")
                    for clock in CLOCK
                ),
            )
            for digits in range(7)
        }
    ),
    "timestamps after 2038": Group(
        {
            f"TIMESTAMP({digits}) NULL": texts(
                "2038-01-19 03:14:08", "2106-02-07 06:28:15",
                f"2100-01-01 01:02:03{FRACTION[digits]}",
            )
            for digits in range(7)
        },
        only="mariadb",
    ),
    "times": Group(
        {
            f"TIME({digits})": texts(
                *TIMES,
                *(
                    f"{sign}{time}{'.000001'[: digits + 1] if digits else ''}"
                    for sign in ("", "-")
                    for time in ("838:59:58", "00:00:00", "00:00:01", "12:00:00")
                ),
                *(f"{sign}{time}{FRACTION[digits]}" for sign in ("", "-")
                  for time in ("838:59:58", "00:00:00", "01:02:03")),
                "-838:59:58" + ".999999"[: digits + 1] * bool(digits),
            )
            for digits in range(7)
        }
    ),
    "texts": Group(
        dict.fromkeys(
            (
                "CHAR(250)", "VARCHAR(250)", "VARCHAR(3000)", "TINYTEXT", "TEXT", "MEDIUMTEXT",
                "LONGTEXT",
            ),
            texts("", "a", "grüße 日本 😀", "  spaces  ", "nul\\0in", "x" * 200),
        )
    ),
    "bytes": Group(
        dict.fromkeys(
            (
                "BINARY(5)", "BINARY(16)", "BINARY(255)", "VARBINARY(5)", "VARBINARY(300)",
                "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB",
            ),
            ("''", "x'00'", "x'0000000000'", "x'FF00'", "x'C328'", "'abc'", "'a  '"),
        ),
        "HEX({})",
    ),
    "geometries": Group(
        {
            "GEOMETRY": ("ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(1.5 -2)', 4326)"),
            "POINT": ("ST_GeomFromText('POINT(0 0)')",),
            "LINESTRING": ("ST_GeomFromText('LINESTRING(0 0,1 1,2 5)')",),
            "POLYGON": ("ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')",),
            "MULTIPOINT": ("ST_GeomFromText('MULTIPOINT(1 1,2 2)')",),
            "GEOMETRYCOLLECTION": ("ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')",),
            "TEXT": ("'beside them'",),
            "VARCHAR(9) CHARACTER SET latin1": ("'é'",),
        },
        "HEX({})",
    ),
    "labels": Group(
        {
            "ENUM('a','b')": ("'a'", "'b'", "'no such'", "1", "2"),
            "ENUM('grün','','x,y','it''s')": ("'grün'", "''", "'x,y'", "'it''s'", "'no such'"),
            "ENUM('é','ü') CHARACTER SET latin1": ("'é'", "'ü'"),
            "ENUM('é','日') CHARACTER SET utf16": ("'é'", "'日'"),
            "ENUM('日','本') CHARACTER SET sjis": ("'日'", "'本'"),
            f"ENUM({','.join(repr(f'v{number}') for number in range(300))})": (
                "'v0'", "'v254'", "'v255'", "'v299'",
            ),
            "SET('a','b','c')": ("''", "'a'", "'c,a'", "7"),
            "SET('é','ü') CHARACTER SET latin1": ("'é'", "'ü,é'"),
            "SET('日','本') CHARACTER SET ucs2": ("'本'", "'日,本'"),
            f"SET({','.join(repr(f's{number}') for number in range(64))})": (
                "'s63'", "'s0,s63,s31'", "18446744073709551615",
            ),
        }
    ),
    "vectors of mysql": Group(
        {"VECTOR(2)": ("TO_VECTOR('[1,-2.5]')",), "TEXT": ("'é'",)},
        "HEX({})", "mysql",
    ),
    "vectors of mariadb": Group({"VECTOR(2)": ("VEC_FromText('[1,-2.5]')",)}, "HEX({})", "mariadb"),
    "uuid": Group(
        {
            "UUID": texts(
                "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "886313e1-3b8a-5372-9b90-0c9aee199e5d",
                "2e3f8b1a-4c5d-4e6f-8a9b-0c1d2e3f4a5b", "01890a5d-ac96-774b-bcce-b302099a8000",
                "123e4567-e89b-12d3-a456-426614174000", "1ec9414c-232a-6b00-b3c8-9e6bdeced846",
                "00000000-0000-1000-8000-000000000000", "ffffffff-ffff-1fff-bfff-ffffffffff00",
                "12345678-1234-9234-1234-123456789000", "12345678-1234-1234-7234-123456789abc",
                "12345678-1234-8234-8234-123456789abc", "abcdefab-cdef-7bcd-efab-cdefabcdef00",
                "abcdefab-cdef-5bcd-c0ab-cdefabcdef00", "abcdefab-cdef-1bcd-e0ab-cdefabcdef00",
            ),
            "BINARY(16)": (),
        },
        only="mariadb",
    ),
    "inet": Group(
        {
            "INET4": texts("0.0.0.1", "255.255.255.255", "10.0.0.0", "192.168.1.1"),
            "INET6": texts(
                "::", "::1", "2001:db8::", "fe80::1:0:0:1", "::ffff:192.168.1.1", "::10.0.0.1",
                "1:0:2:0:3:0:4:0", "1:0:0:2:0:0:0:3", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "::ffff:0:0", "0:0:0:0:0:1:0:0", "1:2:3:4:5:6:7:0", "0:1:2:3:4:5:6:7",
                "::ffff:0:1:2", "64:ff9b::1.2.3.4", "0:0:0:0:0:fffe:102:304", "::2:3", "::0.1.0.0",
                "2001:0:0:1:0:0:0:0", "1:0:0:2:3:0:0:4",
            ),
        },
        only="mariadb",
    ),
    "compressed": Group(
        {
            "VARCHAR(250) COMPRESSED": (
                "''", "'short'", "REPEAT('grüße ', 30)", "REPEAT('x', 250)",
            ),
            "VARCHAR(3000) COMPRESSED CHARACTER SET latin1": ("REPEAT('é', 3000)", "'é'"),
            "TINYTEXT COMPRESSED": ("REPEAT('a', 200)", "'b'"),
            "TEXT COMPRESSED": ("REPEAT('longer ', 9000)", "''", "'日本'"),
            "LONGTEXT COMPRESSED": ("REPEAT('longer ', 90000)", "REPEAT('y', 99)"),
        },
        only="mariadb",
    ),
    "compressed bytes": Group(
        {
            "VARBINARY(3000) COMPRESSED": ("REPEAT(x'00', 3000)", "x'00'", "''"),
            "BLOB COMPRESSED": ("REPEAT(x'FE00', 3000)", "x'00'"),
        },
        "HEX({})", "mariadb",
    ),
    "json of mariadb": Group(
        {"JSON": ("'{\"a\":  1.0, \"b\" : [1,2 ]}'", "'\"\\\\u00fc\"'", "'null'")}, only="mariadb"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def log(mysql_root: MySQLSettings, schema_name: str) -> Iterator[RawLog]:
    with closing(RawLog(mysql_root, f"{schema_name}_types")) as found:
        yield found


def named(groups: Mapping[str, Group]) -> list[Any]:
    """Parameters of a test: a group that only one of the databases has says so."""
    return [
        pytest.param(name, marks=[pytest.mark.only(group.only)] if group.only else [])
        for name, group in groups.items()
    ]


@pytest.mark.parametrize("name", named(GROUPS))
def test_the_log_says_what_select_says(log: RawLog, name: str) -> None:
    group = GROUPS[name]
    found, asked = written(log, group)
    for place, ddl in enumerate(group.columns):
        for row, answer in zip(found, asked, strict=True):
            text = shown(row[place + 1])
            if group.shown == "HEX({})" and isinstance(row[place + 1], str):
                text = row[place + 1].encode("latin1" if "latin1" in ddl else "utf8").hex().upper()
            assert text == answer[place], f"{ddl}: {row[place + 1]}"


def test_the_log_has_every_row(log: RawLog) -> None:
    """What the matrix compares is as many rows as were inserted: zip would hide none."""
    found, asked = written(log, GROUPS["integers"])
    assert len(found) == len(asked) == 5
    assert found[0][1] == -128
    assert found[1][10] == "18446744073709551615"


FLOATS = (
    "0", "-0e0", "1", "0.1", "-1.5", "3.4028234663852886e38", "1.17549435e-38", "1e-45", "16777216",
    "16777217", "0.333333333", "123456.789", "1234567890", "1e10", "9.999999e20", "2.7182818284",
    "1e-5", "0.00012207031", "8388608.5", "33554430", "-123.456",
)  # fmt: skip


def test_a_float_reads_back_the_same_and_is_no_longer_than_needed(log: RawLog) -> None:
    found, asked = written(log, Group({"FLOAT": FLOATS}, "CAST({} AS DOUBLE)"))
    for row, (exact,) in zip(found, asked, strict=True):
        text, number = row[1], float(exact)
        assert isinstance(text, str)
        assert struct.pack("<f", float(text)) == struct.pack("<f", number)
        digits = sum(one.isdigit() for one in text.partition("e")[0].strip("-0.").replace(".", ""))
        shorter = float(f"{number:.{max(digits - 2, 0)}e}")
        assert digits <= 1 or struct.pack("<f", shorter) != struct.pack("<f", number), text


@pytest.mark.only("mariadb")
@pytest.mark.parametrize("name", ["compressed", "compressed bytes"])
def test_compressed_columns_with_the_header_of_zlib(log: RawLog, name: str) -> None:
    log.run("SET SESSION column_compression_zlib_wrap = ON")
    try:
        test_the_log_says_what_select_says(log, name)
    finally:
        log.run("SET SESSION column_compression_zlib_wrap = OFF")


@pytest.mark.only("mariadb")
def test_a_column_of_bytes_that_is_no_uuid_stays_bytes(log: RawLog) -> None:
    found, _ = written(log, Group({"BINARY(16)": ("x'00112233445566778899AABBCCDD0000'",)}))
    assert found[0][1] == {
        "$base64": base64.b64encode(bytes.fromhex("00112233445566778899AABBCCDD0000")).decode()
    }


def written(log: RawLog, group: Group) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """Rows as the log has them, and as SELECT shows them."""
    columns = [f"c{place}" for place in range(len(group.columns))]
    listed = ", ".join(
        f"{name} {ddl}" for name, ddl in zip(columns, group.columns, strict=True)
    )
    log.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id INT PRIMARY KEY, {listed})")
    position = log.position()
    for row in range(max(len(values) for values in group.columns.values())):
        values = [
            of_column[row] if row < len(of_column) else "NULL"
            for of_column in group.columns.values()
        ]
        log.run(f"INSERT INTO t VALUES ({row}, {', '.join(values)})")  # noqa: S608
    changes = log.changes(position, log.shapes("t"))
    assert {change.op for change in changes} == {"c"}
    asked = ", ".join(group.shown.format(name) for name in columns)
    return [change.after for change in changes], log.ask(
        f"SELECT {asked} FROM t ORDER BY id"  # noqa: S608
    )


def shown(value: Value) -> str | None:
    """As SELECT shows it."""
    if value is None:
        return None
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        ((tag, text),) = value.items()
        if tag == "$base64":
            return base64.b64decode(text).hex().upper()
        return "" if tag == "$enum" else text
    text = str(value)
    if text[4:5] == "-" and text[10:11] == "T":
        return text.replace("T", " ").removesuffix("Z")
    return text
