"""Products and sides of a position."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from shared.errors import InvalidEvent

_PRODUCTS = ("linear", "inverse", "spot")


def _product() -> GetPydanticSchema:
    schema = core_schema.custom_error_schema(
        core_schema.literal_schema(list(_PRODUCTS)),
        custom_error_type="product",
        custom_error_message='must be "linear", "inverse" or "spot"; options are not kept by this '
        "ledger, so leave their fills out",
    )
    return GetPydanticSchema(lambda _source, _handler: schema)


Product = Annotated[str, _product()]
PositionSide = Literal["net", "long", "short"]


def check_spot(position_side: str, base_asset: object, quote_asset: object) -> None:
    """What a spot position needs. Raises InvalidEvent."""
    if base_asset is None or quote_asset is None:
        raise InvalidEvent(
            "missing_field", "a spot position needs `base_asset` and `quote_asset`; send both"
        )
    if position_side != "net":
        raise InvalidEvent(
            "malformed",
            f'a spot position has `position_side` "net", not {position_side!r}; long and short '
            "sides exist in hedge mode of contracts only",
        )
