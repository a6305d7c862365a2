"""What `fleet capacity` reckons with, measured anew: bytes of a fill wherever it is kept, weight of
an account's turn at each venue. A figure that has moved by more than a quarter is to be renewed in
workers/capacity_figures.py; of bytes the worse of MariaDB and MySQL stands there, so that one of
them may well stay below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from deploy.exchange.server import Running, new_exchange
from shared.exchanges.venue import KINDS, Kind, Product
from shared.streams.keys import stream_key
from tests.bench.cdc_capture import Capture, Offsets, capture_of
from tests.bench.feed import append, fills
from tests.bench.figures import Figure
from tests.bench.place import Place, remove_keys
from tests.bench.runtime import run_node
from tests.venue_world import KEYS, Clock, Sync
from workers.capacity_figures import BYTES, WEIGHTS, Weights

MOVED = 0.25
CAUGHT_UP_SECONDS = 300
PAUSE_MS = 15 * 60_000  # long enough for every question to be due
ROWS = {
    "a fill in MySQL": ("fleet_fills", "fleet_fill_reports"),
    "a position": ("fleet_positions",),
    "a position's day": ("fleet_position_days",),
    "a day's P&L": ("fleet_pnl_daily",),
}
TIMESCALE = "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
"""Of a database that holds nothing but captured changes, and what every database has."""


def capacity(place: Place, *, events: int) -> tuple[Figure, ...]:
    sizes = stored(place, events)
    return (
        *(
            _figure(f"capacity: {name}", known, sizes[name], "bytes")
            for name, known in BYTES.items()
        ),
        *(
            _figure(
                f"capacity: a turn of {venue} {product}, {state}",
                sum(known.values()), sum(found.values()), "weight", least=-MOVED,
            )
            for (venue, product), both in WEIGHTS.items()
            for state, known, found in zip(
                Weights._fields, both, turn_weights(venue, product), strict=True
            )
        ),
    )  # fmt: skip


def _figure(
    name: str, known: float, found: float, unit: str, least: float = -1
) -> Figure:
    moved = found / known - 1
    return Figure(
        name, f"{known:,.0f} {unit}, as recorded", f"{found:,.0f} ({moved:+.0%})",
        least <= moved <= MOVED,
    )  # fmt: skip


# -- bytes -----------------------------------------------------------------------------------------


def stored(place: Place, events: int) -> dict[str, float]:
    """Bytes by name, as in BYTES: of one entry, one row, one fill's share of the binlog. The first
    half of the fills is booked without capture, the second with it.
    """
    fed = fills(events, partitions=place.settings.partitions)
    half = len(fed) // 2
    with capture_of(place) as capture, closing(capture.connection()) as connection:
        prefix = capture.here.settings.prefix
        append(capture.redis, prefix, fed[:half])
        found = {"an entry of a stream": _stream_bytes(capture) / half}
        log = capture.log_bytes()
        run_node(capture.here, half)
        found["a fill in the binlog"] = (capture.log_bytes() - log) / half
        for name, tables in ROWS.items():
            found[name] = sum(
                _size(connection, table) / _count(connection, table) for table in tables
            )
        capture.begin()
        before = _captured(capture, connection)
        remove_keys(capture.redis, stream_key(prefix, "orders", 0).split("{")[0] + "{orders:")
        append(capture.redis, prefix, fed[half:])
        run_node(capture.here, len(fed) - half)
        with closing(Offsets(capture)) as offsets:
            end = capture.log_end()
            capture.until(lambda: capture.reading() >= end, CAUGHT_UP_SECONDS)
            capture.until(lambda: offsets.both() >= capture.seq(), CAUGHT_UP_SECONDS)
        after = _captured(capture, connection)
        capture.stop()
    rows = after.rows - before.rows
    found["a change in the audit log"] = (after.audit - before.audit) / rows
    found["a change in TimescaleDB"] = (after.timescale - before.timescale) / rows
    found["changes of a fill"] = rows / (len(fed) - half)
    return found


class Captured(NamedTuple):
    """Bytes in both sinks, and rows of the audit log."""

    audit: int
    timescale: int
    rows: int


def _captured(capture: Capture, connection: Any) -> Captured:
    ((size,),) = capture.database.run(TIMESCALE)
    table = "fleet_change_log"
    return Captured(_size(connection, table), int(str(size)), _count(connection, table))


def _stream_bytes(capture: Capture) -> int:
    settings, redis = capture.here.settings, capture.redis
    keys = (stream_key(settings.prefix, "orders", number) for number in range(settings.partitions))
    sizes: list[Any] = [redis.memory_usage(key, samples=0) for key in keys]
    return sum(size or 0 for size in sizes)


def _size(connection: Any, table: str) -> int:
    """Bytes with its keys."""
    cursor = connection.cursor()
    cursor.execute(f"ANALYZE TABLE {table}")
    cursor.fetchall()
    cursor.execute(
        "SELECT data_length + index_length FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = %s",
        (table,),
    )
    (size,) = cursor.fetchone()
    return int(size)


def _count(connection: Any, table: str) -> int:
    cursor = connection.cursor()
    cursor.execute(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - one of ours
    (rows,) = cursor.fetchone()
    return int(rows)


# -- weight ----------------------------------------------------------------------------------------


def turn_weights(venue: str, product: Product) -> Weights:
    """Of an account that holds a position: a turn before which it has traded, and a quiet one."""
    with _account(venue, product) as sync:
        _trade(sync)
        sync.run()
        _trade(sync)
        busy = _turn(sync)
        sync.clock.pass_(PAUSE_MS)
        return Weights(busy, _turn(sync))


def _turn(sync: Sync) -> dict[Kind, int]:
    """By kind; a turn goes on until nothing more is there, as a run of the sync does."""
    weights: dict[Kind, int] = {}
    for kind in KINDS:
        if kind not in sync.row.readings:
            continue
        before = sync.asked["weight"]
        wanted: dict[str, int] = {}
        while True:
            page = sync.read(kind)
            wanted |= page.wanted
            if not page.more:
                break
        sync.want(wanted)
        weights[kind] = sync.asked["weight"] - before
    return weights


@contextmanager
def _account(venue: str, product: Product) -> Iterator[Sync]:
    clock = Clock()
    with Running(new_exchange(clock=clock)) as running:
        account = {
            "venue": venue, "uid": "700", "api_key": KEYS.api_key, "secret": KEYS.secret,
            "passphrase": KEYS.passphrase, "products": [product],
        }  # fmt: skip
        running.do(lambda desk: desk.add_accounts([account]))
        clock.pass_(1_000)
        sync = Sync(running, clock, venue, product)
        traded = [one for one in sync.markets.values() if one.product == product]
        assets = {one.settle for one in traded} | {one.base for one in traded}
        for asset in sorted(assets):
            sync.desk("move", kind="deposit", asset=asset, amount="1000000", product=product)
        clock.pass_(1_000)
        try:
            yield sync
        finally:
            sync.close()


def _trade(sync: Sync) -> None:
    symbol = next(
        symbol
        for (product, symbol), market in sorted(sync.markets.items())
        if product == sync.product and market.base == "BTC"
    )
    quantity = {"linear": "3", "inverse": "30", "spot": "0.3"}[sync.product]
    sync.trade(symbol, "buy", quantity, "100")
    sync.clock.pass_(PAUSE_MS)
