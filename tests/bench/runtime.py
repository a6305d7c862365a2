"""The runtime alone: a handler that does nothing, against a bare XREAD loop."""

from __future__ import annotations

import time
from typing import Any

import orjson

from shared.streams.keys import stream_key
from tests.bench.feed import append, fills
from tests.bench.figures import Figure, alternate, at_least
from tests.bench.place import Place

COUNT = 500


def noop(place: Place, *, events: int = 60_000, rounds: int = 3) -> Figure:
    """Validating with the real models and committing offsets, against orjson.loads and nothing."""
    fed = fills(events, partitions=place.settings.partitions)
    place.empty()
    redis = place.redis()
    append(redis, place.settings.prefix, fed)

    def ours() -> float:
        return float(run_node(place, events, "--noop")["rate"])

    def peer() -> float:
        return bare_loop(place, events)

    return at_least(
        "runtime, handler that does nothing / bare XREAD loop with orjson.loads",
        0.6, alternate(ours, peer, rounds), "events/s",
        f"{events:,} fills of 1,000 accounts, {len(fed[0].fields['data'])} bytes of data each",
    )  # fmt: skip


def run_node(place: Place, until: int, *options: str) -> dict[str, Any]:
    """Everything in the streams through a fresh stream node, from the first entry."""
    connection = place.mysql()
    connection.cursor().execute("DELETE FROM fleet_offsets")
    connection.commit()
    connection.close()
    process = place.start(["-m", "tests.bench.node", "--until", str(until), *options])
    return place.result(process)


def bare_loop(place: Place, events: int) -> float:
    """redis-py as its documentation shows it: XREAD over all partitions, orjson.loads on `data`."""
    redis = place.redis()
    offsets: dict[Any, Any] = {
        stream_key(place.settings.prefix, "orders", number): "0-0"
        for number in range(place.settings.partitions)
    }
    offsets = {key.encode(): last for key, last in offsets.items()}
    seen = 0
    started = time.perf_counter()
    while seen < events:
        found: Any = redis.xread(offsets, count=COUNT, block=100)
        for key, entries in found:
            for entry_id, fields in entries:
                orjson.loads(fields[b"data"])
                offsets[key] = entry_id
            seen += len(entries)
    return seen / (time.perf_counter() - started)
