"""`make chaos`: storms over the desk's own servers. Same seed, same events and same draw of faults.

They restart the desk's servers and, with an even seed, empty its whole Redis: not for a desk that
somebody works on. Exit 1 on any difference; the schema and the logs then stay for a look.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time

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
    flavour = server_values().get("SERVERS_FLAVOUR")
    if flavour not in {"mariadb", "mysql"}:
        raise SystemExit("storms need servers that can be killed: SERVERS=mariadb or SERVERS=mysql")
    first = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    worst = 0
    for seed in range(first, first + options.seeds):
        plan = full_plan(seed, options.seconds, options.rate)
        kind = "Redis keeps its data, half by XADD" if plan.direct else "Redis loses data"
        say(f"seed {seed} on {flavour}: {options.seconds:.0f} s, {kind}")
        started = time.monotonic()
        outcome = run(plan, say)
        _show(outcome, time.monotonic() - started)
        worst = max(worst, int(bool(outcome.found)))
    return worst


def say(text: str) -> None:
    print(text, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="default: a new one, printed")
    parser.add_argument("--seeds", type=int, default=1, help="so many storms, seeds counted up")
    parser.add_argument("--rate", type=int, default=400, help="fills a second")
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
    for line in outcome.found[:SHOWN]:
        say(f"  DIFFERENCE {line}")
    if outcome.found:
        say(f"seed {outcome.plan.seed}: {len(outcome.found)} differences; logs in {outcome.logs}")
    else:
        say(f"seed {outcome.plan.seed}: exact")


if __name__ == "__main__":
    sys.exit(main())
