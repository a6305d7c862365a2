"""`make chaos`: faults with a printed seed, and the ways to break a whole fleet.

`--list` shows those ways; `--break NAME` does one on a fleet of its own and cures it after Enter
(`--cure`: at once), `--breakages` does all. Otherwise storms over the desk's own servers. Same
seed, same events and same draw of faults.

Over the streams, over one of Laravel's queues, over the exchange sync, over change capture (with a
MySQL and a Redis of its own); `recovery` sets servers of its own back to older backups. The first
restart the desk's servers and, with an even seed, empty its whole Redis: not for a desk that
somebody works on. Exit 1 on any difference; the schema and the logs then stay for a look.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from pathlib import Path

from tests.chaos import breaking, cdc_storm, laravel_storm, recovery, sync_storm
from tests.chaos.storm import Outcome, full_plan, run
from tests.desk import server_values

SHOWN = 20
SAID = {
    "fenced": "batches fenced",
    "stopped_owner_ended": "sleeping owners ended",
    "redis_lost_data": "offsets rewound",
    "redis_generation_changed": "Redis seen to be another one",
    "undelivered_sent_again": "sweeps that sent again",
    "unavailable": "pauses for a server",
    "heartbeat_failed": "heartbeats failed",
}


def main() -> int:
    options = _parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing is left running
    if options.list:
        breaking.show(say)
        return 0
    flavour = server_values().get("SERVERS_FLAVOUR")
    if flavour not in {"mariadb", "mysql"}:
        raise SystemExit("storms need servers that can be killed: SERVERS=mariadb or SERVERS=mysql")
    if options.one or options.breakages is not None:
        return breaking.command(options.one, options.breakages, at_once=options.cure, say=say)
    first = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    seeds = range(first, first + options.seeds)
    exact: list[bool] = []
    for name, over in OVER.items():
        if options.only in {None, name}:
            exact += [over(seed, flavour, options) for seed in seeds]
    return 0 if all(exact) else 1


def _over_streams(seed: int, flavour: str, options: argparse.Namespace) -> bool:
    plan = full_plan(seed, options.seconds, options.rate)
    kind = "Redis keeps its data, half by XADD" if plan.direct else "Redis loses data"
    say(f"seed {seed} on {flavour}: {options.seconds:.0f} s, {kind}")
    started = time.monotonic()
    outcome = run(plan, say)
    _show(outcome, time.monotonic() - started)
    return not outcome.found


def _over_laravel(seed: int, flavour: str, options: argparse.Namespace) -> bool:
    say(f"seed {seed} on {flavour}: PHP and Python workers on one queue, {options.kills} kills")
    started = time.monotonic()
    outcome = laravel_storm.run(laravel_storm.Plan(seed, options.kills), say)
    for name, count in sorted(outcome.struck.items()):
        say(f"    {count:>4}  {name}")
    figures = {
        "runs by PHP": outcome.ran["php"],
        "runs by Python": outcome.ran["python"],
        "failed for good": outcome.failed,
        "ran again after its reservation": outcome.twice,
        "lost by PHP between its delete and its row": outcome.php_lost,
    }
    for text, figure in figures.items():
        say(f"  {figure:>6,}  {text}")
    say(f"  {outcome.pushed:,} jobs, {time.monotonic() - started:.0f} s in all")
    _verdict(seed, outcome.found, outcome.logs)
    return not outcome.found


def _over_sync(seed: int, flavour: str, options: argparse.Namespace) -> bool:
    say(f"seed {seed} on {flavour}: accounts of every venue trade, {options.kills} kills of a sync")
    started = time.monotonic()
    outcome = sync_storm.run(sync_storm.Plan(seed, options.kills, each=2, syncs=3), say)
    for name, count in sorted(outcome.struck.items()):
        say(f"    {count:>4}  {name}")
    say(f"  {outcome.looks:>6,}  looks at every cursor, claim and lease")
    say(f"  {outcome.fills:,} fills, recovered in {outcome.recovery_seconds:.1f} s,"
        f" {time.monotonic() - started:.0f} s in all")  # fmt: skip
    _verdict(seed, outcome.found, outcome.logs)
    return not outcome.found


def _over_capture(seed: int, flavour: str, options: argparse.Namespace) -> bool:
    say(f"seed {seed} on {flavour}: change capture, {options.seconds:.0f} s, then losses")
    started = time.monotonic()
    outcome = cdc_storm.run(cdc_storm.Plan(seed, options.seconds), say)
    for name, count in sorted(outcome.struck.items()):
        say(f"    {count:>4}  {name}")
    for name, count in sorted(outcome.written.items()):
        say(f"  {count:>6,}  {name}")
    for name, told in outcome.told.items():
        say(f"  {name}: stopped by {told}")
    say(f"  {outcome.seq:,} transactions, recovered in {outcome.recovery_seconds:.1f} s,"
        f" {time.monotonic() - started:.0f} s in all")  # fmt: skip
    _verdict(seed, outcome.found, outcome.logs)
    return not outcome.found


def _over_recovery(seed: int, flavour: str, options: argparse.Namespace) -> bool:
    plan = recovery.full_plan(seed, min(options.seconds, RECOVERY_SECONDS))
    elsewhere = "elsewhere" if plan.audit_elsewhere else "in our own schema"
    say(f"seed {seed} on {flavour}: {len(plan.losses)} losses, the audit log {elsewhere}")
    started = time.monotonic()
    outcome = recovery.run(plan, say)
    say(f"  {outcome.fills:,} fills, epoch {outcome.epoch}, {time.monotonic() - started:.0f} s")
    _verdict(seed, outcome.found, outcome.logs)
    return not outcome.found


RECOVERY_SECONDS = 8.0
"""Of traffic between a backup and its loss."""
OVER = {
    "streams": _over_streams, "laravel": _over_laravel, "sync": _over_sync, "cdc": _over_capture,
    "recovery": _over_recovery,
}  # fmt: skip


def say(text: str) -> None:
    print(text, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="default: a new one, printed")
    parser.add_argument("--seeds", type=int, default=1, help="so many storms, seeds counted up")
    parser.add_argument("--only", choices=[*OVER])
    parser.add_argument("--kills", type=int, default=100, help="in mid-job, or in mid-batch")
    parser.add_argument("--rate", type=int, default=400, help="fills a second")
    breaking.add_options(parser)
    return parser.parse_args()


def _show(outcome: Outcome, seconds: float) -> None:
    for name, count in sorted(outcome.struck.items()):
        say(f"    {count:>4}  {name}")
    figures = {
        "takeovers": outcome.takeovers,
        **{text: outcome.said[name] for name, text in SAID.items()},
        "outbox rows sent again": outcome.resent,
        "transactions the producer repeated": outcome.repeated,
        **{f"process ended by itself: {words}": n for words, n in outcome.deaths.items()},
    }
    for text, figure in figures.items():
        say(f"  {figure:>6,}  {text}")
    say(f"  {outcome.events:,} events, recovered in {outcome.recovery_seconds:.1f} s,"
        f" {seconds:.0f} s in all")  # fmt: skip
    _verdict(outcome.plan.seed, outcome.found, outcome.logs)


def _verdict(seed: int, found: list[str], logs: Path | None) -> None:
    for line in found[:SHOWN]:
        say(f"  DIFFERENCE {line}")
    end = f"{len(found)} differences; logs in {logs}" if found else "exact"
    say(f"seed {seed}: {end}")


if __name__ == "__main__":
    sys.exit(main())
