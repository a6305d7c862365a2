"""From XADD to committed, at a steady 500 fills a second."""

from __future__ import annotations

import time
from typing import Any

from shared.streams.keys import stream_key
from tests.bench.feed import fields_of, fills
from tests.bench.figures import Figure
from tests.bench.place import Place

PER_SECOND = 500
WARM_SECONDS = 3


def latency(place: Place, *, seconds: int = 30) -> Figure:
    """Each event carries the moment before its XADD; the node looks at its clock after COMMIT."""
    place.empty()
    count = PER_SECOND * seconds
    fed = fills(count, partitions=place.settings.partitions)
    bounds = ("--until", str(count), "--seconds", str(seconds + 60))
    process = place.start(["-m", "tests.bench.node", "--latency", *bounds])
    output: Any = process.stdout
    if output.readline().strip() != "ready":
        raise RuntimeError("the node did not become ready")
    redis = place.redis()
    keys = [stream_key(place.settings.prefix, one.stream, one.partition) for one in fed]
    started = time.perf_counter()
    late = 0.0
    for number, (key, one) in enumerate(zip(keys, fed, strict=True)):
        wait = started + number / PER_SECOND - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        late = max(late, -wait)
        redis.xadd(key, {**fields_of(one), "ts_us": str(time.time_ns() // 1000)})
    redis.close()
    # The first seconds are Python's and MySQL's warming up, not the runtime's steady state.
    result = place.result(process)
    delays = sorted(result["delays_us"][WARM_SECONDS * PER_SECOND :])
    p50, p99 = (delays[int(len(delays) * share)] / 1000 for share in (0.50, 0.99))
    return Figure(
        f"latency XADD to committed at {PER_SECOND} fills/s",
        "p50 < 10 ms, p99 < 50 ms",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {delays[-1] / 1000:.0f} ms",
        p50 < 10 and p99 < 50,
        f"{seconds} s, {result['batches']:,} commits; the writer was at most"
        f" {late * 1000:.0f} ms late",
    )
