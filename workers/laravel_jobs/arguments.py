"""What the arguments of all Laravel jobs have in common.

A model is the Python side of one PHP class: its fields, in this order, are the constructor's
parameters, in camelCase there and in snake_case here. `fleet laravel jobs` writes the class from
it, so a description stands here once and becomes the PHP docblock.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

I63_LIMIT = 1 << 63
"""PHP has no wider integer, so the application can have no larger id."""

AccountId = Annotated[int, Field(strict=True, ge=1, lt=I63_LIMIT)]
"""Id of an exchange account, as Laravel's."""


class Arguments(BaseModel):
    """Arguments of one job class. Unknown properties are refused: the class and we must agree."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )
