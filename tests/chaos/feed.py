"""The producer of a storm: seeded events, written as Laravel would, through thick and thin.

A transaction whose outcome is unknown is repeated with the same event ids.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

import MySQLdb
from redis.exceptions import RedisError

from deploy.desk.market import Line, Market, troubled
from shared.errors import Unavailable
from shared.streams.keys import partition_of, stream_key
from tests.desk import Desk

CHUNK = 40  # events of one transaction, at most
RETRY_SECONDS = 0.1
ACCOUNTS = 40
SEND = (
    "INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)


class Told(NamedTuple):
    """One event. partition: where a direct XADD goes. reason: why it must be parked, or None."""

    line: Line
    direct: bool
    partition: int
    reason: str | None


def tell(seed: int, fills: int, partitions: int, *, direct: bool) -> list[Told]:
    """All events of a storm in the order of sending. direct: about half of them by XADD."""
    market = Market(seed, ACCOUNTS)
    lines = troubled(list(market.lines(fills)), market, seed)
    rng = Random(seed)
    told = []
    by_xadd = False
    for number, line in enumerate(lines):
        if number % CHUNK == 0:
            by_xadd = direct and rng.random() < 0.5
        told.append(Told(line, by_xadd, partition_of(line.key, partitions), None))
    for bad in _malformed(rng, market, partitions, max(fills // 150, 6)):
        told.insert(rng.randrange(len(told)), bad._replace(direct=direct and bad.direct))
    return [one for one in told if direct or one.reason != "wrong_partition"]


def _malformed(rng: Random, market: Market, partitions: int, count: int) -> list[Told]:
    """Events that are parked, each with an identity of its own."""
    made = []
    for number in range(count):
        account = rng.randrange(1, ACCOUNTS + 1)
        fill: dict[str, Any] = {
            "account_id": account, "venue": "desk", "product": "linear", "instrument": "BTCUSDT",
            "position_side": "net", "trade_id": f"bad-{number}", "order_id": None, "side": "buy",
            "qty": "1", "price": "64000", "settle_asset": "USDT", "fee": None, "fee_asset": None,
            "executed_at_ms": 1_767_225_600_000 + number,
        }  # fmt: skip
        line = market.line("orders", "order.filled.1", str(account), fill["executed_at_ms"], fill)
        partition = partition_of(line.key, partitions)
        reason = ("invalid_json", "unknown_type", "malformed", "wrong_key", "overflow",
                  "wrong_partition")[number % 6]  # fmt: skip
        if reason == "invalid_json":
            line = _with(line, data=line.data[:-1])
        elif reason == "unknown_type":
            line = _with(line, type="order.imagined.1")
        elif reason == "malformed":
            line = _with(line, data=json.dumps({**fill, "qty": 1.5}))
        elif reason == "wrong_key":
            line = _with(line, data=json.dumps({**fill, "account_id": account + 1}))
        elif reason == "overflow":
            large = format(Decimal(10) ** 17, "f")
            line = _with(line, data=json.dumps({**fill, "qty": large, "price": large}))
        else:
            partition = (partition + 1) % partitions
        made.append(Told(line, reason == "wrong_partition" or number % 2 == 0, partition, reason))
    return made


def _with(line: Line, **changes: str) -> Line:
    return Line(**{**line.__dict__, **changes})


class Feed(threading.Thread):
    """Sends at a rate; what could not be sent in time follows as fast as it goes."""

    def __init__(self, desk: Desk, told: Sequence[Told], per_second: float) -> None:
        super().__init__(name="feed", daemon=True)
        self._desk = desk
        self._told = told
        self._rate = per_second
        self._mysql: Any = None
        self._redis = desk.redis()
        self.sent = 0
        self.repeated = 0
        self.failure: BaseException | None = None
        self._ending = threading.Event()

    def end(self) -> None:
        """Send nothing more; the first `sent` of what was to be told are out."""
        self._ending.set()

    def run(self) -> None:
        try:
            self._send_all()
        except BaseException as failure:  # noqa: BLE001 - looked at by the storm
            self.failure = failure
        finally:
            self._leave()

    def _send_all(self) -> None:
        started = time.monotonic()
        for chunk in _chunks(self._told):
            if self._ending.is_set():
                return
            due = started + self.sent / self._rate
            time.sleep(max(due - time.monotonic(), 0))
            while not self._sent(chunk):
                self.repeated += 1
                time.sleep(RETRY_SECONDS)
            self.sent += len(chunk)

    def _sent(self, chunk: Sequence[Told]) -> bool:
        return self._by_xadd(chunk) if chunk[0].direct else self._by_outbox(chunk)

    def _by_outbox(self, chunk: Sequence[Told]) -> bool:
        rows = [
            (line.stream, line.type, line.key, line.id, line.ts_us, line.data)
            for line in (one.line for one in chunk)
        ]
        try:
            if self._mysql is None:
                self._mysql = self._desk.connect()
            with closing(self._mysql.cursor()) as cursor:
                cursor.executemany(SEND, rows)
            self._mysql.commit()
        except (MySQLdb.Error, Unavailable):
            self._leave_mysql()
            return False
        return True

    def _by_xadd(self, chunk: Sequence[Told]) -> bool:
        pipe = self._redis.pipeline(transaction=False)
        for one in chunk:
            line = one.line
            fields = {"type": line.type, "key": line.key, "id": line.id, "ts_us": line.ts_us,
                      "data": line.data}  # fmt: skip
            pipe.xadd(stream_key(self._desk.prefix, line.stream, one.partition), fields)  # type: ignore[arg-type]
        try:
            pipe.execute()
        except RedisError:
            return False
        return True

    def _leave_mysql(self) -> None:
        if self._mysql is not None:
            connection, self._mysql = self._mysql, None
            with suppress(MySQLdb.Error):
                connection.close()

    def _leave(self) -> None:
        self._leave_mysql()
        self._redis.close()


def _chunks(told: Sequence[Told]) -> list[list[Told]]:
    """Consecutive events that travel the same way."""
    chunks: list[list[Told]] = []
    for one in told:
        if not chunks or len(chunks[-1]) >= CHUNK or chunks[-1][0].direct != one.direct:
            chunks.append([])
        chunks[-1].append(one)
    return chunks


def laravel_jobs(seed: int, count: int = 50) -> list[bytes]:
    """Payloads as Laravel pushes them."""
    rng = Random(seed)
    return [
        json.dumps({"uuid": str(uuid.UUID(int=rng.getrandbits(128))), "job": "Noop", "data": {}})
        .encode()
        for _ in range(count)
    ]  # fmt: skip
