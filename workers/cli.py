"""`fleet`: what an operator types. Each command is a few lines; the work is elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing

import click
import MySQLdb
import psycopg
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.errors import FleetError
from shared.mysql import parked
from shared.mysql.connection import connect
from shared.mysql.offsets import SQL as OFFSETS_SQL
from shared.mysql.parked import Filter
from shared.settings import Settings
from workers import (
    capacity_cli,
    drain_cli,
    facts_cli,
    prices_cli,
    rebuild_cli,
    reconcile_cli,
    recover_cli,
    status_cli,
    sync_cli,
)
from workers.cdc import cli as cdc_cli
from workers.cli_errors import in_a_line
from workers.jobs.replay_parked import skip
from workers.laravel.cli import laravel_group
from workers.operator_cli import run_job
from workers.quality import cli as quality_cli
from workers.roles import load_settings
from workers.statement import cli as statement_cli

console = Console()
LIST_ROWS = 50


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def fleet() -> None:
    """The Python fleet beside a Laravel trading platform."""


@fleet.command()
@click.option("--grants", is_flag=True, help="Print the least-privilege GRANT and ACL lines.")
def doctor(grants: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Check settings and servers; exit 1 on anything that can lose data."""
    from workers.doctor import run_doctor  # noqa: PLC0415 - only this command needs it

    sys.exit(run_doctor(load_settings("cli"), grants=grants))


@fleet.command()
@click.option("--sql", is_flag=True, help="Print the statements instead of running them.")
def migrate(sql: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Bring MySQL and TimescaleDB to the newest schema; safe to run twice."""
    from workers.migrate import run_migrate  # noqa: PLC0415 - alembic is slow to import

    sys.exit(run_migrate(load_settings("migrate"), sql=sql))


@fleet.group("parked")
def parked_group() -> None:
    """Events set aside: look, replay, skip; resume a halted partition."""


_by_reason = click.option("--reason", "reason", help="Short for --parked-for.")


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--entry", "entry_id", help="One entry id."),
        click.option("--key", help="One event key, for example an account id."),
        click.option("--parked-for", "why", help="One reason, as `fleet parked list` shows it."),
        click.option("--type", "type_", help="One event type, for example order.filled.1."),
        click.option("--stream", help="One stream."),
    ):
        command = option(command)
    return command


@parked_group.command("list")
@_filters
@_by_reason
@click.option("--limit", default=LIST_ROWS, show_default=True)
def parked_list(limit: int, **words: str | None) -> None:
    """Open events, oldest first, below the counts by reason."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        cursor = connection.cursor()
        cursor.execute(parked.SQL["count_open"])
        numbers = cursor.fetchall()
        found = parked.open_events(connection, _filter(words), limit)
    counts = Table("reason", "type", "open")
    for reason, type_, number in numbers:
        counts.add_row(reason, escape(_shown(type_)), str(number))
    console.print(counts)
    rows = Table("stream", "entry", "key", "type", "reason", "error", "tries", "parked at")
    for event in found:
        rows.add_row(
            f"{event.stream}:{event.partition}", event.entry_id, escape(_shown(event.key)),
            escape(_shown(event.type)), event.reason, escape(event.error), str(event.tries),
            str(event.parked_at),
        )  # fmt: skip
    console.print(rows)


@parked_group.command("show")
@click.argument("entry_id")
def parked_show(entry_id: str) -> None:
    """Everything about one parked event."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = parked.open_events(connection, Filter(entry_id=entry_id), LIST_ROWS)
    if not found:
        raise click.ClickException(f"no open event {entry_id}; `fleet parked list` shows them")
    for event in found:
        for name, value in event._asdict().items():
            click.echo(f"{name:12} {_shown(value) if isinstance(value, bytes) else value}")


@parked_group.command("replay")
@_filters
@_by_reason
@click.option("--all", "everything", is_flag=True, help="Without a filter: really all of them.")
@click.option("--dry-run", is_flag=True, help="Only say how many match.")
def parked_replay(everything: bool, dry_run: bool, **words: str | None) -> None:  # noqa: FBT001
    """Apply matching events again, as an operator job with progress (Ctrl-C cancels)."""
    wanted = _checked_filter(words, everything)
    settings = load_settings("cli")
    if dry_run:
        click.echo(f"{_count(settings, wanted)} events match")
        return
    run_job(settings, "replay_parked", dict(wanted._asdict()))


@parked_group.command("skip")
@_filters
@click.option("--all", "everything", is_flag=True, help="Without a filter: really all of them.")
@click.option("--reason", "because", help="Why nobody needs them; kept with each.")
@click.option("--dry-run", is_flag=True, help="Only say how many match.")
def parked_skip(
    everything: bool, because: str | None, dry_run: bool, **words: str | None  # noqa: FBT001
) -> None:
    """Close matching events without applying them; --reason is kept with each."""
    wanted = _checked_filter(words, everything)
    settings = load_settings("cli")
    if dry_run:
        click.echo(f"{_count(settings, wanted)} events match")
        return
    if not because:
        raise click.UsageError("skip drops events for good: say why with --reason")
    with closing(connect(settings.mysql)) as connection:
        click.echo(f"{skip(connection, wanted, because)} events skipped")


@parked_group.command("resume")
def parked_resume() -> None:
    """Let halted partitions go on, after the handler was mended."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        resumed = connection.cursor().execute(OFFSETS_SQL["resume"])
        connection.commit()
    click.echo(f"{resumed} partitions resumed")


fleet.add_command(laravel_group)
for module in (
    capacity_cli, cdc_cli, drain_cli, facts_cli, prices_cli, quality_cli, rebuild_cli,
    reconcile_cli, recover_cli, statement_cli, status_cli, sync_cli,
):  # fmt: skip
    for group in module.COMMANDS:
        fleet.add_command(group)


def _filter(words: dict[str, str | None]) -> Filter:
    reason = words["why"] or words.get("reason")
    return Filter(words["stream"], words["type_"], reason, words["key"], words["entry_id"])


def _checked_filter(words: dict[str, str | None], everything: bool) -> Filter:  # noqa: FBT001
    wanted = _filter(words)
    if not any(wanted) and not everything:
        raise click.UsageError("name a --type, --parked-for, --key, --stream, --entry or say --all")
    return wanted


def _count(settings: Settings, wanted: Filter) -> int:
    total, after = 0, ("", 0, "")
    with closing(connect(settings.mysql)) as connection:
        while page := parked.open_events(connection, wanted, 1000, after):
            total += len(page)
            after = page[-1].place
    return total


def _shown(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def main() -> None:
    """What an operator can cure is one line; everything else is a bug and keeps its traceback."""
    try:
        fleet(standalone_mode=True)
    except (FleetError, RedisError, MySQLdb.Error, psycopg.Error) as error:
        line = in_a_line(error)
        if line is None:
            raise
        click.echo(f"fleet: {line}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
