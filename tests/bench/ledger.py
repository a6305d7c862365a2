"""Fills to committed ledger rows: against bare inserts, Celery tasks and FastStream batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from tests.bench.feed import Fed, append, append_to_one, fills
from tests.bench.figures import Figure, alternate, at_least
from tests.bench.place import Place, remove_keys
from tests.bench.runtime import run_node

BATCH = 500
ACCOUNTS = 1_000


def bare(place: Place, *, events: int = 20_000, rounds: int = 3) -> Figure:
    """Against mysqlclient's executemany of the very rows that the ledger wrote."""
    fed = fills(events, accounts=ACCOUNTS, partitions=place.settings.partitions)

    def peer() -> float:
        place.empty()
        connection = place.mysql()
        started = time.perf_counter()
        for batch in batches:
            _write(connection, batch)
        rate = events / (time.perf_counter() - started)
        connection.close()
        return rate

    our_rate(place, fed)  # makes the rows that the peer copies
    connection = place.mysql()
    batches = list(rows_by_batch(connection, fed))
    connection.close()
    found = alternate(lambda: our_rate(place, fed), peer, rounds)
    return at_least(
        "fills to ledger rows / the same rows by bare executemany, 500 a batch",
        0.5, found, "fills/s", f"{events:,} fills of {ACCOUNTS:,} accounts, one stream node",
    )  # fmt: skip


def celery(place: Place, *, events: int = 20_000, rounds: int = 3, tasks: int = 2_000) -> Figure:
    """Against one Celery task per fill that runs the same ledger code."""
    fed = fills(events, accounts=ACCOUNTS, partitions=place.settings.partitions)
    pools = iter(("prefork", "threads") * rounds)
    seen: dict[str, list[float]] = {"prefork": [], "threads": []}

    def peer() -> float:
        for pool in (next(pools), next(pools)):
            seen[pool].append(celery_rate(place, fed[:tasks], pool))
        return max(seen["prefork"][-1], seen["threads"][-1])

    found = alternate(lambda: our_rate(place, fed), peer, rounds)
    return at_least(
        "fills to ledger rows / one Celery task per fill, same ledger code",
        15, found, "fills/s", f"{tasks:,} tasks, better of prefork -c 2 and threads -c 2",
    )  # fmt: skip


def faststream(place: Place, *, events: int = 20_000, rounds: int = 3) -> Figure:
    """Against a FastStream batch subscriber that runs the same ledger code."""
    fed = fills(events, accounts=ACCOUNTS, partitions=place.settings.partitions)

    def peer() -> float:
        place.empty()
        redis = place.redis()
        key = f"{place.settings.prefix}streams:all"
        append_to_one(redis, key, fed)
        process = place.start(["-m", "tests.bench.faststream_peer", key, str(BATCH)])
        with _ended(process):
            rate = committed_rate(place, len(fed))
        redis.delete(key)
        return rate

    found = alternate(lambda: our_rate(place, fed), peer, rounds)
    return at_least(
        "fills to ledger rows / FastStream batch subscriber, same ledger code",
        1.0, found, "fills/s", f"batches of {BATCH} from one stream, one process",
    )  # fmt: skip


def our_rate(place: Place, fed: Sequence[Fed]) -> float:
    """Fills a second through one stream node, from empty tables."""
    _refill(place, fed)
    return float(run_node(place, len(fed))["rate"])


def _refill(place: Place, fed: Sequence[Fed]) -> None:
    place.empty()
    redis = place.redis()
    append(redis, place.settings.prefix, fed)
    redis.close()


def celery_rate(place: Place, fed: Sequence[Fed], pool: str) -> float:
    from tests.bench import celery_peer  # noqa: PLC0415 - reads the environment when imported

    place.empty()
    app = celery_peer.make(place.settings)
    for one in fed:
        app.send_task("bench.fill", args=[one.fields])
    worker = place.start(
        ["-m", "celery", "-q", "-A", "tests.bench.celery_peer:app", "worker", "-P", pool, "-c", "2",
         "-Q", "bench", "-l", "ERROR", "--without-gossip", "--without-mingle", "-n", "peer@%h"]
    )  # fmt: skip
    with _ended(worker):
        rate = committed_rate(place, len(fed))
    remove_keys(place.redis(), place.settings.broker_prefix)
    app.close()
    return rate


