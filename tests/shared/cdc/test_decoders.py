"""Pure readers against writers that follow the format's description, for any value there is."""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cdc.decimals import decimal_bytes, decimal_reader
from shared.cdc.errors import SourceStopped
from shared.cdc.floats import double_text, float_text
from shared.cdc.table_map import packed
from shared.cdc.values_text import decompressed, inet6_text, uuid_text
from shared.cdc.values_time import datetime_reader, time_reader, timestamp_reader

BYTES_OF_DIGITS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
BEFORE = b"\x55\xaa"  # a value is read where it stands, not at the beginning


def written_decimal(text: str, precision: int, scale: int) -> bytes:
    negative, digits = text.startswith("-"), text.lstrip("-")
    whole, _, fraction = digits.partition(".")
    whole = whole.rjust(precision - scale, "0") if precision > scale else ""
    short = len(whole) % 9
    groups = [whole[:short]] + [whole[at : at + 9] for at in range(short, len(whole), 9)]
    groups += [fraction[at : at + 9] for at in range(0, scale, 9)]
    stored = bytearray()
    for group in groups:
        if group:
            stored += int(group).to_bytes(BYTES_OF_DIGITS[len(group)], "big")
    stored[0] ^= 0x80
    return bytes(byte ^ 0xFF for byte in stored) if negative else bytes(stored)


@st.composite
def decimals(draw: st.DrawFn) -> tuple[str, int, int]:
    scale = draw(st.integers(0, 30))
    precision = draw(st.integers(max(scale, 1), 65))
    number = draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    text = f"{abs(number):0{scale + 1}}"
    text = f"{text[:-scale]}.{text[-scale:]}" if scale else text
    return ("-" if number < 0 else "") + text, precision, scale


@given(decimals())
def test_any_decimal_is_exact(case: tuple[str, int, int]) -> None:
    text, precision, scale = case
    stored = written_decimal(text, precision, scale)
    assert decimal_bytes(precision, scale) == len(stored)
    assert decimal_reader(precision, scale)(BEFORE + stored + b"\xff", 2) == (text, 2 + len(stored))
    assert Decimal(text) == Decimal(decimal_reader(precision, scale)(stored, 0)[0])


@given(st.integers(0, 6), st.integers(-838, 838), st.integers(0, 3599), st.integers(0, 999_999))
def test_any_time_is_exact(digits: int, hours: int, seconds: int, micros: int) -> None:
    micros -= micros % 10 ** (6 - digits)
    width = (digits + 1) // 2
    stored_fraction = micros // 10 ** (6 - 2 * width)
    clock = abs(hours) << 12 | seconds // 60 << 6 | seconds % 60
    value = clock << width * 8 | stored_fraction
    negative = hours < 0
    middle = 1 << (23 + width * 8)
    stored = (middle - value if negative else middle + value).to_bytes(3 + width, "big")
    text = f"{'-' * negative}{abs(hours):02}:{seconds // 60:02}:{seconds % 60:02}"
    text += f".{micros:06}"[: digits + 1] if digits else ""
    assert time_reader(digits)(BEFORE + stored, 2) == (text, 5 + width)


@given(st.datetimes(), st.integers(0, 6))
def test_any_moment_is_exact(moment: object, digits: int) -> None:
    year, month, day, hour, minute, second, micros = (
        getattr(moment, part)
        for part in ("year", "month", "day", "hour", "minute", "second", "microsecond")
    )
    micros -= micros % 10 ** (6 - digits)
    width = (digits + 1) // 2
    packed_ = (year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second | 1 << 39
    stored = (packed_ << width * 8 | micros // 10 ** (6 - 2 * width)).to_bytes(5 + width, "big")
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    text += f".{micros:06}"[: digits + 1] if digits else ""
    read = datetime_reader(digits)
    assert read(BEFORE + stored, 2) == (text, 7 + width)
    assert read(stored, 0)[0] == text  # from its memory of hours


@given(st.integers(1, 2**32 - 1))
def test_seconds_of_a_timestamp_have_no_sign(seconds: int) -> None:
    text = timestamp_reader(0)(seconds.to_bytes(4, "big"), 0)[0]
    assert isinstance(text, str)
    days, rest = divmod(seconds, 86_400)
    assert text.endswith(f"T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z")
    assert int(text[:4]) in {1970 + days // 366, 1970 + days // 365}


def test_seconds_beyond_what_a_sign_leaves_are_after_2038() -> None:
    assert timestamp_reader(0)(b"\x80\0\0\0", 0) == ("2038-01-19T03:14:08Z", 4)
    assert timestamp_reader(6)(b"\xff\xff\xff\xff\x0f\x42\x3f", 0)[0] == (
        "2106-02-07T06:28:15.999999Z"
    )


@pytest.mark.parametrize(
    ("digits", "text"), [(0, "0000-00-00 00:00:00"), (6, "0000-00-00 00:00:00.000000")]
)
def test_a_timestamp_of_zero_is_marked(digits: int, text: str) -> None:
    assert timestamp_reader(digits)(bytes(9), 0)[0] == {"$date": text}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_double_reads_back_the_same(number: float) -> None:
    text = double_text(number)
    assert float(text) == number
    assert math.copysign(1, float(text)) == math.copysign(1, number)
    digits = [one for one in text.partition("e")[0] if one.isdigit()]
    assert len("".join(digits).strip("0")) <= 17


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_any_float_reads_back_the_same_with_no_digit_too_many(number: float) -> None:
    text = float_text(number)
    assert struct.pack("<f", float(text)) == struct.pack("<f", number)
    assert len(text.partition("e")[0].replace("-", "").replace(".", "").strip("0")) <= 9


@given(st.integers(0, 2**64 - 1))
def test_any_packed_number(number: int) -> None:
    widths = ((None, 1, 250), (0xFC, 2, 2**16), (0xFD, 3, 2**24), (0xFE, 8, 2**64))
    for first, width, most in widths:
        if number < most:
            told = b"" if first is None else bytes((first,))
            stored = told + number.to_bytes(width, "little")
            assert packed(BEFORE + stored, 2) == (number, 2 + len(stored))


def test_a_compressed_value_that_is_damaged_stops() -> None:
    with pytest.raises(SourceStopped, match=r"compressed_column.*t\.c"):
        decompressed("t.c", b"\x81\x05garbage")
    with pytest.raises(SourceStopped, match="method 9"):
        decompressed("t.c", b"\x91\x05abc")


def test_addresses_and_ids_that_have_no_server_here() -> None:
    assert inet6_text(bytes(16)) == "::"
    assert inet6_text(bytes(10) + b"\xff\xff\xc0\xa8\x01\x01") == "::ffff:192.168.1.1"
    stored = bytes.fromhex("00c04fd430c880b411d19dad6ba7b810")
    assert uuid_text(stored) == "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
