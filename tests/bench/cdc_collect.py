"""Decoding the log and appending it, against mysql-replication's own loop that only looks at rows.

Both read the same part of the log of the same server, from file and position, one after the other.
Ours does more: it makes exact values, numbers transactions and puts them into Redis.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from shared.cdc.declarations import declarations
from shared.cdc.log import ChangeLog
from shared.cdc.rows import Shapes
from shared.cdc.selection import Schemas, Selection
from shared.cdc.source import Source
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.changes import Position
from shared.mysql.connection import connect
from shared.settings_cdc import server_id_of
from shared.streams.connection import data_client
from tests.bench.figures import Figure, alternate, at_least
from tests.bench.place import Place
from tests.collector_world import CollectorWorld
from workers.cdc.collector import Collector
from workers.cdc.ports import Bounds

TABLE = "fleet_bench_changes"
CREATE = f"""
CREATE TABLE {TABLE} (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  account_id BIGINT UNSIGNED NOT NULL,
  instrument VARCHAR(64) NOT NULL,
  side ENUM('buy', 'sell') NOT NULL,
  qty DECIMAL(38,18) NOT NULL,
  price DECIMAL(38,18) NOT NULL,
  data LONGTEXT NOT NULL,
  executed_at DATETIME(6) NOT NULL,
  updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  note VARCHAR(100) NULL
)"""
PEER_SERVER_ID = 4_000_000_007
BATCH = 1_000


class Part(NamedTuple):
    """Of the log: where it begins, and what is in it."""

    begins: Position
    transactions: int
    rows: int


class Timed:
    """The source, until all of the part is appended; then it has the seconds that took."""

    def __init__(self, source: Source, part: Part) -> None:
        self._source = source
        self._part = part
        self.seconds = 0.0
        self.collector: Collector | None = None

    def position(self) -> Position:
        return self._part.begins

    def position_at(self, file: str, pos: int) -> Position:
        return self._source.position_at(file, pos)

    def read(self, position: Position) -> Iterator[SourceTransaction | Quiet]:
        started, left = time.perf_counter(), self._part.transactions
        for found in self._source.read(position):
            yield found
            if isinstance(found, SourceTransaction) and len(found.rows):
                left -= 1
                if not left:
                    break
        yield Quiet(found.ends if isinstance(found, SourceTransaction) else found.position)
        self.seconds = time.perf_counter() - started  # the Quiet made it append the rest
        assert self.collector is not None
        self.collector.stop()


def collect(place: Place, *, transactions: int, rounds: int) -> tuple[Figure, ...]:
    """Single-row transactions, then ones of a thousand rows."""
    with closing(place.mysql()) as connection:
        connection.cursor().execute(CREATE)
        single = _written(place, connection, transactions, rows=1, first=0)
        many = max(transactions // 100, 20)
        long = _written(place, connection, many, rows=BATCH, first=transactions)
    return (
        at_least(
            "log to Redis, single-row transactions, against mysql-replication",
            3, alternate(partial(ours, place, single), partial(peer, place, single), rounds),
            "rows/s", f"{single.rows:,} updates; both on one core, the peer stores nothing",
        ),
        at_least(
            "log to Redis, 1,000-row transactions, against mysql-replication",
            2, alternate(partial(ours, place, long), partial(peer, place, long), rounds),
            "rows/s", f"{long.rows:,} inserts; both on one core, the peer stores nothing",
        ),
    )  # fmt: skip


def ours(place: Place, part: Part) -> float:
    """Rows a second from the log into the stream."""
    settings = place.settings
    world = CollectorWorld(partial(data_client, settings.streams_redis, "bench"), settings.prefix)
    world.empty()
    world.new_sinks()
    timed = Timed(_source(place), part)
    tools = world.tools(source=timed, bounds=Bounds(), limit_bytes=lambda _: 1 << 40)
    timed.collector = Collector(tools)
    timed.collector.run()
    found = ChangeLog(world.connect(), settings.prefix).look()
    assert found is not None
    assert found.place.seq == part.transactions + 1, "each once, behind the control entry"
    world.empty()
    return part.rows / timed.seconds


def peer(place: Place, part: Part) -> float:
    """Rows a second that mysql-replication decodes and hands over."""
    mysql = place.settings.mysql
    reader = BinLogStreamReader(
        connection_settings={
            "host": mysql.host, "port": mysql.port, "user": mysql.user,
            "passwd": mysql.password.get_secret_value(),
        },
        server_id=PEER_SERVER_ID, log_file=part.begins.file, log_pos=part.begins.pos,
        resume_stream=True, blocking=False, only_tables=[TABLE],
        only_schemas=[mysql.database],
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )  # fmt: skip
    started, rows = time.perf_counter(), 0
    try:
        for event in reader:
            rows += len(event.rows)
            if rows >= part.rows:
                break
        seconds = time.perf_counter() - started
    finally:
        reader.close()
    assert rows == part.rows, f"it found {rows} of {part.rows} rows"
    return rows / seconds


def _source(place: Place) -> Source:
    mysql = place.settings.mysql
    selection = Selection(Schemas(mysql.database, mysql.laravel_database), (TABLE,), {})
    return Source(
        mysql, Shapes(selection, declarations(partial(connect, mysql)), mariadb=False),
        server_id=server_id_of(place.settings.prefix), name=place.settings.prefix,
        spill=place.settings.cdc_spill,
    )  # fmt: skip


def _written(place: Place, connection: Any, transactions: int, *, rows: int, first: int) -> Part:
    """One row per transaction: inserts first, then what is measured is updates of each."""
    cursor = connection.cursor()
    ids = range(first, first + transactions * rows)
    if rows == 1:
        _insert(cursor, ids)
        connection.commit()
    begins = _source(place).position()
    for number in range(transactions):
        if rows == 1:
            cursor.execute(
                f"UPDATE {TABLE} SET qty = qty + 1, note = %s WHERE id = %s",  # noqa: S608 - ours
                (f"note {number}", first + number),
            )
        else:
            _insert(cursor, ids[number * rows : (number + 1) * rows])
        connection.commit()
    return Part(begins, transactions, transactions * rows)


def _insert(cursor: Any, ids: range) -> None:
    for start in range(0, len(ids), BATCH):
        cursor.executemany(
            f"INSERT INTO {TABLE} (id, account_id, instrument, side, qty, price, data, executed_at)"  # noqa: S608 - ours
            " VALUES (%s, 7, 'BTCUSDT', 'buy', '0.125', '67123.45', %s, UTC_TIMESTAMP(6))",
            [(one, f'{{"order": {one}, "taker": true}}') for one in ids[start : start + BATCH]],
        )
