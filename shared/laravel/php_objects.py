"""Objects that PHP and Laravel put among a job's values: moments and references to models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TypeAlias
from zoneinfo import ZoneInfo

from shared.laravel.php_values import PhpObject, Value, same_class

MODEL_IDENTIFIER = r"Illuminate\Contracts\Database\ModelIdentifier"

OFFSET, ZONE = 1, 3  # PHP's `timezone_type`: `+02:00`, `Europe/Paris`; 2 is `CEST`
SHOWN = 40  # characters of a zone's name in a message

# Hours east of Greenwich. PHP knows a hundred more, of which many mean something else to people
# (IST is Jerusalem to it, KST half an hour off); those are refused.
_ABBREVIATIONS = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1,
    "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "HKT": 8, "JST": 9, "AEST": 10, "AEDT": 11,
    "NZST": 12, "NZDT": 13, "EST": -5, "EDT": -4, "CST": -6,
    "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip

ModelKey: TypeAlias = int | str | bytes | None


@dataclass(frozen=True, slots=True)
class ModelReference:
    """An Eloquent model, or a collection of one class of them, as a job carries it: only its key.

    class_name: the model's class or morph alias; None for an empty collection. id: a tuple for a
    collection. connection: Laravel's name of the database connection. collection_class: None for
    Eloquent's own, and before Laravel 9.26.
    """

    class_name: str | None
    id: ModelKey | tuple[ModelKey, ...]
    relations: tuple[str, ...] = ()
    connection: str | None = None
    collection_class: str | None = None

    @property
    def ids(self) -> tuple[ModelKey, ...]:
        """The keys, of one model or of many."""
        return self.id if isinstance(self.id, tuple) else (self.id,)


class UnreadableObject(ValueError):  # noqa: N818 - named for what it is
    """Not the object that was asked for, or one that has no meaning outside PHP."""


def is_datetime(value: Value) -> bool:
    """Whether this is a DateTime of PHP, of Carbon, or of a class made from one of them."""
    wanted = {"date", "timezone_type", "timezone"}
    return isinstance(value, PhpObject) and wanted <= set(value.plain())


def datetime_of(value: Value) -> datetime:
    """The moment that a date object of PHP stands for, in UTC. Raises UnreadableObject."""
    if not isinstance(value, PhpObject) or not is_datetime(value):
        raise UnreadableObject("no date object of PHP (DateTime, DateTimeImmutable, Carbon)")
    date, kind, zone = value.get("date"), value.get("timezone_type"), value.get("timezone")
    if not isinstance(date, str) or not isinstance(zone, str):
        raise UnreadableObject("a date object whose `date` or `timezone` is no text")
    where = _tzinfo(kind, zone)
    try:
        second = datetime.fromisoformat(date).replace(tzinfo=where, fold=1)
        # In the hour that comes twice PHP takes the second one east of Greenwich, west the first.
        is_east = (second.utcoffset() or timedelta()) >= timedelta()
        return second.replace(fold=int(is_east)).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = "a date object that names no moment between the years 1 and 9999"
        raise UnreadableObject(detail) from None


def _tzinfo(kind: Value, name: str) -> tzinfo | None:
    try:
        if kind == ZONE:
            return ZoneInfo(name)
        if kind == OFFSET:
            return datetime.strptime(name, "%z").tzinfo
        return timezone(timedelta(hours=_ABBREVIATIONS[name.upper()]))
    except (KeyError, OSError, ValueError):  # no such zone; a folder of zones; no name of a zone
        detail = f"a date in time zone {name[:SHOWN]!a}, which is not known here; send it in UTC"
        raise UnreadableObject(detail) from None


def is_model_reference(value: Value) -> bool:
    """Whether SerializesModels put this where a model was."""
    return isinstance(value, PhpObject) and same_class(value.class_name, MODEL_IDENTIFIER)


def model_reference_of(value: Value) -> ModelReference:
    """The model or models that a ModelIdentifier names. Raises UnreadableObject otherwise."""
    if not isinstance(value, PhpObject) or not is_model_reference(value):
        raise UnreadableObject("no reference to a model (ModelIdentifier)")
    found = value.get("id")
    relations = value.get("relations")
    if not isinstance(relations, list):
        raise UnreadableObject("a reference to a model whose `relations` is no list")
    return ModelReference(
        _text(value, "class"),
        tuple(_key(one) for one in found) if isinstance(found, list) else _key(found),
        tuple(name for name in relations if isinstance(name, str)),
        _text(value, "connection"),
        _text(value, "collectionClass"),
    )


def _text(value: PhpObject, name: str) -> str | None:
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise UnreadableObject(f"a reference to a model whose `{name}` is no text")
    return found


def _key(value: Value) -> ModelKey:
    if isinstance(value, bool) or not isinstance(value, int | str | bytes | None):
        raise UnreadableObject("a reference to a model whose `id` is neither a number nor a text")
    return value
