"""`fleet cdc verify`, `fleet cdc explain` and `fleet cdc rebuild`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, TextIO, TypeAlias

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.changes import Table as CapturedTable
from shared.mysql.connection import Connection, connect, transaction
from shared.settings import Settings
from shared.timescale.connection import Connection as Postgres
from shared.timescale.connection import connect as connect_timescale
from workers.cdc.audit_proof import prove_audit
from workers.cdc.explain import (
    Step,
    batches,
    behind,
    key_text,
    steps_of_audit,
    steps_of_history,
    stream_entry,
)
from workers.cdc.preflight import cascades
from workers.cdc.rebuild import FORMATS, ContentHash, NotKept, as_of, hashed
from workers.cdc.rebuild_rows import AuditReader, ChangeLogReader, HistoryReader
from workers.cdc.snapshot_tables import CannotRead, captured, chunks_of, prepare
from workers.cdc.source_facts import source_facts
from workers.cdc.tables import audit_keeps, select
from workers.cdc.verify import TableResult, gaps, moment_of, verify_table
from workers.cdc.verify_sinks import AuditView, HistoryView, SinkView
from workers.cdc.verify_view import SourceView
from workers.roles import load_settings
from workers.terminal import cell, number, shown, written

console = Console()
Said: TypeAlias = dict[str, Any]
"""What `verify --json` prints."""
READ_SECONDS = 3600
STATEMENT_MS = READ_SECONDS * 1000
GAPS_NAMED = 10


# ---- verify


@click.command("verify")
@click.argument("tables", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds for the sinks.")
def verify(tables: tuple[str, ...], as_json: bool, wait: float) -> None:  # noqa: FBT001
    """Compare the source with both sinks, row for row, as of one moment; exit 1 if they differ.

    Everything may go on meanwhile. Also: every transaction is there, and the audit log's hashes.
    """
    said, results = proved(load_settings("cli"), tables, wait)
    if as_json:
        click.echo(json.dumps(said))
    else:
        print_proved(said, results)
    sys.exit(1 if differing(said, results) else 0)


def proved(
    settings: Settings, tables: Sequence[str], wait: float
) -> tuple[Said, list[TableResult]]:
    """What `verify` says, and of each table. tables: () means all. Raises Unavailable."""
    with ExitStack() as stack:
        connection = stack.enter_context(closing(connect(settings.mysql)))
        selection = select(settings, connection)
        unprovable = {
            fault.text: fault.cure for fault in cascades(source_facts(connection, selection, 0))
        }
        source = stack.enter_context(
            closing(
                SourceView(
                    partial(connect, settings.mysql, read_seconds=READ_SECONDS, raw=True), selection
                )
            )
        )
        sinks = open_sinks(settings, stack)
        audit = sinks[0]
        assert isinstance(audit, AuditView)
        moment = moment_of(source, audit, sinks, wait)
        with transaction(connection) as cursor:
            names = tables or tuple(captured(cursor, selection))
        results = []
        for name in names:
            found = verify_table(source, sinks, moment, name)
            told = f"{selection.schemas.of(name)}.{name} changes when"
            found.unprovable = [text for text in unprovable if text.startswith(told)]
            results.append(found)
        missing = {
            one.name: list(gaps(one.seqs(moment.before), one.forgotten())) for one in sinks
        }
        broken = prove_audit(stack.enter_context(closing(_audit(settings)))).why
    said: Said = {
        "epoch": moment.epoch, "seq": moment.before, "at": source.where, "audit": broken,
        "missing": missing, "tables": [asdict(one) for one in results],
    }  # fmt: skip
    return said, results


def differing(said: Said, results: Sequence[TableResult]) -> bool:
    missing = any(said["missing"].values())
    return bool(said["audit"] or missing or any(one.differs for one in results))


def print_proved(said: Said, results: Sequence[TableResult]) -> None:
    at = f" ({said['at']})" if said["at"] else ""
    click.echo(f"as of {said['epoch']}/{said['seq']}{at}")
    sinks = [one.sink for one in next((one.sinks for one in results if one.sinks), [])]
    table = Table("table", "rows", *sinks)
    for one in results:
        found = [cell(_verdict(one, place)) for place in range(len(sinks))]
        table.add_row(cell(one.table), number(one.rows), *found)
    console.print(table)
    for one in results:
        _print_differences(one)
    for sink, spans in said["missing"].items():
        for first, last in spans[:GAPS_NAMED]:
            click.echo(f"{sink} has nothing of seq {first} to {last}")
    if said["audit"]:
        click.echo(f"the audit log is broken: {said['audit']}")


def _print_differences(one: TableResult) -> None:
    for sink in one.sinks:
        for key, what in sink.differing:
            click.echo(shown(f"{one.table} {key} in {sink.sink}: {what}"))
        if sink.more:
            click.echo(f"{one.table} in {sink.sink}: and {sink.more} more")
        if sink.why:
            click.echo(f"{one.table} in {sink.sink}: {sink.why}")
    for text in ([one.refused] if one.refused else []) + one.unprovable:
        click.echo(f"{one.table}: {text}")


def _verdict(found: TableResult, place: int) -> str:
    if found.refused:
        return "not compared"
    one = found.sinks[place]
    if one.differing or one.why:
        return f"{len(one.differing) + one.more} differ"
    said = "the same"
    if one.unseen:
        said += f"; {one.unseen} older than what is kept"
    if one.older:
        said += "; some from before a column was added"
    return said


# ---- explain


@click.command("explain")
@click.argument("table")
@click.argument("key")
@click.argument("column", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(table: str, key: str, column: str | None, as_json: bool) -> None:  # noqa: FBT001
    """What is behind a row, or behind one value of it: 42,linear,BTCUSDT,net or a JSON list."""
    settings = load_settings("cli")
    with ExitStack() as stack:
        shape = _shape(settings, table)
        audit = stack.enter_context(closing(_audit(settings)))
        history = _history(settings, stack)
        try:
            row_key = key_text(shape, key)
            steps = steps_of_audit(audit, table, row_key)
            if audit_keeps(table) == "hash" and history is not None:
                steps = steps_of_history(history, table, row_key) or steps
            found = behind(steps, column) if steps else []
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        if not found:
            raise click.ClickException(f"no change of {table} {row_key} is recorded")
        told = [_explained(step, audit, history, column) for step in found]
    if as_json:
        click.echo(json.dumps(told))
        return
    for one in told:
        console.rule(escape(f"{one.pop('what')} in {one.pop('seq')}"), align="left")
        for name, value in one.items():
            if value:
                console.print(f"{name:12} {shown(str(value))}", markup=False, highlight=False)


_WORDS = {"c": "inserted", "u": "updated", "d": "deleted", "r": "read by a snapshot"}


def _explained(
    step: Step, audit: Connection, history: Postgres | None, column: str | None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "what": _WORDS.get(step.op, step.op) + (", derived" if step.derived else ""),
        "seq": f"{step.epoch}/{step.seq}",
        "row": step.row_index,
        "committed at": written(step.committed_at),
        "position": f"{step.file}:{step.pos}",
        "gtid": step.gtid,
        "actor": step.actor,
        "stream entry": " ".join(stream_entry(step.actor) or ()),
        "change entry": f"{step.seq}-*",
    }
    for batch in batches(audit, history, step.seq):
        told[batch.sink] = (
            f"batch {batch.first_seq} to {batch.last_seq}, {batch.rows} rows, "
            f"{written(batch.written_at)}"
        )
    if column is None:
        told |= {"before": _row_text(step.before), "after": _row_text(step.after)}
    else:
        told |= {
            name: json.dumps(row.get(column)) if row else ""
            for name, row in (("before", step.before), ("after", step.after))
        }
    return told


def _row_text(row: Any) -> str:
    return "" if row is None else json.dumps(row, ensure_ascii=False)


# ---- rebuild


@click.command("rebuild")
@click.argument("table")
@click.option("--as-of", "moment", help="A seq, or a time in UTC: 2026-11-26T08:00. Default: now.")
@click.option("--from", "sink", type=click.Choice(["audit", "timescale"]), help="Which log.")
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="jsonl")
@click.option("--out", type=click.File("w"), default="-", help="A file; default: standard output.")
def rebuild(
    table: str, moment: str | None, sink: str | None, form: str, out: TextIO
) -> None:
    """A table as it was, from the log of changes; its content's hash goes to standard error.

    The hash is the same every time, and the same from either log. MariaDB tells the time of a
    commit in whole seconds.
    """
    settings = load_settings("cli")
    with ExitStack() as stack:
        reader = _reader(settings, stack, table, sink)
        seq = _seq(reader, moment)
        told = reader.messages(table, seq)
        content = ContentHash()
        try:
            FORMATS[form](out, hashed(reader.rows(table, seq), content))
        except NotKept as error:
            cure = "" if settings.timescale_url is None else "; --from timescale has them"
            raise click.ClickException(f"{error}{cure}") from None
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    if not told.whole_from:
        click.echo(f"no snapshot of {table} had ended by then: rows may be missing", err=True)
    click.echo(f"{table} as of {seq}: {content.rows} rows, {content.text()}", err=True)


def _reader(
    settings: Settings, stack: ExitStack, table: str, sink: str | None
) -> ChangeLogReader:
    """The audit log, but for rows of which it has only hashes."""
    hashes = audit_keeps(table) == "hash" and settings.timescale_url is not None
    if (sink or ("timescale" if hashes else "audit")) == "audit":
        return AuditReader(stack.enter_context(closing(_audit(settings))))
    history = _history(settings, stack)
    if history is None:
        raise click.UsageError("FLEET_TIMESCALE_URL is not set")
    return HistoryReader(history)


def _seq(reader: ChangeLogReader, moment: str | None) -> int:
    if moment is None:
        return reader.last_seq()
    try:
        at = as_of(moment)
    except ValueError:
        raise click.UsageError(f"--as-of {moment}: write a seq, or 2026-11-26T08:00Z") from None
    return reader.seq_at(at) if isinstance(at, datetime) else at


# ---- where things are


def _audit(settings: Settings) -> Connection:
    return connect(settings.audit, read_seconds=READ_SECONDS)


def _history(settings: Settings, stack: ExitStack) -> Postgres | None:
    if settings.timescale_url is None:
        return None
    connection = connect_timescale(settings, statement_ms=STATEMENT_MS)
    return stack.enter_context(closing(connection))


def open_sinks(settings: Settings, stack: ExitStack) -> list[SinkView]:
    """Those that this fleet has, the audit log first."""
    audit = AuditView(stack.enter_context(closing(_audit(settings))))
    history = _history(settings, stack)
    return [audit] if history is None else [audit, HistoryView(history)]


def _shape(settings: Settings, table: str) -> CapturedTable:
    with closing(connect(settings.mysql)) as connection:
        selection = select(settings, connection)
    with closing(connect(settings.mysql, raw=True)) as raw, transaction(raw) as cursor:
        mariadb = prepare(cursor)
        try:
            return chunks_of(cursor, selection, table, mariadb=mariadb).table
        except CannotRead as error:
            raise click.UsageError(str(error)) from None


COMMANDS = (verify, explain, rebuild)