def committed_rate(place: Place, total: int, seconds: float = 600) -> float:
    """Fills a second, from the first look that sees some to the one that sees all."""
    connection = place.mysql()
    connection.autocommit(on=True)
    cursor = connection.cursor()
    first: tuple[float, int] | None = None
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        cursor.execute("SELECT COUNT(*) FROM fleet_fills")
        count, now = cursor.fetchone()[0], time.perf_counter()
        if count >= total:
            assert first is not None, "all at once: too few fills to tell a rate"
            return float((count - first[1]) / (now - first[0]))
        if count and first is None:
            first = (now, count)
        time.sleep(0.05)
    raise TimeoutError(f"{count} of {total} fills after {seconds} s")


@contextlib.contextmanager
def _ended(process: Any) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except TimeoutError:
            process.kill()


# -- the bare peer -----------------------------------------------------------------------------


class Table(NamedTuple):
    """A table the ledger writes; key: the columns by which a row belongs to a fill."""

    name: str
    key: tuple[str, ...]


TABLES = (
    Table("fleet_account_state", ("account_id",)),
    Table("fleet_fill_reports", ("account_id", "product", "instrument", "trade_id", "side")),
    Table("fleet_fills", ("account_id", "product", "instrument", "trade_id", "side")),
    Table("fleet_positions", ("account_id", "product", "instrument", "position_side")),
    Table("fleet_position_days", ("account_id", "product", "instrument", "position_side", "day")),
    Table("fleet_pnl_daily", ("account_id", "product", "instrument", "day")),
    Table("fleet_orders", ("account_id", "product", "instrument", "order_id")),
)

Batch = list[tuple[str, list[tuple[Any, ...]]]]


def rows_by_batch(connection: Any, fed: Sequence[Fed]) -> Iterator[Batch]:
    """Per batch of fills, each table's rows that the ledger touches for them, as it left them."""
    cursor = connection.cursor()
    stored = []
    for table in TABLES:
        columns = _written(cursor, table.name)
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table.name}")  # noqa: S608 - ours
        places = [columns.index(name) for name in table.key]
        by_key: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for row in cursor.fetchall():
            by_key.setdefault(tuple(row[place] for place in places), []).append(row)
        stored.append((table, _insert(table.name, columns), by_key))
    connection.commit()
    known = _fills_by_identity(connection)
    for first in range(0, len(fed), BATCH):
        batch: Batch = []
        told = [known[identity] for identity in _identities(fed[first : first + BATCH])]
        for table, insert, by_key in stored:
            keys = dict.fromkeys(tuple(fill[name] for name in table.key) for fill in told)
            batch.append((insert, [row for key in keys for row in by_key.get(key, [])]))
        yield batch


def _written(cursor: Any, table: str) -> list[str]:
    """Its columns, without those that the server computes."""
    cursor.execute(f"SHOW COLUMNS FROM {table}")
    return [name for name, *_, extra in cursor.fetchall() if "STORED GENERATED" not in extra]


def _insert(table: str, columns: Sequence[str]) -> str:
    names = ", ".join(columns)
    marks = ", ".join(["%s"] * len(columns))
    updates = ", ".join(f"{name} = VALUES({name})" for name in columns)
    insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - our own names
    return f"{insert} ON DUPLICATE KEY UPDATE {updates}"


def _fills_by_identity(connection: Any) -> dict[tuple[str, ...], dict[str, Any]]:
    cursor = connection.cursor()
    cursor.execute("SELECT *, DATE(executed_at) AS day FROM fleet_fills")
    columns = [column[0] for column in cursor.description]
    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    connection.commit()
    return {
        (str(fill["account_id"]), fill["instrument"], fill["trade_id"], fill["side"]): fill
        for fill in found
    }


def _identities(fed: Iterable[Fed]) -> Iterator[tuple[str, ...]]:
    for one in fed:
        data = orjson.loads(one.fields["data"])
        yield str(data["account_id"]), data["instrument"], data["trade_id"], data["side"]


def _write(connection: Any, batch: Batch) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "INSERT INTO fleet_offsets (consumer, stream, partition_no, last_id, entries_read)"
        " VALUES ('bare', 'orders', 0, '1-1', %s)"
        " ON DUPLICATE KEY UPDATE entries_read = entries_read + VALUES(entries_read)",
        (BATCH,),
    )
    for insert, rows in batch:
        cursor.executemany(insert, rows)
    connection.commit()
