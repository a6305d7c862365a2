"""Writing PHP serialization: `dumps`. See `php` for the format's place and the values."""

from __future__ import annotations

import math
from decimal import Decimal

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

FIXED_DIGITS = 17  # a float with more digits before the point is written with an exponent
FIXED_ZEROS = 3  # and so is one with more zeros behind it


def dumps(value: Value) -> bytes:
    """`serialize`, byte for byte as PHP with its default settings.

    Raises TypeError on a type that `Value` does not list, ValueError on a value PHP does not have.
    """
    writer = _Writer()
    writer.write(value)
    return b"".join(writer.parts)


class _Writer:
    """Numbers values as the reader does, so that an object's second place becomes an `r:`."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._depth = 0
        self._count = 0
        self._countable: int | None = None  # numbers above it are unknown
        self._numbers: dict[PhpEnum | int, int] = {}  # of enums by value, of objects by identity

    def write(self, value: Value) -> None:
        self._count += 1
        if value is None:
            self.parts.append(b"N;")
        elif isinstance(value, bool):
            self.parts.append(b"b:%d;" % value)
        elif isinstance(value, int):
            self._int(value)
        elif isinstance(value, float):
            self.parts.append(b"d:%b;" % float_text(value).encode())
        elif isinstance(value, str | bytes):
            self._bytes(values.raw_text(value))
        elif isinstance(value, list):
            self._members(b"a:", dict(enumerate(value)))
        elif isinstance(value, dict):
            self._members(b"a:", _keys(value))
        elif isinstance(value, PhpObject | PhpEnum | PhpCustom):
            self._object(value)
        else:
            raise TypeError(f"a {type(value).__name__} has no form in PHP")

    def _object(self, value: PhpObject | PhpEnum | PhpCustom) -> None:
        identity = value if isinstance(value, PhpEnum) else id(value)
        number = self._numbers.setdefault(identity, self._count)
        if number < self._count:
            if self._countable is not None and number > self._countable:
                raise ValueError("an object after a `C:` payload cannot stand in two places")
            self.parts.append(b"r:%d;" % number)
            return
        name = values.raw_name(value.class_name)
        if not values.is_class(name):
            raise ValueError(f"{value.class_name!a} is no class of PHP; no \\ may lead it")
        if isinstance(value, PhpEnum):
            case = name + b":" + values.raw_name(value.case)
            self.parts.append(b'E:%d:"%b";' % (len(case), case))
        elif isinstance(value, PhpCustom):
            if self._countable is None:
                self._countable = self._count  # what is inside has numbers that only PHP knows
            sizes = len(name), name, len(value.data), value.data
            self.parts.append(b'C:%d:"%b":%d:{%b}' % sizes)
        else:
            members = {_mangled(key): member for key, member in value.properties.items()}
            self._members(b'O:%d:"%b":' % (len(name), name), members)

    def _members(self, head: bytes, members: dict[int | bytes, Value]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        self.parts.append(b"%b%d:{" % (head, len(members)))
        for key, member in members.items():
            if isinstance(key, int):
                self._int(key)
            else:
                self._bytes(key)
            self.write(member)
        self.parts.append(b"}")
        self._depth -= 1

    def _int(self, value: int) -> None:
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError("PHP's integers have 64 bits; send a larger number as text")
        self.parts.append(b"i:%d;" % value)

    def _bytes(self, raw: bytes) -> None:
        self.parts.append(b's:%d:"%b";' % (len(raw), raw))


def float_text(value: float) -> str:
    """A float as PHP writes it: the fewest digits that read back as the same float."""
    if not math.isfinite(value):
        return str(value).upper()
    sign = "-" if math.copysign(1, value) < 0 else ""
    _, places, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, places)).rstrip("0")
    point = len(places) + int(exponent)  # digits before the decimal point, or zeros behind it
    if not digits:
        return f"{sign}0"
    if not -FIXED_ZEROS <= point <= FIXED_DIGITS:
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole, rest = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def _keys(entries: dict[Key, Value]) -> dict[int | bytes, Value]:
    found: dict[int | bytes, Value] = {}
    for key, value in entries.items():
        if isinstance(key, bool) or not isinstance(key, int | str | bytes):
            raise TypeError(f"a {type(key).__name__} is no key of a PHP array")
        known = key if isinstance(key, int) else values.array_key(values.raw_text(key))
        written = known if isinstance(known, int) else values.raw_text(known)
        if written in found:
            raise ValueError(f"{key!a} and its other form are one key to PHP")
        found[written] = value
    return found


def _mangled(name: PropertyName) -> int | bytes:
    if isinstance(name.name, int):
        return name.name
    plain, scope = values.raw_name(name.name), values.raw_name(name.scope)
    if plain.startswith(b"\0") or b"\0" in scope or (scope and b"\0" in plain):
        raise ValueError("NUL in the name of a property: give its plain name and its scope")
    return b"\0%b\0%b" % (scope, plain) if scope else plain
