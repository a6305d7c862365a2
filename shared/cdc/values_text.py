"""Text and bytes: what its charset can decode is text, everything else `{"$base64": ...}`."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from uuid import UUID

from shared.cdc.charsets import Charset, Decode
from shared.cdc.errors import SourceStopped
from shared.changes import Value

Read = Callable[[bytes, int], tuple[Value, int]]


def tagged(data: bytes) -> dict[str, str]:
    return {"$base64": b64encode(data).decode("ascii")}


def text_or_bytes(data: bytes, decode: Decode) -> str | dict[str, str]:
    text = decode(data)
    return tagged(data) if text is None else text


def text_reader(prefix: int, charset: Charset) -> Read:
    """prefix: bytes of the length before the value."""
    decode = charset.decode
    if charset.name == "binary":
        return binary_reader(prefix)
    length_of = _LENGTHS[prefix]

    def read(body: bytes, at: int) -> tuple[Value, int]:
        begins = at + prefix
        ends = begins + length_of(body, at)
        return text_or_bytes(body[begins:ends], decode), ends

    def read_utf8(body: bytes, at: int) -> tuple[Value, int]:
        begins = at + prefix
        ends = begins + length_of(body, at)
        try:
            return body[begins:ends].decode(), ends
        except UnicodeDecodeError:
            return tagged(body[begins:ends]), ends

    return read_utf8 if charset.name in {"utf8mb4", "utf8mb3"} else read


_LENGTHS: dict[int, Callable[[bytes, int], int]] = {
    1: bytes.__getitem__,
    2: lambda body, at: body[at] | body[at + 1] << 8,
    3: lambda body, at: body[at] | body[at + 1] << 8 | body[at + 2] << 16,
    4: lambda body, at: int.from_bytes(body[at : at + 4], "little"),
}


def binary_reader(prefix: int) -> Read:
    length_of = _LENGTHS[prefix]

    def read(body: bytes, at: int) -> tuple[Value, int]:
        begins = at + prefix
        ends = begins + length_of(body, at)
        return tagged(body[begins:ends]), ends

    return read


def fixed_reader(length: int, prefix: int, declared: str) -> tuple[str, Read]:
    """BINARY(n) and what MariaDB stores like it: the log leaves out the zeros at the end."""
    shown = {
        ("uuid", 16): uuid_text,
        ("inet6", 16): inet6_text,
        ("inet4", 4): inet4_text,
    }.get((declared, length))

    def read(body: bytes, at: int) -> tuple[Value, int]:
        begins = at + prefix
        ends = begins + int.from_bytes(body[at:begins], "little")
        data = body[begins:ends].ljust(length, b"\0")
        return (tagged(data) if shown is None else shown(data)), ends

    return (f"binary({length})" if shown is None else declared), read


def uuid_text(stored: bytes) -> str:
    """MariaDB keeps the versions that hold a time in the order in which they sort by it."""
    if stored[6] & 0x80 and 0 < stored[8] < 0x60:  # noqa: PLR2004 - versions 1 to 5
        stored = stored[12:16] + stored[10:12] + stored[8:10] + stored[6:8] + stored[0:6]
    return str(UUID(bytes=stored))


def inet4_text(stored: bytes) -> str:
    return str(IPv4Address(stored))


def inet6_text(stored: bytes) -> str:
    """As MariaDB writes it: `::` for the first of the longest runs of zeros, also for a single one,
    and an IPv4 address at the end where the rest is zero or ::ffff.
    """
    words = [f"{high << 8 | low:x}" for high, low in zip(stored[::2], stored[1::2], strict=True)]
    if not any(stored[:10]) and (words[5] == "ffff" or (words[5] == "0" and words[6] != "0")):
        return ("::" if words[5] == "0" else "::ffff:") + inet4_text(stored[12:])
    runs = [
        (length, -at)
        for at in range(8)
        for length in range(1, 9 - at)
        if words[at : at + length] == ["0"] * length
    ]
    if not runs:
        return ":".join(words)
    length, at = max(runs)
    return ":".join(words[:-at]) + "::" + ":".join(words[length - at :])


def enum_reader(labels: Sequence[Value], size: int) -> Read:
    """0 is what MySQL stores for a label that there is not."""

    def read(body: bytes, at: int) -> tuple[Value, int]:
        ends = at + size
        number = int.from_bytes(body[at:ends], "little")
        if 0 < number <= len(labels):
            return labels[number - 1], ends
        return {"$enum": str(number)}, ends

    return read


def set_reader(labels: Sequence[str], size: int) -> Read:
    known: dict[int, list[str]] = {}

    def read(body: bytes, at: int) -> tuple[Value, int]:
        ends = at + size
        bits = int.from_bytes(body[at:ends], "little")
        found = known.get(bits)
        if found is None:
            found = [label for place, label in enumerate(labels) if bits >> place & 1]
            if len(known) < 256:  # noqa: PLR2004 - usual sets are few
                known[bits] = found
        return found, ends

    return read


def compressed_reader(column: str, prefix: int, decode: Decode) -> Read:
    """MariaDB's COMPRESSED columns: 0 and the value, or how it is compressed, length and zlib."""

    def read(body: bytes, at: int) -> tuple[Value, int]:
        begins = at + prefix
        ends = begins + int.from_bytes(body[at:begins], "little")
        return text_or_bytes(decompressed(column, body[begins:ends]), decode), ends

    return read


def decompressed(column: str, stored: bytes) -> bytes:
    """Raises SourceStopped: another method, or bytes that are damaged."""
    if not stored:
        return b""
    how, told = stored[0], stored[0] & 7
    if how == 0:
        return stored[1:]
    if how & 0xF0 != 0x80:  # noqa: PLR2004 - zlib, with or without its header
        raise _damaged(column, f"method {how >> 4}")
    length = int.from_bytes(stored[1 : 1 + told], "big")
    try:
        data = zlib.decompress(stored[1 + told :], -15 if how & 8 else 15, length)
    except zlib.error as error:
        raise _damaged(column, str(error)) from error
    if len(data) != length:
        raise _damaged(column, f"{len(data)} bytes instead of {length}")
    return data


def _damaged(column: str, why: str) -> SourceStopped:
    return SourceStopped(
        "compressed_column",
        f"a value of the compressed column {column} can not be read ({why})",
        "ALTER TABLE the column without COMPRESSED, then: fleet cdc restart --reason compressed",
    )
