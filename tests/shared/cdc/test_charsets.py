"""Text in every charset of the servers: each code there is, as the server itself converts it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import product
from typing import Any

import pytest

from shared.cdc.charsets import charset, charset_of
from shared.endpoints import MySQLSettings
from tests.raw_log import RawLog

ONE_BYTE = (
    "armscii8", "ascii", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8",
    "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5",
    "latin7", "macce", "macroman", "swe7", "tis620",
)  # fmt: skip
MORE_BYTES = (
    "big5", "cp932", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "sjis", "ujis",
)  # fmt: skip
UNICODE = ("ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4")
ONLY_MYSQL = {"gb18030"}
REPLACEMENT = "\ufffd"


def named(charsets: Iterable[str]) -> list[Any]:
    """Parameters of a test."""
    return [
        pytest.param(name, marks=[pytest.mark.only("mysql")] if name in ONLY_MYSQL else [])
        for name in charsets
    ]


@pytest.fixture(scope="module")
def log(mysql_root: MySQLSettings, schema_name: str) -> Iterator[RawLog]:
    with closing(RawLog(mysql_root, f"{schema_name}_charsets")) as found:
        yield found


def codes(name: str) -> list[bytes]:
    """Whatever may be one character, and much that is none."""
    found = [bytes((one,)) for one in range(256)]
    if name in MORE_BYTES:
        found += [bytes(pair) for pair in product(range(0x80, 0x100), range(0x100))]
    if name in {"ujis", "eucjpms"}:
        found += [bytes((0x8F, *pair)) for pair in product(range(0xA1, 0xFF), repeat=2)]
    if name == "gb18030":
        found += [
            bytes((first, second, third, fourth))
            for first in (0x81, 0x84, 0x90, 0xE3)
            for second, third, fourth in product(
                range(0x30, 0x3A), range(0x81, 0xFF), range(0x30, 0x3A)
            )
        ]
    return found


@pytest.mark.parametrize("name", named(ONE_BYTE + MORE_BYTES))
def test_every_code_is_the_character_that_the_server_takes_it_for(log: RawLog, name: str) -> None:
    asked = codes(name)
    log.run("SET sql_log_bin = 0", "DROP TABLE IF EXISTS codes")
    log.run("CREATE TABLE codes (place INT PRIMARY KEY, code VARBINARY(4))")
    for begins in range(0, len(asked), 10_000):
        rows = ",".join(
            f"({begins + place},x'{code.hex()}')"
            for place, code in enumerate(asked[begins : begins + 10_000])
        )
        log.run(f"INSERT INTO codes VALUES {rows}")  # noqa: S608
    decode = charset(name).decode
    characters = 0
    for place, raw, text in log.ask(
        f"SELECT place, HEX(CONVERT(code USING {name})),"  # noqa: S608
        f" HEX(CONVERT(CONVERT(code USING {name}) USING utf8mb4)) FROM codes"
    ):
        code = asked[int(place)]
        ours = decode(code)
        server = None if text is None else bytes.fromhex(text).decode()
        well_formed = raw is not None and bytes.fromhex(raw) == code
        if not well_formed or server in {"?", "", REPLACEMENT} or len(server or "") != 1:
            # One code of gb18030 means this character; elsewhere it means that there is none.
            assert code == b"?" or ours in {None, REPLACEMENT} or len(ours or "") != 1, code
        else:
            characters += 1
            assert ours == server, code
    assert characters >= (96 if name in ONE_BYTE else 7_000)


@pytest.mark.parametrize("name", named(ONE_BYTE + MORE_BYTES + UNICODE))
def test_a_column_of_each_charset_is_read_as_select_shows_it(log: RawLog, name: str) -> None:
    everything = [chr(code) for code in (*range(0x20, 0x7F), *range(0xA0, 0x600))]
    everything += list("日本語の漢字한글文字ÅÄÖπ₯€℃①㈱№℡≒〜‖\uff5e\uff0d\uffe3\uff3c")
    everything += ["a  ", " é  "]
    if name not in {"utf8mb3", "ucs2"} | set(ONE_BYTE) | set(MORE_BYTES):
        everything += ["😀", "\U0010ffff"]
    log.run(
        "SET sql_log_bin = 1",
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (id INT PRIMARY KEY, a CHAR(9) CHARACTER SET {name},"
        f" b VARCHAR(200) CHARACTER SET {name}, c TEXT CHARACTER SET {name})",
    )
    position = log.position()
    rows = ",".join(
        f"({place}, {text}, {text}, {text})"
        for place, text in enumerate(log.connection.escape(text) for text in everything)
    )
    log.run(f"INSERT INTO t VALUES {rows}")  # noqa: S608
    found = [change.after for change in log.changes(position, log.shapes("t"))]
    asked = log.ask("SELECT a, b, c FROM t ORDER BY id")
    assert len(found) == len(everything)
    for row, answer in zip(found, asked, strict=True):
        assert row is not None
        assert tuple(row[1:]) == answer


def test_the_bytes_of_latin1_that_its_standard_does_not_have(log: RawLog) -> None:
    log.run(
        "SET sql_log_bin = 1",
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (a VARCHAR(9) CHARACTER SET latin1)",
    )
    position = log.position()
    log.run("INSERT INTO t VALUES (x'818D8F909D80')")
    (change,) = log.changes(position, log.shapes("t"))
    assert change.after == ["\x81\x8d\x8f\x90\x9d€"]
    assert log.ask("SELECT a FROM t") == [("\x81\x8d\x8f\x90\x9d€",)]


def test_bytes_that_are_no_text_of_their_charset_stay_bytes(log: RawLog) -> None:
    """cp1256 has no 8A; the server itself shows a question mark."""
    log.run(
        "SET sql_log_bin = 1",
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (a VARCHAR(9) CHARACTER SET cp1256)",
    )
    position = log.position()
    log.run("INSERT INTO t VALUES (x'618A')")
    (change,) = log.changes(position, log.shapes("t"))
    assert change.after == [{"$base64": "YYo="}]
    assert log.ask("SELECT a FROM t") == [("a?",)]


def test_every_collation_of_the_server_is_known(log: RawLog) -> None:
    """With the charset that it belongs to, and the longest character of that one."""
    if log.mariadb:
        asked = log.ask(
            "SELECT a.ID, a.CHARACTER_SET_NAME, s.MAXLEN"
            " FROM information_schema.collation_character_set_applicability a"
            " JOIN information_schema.character_sets s"
            " ON s.CHARACTER_SET_NAME = a.CHARACTER_SET_NAME"
        )
    else:
        asked = log.ask(
            "SELECT c.ID, c.CHARACTER_SET_NAME, s.MAXLEN FROM information_schema.collations c"
            " JOIN information_schema.character_sets s USING (CHARACTER_SET_NAME)"
        )
    assert len(asked) > 200
    for number, name, longest in asked:
        found = charset_of(int(number))
        assert found is not None, number
        assert (found.name, found.longest) == (name, int(longest)), number
