"""Numbers of an event: amounts, identifiers, times, counts.

An amount travels as a JSON string of a plain decimal and becomes a Decimal of exactly those digits.
A JSON number is refused, because it would go through binary floating point; so are exponents, NaN,
Infinity, a leading plus, digits outside ASCII, and more than 18 digits on either side of the point
(what DECIMAL(38,18) holds of one input, with room for sums).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import GetPydanticSchema
from pydantic_core import CoreSchema, core_schema

UNSIGNED = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
SIGNED = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"

U32_LIMIT = 1 << 32
I64_LIMIT = 1 << 63
U64_LIMIT = 1 << 64
MS_FROM = 1_230_768_000_000  # 2009-01-01: seconds sent by mistake end up below
MS_BELOW = 7_258_118_400_000  # 2200-01-01: microseconds sent by mistake end up above


def plain_text(amount: Decimal) -> str:
    """An amount as it travels: never an exponent."""
    return format(amount, "f")


def _amount(pattern: str, words: str) -> GetPydanticSchema:
    schema = core_schema.custom_error_schema(
        core_schema.no_info_after_validator_function(
            Decimal, core_schema.str_schema(strict=True, pattern=pattern)
        ),
        custom_error_type="amount",
        custom_error_message=f'must be a JSON string of a plain decimal{words}, like "0.015", with '
        "at most 18 digits before and 18 after the point",
        serialization=core_schema.plain_serializer_function_ser_schema(plain_text),
    )
    return GetPydanticSchema(lambda _source, _handler: schema)


def integer(at_least: int, below: int, words: str) -> GetPydanticSchema:
    """A JSON integer in [at_least, below); true, 1.0 and "1" are none."""
    schema: CoreSchema = core_schema.custom_error_schema(
        core_schema.int_schema(strict=True, ge=at_least, lt=below),
        custom_error_type="integer",
        custom_error_message=f"must be a JSON integer: {words}",
    )
    return GetPydanticSchema(lambda _source, _handler: schema)


Amount = Annotated[Decimal, _amount(SIGNED, "")]
"""Signed amount."""

Unsigned = Annotated[Decimal, _amount(UNSIGNED, " without a sign")]
"""Amount that is zero or more. Where it must be above zero, the body's check says so."""

AccountId = Annotated[int, integer(1, U64_LIMIT, "the account's id, 1 to 2^64 - 1")]
TimeMs = Annotated[
    int, integer(MS_FROM, MS_BELOW, "milliseconds since 1970 UTC, between the years 2009 and 2200")
]
Revision = Annotated[int, integer(0, U32_LIMIT, "a count from 0 to 2^32 - 1")]
VenueSequence = Annotated[int, integer(0, I64_LIMIT, "the venue's number, 0 to 2^63 - 1")]
