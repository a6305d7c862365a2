"""Reading PHP serialization: `loads`. See `php` for the format's place and the values."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, ClassVar

from shared.laravel import php_values as values
from shared.laravel.php_values import (
    INT_MAX,
    INT_MIN,
    MAX_DEPTH,
    Key,
    PhpCustom,
    PhpEnum,
    PhpObject,
    PropertyName,
    Value,
)

MAX_REPEATED_BYTES = 1 << 20
"""How much text `R:` may repeat in all. Without a bound 1 KB of nested references becomes 2^60
values for whoever walks through them."""


class PhpFormatError(ValueError):
    """Not what PHP's `serialize` writes. Says what is wrong and at which byte, and shows nothing of
    the text, which may have been secret.
    """

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(f"{detail} (at byte {position})")
        self.position = position


def loads(data: bytes) -> Value:
    """`unserialize`. Raises PhpFormatError, also when bytes follow the value."""
    return _Reader(data).document()


# Digits are bounded, because Python's int is not: ten for a count of bytes, twenty for 64 bits.
_VALUE = re.compile(
    rb"""
      b:(?P<bool>[01]);
    | i:(?P<int>[+-]?[0-9]{1,20});
    | d:(?P<float>NAN|-?INF|[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?);
    | s:(?P<string>[0-9]{1,10}):"
    | a:(?P<array>[0-9]{1,10}):\{
    | O:(?P<object>[0-9]{1,10}):"
    | E:(?P<enum>[0-9]{1,10}):"
    | C:(?P<custom>[0-9]{1,10}):"
    | r:(?P<shared>[0-9]{1,10});
    | R:(?P<reference>[0-9]{1,10});
    """,
    re.VERBOSE,
)
_KEY = re.compile(rb'i:([+-]?[0-9]{1,20});|s:([0-9]{1,10}):"')
_END = re.compile(rb"\}")
_COUNT = re.compile(rb":([0-9]{1,10}):\{")

_UNFINISHED: Any = object()


@functools.lru_cache(maxsize=4096)  # the names of a class come with each of its objects
def _property_name(raw: bytes) -> PropertyName | None:
    """Name and scope; None for a NUL that ends no scope."""
    if not raw.startswith(b"\0"):
        return PropertyName(values.name(raw))
    scope, nul, plain = raw[1:].partition(b"\0")
    if not scope or not nul or b"\0" in plain:
        return None
    return PropertyName(values.name(plain), values.name(scope))


class _Reader:
    """One pass over the text.

    Values have numbers, as in PHP from 1 in the order in which they begin. Keys of arrays and `R:`
    have none, `r:` has one.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._depth = 0
        self._values: list[Value] = []  # by number
        self._extents: list[tuple[int, int]] = []  # of each: bytes and levels, `R:` written out
        self._deepest = 0
        self._repeated = 0
        self._countable: int | None = None  # numbers above it are unknown

    def document(self) -> Value:
        value = self._value()
        if self._at < len(self._data):
            raise self._error("bytes follow the value; it must stand alone")
        return value

    def _value(self) -> Value:
        if self._data.startswith(b"N;", self._at):  # most of what a job holds: one look is enough
            self._at += len(b"N;")
            self._values.append(None)
            self._extents.append((len(b"N;"), 0))
            return None
        match = self._match(_VALUE, "no value begins here")
        kind = match.lastgroup
        assert kind is not None
        if kind == "reference":
            return self._reference(match[kind])
        began, outside = match.start() + self._repeated, self._deepest
        number = len(self._values)
        self._values.append(_UNFINISHED)
        self._extents.append((0, 0))
        self._deepest = self._depth
        value = self._values[number] = self._read[kind](self, match[kind])
        self._extents[number] = (self._at + self._repeated - began, self._deepest - self._depth)
        self._deepest = max(outside, self._deepest)
        return value

    def _bool(self, digit: bytes) -> bool:
        return digit == b"1"

    def _int(self, digits: bytes) -> int:
        value = int(digits)
        if not INT_MIN <= value <= INT_MAX:
            raise self._error("an integer does not fit into 64 bits")
        return value

    def _float(self, digits: bytes) -> float:
        return float(digits)

    def _string(self, length: bytes) -> str | bytes:
        return values.text(self._bytes(length))

    def _array(self, count: bytes) -> list[Value] | dict[Key, Value]:
        entries: dict[Key, Value] = {}
        for _ in self._members(count):
            raw = self._key()
            key = raw if isinstance(raw, int) else values.array_key(raw)
            if key in entries:
                raise self._error("an array has one key twice")
            entries[key] = self._value()
        self._close()
        in_order = all(key == place for place, key in enumerate(entries))
        return list(entries.values()) if in_order else entries

    def _object(self, length: bytes) -> PhpObject:
        found = PhpObject(self._class_name(length))
        self._values[-1] = found  # what is inside may refer to it
        for _ in self._members(self._match(_COUNT, "a count of properties must stand here")[1]):
            raw = self._key()
            name = PropertyName(raw) if isinstance(raw, int) else _property_name(raw)
            if name is None:
                raise self._error("a property's name holds a NUL that ends no scope")
            if name in found.properties:
                raise self._error("an object has one property twice")
            found.properties[name] = self._value()
        self._close()
        return found

    def _enum(self, length: bytes) -> PhpEnum:
        class_name, colon, case = self._bytes(length).partition(b":")
        if not colon or not values.is_class(class_name):
            raise self._error("an enum case is not named `Class:Case`")
        return PhpEnum(values.name(class_name), values.name(case))

    def _custom(self, length: bytes) -> PhpCustom:
        if self._countable is None:
            self._countable = len(self._values)
        class_name = self._class_name(length)
        size = self._match(_COUNT, "a count of bytes must stand here")[1]
        return PhpCustom(class_name, self._bytes(size, closing=b"}"))

    def _shared(self, digits: bytes) -> PhpObject | PhpEnum | PhpCustom:
        value = self._numbered(int(digits))
        if not isinstance(value, PhpObject | PhpEnum | PhpCustom):
            raise self._error("`r:` does not refer to an object")
        return value

    def _reference(self, digits: bytes) -> Value:
        number = int(digits)
        value = self._numbered(number)
        size, levels = self._extents[number - 1]
        self._reach(self._depth + levels)
        self._repeated += size
        if self._repeated > MAX_REPEATED_BYTES:
            raise self._error(f"references repeat more than {MAX_REPEATED_BYTES} bytes")
        return value

    _read: ClassVar[dict[str, Callable[[_Reader, bytes], Value]]] = {
        "bool": _bool,
        "int": _int,
        "float": _float,
        "string": _string,
        "array": _array,
        "object": _object,
        "enum": _enum,
        "custom": _custom,
        "shared": _shared,
    }

    def _numbered(self, number: int) -> Value:
        if not 1 <= number <= len(self._values):
            raise self._error(f"a reference to value {number} of {len(self._values)}")
        if self._countable is not None and number > self._countable:
            # Values inside a C: payload have numbers too, and only its class knows how many.
            raise self._error("a reference to a value after a `C:` payload cannot be followed")
        value = self._values[number - 1]
        if value is _UNFINISHED:
            raise self._error("a value that is not an object holds itself")
        return value

    def _members(self, count: bytes) -> range:
        self._depth += 1
        self._reach(self._depth)
        return range(int(count))

    def _reach(self, level: int) -> None:
        if level > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels")
        self._deepest = max(self._deepest, level)

    def _close(self) -> None:
        self._depth -= 1
        self._match(_END, "`}` must stand here: all that was counted has come")

    def _key(self) -> int | bytes:
        match = self._match(_KEY, "a key must stand here")
        return self._bytes(match[2]) if match[1] is None else self._int(match[1])

    def _class_name(self, length: bytes) -> str:
        raw = self._bytes(length, closing=b'"')
        if not values.is_class(raw):
            raise self._error("no class of PHP has such a name")
        return values.name(raw)

    def _bytes(self, length: bytes, closing: bytes = b'";') -> bytes:
        end = self._at + int(length)
        if not self._data.startswith(closing, end):
            raise self._error(f"a text of {int(length)} bytes does not end where its length says")
        found = self._data[self._at : end]
        self._at = end + len(closing)
        return found

    def _match(self, pattern: re.Pattern[bytes], otherwise: str) -> re.Match[bytes]:
        match = pattern.match(self._data, self._at)
        if match is None:
            raise self._error(
                otherwise if self._at < len(self._data) else "the text ends too early"
            )
        self._at = match.end()
        return match

    def _error(self, detail: str) -> PhpFormatError:
        return PhpFormatError(detail, self._at)
