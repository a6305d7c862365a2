"""Dates and times: DATE and the formats since 5.6, with up to six digits of a second.

A DATETIME has no zone; a TIMESTAMP is UTC in the log whatever a session's time_zone says, and
MariaDB counts its seconds without a sign, to 2106. What is no day of the calendar (zero, without
day or month, 31 February, year 0) is `{"$date": ...}` with the server's own text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, date, datetime

from shared.changes import Value

Read = Callable[[bytes, int], tuple[Value, int]]

_SIXTIETHS = tuple(f"{minute:02}:{second:02}" for minute in range(64) for second in range(64))
_OF_AN_HOUR = tuple(f"{second // 60:02}:{second % 60:02}" for second in range(3600))
_HOURS_KEPT = 20_000
_DAYS_KEPT = 4_000


def _width(digits: int) -> int:
    """Bytes of the fraction."""
    return (digits + 1) // 2


def _day(year: int, month: int, day: int) -> tuple[str, bool]:
    """Its text and whether there is such a day."""
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        date(year, month, day)
    except ValueError:
        return text, False
    return text, True


def date_reader(body: bytes, at: int) -> tuple[Value, int]:
    ends = at + 3
    return _date(int.from_bytes(body[at:ends], "little")), ends


@functools.lru_cache(maxsize=_DAYS_KEPT)
def _date(packed: int) -> Value:
    text, real = _day(packed >> 9, packed >> 5 & 15, packed & 31)
    return text if real else {"$date": text}


def packed_datetime(packed: int) -> tuple[str, str, bool]:
    """Date, "HH:MM:SS" and whether there is such a day, of 40 bits as DATETIME packs them."""
    months, day = packed >> 22 & 0x1FFFF, packed >> 17 & 31
    text, real = _day(months // 13, months % 13, day)
    return text, f"{packed >> 12 & 31:02}:{_SIXTIETHS[packed & 0xFFF]}", real


def datetime_reader(digits: int) -> Read:
    width = _width(digits)
    bits = width * 8
    mask = (1 << bits) - 1
    size = 5 + width
    odd = digits & 1
    form = f"%s%s.%0{digits}d"
    hours: dict[int, str] = {}

    def read(body: bytes, at: int) -> tuple[Value, int]:
        ends = at + size
        stored = int.from_bytes(body[at:ends], "big")
        packed = stored >> bits
        begins = hours.get(packed >> 12)
        if begins is None:
            day, time, real = packed_datetime(packed)
            if not real:
                return {"$date": f"{day} {time}" + _fraction(stored & mask, digits)}, ends
            if len(hours) == _HOURS_KEPT:
                hours.clear()
            begins = hours[packed >> 12] = f"{day}T{time[:3]}"
        if not bits:
            return begins + _SIXTIETHS[packed & 0xFFF], ends
        fraction = (stored & mask) // 10 if odd else stored & mask
        return form % (begins, _SIXTIETHS[packed & 0xFFF], fraction), ends

    return read


def timestamp_reader(digits: int) -> Read:
    width = _width(digits)
    bits = width * 8
    mask = (1 << bits) - 1
    size = 4 + width
    odd = digits & 1
    form = f"%s%s.%0{digits}dZ" if digits else "%s%s%.0sZ"
    hours: dict[int, str] = {}

    def read(body: bytes, at: int) -> tuple[Value, int]:
        ends = at + size
        stored = int.from_bytes(body[at:ends], "big")
        if not stored:
            return {"$date": "0000-00-00 00:00:00" + _fraction(0, digits)}, ends
        seconds = stored >> bits
        begins = hours.get(seconds // 3600)
        if begins is None:
            if len(hours) == _HOURS_KEPT:
                hours.clear()
            moment = datetime.fromtimestamp(seconds, UTC)
            begins = hours[seconds // 3600] = f"{moment:%Y-%m-%dT%H:}"
        fraction = (stored & mask) // 10 if odd else stored & mask
        return form % (begins, _OF_AN_HOUR[seconds % 3600], fraction), ends

    return read


def time_reader(digits: int) -> Read:
    """From -838:59:59 on. Negative ones are a complement over hours and fraction together."""
    bits = _width(digits) * 8
    size = 3 + _width(digits)
    middle = 1 << (23 + bits)
    mask = (1 << bits) - 1

    def read(body: bytes, at: int) -> tuple[Value, int]:
        ends = at + size
        stored = int.from_bytes(body[at:ends], "big") - middle
        sign = "-" if stored < 0 else ""
        stored = abs(stored)
        packed = stored >> bits
        time = f"{sign}{packed >> 12 & 1023:02}:{_SIXTIETHS[packed & 0xFFF]}"
        return time + _fraction(stored & mask, digits), ends

    return read


def _fraction(stored: int, digits: int) -> str:
    """".123": stored are two digits a byte, of which the last may not be the column's."""
    if not digits:
        return ""
    return f".{stored // 10 if digits & 1 else stored:0{digits}}"
