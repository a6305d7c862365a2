"""`fleet cdc`: where change capture is, and what an operator may ask of it."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click
from rich.console import Console
from rich.table import Table

from shared.cdc.log import ChangeLog
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers.cdc.audit_cli import audit_group, quarantine_group
from workers.cdc.beginning import RESTART, SNAPSHOT
from workers.cdc.proof_cli import COMMANDS as PROOFS
from workers.cdc.sinks import configured
from workers.cdc.standings import accept_shape
from workers.cdc.status import CaptureStatus, capture_status
from workers.cdc.tables import select
from workers.roles import load_settings
from workers.terminal import cell, moment, number

console = Console()


@click.group("cdc")
def cdc_group() -> None:
    """Change capture: MySQL's log into the audit log and TimescaleDB."""


@cdc_group.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """The collector, the stream, each sink, and what was asked for."""
    found = look_at_capture(load_settings("cli"))
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _print(found)


@cdc_group.command("restart")
@click.option("--reason", required=True, help="Why what was missed is missed; it stays readable.")
def restart(reason: str) -> None:
    """Begin a new epoch at the end of the log, and read all tables again.

    For what no waiting cures: the log was purged, reset, or is another server's. What happened
    between is not in any log: the tables are compared with what the sinks have.
    """
    with _stream(load_settings("cli")) as stream:
        stream.request(RESTART, getpass.getuser(), reason=reason)
    click.echo("asked; `fleet cdc status` shows the new epoch and how the snapshots come along")


@cdc_group.command("resync")
@click.argument("table")
def resync(table: str) -> None:
    """Read one table again while everything else goes on; a stopped one is taken as it is now."""
    settings, by = load_settings("cli"), getpass.getuser()
    with closing(connect(settings.mysql)) as connection:
        selection = select(settings, connection)
        if selection.interest(selection.schemas.of(table), table) != "captured":
            raise click.UsageError(f"{table} is not captured: see FLEET_CDC_TABLES")
        accept_shape(connection, table, by)
    with _stream(settings) as stream:
        stream.request(SNAPSHOT, by, [table])
    click.echo(f"asked; `fleet cdc status` shows how {table} comes along")


for command in (audit_group, quarantine_group, *PROOFS):
    cdc_group.add_command(command)
COMMANDS = (cdc_group,)


def look_at_capture(settings: Settings) -> CaptureStatus:
    """Where change capture is."""
    with _stream(settings) as stream, closing(connect(settings.mysql)) as connection:
        return capture_status(stream, connection, configured(settings))


@contextmanager
def _stream(settings: Settings) -> Iterator[ChangeLog]:
    with closing(control_client(settings.streams_redis, "fleet-cli")) as redis:
        yield ChangeLog(redis, settings.prefix)


def _seconds(value: float | None) -> str:
    return "not known how far" if value is None else f"{value:,.1f} s"


def _print(found: CaptureStatus) -> None:
    if not found.begun:
        console.print("nothing is captured yet: is a collector running, and every sink?")
    else:
        console.print(
            f"epoch {found.epoch}, transaction {found.seq:,} at {found.reading} {found.gtid} · "
            f"stream: {found.entries:,} entries, {found.bytes:,} bytes · collector: "
            f"{found.collector or 'none runs'}, {_seconds(found.lag_seconds)} behind MySQL, "
            f"last heard {moment(found.at_ms)}"
        )
    if found.stopped:
        stopped = found.stopped
        console.print(f"STOPPED since {moment(stopped.since_ms)}, {stopped.reason}: ", end="")
        console.print(cell(f"{stopped.what}. {stopped.cure}"))
    sinks = Table("sink", "epoch", "transaction", "behind", "since", "said")
    for sink in found.sinks:
        said = moment(sink.said_ms) if sink.said_ms else "nothing yet: does it run?"
        sinks.add_row(
            cell(sink.name), number(sink.epoch), number(sink.seq), number(sink.behind),
            number("" if sink.seq is None else _seconds(sink.behind_seconds)), said,
        )  # fmt: skip
    console.print(sinks)
    for sink in found.sinks:
        if sink.why:
            console.print(cell(f"{sink.name} waits: {sink.why}"))
    for table, why in found.tables_stopped.items():
        console.print(cell(f"{table} is stopped: {why}"))
    if found.requests or found.snapshots:
        asked = Table("asked", "of", "state", "rows")
        for request in found.requests:
            of = request.reason or ", ".join(request.tables) or "all tables"
            asked.add_row(cell(request.kind), cell(of), "waiting", "")
        for one in found.snapshots:
            asked.add_row("snapshot", cell(one.table), cell(one.why or one.state), number(one.rows))
        console.print(asked)
