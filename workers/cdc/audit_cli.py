"""`fleet cdc audit` and `fleet cdc quarantine`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.mysql.connection import connect
from workers.cdc.audit_proof import prove_audit
from workers.cdc.quarantine import replay
from workers.cdc.sink import Sink
from workers.cdc.sinks import SINKS, configured
from workers.roles import load_settings

console = Console()
EVERY_SEQ = 2**63 - 1
READ_SECONDS = 3600


@click.group("audit")
def audit_group() -> None:
    """The audit log of changes in MySQL."""


@audit_group.command("verify")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def audit_verify(as_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Prove the chain of hashes from the last anchor on; exit 1 and the first row that is broken.

    Keep the printed hash elsewhere: whoever can write everything could write the chain anew.
    """
    with closing(connect(load_settings("cli").audit, read_seconds=READ_SECONDS)) as connection:
        found = prove_audit(connection)
    if as_json:
        click.echo(json.dumps(found._asdict()))
    elif found.why:
        click.echo(f"broken: {found.why}")
    else:
        epoch, seq = found.through
        dropped = f", {found.dropped} before them dropped behind an anchor" if found.dropped else ""
        click.echo(f"{found.rows} rows through {epoch}/{seq}{dropped}: {found.hash}")
    sys.exit(1 if found.why else 0)


@click.group("quarantine")
def quarantine_group() -> None:
    """Rows that a sink refused: kept whole, replayed when the cause is cured."""


_sink = click.option("--sink", "names", multiple=True, help="audit or timescale; default: both.")
_seqs = click.option("--seq", "seqs", default="", help="One seq, or a range: 120..140.")


@quarantine_group.command("list")
@_sink
@_seqs
def quarantine_list(names: tuple[str, ...], seqs: str) -> None:
    """What is kept and not replayed."""
    first, last = _range(seqs)
    table = Table("sink", "epoch", "seq", "row", "table", "op", "at", "reason")
    for sink in _each(names):
        with sink.transaction():
            for one in sink.quarantined(first, last):
                entry = one.entry
                table.add_row(
                    sink.name, str(entry.epoch), str(entry.seq), str(entry.first_row),
                    escape(one.table), one.op, one.at, escape(one.reason),
                )  # fmt: skip
    console.print(table)


@quarantine_group.command("replay")
@_sink
@_seqs
def quarantine_replay(names: tuple[str, ...], seqs: str) -> None:
    """Write them now; exit 1 where one is refused again."""
    first, last = _range(seqs)
    refused = 0
    for sink in _each(names):
        done, again = replay(sink, first, last)
        refused += len(again)
        click.echo(f"{sink.name}: {done} rows written, {len(again)} refused again")
        for one in again:
            click.echo(f"  {one.entry.seq} row {one.entry.first_row}: {one.reason}")
    sys.exit(1 if refused else 0)


def _each(names: tuple[str, ...]) -> Iterator[Sink]:
    """Open until the next one is asked for."""
    settings = load_settings("cli")
    have = configured(settings)
    strange = [name for name in names if name not in have]
    if strange:
        raise click.UsageError(f"no sink {', '.join(strange)} here: {', '.join(have)}")
    for name in names or have:
        with closing(SINKS[name](settings)) as sink:
            sink.connect()
            yield sink


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not dots:
        last = first
    try:
        return int(first or 0), int(last or EVERY_SEQ)
    except ValueError:
        raise click.UsageError("--seq: write one number or a range, 120..140") from None
