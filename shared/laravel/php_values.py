"""PHP's values in Python: what `php.loads` gives and `php.dumps` takes.

| PHP | here |
| --- | --- |
| null, bool, int, float | None, bool, int, float |
| string | str, or bytes if it is not UTF-8 |
| array with the keys 0, 1, 2 ... in order | list; so an empty array is always [] |
| any other array | dict; keys are int, str, or bytes if not UTF-8 |
| object, enum case, `C:` payload | PhpObject, PhpEnum, PhpCustom |

Names of classes and properties are str. Bytes in them that are not UTF-8 become surrogates
(`surrogateescape`), so that they go out as they came in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
PUBLIC, PROTECTED = "", "*"

MAX_DEPTH = 100
"""Levels of arrays and objects. Jobs have about five; Python's own stack ends at 1,000."""

Key: TypeAlias = int | str | bytes
Value: TypeAlias = (
    "bool | int | float | str | bytes | list[Value] | dict[Key, Value]"
    " | PhpObject | PhpEnum | PhpCustom | None"
)

_CLASS = re.compile(rb"(?!\\)[0-9A-Za-z_\\\x7f-\xff]+")
_INTEGER_KEY = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class PropertyName(NamedTuple):
    """Name of a property. scope: PUBLIC, PROTECTED, or the class that holds it as private.

    The name is an int only in objects that PHP writes like arrays (ArrayObject).
    """

    name: str | int
    scope: str = PUBLIC


@dataclass(slots=True)
class PhpObject:
    """An object: its class, without a leading backslash, and its properties in order.

    Its repr shows no value: jobs carry secrets, and one object may stand in many places.
    """

    class_name: str
    properties: dict[PropertyName, Value] = field(default_factory=dict, repr=False)

    def plain(self) -> dict[str | int, Value]:
        """Properties by plain name. Of equal names the class's own wins over a parent's private."""
        own: dict[str | int, Value] = {}
        inherited: dict[str | int, Value] = {}
        for (name, scope), value in self.properties.items():
            is_own = scope in {PUBLIC, PROTECTED} or same_class(scope, self.class_name)
            (own if is_own else inherited)[name] = value
        return inherited | own

    def get(self, name: str, default: Value = None) -> Value:
        """The property with this plain name, whatever its visibility."""
        return self.plain().get(name, default)


@dataclass(frozen=True, slots=True)
class PhpEnum:
    """A case of an enum. PHP has each case once, so equal ones are one object to it."""

    class_name: str
    case: str


@dataclass(frozen=True, slots=True)
class PhpCustom:
    """A `C:` payload of an old Serializable class: only the class itself knows what it says."""

    class_name: str
    data: bytes = field(repr=False)


def same_class(one: str, other: str) -> bool:
    """As PHP compares class names: A to Z without case, everything else byte by byte."""
    return raw_name(one).lower() == raw_name(other).lower()


def is_class(raw: bytes) -> bool:
    """Whether PHP reads this as the name of a class."""
    return _CLASS.fullmatch(raw) is not None


def text(raw: bytes) -> str | bytes:
    """A PHP string."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def raw_text(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def name(raw: bytes) -> str:
    """Name of a class or property."""
    return raw.decode("utf-8", "surrogateescape")


def raw_name(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def array_key(raw: bytes) -> Key:
    """PHP keeps a key that reads as an integer as that integer, except `-0`, `05` and the like."""
    if _INTEGER_KEY.fullmatch(raw) and INT_MIN <= int(raw) <= INT_MAX:
        return int(raw)
    return text(raw)
