"""Memory of a stream node at full load: flat, or it would end one night."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from tests.bench.feed import Fed, fills
from tests.bench.figures import Figure
from tests.bench.nodes import READY_SECONDS, Feeding, Owners, stream_node, until
from tests.bench.place import Place

CHUNK = 10_000
CHUNK_MS = 5 * 86_400_000  # the market spreads each lot of fills over so many days
WAITING = 20_000
SAMPLE_SECONDS = 1.0
FLAT = 0.03  # growth of the last quarter over the second one, as a share


def memory(place: Place, *, minutes: float = 10) -> Figure:
    """Resident memory, sampled each second; the first quarter is warming up."""
    place.empty()
    owners = Owners(place)
    with stream_node(place, 1) as node:
        until(lambda: bool(found := owners.by_partition()) and all(found.values()), READY_SECONDS)
        samples = []
        with Feeding(place, lambda chunk: chunk_of(place, chunk), WAITING):
            until(lambda: owners.entries_read() > CHUNK, 120)
            before, ends = owners.entries_read(), time.monotonic() + minutes * 60
            while time.monotonic() < ends and node.poll() is None:
                samples.append(resident_mb(node.pid))
                time.sleep(SAMPLE_SECONDS)
            events = owners.entries_read() - before
    owners.close()
    if node.returncode not in {0, None} and len(samples) < minutes * 30:
        raise RuntimeError(f"the node ended with {node.returncode}")
    quarter = len(samples) // 4
    early, late = median(samples[quarter : 2 * quarter]), median(samples[3 * quarter :])
    growth = late / early - 1
    return Figure(
        f"memory of a stream node over {minutes:g} minutes at full load",
        f"flat (< {FLAT:.0%} from the 2nd quarter to the 4th)",
        f"{early:.1f} MB -> {late:.1f} MB ({growth:+.1%}), most {max(samples):.1f} MB",
        growth < FLAT,
        f"{events:,} fills, {events / (minutes * 60):,.0f}/s",
    )


def chunk_of(place: Place, chunk: int) -> list[Fed]:
    """The next fills: trade ids of their own, times after those of the chunk before."""
    return fills(
        CHUNK, partitions=place.settings.partitions, seed=1_000 + chunk, from_trade=chunk * 10**7,
        from_ms=chunk * CHUNK_MS,
    )  # fmt: skip


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
