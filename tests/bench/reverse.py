"""All fills of one account, the newest first: every one of them is late."""

from __future__ import annotations

from typing import Any

from tests.bench.feed import append, of_one_account
from tests.bench.figures import Figure
from tests.bench.place import Place


def reverse(place: Place, *, events: int = 1_000_000) -> Figure:
    """Rate until every fill is booked and every waiting fold is done, against the ordered rate."""
    ordered = _run(place, events, backwards=False)
    backwards = _run(place, events, backwards=True)
    same = ordered["books"] == backwards["books"]
    ratio = ordered["seconds"] / backwards["seconds"]
    return Figure(
        f"{events:,} fills of one account in reverse / in order",
        ">= 0.3, same books",
        f"{ratio:.2f}; {backwards['seconds']:.0f} s and {backwards['peak_mb']:.0f} MB, in order"
        f" {ordered['seconds']:.0f} s and {ordered['peak_mb']:.0f} MB"
        + ("" if same else "; THE BOOKS DIFFER"),
        ratio >= 0.3 and same,
        "memory is the peak of the stream node's process",
    )


def _run(place: Place, events: int, *, backwards: bool) -> dict[str, Any]:
    place.empty()
    redis = place.redis()
    fed = of_one_account(events, partitions=place.settings.partitions)
    append(redis, place.settings.prefix, reversed(fed) if backwards else fed)
    del fed
    process = place.start(["-m", "tests.bench.node", "--until", str(events), "--settle"])
    result = place.result(process, 7200)
    result["books"] = _books(place)
    return result


def _books(place: Place) -> list[Any]:
    connection = place.mysql()
    cursor = connection.cursor()
    found: list[Any] = []
    for sql in (
        "SELECT qty, cost, avg_entry, realized, fills, restating_from_ms FROM fleet_positions",
        "SELECT day, asset, realized, fees, fills FROM fleet_pnl_daily ORDER BY day, asset",
        "SELECT day, qty, cost, realized, fills FROM fleet_position_days ORDER BY day",
        "SELECT COUNT(*) FROM fleet_fills",
    ):
        cursor.execute(sql)
        found.append(cursor.fetchall())
    connection.close()
    return found
