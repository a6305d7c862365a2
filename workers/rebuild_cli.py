"""`fleet rebuild`: positions and P&L again, from the immutable rows."""

from __future__ import annotations

from typing import Any

import click

from workers.operator_cli import run_job
from workers.roles import load_settings


@click.command()
@click.option("--account", type=click.IntRange(min=0), help="Only this one; all unless given.")
@click.option("--from-reports", is_flag=True, help="Merge the fills from their reports first.")
@click.option("--watch/--no-watch", default=True, help="Show progress until it ends.")
@click.option("--resume", metavar="JOB", help="Go on where a cancelled or failed job was.")
def rebuild(account: int | None, from_reports: bool, watch: bool, resume: str | None) -> None:  # noqa: FBT001 - click passes flags so
    """Compute positions and P&L again from fills, entries and cash, while traffic goes on.

    An operator job: what was right stays as it is, what was not is put right and told in the
    result. Ctrl-C cancels it.
    """
    if resume is not None and (account is not None or from_reports):
        raise click.UsageError("--resume goes on with what the earlier job was told")
    wanted: dict[str, Any] = {"account": account, "from_reports": from_reports}
    run_job(load_settings("cli"), "rebuild", wanted, watch=watch, resume=resume)


COMMANDS = (rebuild,)
