"""Charsets of the servers: which one a collation belongs to, and its bytes as text.

Python's codecs differ from the servers' in some hundred characters; the differences stand here, as
found by asking both servers for every code there is (tests/shared/cdc/test_charsets.py asks again).
What the server itself cannot turn into Unicode is not text here either.
"""

from __future__ import annotations

import codecs
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from shared.cdc import charset_tables as tables

Decode: TypeAlias = Callable[[bytes], str | None]
"""None: these bytes are no text of the charset."""


class Charset(NamedTuple):
    """longest: bytes of its longest character, by which CHAR(n) becomes a length in bytes."""

    name: str
    longest: int
    decode: Decode


BINARY = 63

_COLLATIONS = {
    "armscii8": ((32,), (64,)),
    "ascii": ((11,), (65,)),
    "big5": ((1,), (84,)),
    "binary": ((63,),),
    "cp1250": ((26,), (34,), (44,), (66,), (99,)),
    "cp1251": ((14,), (23,), (50, 52)),
    "cp1256": ((57,), (67,)),
    "cp1257": ((29,), (58, 59)),
    "cp850": ((4,), (80,)),
    "cp852": ((40,), (81,)),
    "cp866": ((36,), (68,)),
    "cp932": ((95, 96),),
    "dec8": ((3,), (69,)),
    "eucjpms": ((97, 98),),
    "euckr": ((19,), (85,)),
    "gb18030": ((248, 250),),
    "gb2312": ((24,), (86,)),
    "gbk": ((28,), (87,)),
    "geostd8": ((92, 93),),
    "greek": ((25,), (70,)),
    "hebrew": ((16,), (71,)),
    "hp8": ((6,), (72,)),
    "keybcs2": ((37,), (73,)),
    "koi8r": ((7,), (74,)),
    "koi8u": ((22,), (75,)),
    "latin1": ((5,), (8,), (15,), (31,), (47, 49), (94,)),
    "latin2": ((2,), (9,), (21,), (27,), (77,)),
    "latin5": ((30,), (78,)),
    "latin7": ((20,), (41, 42), (79,)),
    "macce": ((38,), (43,)),
    "macroman": ((39,), (53,)),
    "sjis": ((13,), (88,)),
    "swe7": ((10,), (82,)),
    "tis620": ((18,), (89,)),
    "ucs2": ((35,), (90,), (128, 151), (159,), (640, 642), (2560, 2815)),
    "ujis": ((12,), (91,)),
    "utf16": ((54, 55), (101, 124), (672, 674), (2816, 3071)),
    "utf16le": ((56,), (62,)),
    "utf32": ((60, 61), (160, 183), (736, 738), (3072, 3327)),
    "utf8mb3": ((33,), (76,), (83,), (192, 215), (223,), (576, 579), (2048, 2303)),
    "utf8mb4": ((45, 46), (224, 247), (255, 323), (608, 611), (2304, 2559)),
}
"""Numbers of collations, from and to. MariaDB has 256 UCA 14 numbers for each Unicode charset, and
its NOPAD collations are 1024 above the one they are made from."""
_NOPAD = range(1024, 2048)

