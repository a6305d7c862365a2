"""`fleet laravel`: the job classes for the application, and payloads that no worker can run."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.mysql.connection import connect
from shared.streams.connection import control_client
from workers.laravel import quarantine
from workers.laravel_jobs.php_classes import Pins, write_classes
from workers.roles import load_settings

QUEUE = "fleet"  # of the contract; another one only where nobody listens to it
LIST_ROWS = 50
SHOWN_BYTES = 200
console = Console()


@click.group("laravel")
def laravel_group() -> None:
    """Laravel's side: job classes to generate, payloads set aside."""


@laravel_group.command("jobs")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The application's app/Jobs/Fleet.",
)
def jobs(out: Path) -> None:
    """Write the application's job classes from the Python models of their arguments."""
    settings = load_settings("cli")
    queue = QUEUE if QUEUE in settings.queues else settings.queues[0]
    pins = Pins(settings.laravel_connection, queue, settings.events_queue)
    for path in write_classes(out, pins):
        click.echo(str(path))


@laravel_group.group("quarantine")
def quarantine_group() -> None:
    """Payloads that no worker can run: look, put back on their queue, drop."""


@quarantine_group.command("list")
@click.option("--limit", default=LIST_ROWS, show_default=True)
def quarantine_list(limit: int) -> None:
    """What was set aside, oldest first."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = quarantine.listed(connection, limit)
    table = Table("token", "queue", "reason", "payload", "since")
    for one in found:
        shown = one.payload[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
        table.add_row(
            one.token, escape(one.queue), escape(one.reason), escape(shown),
            str(one.quarantined_at),
        )  # fmt: skip
    console.print(table)


@quarantine_group.command("show")
@click.argument("token")
def quarantine_show(token: str) -> None:
    """The payload's own bytes, on standard output."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        sys.stdout.buffer.write(_found(connection, token).payload)


@quarantine_group.command("requeue")
@click.argument("token")
@click.option("--file", "file", type=click.File("rb"), help="A mended payload to push instead.")
def quarantine_requeue(token: str, file: IO[bytes] | None) -> None:
    """Push it onto its queue again, as it was or mended; then it leaves the quarantine."""
    settings = load_settings("cli")
    with closing(connect(settings.mysql)) as connection:
        one = _found(connection, token)
        payload = file.read() if file is not None else one.payload
        with closing(control_client(settings.redis, "fleet-quarantine")) as redis:
            quarantine.requeue(redis, settings.prefix, one.queue, payload)
        quarantine.remove(connection, token)
        connection.commit()
    click.echo(f"pushed onto {one.queue}")


@quarantine_group.command("drop")
@click.argument("token")
@click.confirmation_option(prompt="Its bytes are gone for good. Drop it?")
def quarantine_drop(token: str) -> None:
    """Delete one."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        _found(connection, token)
        quarantine.remove(connection, token)
        connection.commit()
    click.echo("dropped")


def _found(connection: Any, token: str) -> quarantine.Aside:
    one = quarantine.find(connection, token)
    if one is None:
        raise click.ClickException(f"no {token}; `fleet laravel quarantine list` shows them")
    return one
