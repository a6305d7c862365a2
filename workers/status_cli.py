"""`fleet status`: how everything is, once or again and again."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.settings import Settings
from workers.cdc.cli import look_at_capture
from workers.cdc.status import summary
from workers.equity_copy import CopyStatus
from workers.laravel.status import LaravelStatus
from workers.roles import load_settings
from workers.status import PartitionStatus, Status
from workers.sync.status import Group as SyncGroup

console = Console()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--watch", is_flag=True, help="What is wrong and what to do, anew every 2 s.")
def status(as_json: bool, watch: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Per partition: owner, epoch, offset, lag, parked; outbox; memory."""
    settings = load_settings("cli")
    if watch:
        _watch(settings)
        return
    found, capture = _status(settings), look_at_capture(settings)
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "capture": capture.as_dict()}))
    else:
        _print_status(found)
        console.print(f"change capture (`fleet cdc status`): {escape(summary(capture))}")


def _watch(settings: Settings) -> None:
    from workers.exposure.exporter import Exporter  # noqa: PLC0415 - opens drivers
    from workers.page.look import errors_of  # noqa: PLC0415
    from workers.page.watch import watch  # noqa: PLC0415

    watch(console, Exporter(settings), errors_of(settings))


def _status(settings: Settings) -> Status:
    from workers.build import collect_status  # noqa: PLC0415 - the composition root is heavy

    return collect_status(settings)


def _print_status(found: Status) -> None:
    table = Table("stream", "owner", "epoch", "offset", "lag", "lag s", "parked", "state")
    for row in found.partitions:
        table.add_row(
            f"{row.stream}:{row.partition}", row.owner or "nobody", str(row.epoch), row.offset,
            str(row.lag_events), f"{row.lag_seconds:.1f}", str(row.parked), _state(row),
        )
    console.print(table)
    budget = found.redis_budget_bytes
    console.print(
        f"outbox: {found.outbox_waiting} waiting, {found.outbox_unconfirmed} unconfirmed, oldest "
        f"{found.oldest_outbox_seconds:.1f} s · streams: {found.redis_used_bytes:,} of "
        f"{f'{budget:,}' if budget else 'unlimited'} bytes · restating: "
        f"{found.restating_positions} positions · parked: {found.parked_by_reason or 'none'}"
    )
    breaks = ", ".join(f"{count} {kind}" for kind, count in found.breaks_by_kind.items())
    look = f"{breaks}: `fleet breaks list`" if breaks else "none"
    console.print(_synced(found.syncs))
    console.print(f"open breaks: {look} · equity in TimescaleDB: {_copied(found.equity_copy)}")
    _print_laravel(found.laravel)


def _print_laravel(found: LaravelStatus) -> None:
    table = Table("queue", "ready", "delayed", "reserved")
    for queue in found.queues:
        table.add_row(queue.queue, str(queue.ready), str(queue.delayed), str(queue.reserved))
    console.print(table)
    aside = found.quarantined + sum(queue.quarantined for queue in found.queues)
    look = ": `fleet laravel quarantine list`" if aside else ""
    console.print(
        f"quarantine: {aside} payloads{look} · dispatches: {found.dispatches_waiting} waiting, "
        f"oldest {found.oldest_dispatch_seconds:.1f} s"
    )


def _synced(groups: Sequence[SyncGroup]) -> str:
    if not groups:
        return "exchange accounts: none"
    active = [one for one in groups if one.state == "active"]
    suspended = sum(one.accounts for one in groups if one.state == "suspended")
    oldest = max((one.stale_seconds for one in active), default=0)
    return (
        f"exchange accounts (`fleet sync`): {sum(one.accounts for one in active)} active, "
        f"{suspended} suspended, "
        f"{sum(one.failing for one in active)} failing, oldest read {oldest:.0f} s ago"
    )


def _copied(found: CopyStatus) -> str:
    if found.state == "off":
        return "off, FLEET_TIMESCALE_URL is not set"
    if found.state == "away":
        return escape(f"away, nothing is lost: {found.error}")
    return f"{found.waiting} rows wait"


def _state(row: PartitionStatus) -> str:
    if row.halted_reason:
        return escape(f"HALTED: {row.halted_reason}")
    return "running" if row.owner else "no owner: is a streams role running? (`make up`)"


COMMANDS = (status,)
