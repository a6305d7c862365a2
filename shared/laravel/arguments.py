"""A job's properties, as PHP has them, to a pydantic model, as a handler wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from shared.laravel.php_objects import (
    UnreadableObject,
    datetime_of,
    is_datetime,
    is_model_reference,
    model_reference_of,
)
from shared.laravel.php_values import PhpCustom, PhpEnum, PhpObject, Value

SHOWN_ERRORS = 5  # of one job; the first few say enough

TRAIT_PROPERTIES = frozenset(
    {
        "afterCommit", "batchId", "chainCatchCallbacks", "chainConnection", "chainQueue", "chained",
        "connection", "debounceOwner", "deduplicator", "delay", "fakeBatch", "job", "messageGroup",
        "middleware", "queue", "uniqueLockOwner",
    }
)  # fmt: skip
"""What Queueable, InteractsWithQueue and Batchable of Laravel 8 to 13 put on a job."""

SETTING_PROPERTIES = frozenset(
    {
        "backoff", "debounceFor", "debounceId", "deleteWhenMissingModels", "failOnTimeout",
        "maxExceptions", "retryUntil", "shouldBeEncrypted", "timeout", "tries", "uniqueFor",
        "uniqueId",
    }
)  # fmt: skip
"""What a class may declare for Laravel itself; an argument only if the model has such a field."""

_MAP_ERRORS = frozenset({"dict_type", "mapping_type", "model_type"})

Model = TypeVar("Model", bound=BaseModel)


class CommandError(ValueError):
    """A job that cannot be run from here. One sentence for the Laravel developer who sent it, which
    shows no value: the job may have been encrypted.
    """


def arguments_of(properties: Mapping[str, Value], model: type[Model]) -> Model:
    """The job's own properties as a model. Raises CommandError.

    A field `account_id` takes the property `accountId`, or `account_id`, or that of its alias.
    Dates arrive aware, in UTC; the case of an enum as its name; an Eloquent model as a
    ModelReference.
    """
    rest = {name: value for name, value in properties.items() if name not in TRAIT_PROPERTIES}
    given: dict[str, Any] = {}
    for name, about in model.model_fields.items():
        key = about.validation_alias if isinstance(about.validation_alias, str) else name
        found = next((one for one in (key, name, to_camel(name)) if one in rest), None)
        if found is not None:
            given[key] = _plain(found, rest.pop(found))
    if model.model_config.get("extra") in {"allow", "forbid"}:
        rest = {name: value for name, value in rest.items() if name not in SETTING_PROPERTIES}
        given |= {name: _plain(name, value) for name, value in rest.items()}
    return _validated(model, given)


def _plain(path: str, value: Value) -> Any:
    """A value without PHP in it. path: `items.0.price`, for the message."""
    if isinstance(value, list):
        return [_plain(f"{path}.{place}", one) for place, one in enumerate(value)]
    if isinstance(value, dict):
        return {key: _plain(f"{path}.{_shown(key)}", one) for key, one in value.items()}
    if isinstance(value, PhpEnum):
        return value.case
    try:
        if is_datetime(value):
            return datetime_of(value)
        if is_model_reference(value):
            return model_reference_of(value)
    except UnreadableObject as error:
        raise CommandError(f"`{path}` is {error}") from None
    if isinstance(value, PhpObject | PhpCustom):
        raise CommandError(
            f"`{path}` is an object of class {_shown(value.class_name)}, which only PHP can read; "
            "send its values instead: numbers, texts, arrays, dates, enums or models"
        )
    return value


def _validated(model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        maps = _empty_maps(error)
        if not maps:
            raise _invalid(model, error) from None
    return _validated(model, given | {key: {} for key in maps})


def _empty_maps(error: ValidationError) -> list[str]:
    """Keys of empty lists that should be maps: PHP has one empty array for both."""
    return [
        str(one["loc"][0])
        for one in error.errors(include_url=False, include_context=False)
        if one["type"] in _MAP_ERRORS and one["input"] == [] and len(one["loc"]) == 1
    ]


def _invalid(model: type[BaseModel], error: ValidationError) -> CommandError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    sentences = [_sentence(one["loc"], one["type"], one["msg"]) for one in found]
    more = len(sentences) - SHOWN_ERRORS
    if more > 0:
        sentences[SHOWN_ERRORS:] = [f"{more} more"]
    return CommandError(f"{model.__name__}: {'; '.join(sentences)}")


def _sentence(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(_shown(part) for part in loc)
    if kind == "missing" and len(loc) == 1:
        return (
            f"`{name}` has no value here because Laravel leaves out properties that still have "
            "their default: give the pydantic field the same default"
        )
    if kind == "extra_forbidden":
        return f"`{name}` is a property of the PHP class and no field here: add the field"
    return f"`{name}`: {message}" if name else message


def _shown(name: object) -> str:
    """A foreign name in printable ASCII."""
    return ascii(name)[1:-1] if isinstance(name, str) else ascii(name)
