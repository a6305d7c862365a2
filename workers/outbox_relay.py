"""The relay: outbox rows become stream entries, again and again until a sink has confirmed them.

A row whose stream nobody reads is parked instead, where `fleet parked` shows it.

A row is marked as sent and committed before it is appended: no row lock is held while Redis is
asked. What happens between the two, or after, is healed by three observations, each of which sends
unconfirmed rows once more (identity makes the double harmless):

    the append failed, or nobody knows         → the rows wait again
    the append can never succeed               → the row is parked, with what Redis said
    Redis is another one, or lost its memory   → every unconfirmed row waits again
    a stream was read past a row's send time   → that row was never delivered: it waits again
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import MySQLdb
from redis import Redis
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import Unavailable
from shared.mysql import outbox
from shared.mysql.connection import classify
from shared.mysql.outbox import OutboxRow
from shared.mysql.parked import ParkedEvent, park
from shared.queries import load
from shared.redis_cluster import masters
from shared.streams.assignment import PartitionId
from shared.streams.keys import partition_of, stream_key
from shared.streams.log import START, Entry, id_pair
from workers.batch import parked_event
from workers.drain import never
from workers.memory import streams_bytes
from workers.partitions import NAME as PARTITIONS

SQL = load(Path(__file__).with_name("outbox_relay.sql"))

SILENT_SECONDS = 60
"""The server ends a session that says nothing for so long; a relay speaks every second."""

REFUSED_FOR_EVER = ("WRONGTYPE", "The stream has exhausted")
"""How replies begin that no waiting will cure."""
_CURE = "see what holds the stream's key, RENAME or DEL it, then `fleet parked replay`"

Refused: TypeAlias = tuple[OutboxRow, str, str]
"""A row that cannot be appended, the reason as a word, and a sentence."""


@dataclass(frozen=True, slots=True)
class RelayBounds:
    """Every bound of the relay, as data."""

    rows: int = 1_000  # most rows of one claim
    idle_seconds: float = 0.010  # pause after an empty claim
    generation_seconds: float = 0.5  # Redis' identity is looked at this often
    sweep_seconds: float = 2.0  # undelivered rows are looked for this often
    sweep_age_seconds: int = 10  # a younger row may simply be on its way; covers clock skew
    budget_seconds: float = 1.0
    pause_seconds_most: float = 2.0
    stuck_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class RelayTools:
    """What the relay is given by the composition root. budget_bytes None: no limit is known.
    resting: append nothing for now.
    """

    connect_mysql: Callable[[], Any]
    connect_redis: Callable[[], Redis]
    prefix: str
    consumer: str
    streams: Sequence[str]
    partitions: int
    budget_bytes: Callable[[Redis], int | None]
    log: Callable[..., None]
    bounds: RelayBounds = RelayBounds()
    resting: Callable[[], bool] = never


class Relay:
    """Any number may run; rows are claimed with SKIP LOCKED."""

    def __init__(self, tools: RelayTools) -> None:
        self._tools = tools
        self._stopping = threading.Event()
        self._connection: Any = None
        self._redis: Redis | None = None
        self._next_generation = self._next_sweep = self._next_budget = 0.0
        self._over_budget = False
        self._turned = False
        self._pauses = 0
        self.rests = False
        self.sent = 0
        self.turned_at = time.monotonic()

    def run(self) -> None:
        """Relay until stop()."""
        while not self._stopping.is_set():
            self.turned_at = time.monotonic()
            self.rests = self._tools.resting()
            try:
                moved = 0 if self.rests else self.turn()
            except (Unavailable, RedisError, MySQLdb.Error) as error:
                if isinstance(error, MySQLdb.Error) and classify(error) is None:
                    raise
                self._pause(error)
                continue
            self._pauses = 0
            self._turned = True
            if not moved:
                self._stopping.wait(self._tools.bounds.idle_seconds)
        self._close()

    def stop(self) -> None:
        self._stopping.set()

    def alive(self) -> bool:
        """The loop has turned lately."""
        return time.monotonic() - self.turned_at < self._tools.bounds.stuck_seconds

    def ready(self) -> bool:
        """The last turn got through to MySQL and Redis."""
        return self._turned and not self._pauses

    def turn(self) -> int:
        """One look at Redis' identity, the budget and the outbox; returns the rows appended."""
        now = time.monotonic()
        if now >= self._next_generation:
            self._check_generation()
            self._next_generation = now + self._tools.bounds.generation_seconds
        if now >= self._next_sweep:
            self._sweep()
            self._next_sweep = now + self._tools.bounds.sweep_seconds
        if now >= self._next_budget:
            self._over_budget = self._is_over_budget()
            self._next_budget = now + self._tools.bounds.budget_seconds
        if self._over_budget:
            return 0
        connection = self._mysql()
        rows = outbox.claim(connection, self._tools.bounds.rows, self._tools.partitions)
        self._park([self._stranger(row) for row in rows if row.stream not in self._tools.streams])
        connection.commit()
        known = [row for row in rows if row.stream in self._tools.streams]
        if known:
            self._append(known)
        return len(rows)

    def _park(self, refused: Sequence[Refused]) -> None:
        """Set rows aside in the open transaction; `fleet parked` shows them."""
        if not refused:
            return
        connection = self._mysql()
        park(connection, [self._parked(*one) for one in refused])
        outbox.confirm(connection, [(row.id, row.event_id) for row, _, _ in refused])
        for row, reason, _ in refused:
            telemetry.count("fleet_parked_total", stream=row.stream, reason=reason)

    def _parked(self, row: OutboxRow, reason: str, detail: str) -> ParkedEvent:
        flat = [part.encode() for pair in entry_of(row).items() for part in pair]
        number = partition_of(row.event_key, self._tools.partitions)
        entry = Entry(f"outbox-{row.id}", flat)
        return parked_event(PartitionId(row.stream, number), entry, reason, detail)

    def _stranger(self, row: OutboxRow) -> Refused:
        """A stream that nobody reads would keep the event for ever, and nobody would know."""
        known = ", ".join(self._tools.streams)
        detail = (
            f"outbox row {row.id} is for the stream {row.stream!r}, the streams are {known}: write "
            "it again for one of these, then `fleet parked skip --parked-for unknown_stream`"
        )
        return row, "unknown_stream", detail

    def _append(self, rows: Sequence[OutboxRow]) -> None:
        pipe = self._redis_client().pipeline(transaction=False)
        for row in rows:
            number = partition_of(row.event_key, self._tools.partitions)
            fields: dict[Any, Any] = {**entry_of(row)}  # redis-py's type is invariant
            pipe.xadd(stream_key(self._tools.prefix, row.stream, number), fields)
        try:
            replies = pipe.execute(raise_on_error=False)
        except RedisError:
            # Perhaps some were appended: nobody knows, so all of them go again.
            self._give_back([row.id for row in rows], "append_unknown")
            raise
        later: list[int] = []
        never: list[Refused] = []
        for row, reply in zip(rows, replies, strict=True):
            if not isinstance(reply, Exception):
                telemetry.count("fleet_relay_appended_total", stream=row.stream)
            elif str(reply).startswith(REFUSED_FOR_EVER):
                never.append((row, "append_refused", f"{reply}; {_CURE}"))
            else:
                later.append(row.id)
        self.sent += len(rows) - len(later) - len(never)
        if never:
            self._park(never)
            self._mysql().commit()
        if later:
            self._give_back(later, "append_refused")
            error = next(reply for reply in replies if isinstance(reply, Exception))
            raise Unavailable(f"{len(later)} of {len(rows)} appends refused: {error}")

    def _give_back(self, ids: Sequence[int], cause: str) -> None:
        """The rows wait again. Committed at once: no row stays locked while Redis is asked."""
        connection = self._mysql()
        outbox.give_back(connection, ids)
        connection.commit()
        telemetry.count("fleet_relay_resent_total", len(ids), cause=cause)

    def _check_generation(self) -> None:
        """Another run, another replication history, or no memory of us: send again."""
        seen = self._redis_identity()
        connection = self._mysql()
        cursor = connection.cursor()
        cursor.execute(SQL["generation"])
        row = cursor.fetchone()
        connection.commit()
        if row and row[0] == seen:
            return
        # One relay acts on a change, the others wait for it here and find nothing left to do.
        cursor.execute(SQL["ensure_generation"])
        cursor.execute(SQL["lock_generation"])
        (before,) = cursor.fetchone()
        if before != seen:
            resent = outbox.resend_all(connection)
            cursor.execute(SQL["set_generation"], (seen,))
            telemetry.count("fleet_relay_resent_total", resent, cause="redis_changed")
            if before:
                self._tools.log(
                    "redis_generation_changed", before=before, now=seen, resent=resent
                )
        connection.commit()

    def _redis_identity(self) -> str:
        """Our mark, the run and the replication history: each is lost with what Redis held."""
        redis = self._redis_client()
        key = f"{self._tools.prefix}fleet:generation"
        mark: Any = redis.get(key)
        if mark is None:
            # Producers lost their number of partitions as well.
            redis.set(f"{self._tools.prefix}fleet:{PARTITIONS}", self._tools.partitions, nx=True)
            redis.set(key, uuid.uuid4().hex, nx=True)
            mark = redis.get(key)
        if mark is None:
            raise Unavailable(f"{key} does not stay in Redis: is it evicting keys?")
        runs = [_run_of(server) for server in masters(redis)]
        if len(runs) > 1:  # a cluster: any of them, and nothing too long for its column
            runs = [hashlib.sha256(",".join(sorted(runs)).encode()).hexdigest()]
        return f"{mark.decode()}|{runs[0]}"

    def _sweep(self) -> None:
        """Send again what a stream was read past without its being confirmed."""
        connection = self._mysql()
        cursor = connection.cursor()
        cursor.execute(outbox.SQL["unconfirmed"], (self._tools.bounds.sweep_age_seconds,))
        for stream, number, _, _ in cursor.fetchall():
            unread_ms = self._oldest_unread_ms(cursor, stream, number)
            age = self._tools.bounds.sweep_age_seconds
            if unread_ms is None:
                cursor.execute(SQL["young"], (age,))
            else:
                cursor.execute(SQL["delivered_before"], (age, unread_ms, age))
            (before,) = cursor.fetchone()
            limit = self._tools.bounds.rows
            cursor.execute(outbox.SQL["undelivered"], (stream, number, before, limit))
            lost = [row[0] for row in cursor.fetchall()]
            if lost:
                self._give_back(lost, "undelivered")
                self._tools.log(
                    "undelivered_sent_again", stream=stream, partition=number, rows=len(lost)
                )
        connection.commit()

    def _oldest_unread_ms(self, cursor: Any, stream: str, number: int) -> int | None:
        """Time part of the first entry the sink has not read; None when it has read them all."""
        cursor.execute(SQL["offset"], (self._tools.consumer, stream, number))
        row = cursor.fetchone()
        last_id = row[0] if row else START
        key = stream_key(self._tools.prefix, stream, number)
        found: Any = self._redis_client().xrange(key, min=f"({last_id}", count=1)
        return id_pair(found[0][0].decode())[0] if found else None

    def _is_over_budget(self) -> bool:
        budget = self._tools.budget_bytes(self._redis_client())
        if budget is None:
            return False
        used = streams_bytes(
            self._redis_client(), self._tools.prefix, self._tools.streams, self._tools.partitions
        )
        over = used >= budget
        if over != self._over_budget:
            self._tools.log("redis_budget", used=used, budget=budget, appending=not over)
        return over

    def _mysql(self) -> Any:
        if self._connection is None:
            self._connection = self._tools.connect_mysql()
            # A relay that was stopped (SIGSTOP) must not keep its rows for hours.
            self._connection.cursor().execute(SQL["end_when_silent"], (SILENT_SECONDS,))
        return self._connection

    def _redis_client(self) -> Redis:
        if self._redis is None:
            self._redis = self._tools.connect_redis()
        return self._redis

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(MySQLdb.Error):
                connection.close()
        if self._redis is not None:
            redis, self._redis = self._redis, None
            with suppress(RedisError):
                redis.close()

    def _pause(self, error: Exception) -> None:
        self._tools.log("unavailable", error=str(error))
        self._close()
        self._pauses += 1
        longest = self._tools.bounds.pause_seconds_most
        self._stopping.wait(min(0.05 * 2 ** min(self._pauses, 6), longest))


def _run_of(redis: Redis) -> str:
    server: Any = redis.info("server")
    replication: Any = redis.info("replication")
    return f"{server.get('run_id')}|{replication.get('master_replid')}"


def entry_of(row: OutboxRow) -> dict[str, str]:
    """Stream fields of an outbox row; `outbox` is what the sink confirms."""
    fields = {
        "type": row.type,
        "key": row.event_key,
        "id": row.event_id,
        "ts_us": str(row.ts_us),
        "data": row.data,
        "outbox": str(row.id),
    }
    if row.traceparent:
        fields["traceparent"] = row.traceparent
    return fields
