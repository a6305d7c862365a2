"""Texts of an event, as wide as their columns.

Identity text is compared by utf8mb4_bin, which pads with spaces: "a " and "a" are one row there. So
text that begins or ends with white space is refused, and so are empty text and control characters.
Lengths are counted in characters, as MySQL counts them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

CLEAN = r"^[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"


def _schema(width: int) -> core_schema.CoreSchema:
    return core_schema.custom_error_schema(
        core_schema.str_schema(strict=True, max_length=width, pattern=CLEAN),
        custom_error_type="text",
        custom_error_message=f"must be a JSON string of 1 to {width} characters, without control "
        "characters and without white space at either end",
    )


def _text(width: int) -> GetPydanticSchema:
    schema = _schema(width)
    return GetPydanticSchema(lambda _source, _handler: schema)


def _text_or_integer(width: int) -> GetPydanticSchema:
    """Text, or a JSON integer that becomes its decimal text (Laravel ids, chat ids)."""
    number = core_schema.no_info_after_validator_function(
        str, core_schema.int_schema(strict=True, ge=-(1 << 63), lt=1 << 64)
    )
    schema = core_schema.custom_error_schema(
        core_schema.union_schema([_schema(width), number], mode="left_to_right"),
        custom_error_type="text_or_integer",
        custom_error_message=f"must be a JSON string of 1 to {width} characters, without control "
        "characters and without white space at either end, or a JSON integer",
    )
    return GetPydanticSchema(lambda _source, _handler: schema)


def _prose(width: int) -> GetPydanticSchema:
    schema = core_schema.custom_error_schema(
        core_schema.str_schema(strict=True, max_length=width),
        custom_error_type="prose",
        custom_error_message=f"must be a JSON string of at most {width} characters",
    )
    return GetPydanticSchema(lambda _source, _handler: schema)


Venue = Annotated[str, _text(32)]
Instrument = Annotated[str, _text(64)]
Asset = Annotated[str, _text(32)]
VenueType = Annotated[str, _text(64)]
VenueId = Annotated[str, _text(128)]
"""An id of the venue, verbatim."""
OrderType = Annotated[str, _text(32)]
Label = Annotated[str, _text(191)]
LaravelId = Annotated[str, _text_or_integer(191)]
ChatId = Annotated[str, _text_or_integer(128)]
Reason = Annotated[str, _prose(512)]
Message = Annotated[str, _prose(65_536)]  # `data` as a whole is smaller than this
