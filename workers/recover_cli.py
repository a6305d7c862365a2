"""`fleet recover`: after a restore of MySQL or of TimescaleDB, or a loss of Redis."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from shared.errors import FleetError
from shared.settings import Settings
from workers.cdc import recover as capture
from workers.cdc.proof_cli import print_proved
from workers.operator_cli import run_job
from workers.roles import load_settings

WAIT_SECONDS = 600.0
REASON = "fleet recover"


@click.command("recover")
@click.option("--reason", default=REASON, show_default=True, help="It stays in the audit log.")
def recover(reason: str) -> None:
    """Bring everything in once more: streams, outbox, exchanges; then prove books and sinks.

    After a restore of MySQL or TimescaleDB or a loss of Redis, with the fleet running. It may be
    run twice and under traffic. Exit 1 where something still differs; it says what.
    """
    settings = load_settings("cli")
    try:
        well = _recover(settings, reason)
    except FleetError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if well else 1)


def _recover(settings: Settings, reason: str) -> bool:
    begun = time.monotonic()
    asked = capture.ask(settings, reason)
    if asked is None:
        click.echo("nothing is captured: only the books are recovered")
    books = _books_are_well(run_job(settings, "recover", {}))
    click.echo(f"books: {'they tie' if books else 'NOT recovered'}, {_since(begun)}")
    if asked is None:
        return books
    again = time.monotonic()
    ended = capture.settle(settings, asked, click.echo)
    click.echo(f"change capture: epoch {ended.epoch}, transaction {ended.seq:,}, {_since(again)}")
    again = time.monotonic()
    proof = capture.prove(settings, click.echo, WAIT_SECONDS)
    print_proved(proof.said, proof.tables)
    well = capture.is_well(proof)
    click.echo(f"sinks: {'the same as the source' if well else 'they DIFFER'}, {_since(again)}")
    return books and well


def _books_are_well(ended: Mapping[str, Any] | None) -> bool:
    """Everything was read, and no account differs from its exchange."""
    compared = (ended or {}).get("reconciled")
    if not isinstance(compared, Mapping) or (ended or {}).get("unread"):
        return False
    return not compared["differing"] and not compared["failed"]


def _since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f} s"


COMMANDS = (recover,)
