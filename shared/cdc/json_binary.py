"""MySQL's binary JSON, printed as the server prints it in SELECT.

    type 1 | value
    object, array   count, bytes, (key entries,) value entries, (keys,) values; 2 or 4 bytes each
    opaque          a type of the log, a length of 7 bits a byte, the bytes

Literals and small whole numbers stand in their entry; everything else is named by its offset.
"""

from __future__ import annotations

import functools
import struct
from base64 import encodebytes
from collections.abc import Callable
from json.encoder import encode_basestring

from shared.cdc import table_map
from shared.cdc.decimals import decimal_reader
from shared.cdc.errors import SourceStopped
from shared.cdc.floats import double_text
from shared.cdc.values_time import packed_datetime
from shared.changes import Value

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = range(5)
_DOUBLE, _STRING, _OPAQUE = 0x0B, 0x0C, 0x0F
_INT16, _UINT16, _INT32, _UINT32, _INT64, _UINT64 = range(5, 11)
_NUMBERS = {
    _INT16: "<h", _UINT16: "<H", _INT32: "<i", _UINT32: "<I", _INT64: "<q", _UINT64: "<Q",
}  # fmt: skip
_INLINE_SMALL = frozenset({_LITERAL, _INT16, _UINT16})
_INLINE_LARGE = _INLINE_SMALL | {_INT32, _UINT32}
_LITERALS = ("null", "true", "false")
_SIGNED_BITS = {_INT16: 16, _INT32: 32}
_MEMBERS_KEPT = 64
_KEYS_KEPT = 10_000

Read = Callable[[bytes, int], tuple[Value, int]]


def json_reader(column: str, prefix: int) -> Read:
    """prefix: bytes of the length before the value."""

    def read(body: bytes, at: int) -> tuple[Value, int]:
        begins = at + prefix
        ends = begins + int.from_bytes(body[at:begins], "little")
        try:
            return json_text(body[begins:ends]), ends
        except (IndexError, KeyError, ValueError, struct.error) as error:
            raise SourceStopped(
                "json",
                f"a document of {column} is not in the binary JSON that is known here ({error})",
                "leave the table out of FLEET_CDC_TABLES, and report this with the document",
            ) from error

    return read


def json_text(document: bytes) -> str:
    """Raises IndexError, KeyError, ValueError or struct.error: no document of MySQL."""
    if not document:
        return "null"
    return _text(document, document[0], 1)


def _text(data: bytes, kind: int, at: int) -> str:
    if kind == _STRING:
        length = data[at]
        if length < 0x80:  # noqa: PLR2004 - one byte tells it
            return encode_basestring(data[at + 1 : at + 1 + length].decode())
        length, begins = _length(data, at)
        return encode_basestring(data[begins : begins + length].decode())
    if kind <= _LARGE_ARRAY:
        return _container(data, kind, at)
    return _scalar(data, kind, at)


def _scalar(data: bytes, kind: int, at: int) -> str:
    if kind in _NUMBERS:
        return str(struct.unpack_from(_NUMBERS[kind], data, at)[0])
    if kind == _DOUBLE:
        text = double_text(struct.unpack_from("<d", data, at)[0])
        return text if "." in text or "e" in text else text + ".0"
    if kind == _OPAQUE:
        length, begins = _length(data, at + 1)
        return _opaque(data[at], data[begins : begins + length])
    if kind == _LITERAL:
        return _LITERALS[data[at]]
    raise ValueError(f"type {kind}")


def _container(data: bytes, kind: int, at: int) -> str:
    """Offsets in it count from its own beginning."""
    large, keyed = kind in {_LARGE_OBJECT, _LARGE_ARRAY}, kind in {_SMALL_OBJECT, _LARGE_OBJECT}
    width = 4 if large else 2
    count = int.from_bytes(data[at : at + width], "little")
    struct_of = _entries if count <= _MEMBERS_KEPT else _entries.__wrapped__
    entries = struct_of(count, large=large, keyed=keyed).unpack_from(data, at + 2 * width)
    inline = _INLINE_LARGE if large else _INLINE_SMALL
    values = entries[2 * count :] if keyed else entries
    parts = [
        _inline(held, told) if held in inline else _text(data, held, at + told)
        for held, told in zip(values[::2], values[1::2], strict=True)
    ]
    if not keyed:
        return f"[{', '.join(parts)}]"
    for place, value in enumerate(parts):
        begins = at + entries[2 * place]
        key = data[begins : begins + entries[2 * place + 1]]
        parts[place] = _key(key) + value
    return f"{{{', '.join(parts)}}}"


@functools.lru_cache(maxsize=4 * _MEMBERS_KEPT)
def _entries(count: int, *, large: bool, keyed: bool) -> struct.Struct:
    """Offset and length of each key, then type and offset (or the value itself) of each value."""
    key, value = ("IH", "BI") if large else ("HH", "BH")
    return struct.Struct(f"<{key * count if keyed else ''}{value * count}")


@functools.lru_cache(maxsize=_KEYS_KEPT)
def _key(key: bytes) -> str:
    return f"{encode_basestring(key.decode())}: "


def _inline(kind: int, told: int) -> str:
    if kind == _LITERAL:
        return _LITERALS[told]
    bits = _SIGNED_BITS.get(kind)
    if kind == _INT16:
        told &= 0xFFFF
    return str(told - (1 << bits) if bits and told >> (bits - 1) else told)


def _length(data: bytes, at: int) -> tuple[int, int]:
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:  # noqa: PLR2004 - no more follow
            return length, at
        shift += 7


def _opaque(kind: int, data: bytes) -> str:
    """Values of SQL that JSON itself does not have."""
    if kind == table_map.NEWDECIMAL:
        return decimal_reader(data[0], data[1])(data, 2)[0]
    if kind in {table_map.DATE, table_map.DATETIME, table_map.TIMESTAMP, table_map.TIME}:
        stored = struct.unpack("<q", data)[0]
        sign, stored = ("-", -stored) if stored < 0 else ("", stored)
        packed, fraction = stored >> 24, stored & 0xFFFFFF
        day, time, _ = packed_datetime(packed)
        if kind == table_map.DATE:
            return f'"{day}"'
        if kind == table_map.TIME:
            return f'"{sign}{packed >> 12 & 1023:02}{time[2:]}.{fraction:06}"'
        return f'"{day} {time}.{fraction:06}"'
    text = encodebytes(data).decode("ascii").rstrip("\n")
    return encode_basestring(f"base64:type{kind}:{text}")
