"""How long a partition has no owner: after kill -9, and at a stop."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

from shared.streams.lease import LEASE_MS
from tests.bench.figures import Figure
from tests.bench.nodes import READY_SECONDS, Owners, stream_node, until
from tests.bench.place import Place


def takeover(place: Place, *, rounds: int = 3) -> Figure:
    """Kill -9 of one of two nodes, until the other has raised the epoch of all its partitions."""
    seconds = sorted(_round(place, subprocess.Popen.kill) for _ in range(rounds))
    bound = LEASE_MS / 1000 + 1
    return Figure(
        "takeover after kill -9, until every partition has its new owner",
        f"< {bound:g} s",
        f"{seconds[-1]:.2f} s, the longest of {rounds}",
        seconds[-1] < bound,
        f"half of the partitions, lease {LEASE_MS / 1000:g} s",
    )


def handoff(place: Place, *, rounds: int = 3) -> Figure:
    """SIGTERM of one of two nodes. Each partition's gap runs from being let go to being taken."""
    seconds = sorted(
        _round(place, lambda node: node.send_signal(signal.SIGTERM)) for _ in range(rounds)
    )
    return Figure(
        "handoff on SIGTERM, until every partition has its new owner",
        "< 1 s",
        f"{seconds[-1]:.2f} s, the longest of {rounds}",
        seconds[-1] < 1,
        "half of the partitions, from the signal on",
    )


def _round(place: Place, end: Callable[[subprocess.Popen[str]], None]) -> float:
    place.empty()
    owners = Owners(place)
    try:
        with stream_node(place, 1), stream_node(place, 2) as leaving:
            until(lambda: _shares(owners) == [0.5, 0.5], READY_SECONDS)
            time.sleep(2.0)  # leases have been renewed: the worst moment is just after that
            stays = next(iter(set(owners.by_partition().values()) - {_name(owners, leaving)}))
            end(leaving)
            return until(lambda: set(owners.by_partition().values()) == {stays}, 60)
    finally:
        owners.close()


def _name(owners: Owners, node: subprocess.Popen[str]) -> str | None:
    words = node.args if isinstance(node.args, list) else []
    slot = str(words[words.index("-n") + 1]).split("@", 1)[0]
    return next(name for name in owners.by_partition().values() if name and name.startswith(slot))


def _shares(owners: Owners) -> list[float]:
    found = list(owners.by_partition().values())
    return sorted(found.count(name) / len(found) for name in set(found)) if all(found) else []
