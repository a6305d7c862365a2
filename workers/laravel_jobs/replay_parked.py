r"""App\Jobs\Fleet\ReplayParked: apply the parked events of one key again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from shared.mysql.parked import Filter
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context

Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=191)]


class Model(Arguments):
    """Apply the parked events of one key again, after their cause was mended."""

    stream: Text = Field(description="orders or signals")
    key: Text = Field(description="the events' key: an account's id, or a channel")


def run(context: Context, arguments: Model) -> None:
    """Starts the operator job that `fleet parked replay` starts; its id is the answer."""
    # RQ reads its prefix when it is imported, so only here.
    from workers.jobs.operator import enqueue  # noqa: PLC0415

    wanted = Filter(stream=arguments.stream, key=arguments.key)
    job = enqueue(context.settings, "replay_parked", wanted._asdict(), actor="laravel")
    context.record(arguments.model_dump_json(by_alias=True), {"state": "queued", "job": job})
