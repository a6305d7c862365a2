"""Starting an operator job from the command line, and watching it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from shared.settings import Settings


def run_job(
    settings: Settings,
    name: str,
    arguments: Mapping[str, Any],
    *,
    watch: bool = True,
    resume: str | None = None,
) -> Any:
    """Queues the job and shows its progress until it ends; Ctrl-C cancels it. What it returned.

    watch: False only queues it. resume: an earlier job, to go on where it was.
    """
    # RQ reads its prefix when it is imported, so only here.
    from workers.jobs import operator  # noqa: PLC0415

    if resume is not None:
        _check_resumable(settings, name, resume)
    job_id = operator.enqueue(settings, name, arguments, resume=resume)
    click.echo(f"operator job {job_id}")
    if not watch:
        return None
    try:
        result = operator.watch(settings, job_id, click.echo)
    except KeyboardInterrupt:
        operator.cancel(settings, job_id)
        raise click.ClickException(f"job {job_id} is told to stop") from None
    click.echo(f"done: {json.dumps(result)}")
    return result


def _check_resumable(settings: Settings, name: str, job_id: str) -> None:
    from workers.jobs import operator  # noqa: PLC0415 - as above

    try:
        earlier = operator.look(settings, job_id)
    except KeyError:
        raise click.ClickException(f"no job {job_id}; they are kept for a month") from None
    if earlier.name != name or earlier.checkpoint is None:
        raise click.ClickException(
            f"job {job_id} ({earlier.name}) left no place to go on from: start a new one"
        )
