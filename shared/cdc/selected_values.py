"""Values as `table_chunks` selects them become what the log's decoder gives for the same ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date

from shared.cdc import table_map as log
from shared.cdc.charsets import Decode
from shared.cdc.floats import double_text, float_text
from shared.cdc.table_map import Column
from shared.cdc.values import charset_of_column
from shared.cdc.values_text import tagged, text_or_bytes
from shared.changes import Value

Convert = Callable[[bytes], Value]

_BY_NAME = frozenset({"uuid", "inet4", "inet6"})
_DATE_DIGITS = len("2026-11-26")


def converter(table: str, column: Column, data_type: str) -> Convert:
    """data_type: as information_schema has it. Raises SourceStopped, as the log's decoder would."""
    if data_type in _BY_NAME:
        return bytes.decode
    if column.type == log.BIT:
        digits = column.length
        return lambda raw: f"{int.from_bytes(raw):0{digits}b}"
    if column.type not in log.TEXTS | {log.ENUM, log.SET}:
        return _BY_TYPE[column.type]
    charset = charset_of_column(table, column)
    if column.type == log.ENUM:
        return _label(column, charset.decode)
    if column.type == log.SET:
        return _labels(column, charset.decode)
    decode = charset.decode
    return tagged if charset.name == "binary" else lambda raw: text_or_bytes(raw, decode)


def _label(column: Column, decode: Decode) -> Convert:
    known: dict[bytes, Value] = {
        b"%d" % number: text_or_bytes(label, decode)
        for number, label in enumerate(column.labels, start=1)
    }
    return lambda raw: known[raw] if raw in known else {"$enum": raw.decode()}


def _labels(column: Column, decode: Decode) -> Convert:
    texts = [decode(label) or "" for label in column.labels]

    def convert(raw: bytes) -> Value:
        bits = int(raw)
        return [text for place, text in enumerate(texts) if bits >> place & 1]

    return convert


def _big(raw: bytes) -> Value:
    return str(int(raw))  # of a ZEROFILL column the server writes zeros in front


def _decimal(raw: bytes) -> Value:
    text = raw.decode()
    if text.startswith("0"):
        plain = text.lstrip("0")
        return plain if plain and plain[0] != "." else f"0{plain}"
    return text


def _float(raw: bytes) -> Value:
    return float_text(float(raw))


def _double(raw: bytes) -> Value:
    return double_text(float(raw))


@functools.lru_cache(maxsize=4096)
def _is_day(text: bytes) -> bool:
    try:
        date.fromisoformat(text.decode())
    except ValueError:
        return False
    return True


def _date(raw: bytes) -> Value:
    return raw.decode() if _is_day(raw) else {"$date": raw.decode()}


def _datetime(raw: bytes) -> Value:
    if not _is_day(raw[:_DATE_DIGITS]):
        return {"$date": raw.decode()}
    return raw.decode().replace(" ", "T")


def _timestamp(raw: bytes) -> Value:
    found = _datetime(raw)
    return f"{found}Z" if isinstance(found, str) else found


_BY_TYPE: dict[int, Convert] = {
    log.TINY: int, log.SHORT: int, log.INT24: int, log.LONG: int, log.YEAR: int,
    log.LONGLONG: _big, log.NEWDECIMAL: _decimal, log.FLOAT: _float, log.DOUBLE: _double,
    log.DATE: _date, log.DATETIME2: _datetime, log.TIMESTAMP2: _timestamp, log.TIME2: bytes.decode,
    log.JSON: bytes.decode, log.GEOMETRY: tagged, log.VECTOR: tagged,
}  # fmt: skip
