r"""Tradefleet\Laravel\Jobs\Ping: `php artisan fleet:doctor` asks whether anybody is here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context

VERSION = "0.1.0"
"""Of this fleet, for the answer: tells an operator which side is the older one."""


class Model(Arguments):
    """Answer at once: the queue works from PHP to Python and back."""

    token: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)] = Field(
        description="comes back in the answer"
    )


def run(context: Context, arguments: Model) -> None:
    answer = {"token": arguments.token, "node": context.node, "fleet": VERSION}
    context.record(arguments.model_dump_json(by_alias=True), answer)