_CODECS = {
    "ascii": "ascii", "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256",
    "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp866": "cp866",
    "greek": "iso8859_7", "hebrew": "iso8859_8", "hp8": "hp_roman8", "koi8r": "koi8_r",
    "koi8u": "koi8_u", "latin1": "cp1252", "latin2": "iso8859_2", "latin5": "iso8859_9",
    "latin7": "iso8859_13", "macce": "mac_latin2", "macroman": "mac_roman", "tis620": "tis_620",
    "big5": "big5", "cp932": "cp932", "euckr": "cp949", "gb18030": "gb18030", "gb2312": "gb2312",
    "gbk": "gbk", "sjis": "shift_jis", "utf16": "utf_16_be", "utf16le": "utf_16_le",
    "utf32": "utf_32_be", "utf8mb3": "utf_8", "utf8mb4": "utf_8",
}  # fmt: skip
_LONGEST = {
    "big5": 2, "cp932": 2, "eucjpms": 3, "euckr": 2, "gb18030": 4, "gb2312": 2, "gbk": 2,
    "sjis": 2, "ucs2": 2, "ujis": 3, "utf16": 4, "utf16le": 4, "utf32": 4, "utf8mb3": 3,
    "utf8mb4": 4,
}  # fmt: skip
_ABSENT = "\ufffe"
_ASCII = "".join(map(chr, range(128)))
_OWN = {
    "armscii8": _ASCII + tables.ARMSCII8,
    "dec8": _ASCII + tables.DEC8,
    "geostd8": _ASCII + tables.GEOSTD8,
    "keybcs2": _ASCII + tables.KEYBCS2,
    "swe7": tables.SWE7 + _ABSENT * 128,
}

_DIFFERENT_BYTES: Mapping[str, Mapping[int, str]] = {
    "latin1": {code: chr(code) for code in (0x81, 0x8D, 0x8F, 0x90, 0x9D)},
    "cp1256": dict.fromkeys((0x8A, 0x8F, 0x98, 0x9A, 0x9F, 0xAA, 0xC0, 0xFF), _ABSENT),
    "cp866": {0xFC: "\u207f", 0xFD: "\xb2"},
    "greek": {0xA1: "\u02bd", 0xA2: "\u02bc", 0xA4: _ABSENT, 0xA5: _ABSENT, 0xAA: _ABSENT},
    "hebrew": {0xAF: "\u203e"},
    "koi8u": {0x95: "\u2022"},
}
_DIFFERENT_CODES: Mapping[str, Mapping[bytes, str | None]] = {
    "big5": dict.fromkeys(
        (b"\xa1\x5a", b"\xa1\xc3", b"\xa1\xc5", b"\xa1\xfe", b"\xa2\x40", b"\xa2\xcc", b"\xa2\xce")
    )
    | {
        bytes((0xF9, 0xD6 + place)): character
        for place, character in enumerate("\u7881\u92b9\u88cf\u58bb\u6052\u7ca7\u5afa")
    },
    "cp932": dict.fromkeys((b"\x80", b"\xa0", b"\xfd", b"\xfe", b"\xff")),
    "gb18030": {b"\xa8\xbc": "\u1e3f", b"\x81\x35\xf4\x37": "\ue7c7"},
    "sjis": {b"\x81\x5f": "\\"},
}

# The rows of Japan's code tables from which on the characters are the user's own.
_EUC_FIRST, _EUC_LAST, _EUC_ROW = 0xA1, 0xFE, 94
_USER_ROWS = 84
_USER_CHARACTERS, _MORE_USER_CHARACTERS = 0xE000, 0xE3AC
_IBM_FROM = (82, 82)


@functools.cache
def charset_of(collation: int) -> Charset | None:
    """None: a collation nobody knew when this was written."""
    if collation in _NOPAD:
        collation -= _NOPAD.start
    for name, ranges in _COLLATIONS.items():
        if any(each[0] <= collation <= each[-1] for each in ranges):
            return charset(name)
    return None


@functools.cache
def charset(name: str) -> Charset:
    """By its name. Raises KeyError."""
    return Charset(name, _LONGEST.get(name, 1), _decoder(name))


def _decoder(name: str) -> Decode:
    codec = _CODECS.get(name, "")
    if name.startswith("utf"):
        return _of_unicode(codec)
    if name in _OWN:
        return _of_bytes(_OWN[name])
    if name in _SPECIAL:
        return _SPECIAL[name]()
    if name in _LONGEST:
        return _of_codes(_with(codec, _DIFFERENT_CODES.get(name, {})))
    different = _DIFFERENT_BYTES.get(name, {})
    alphabet = (different.get(code) or _character(bytes((code,)), codec) for code in range(256))
    return _of_bytes("".join(character or _ABSENT for character in alphabet))


def _of_unicode(codec: str) -> Decode:
    decode = codecs.lookup(codec).decode

    def text(data: bytes) -> str | None:
        try:
            return decode(data)[0]
        except UnicodeDecodeError:
            return None

    return text


def _decode_ucs2(data: bytes) -> str | None:
    """No pair of surrogates is a character here."""
    try:
        text = data.decode("utf_16_be")
    except UnicodeDecodeError:
        return None
    return text if len(text) * 2 == len(data) else None


def _of_bytes(alphabet: str) -> Decode:
    def text(data: bytes) -> str | None:
        try:
            return codecs.charmap_decode(data, "strict", alphabet)[0]
        except UnicodeDecodeError:
            return None

    return text


def _of_codes(character: Decode) -> Decode:
    """ASCII, and characters of up to four bytes whose shorter beginnings are no characters."""
    known = functools.lru_cache(maxsize=20_000)(character)

    def text(data: bytes) -> str | None:
        if data.isascii():
            return data.decode("ascii")
        found, at = list[str](), 0
        while at < len(data):
            for width in (1, 2, 3, 4):
                one = known(data[at : at + width])
                if one is not None:
                    found.append(one)
                    at += width
                    break
            else:
                return None
        return "".join(found)

    return text


def _character(code: bytes, codec: str) -> str | None:
    """Exactly one character, or None."""
    try:
        text = code.decode(codec)
    except UnicodeDecodeError:
        return None
    return text if len(text) == 1 else None


def _with(codec: str, different: Mapping[bytes, str | None]) -> Decode:
    def character(code: bytes) -> str | None:
        return different[code] if code in different else _character(code, codec)

    return character


def _place(code: bytes) -> tuple[int, int] | None:
    """Row and column in the table of an EUC code's last two bytes."""
    row, column = code[-2] - _EUC_FIRST, code[-1] - _EUC_FIRST
    return (row, column) if 0 <= row < _EUC_ROW and 0 <= column < _EUC_ROW else None


def _ujis(code: bytes) -> str | None:
    place = _place(code) if len(code) > 1 else None
    if place is not None and place[0] >= _USER_ROWS:
        begins = _USER_CHARACTERS if len(code) == 2 else _MORE_USER_CHARACTERS  # noqa: PLR2004
        return chr(begins + (place[0] - _USER_ROWS) * _EUC_ROW + place[1])
    return "\\" if code == b"\xa1\xc0" else _character(code, "euc_jp")


def _eucjpms(code: bytes) -> str | None:
    """As ujis, with Microsoft's table: cp932 has it under other numbers."""
    place = _place(code) if len(code) > 1 else None
    if place is None or place[0] >= _USER_ROWS:
        return _ujis(code)
    row, column = place
    if len(code) == 3:  # noqa: PLR2004 - 8F and the place in the second table
        if place >= _IBM_FROM:
            return tables.IBM_EXTENSIONS[(row - 82) * _EUC_ROW + column - 82]
        return {b"\x8f\xa2\xb7": "\uff5e", b"\x8f\xa2\xc3": "\uffe4"}.get(code, _ujis(code))
    lead = 0x81 + row // 2
    trail = column + (0x9F if row % 2 else 0x40)
    lead += 0x40 if lead > 0x9F else 0  # noqa: PLR2004 - half-width katakana stand between
    trail += 1 if not row % 2 and trail >= 0x7F else 0  # noqa: PLR2004 - DEL is left out
    return _character(bytes((lead, trail)), "cp932")


_SPECIAL: Mapping[str, Callable[[], Decode]] = {
    "binary": lambda: lambda _: None,
    "ucs2": lambda: _decode_ucs2,
    "ujis": lambda: _of_codes(_ujis),
    "eucjpms": lambda: _of_codes(_eucjpms),
}
