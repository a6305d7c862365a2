"""A small fleet for tests: a reader in a thread, handlers that can fail, events by XADD or outbox.

Real servers, the real reader, the real decoder; only the handlers of two event types are the
test's own, so that a failure can be ordered.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from redis import Redis

from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.assignment import PartitionId
from shared.streams.connection import data_client
from shared.streams.decode import routes
from shared.streams.keys import partition_of, stream_key
from tests.event_samples import FILL
from workers.batch import Decoding
from workers.batch_report import BatchReport
from workers.consumer import StreamReader, node_name
from workers.lane import Bounds, Tools
from workers.registry import EVENTS, EventType

CONSUMER = "ledger"
PARTITIONS = 4
TS_US = "1764000000123456"
QUICK = Bounds(
    block_ms=20,
    check_seconds=0.1,
    halted_check_seconds=0.1,
    pause_seconds=0.01,
    pause_seconds_most=0.05,
)


def fill(account: int, trade: int | str, **more: Any) -> dict[str, Any]:
    """Data of a linear fill: buy 1 at 100 on an account."""
    told = {**FILL, "account_id": account, "trade_id": str(trade), "qty": "1", "price": "100"}
    return {**told, "order_id": None, "client_order_id": None, "realized_pnl": None, **more}


def entry(account: int, data: Any, type_: str = "order.filled.1") -> dict[str, Any]:
    """Fields of an entry; data may be text that is no JSON."""
    return {
        "type": type_,
        "key": str(account),
        "id": str(uuid.uuid4()),
        "ts_us": TS_US,
        "data": data if isinstance(data, (str, bytes)) else json.dumps(data),
    }


@dataclass
class World:
    """One consumer's surroundings: its schema and its prefix, with `partitions` per stream.

    settings: of the role `streams`, which the reader works as. connection, redis: the
    administrator's, for what the test itself does.
    """

    settings: Settings
    connection: Any
    redis: Redis
    partitions: int = PARTITIONS
    streams: tuple[str, ...] = ("orders",)
    reports: list[BatchReport] = field(default_factory=list)
    logs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    # -- events in -----------------------------------------------------------------------------

    def add(self, account: int, data: Any, *, type_: str = "order.filled.1", **more: Any) -> str:
        """XADD to the account's partition, or to the one named `partition`; the entry's id."""
        number = more.pop("partition", self.partition(account))
        fields: dict[Any, Any] = {**entry(account, data, type_), **more}
        reply: Any = self.redis.xadd(self.key(number), fields)
        return str(reply.decode())

    def add_at(self, entry_id: str, account: int, data: Any) -> None:
        """XADD under an id of the test's choice."""
        fields: dict[Any, Any] = {**entry(account, data)}
        self.redis.xadd(self.key(self.partition(account)), fields, id=entry_id)

    def add_fills(self, account: int, trades: Sequence[int]) -> list[str]:
        return [self.add(account, fill(account, trade)) for trade in trades]

    def record(self, account: int, data: Mapping[str, Any], **columns: Any) -> int:
        """An outbox row, committed; its id."""
        row = {
            "stream": "orders",
            "type": "order.filled.1",
            "event_key": str(account),
            "event_id": str(uuid.uuid4()),
            "ts_us": TS_US,
            "data": json.dumps(data),
            **columns,
        }
        marks = ", ".join(["%s"] * len(row))
        cursor = self.connection.cursor()
        cursor.execute(
            f"INSERT INTO fleet_outbox ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 - ours
            tuple(row.values()),
        )
        self.connection.commit()
        return int(cursor.lastrowid)

    def key(self, number: int, stream: str = "orders") -> str:
        return stream_key(self.settings.prefix, stream, number)

    def partition(self, account: int) -> int:
        return partition_of(str(account), self.partitions)

    # -- rows out ------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is committed now."""
        self.connection.rollback()
        cursor = self.connection.cursor()
        cursor.execute(sql, values)
        found = list(cursor.fetchall())
        self.connection.commit()
        return found

    def one(self, sql: str, *values: Any) -> Any:
        found = self.rows(sql, *values)
        assert len(found) == 1, f"{len(found)} rows of {sql}"
        return found[0][0] if len(found[0]) == 1 else found[0]

    def run(self, sql: str, *values: Any) -> int:
        self.connection.rollback()
        changed: int = self.connection.cursor().execute(sql, values)
        self.connection.commit()
        return changed

    def trades(self, account: int) -> list[str]:
        """Trade ids in the book, in order."""
        sql = "SELECT trade_id FROM fleet_fills WHERE account_id = %s ORDER BY trade_id_bytes, 1"
        return [row[0] for row in self.rows(sql, account)]

    def offset(self, number: int, columns: str = "last_id", stream: str = "orders") -> Any:
        return self.one(
            f"SELECT {columns} FROM fleet_offsets WHERE stream = %s AND partition_no = %s",  # noqa: S608
            stream,
            number,
        )

    def parked(self) -> list[tuple[str, str]]:
        """(entry id, reason) of open events."""
        return self.rows(
            "SELECT entry_id, reason FROM fleet_parked WHERE resolution IS NULL"
            " ORDER BY parked_at, entry_id"
        )

    def logged(self, name: str) -> list[dict[str, Any]]:
        return [words for event, words in list(self.logs) if event == name]

    # -- the fleet -----------------------------------------------------------------------------

    def tools(self, **more: Any) -> Tools:
        """Tools of one start of a node; `more` replaces some of them."""
        table: Mapping[str, EventType] = more.pop("table", EVENTS)
        tools = Tools(
            connect_mysql=partial(connect, self.settings.mysql),
            connect_redis=partial(data_client, self.settings.streams_redis, "t", block_ms=100),
            prefix=self.settings.prefix,
            consumer=CONSUMER,
            node=node_name(more.pop("node", "node")),
            decoding=Decoding(routes(table), self.partitions),
            table=table,
            report=self.reports.append,
            log=lambda event, **words: self.logs.append((event, words)),
            bounds=QUICK,
        )
        return replace(tools, **more)

    def reader(self, *, lanes: int = 1, **more: Any) -> StreamReader:
        ids = [PartitionId(name, at) for name in self.streams for at in range(self.partitions)]
        return StreamReader(self.tools(**more), ids, lanes=lanes)

    @contextmanager
    def reading(self, **more: Any) -> Iterator[StreamReader]:
        """A reader in a thread, stopped at the end; its failure is the test's."""
        with running(self.reader(**more)) as reader:
            yield reader


@contextmanager
def running(runner: Any) -> Iterator[Any]:
    """Anything with run() and stop(), in a thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            runner.run()
        except BaseException as failure:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(failure)

    thread = threading.Thread(target=run, name="test-runner")
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join(20)
        alive = thread.is_alive()
    assert not alive, "it did not stop"
    if failures:
        raise failures[0]


def with_apply(apply: Callable[[Any, Sequence[Any]], None]) -> dict[str, EventType]:
    """The table, with another handler of fills; it may call `book_fills` to go on."""
    return {**EVENTS, "order.filled.1": EVENTS["order.filled.1"]._replace(apply=apply)}


book_fills = EVENTS["order.filled.1"].apply
