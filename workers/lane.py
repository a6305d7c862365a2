"""The loop. One lane owns some partitions, one Redis connection and one MySQL connection.

    follow ownership → read → decode → one transaction: (offset moves · effects · parked · confirmed)

What an error means is its type (shared/errors.py). Nothing here rests on XACK or on a lease: the
compare-and-set on (offset, epoch) decides, in the transaction of the effect.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import MySQLdb
from redis import Redis
from redis.exceptions import RedisError

from shared.errors import FleetError, InvalidEvent, Unavailable
from shared.mysql import outbox
from shared.mysql.book import Book
from shared.mysql.connection import classify
from shared.mysql.offsets import Claim, FencedPartitions, Offset, Offsets
from shared.mysql.parked import park, value_of
from shared.streams.assignment import PartitionId
from shared.streams.event import Event
from shared.streams.keys import stream_key
from shared.streams.lease import BEAT_SECONDS, Leases
from shared.streams.log import START, Entry, Tail, id_pair, read, tails
from workers.batch import Decoding, OwnedPartition, Slice, parked_event
from workers.ownership import Keeper
from workers.registry import EventType
from workers.reporting import BatchReport


class HandlerFailed(Exception):  # noqa: N818 - an outcome that the loop bisects
    """A handler of ours raised something that will happen again. The cause says what."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Every bound of the loop, as data."""

    batch_events: int = 4_000  # most entries of one transaction
    batch_events_first: int = 500  # where the adaptive size starts
    batch_events_least: int = 50
    block_ms: int = 100  # longest wait of one XREAD; ownership is looked at in between
    commit_fast_seconds: float = 0.150  # below: the next batch may be twice as large
    commit_slow_seconds: float = 0.400  # above: half as large
    check_seconds: float = 2.0  # the entry at each offset is looked at this often
    halted_check_seconds: float = 1.0
    crashes_before_alone: int = 2  # takeovers without a commit before entries are tried alone
    suspect_tries: int = 3  # an entry that killed this many owners is parked untried
    handler_failures: int = 25  # a partition halts above so many events parked for our own bugs
    lock_wait_takeover_seconds: int = 1
    pause_seconds: float = 0.05
    pause_seconds_most: float = 2.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a lane is given by the composition root."""

    connect_mysql: Callable[[], Any]
    connect_redis: Callable[[], Redis]
    prefix: str
    consumer: str
    node: str
    decoding: Decoding
    table: Mapping[str, EventType]
    report: Callable[[BatchReport], None]
    log: Callable[..., None]
    bounds: Bounds


class Lane:
    """See the module. run() returns after stop(), or raises what nobody can cure."""

    def __init__(self, tools: Tools, keeper: Keeper, index: int, lanes: int) -> None:
        self._tools = tools
        self._bounds = tools.bounds
        self._keeper = keeper
        self._index = index
        self._lanes = lanes
        self._stopping = threading.Event()
        self._owned: dict[PartitionId, OwnedPartition] = {}
        self._connection: Any = None
        self._redis: Redis | None = None
        self._limit = tools.bounds.batch_events_first
        self._active = 1
        self._next_follow = self._next_check = self._next_halted = 0.0
        self._pauses = 0
        self._more_to_restate = False
        self.in_flight = 0
        self.last_error: str | None = None
        self.turned_at = time.monotonic()

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        while not self._stopping.is_set():
            self.turned_at = time.monotonic()
            try:
                self._follow_ownership()
                work = self._read()
                if work:
                    self._settle(work)
                self._more_to_restate = self._restate(idle=not work)
            except Unavailable as away:
                self._pause(away)
        self._leave()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def owned(self) -> list[OwnedPartition]:
        """What this lane owns; for status only."""
        return list(self._owned.values())

    # -- one batch -----------------------------------------------------------------------------

    def _settle(self, work: Sequence[Slice]) -> None:
        """Bring a batch to its end: committed, parked, fenced or halted. Never acknowledged unseen."""
        work = [piece for piece in work if piece.active]
        while work and not self._stopping.is_set():
            self.turned_at = time.monotonic()
            try:
                self._commit(work)
            except FencedPartitions as fenced:
                self._rollback()
                self._drop_fenced(fenced.claims)
                work = [piece for piece in work if piece.active]
            except Unavailable as away:
                self._pause(away)
                work = self._unsettled(work)
            except HandlerFailed as failed:
                self._rollback()
                self._isolate(work, failed)
                return
            else:
                return

    def _commit(self, work: Sequence[Slice]) -> None:
        """One transaction. Offsets first: a successor waits for it, or it never starts."""
        started = time.monotonic()
        self.in_flight = sum(len(piece.entries) for piece in work)
        connection = self._mysql()
        try:
            Offsets(connection, self._tools.consumer).advance([piece.claim() for piece in work])
            events = [event for piece in work for event in piece.events]
            parked = [event for piece in work for event in piece.parked]
            if parked:
                park(connection, parked)
            self._apply(connection, events)
            confirmed = [event.outbox_id for event in events if event.outbox_id is not None]
            confirmed += [found for event in parked if (found := _outbox_id(event.fields))]
            outbox.confirm(connection, confirmed)
        except MySQLdb.Error as error:
            raise classify(error) or HandlerFailed(str(error)) from error
        try:
            connection.commit()
        except MySQLdb.Error as error:
            # The reply is lost, the effect perhaps not: _unsettled() asks the offset row.
            raise Unavailable(f"COMMIT was not answered: {error}") from error
        for piece in work:
            piece.settled()
        self._pauses = 0
        self._adapt(time.monotonic() - started)
        self._report(work, time.monotonic() - started, None)

    def _apply(self, connection: Any, events: Sequence[Event[Any]]) -> None:
        """Hand the events to their handlers, type by type in the order of the table."""
        by_type: dict[str, list[Event[Any]]] = {}
        for event in events:
            by_type.setdefault(event.type, []).append(event)
        book = Book(connection)
        try:
            accounts = {
                int(event.key) for event in events if self._tools.table[event.type].locks_account
            }
            if accounts:
                book.lock_accounts(accounts)
            for name in self._tools.table:
                if name in by_type:
                    self._tools.table[name].apply(book, by_type[name])
        except (MySQLdb.Error, FencedPartitions, Unavailable):
            raise
        except Exception as error:  # a bug of ours or an impossible input: bisected, then parked alone
            raise HandlerFailed(f"{type(error).__name__}: {error}") from error

    def _isolate(self, work: Sequence[Slice], failed: HandlerFailed) -> None:
        """Split until the failing event stands alone, then park it."""
        if sum(len(piece.entries) for piece in work) > 1:
            for part in self._tools.decoding.split(work):
                self._settle(part)
            return
        (piece,) = work
        entry = piece.entries[0]
        cause = failed.__cause__
        trace = "".join(traceback.format_exception(failed))
        self._report(work, 0.0, str(failed), trace)
        if isinstance(cause, InvalidEvent):
            self._park_alone(piece, entry, cause.reason, cause.detail)
        elif isinstance(cause, ArithmeticError) or _is_out_of_range(cause):
            detail = f"an amount leaves DECIMAL(38,18): {cause}; correct it and send the event again"
            self._park_alone(piece, entry, "overflow", detail)
        else:
            self._park_failure(piece, entry, failed)

    def _park_alone(self, piece: Slice, entry: Entry, reason: str, detail: str) -> None:
        parked = parked_event(piece.partition, entry, reason, detail)
        self._settle([Slice(piece.partition, piece.after_id, [entry], [], [parked])])

    def _park_failure(self, piece: Slice, entry: Entry, failed: HandlerFailed) -> None:
        """Park for a bug of ours; above the bound the partition halts instead of draining away."""
        partition = piece.partition
        stream, number = partition.id
        connection = self._mysql()
        offsets = Offsets(connection, self._tools.consumer)
        row = offsets.read(stream, number, locked=True)
        if row is None or row.epoch != partition.epoch:
            self._rollback()
            self._drop(partition)
            return
        if row.handler_failures >= self._bounds.handler_failures:
            reason = (
                f"{row.handler_failures} events failed in our own handlers, the last at "
                f"{entry.entry_id}: {failed}; mend it, then `fleet parked resume`"
            )
            offsets.halt(stream, number, partition.epoch, reason)
            partition.halted = True
            self._finish(connection)
            self._tools.log("partition_halted", stream=stream, partition=number, reason=reason)
            return
        offsets.count_failure(stream, number, partition.epoch)
        self._finish(connection)
        self._park_alone(piece, entry, "handler_failed", str(failed))

    def _unsettled(self, work: Sequence[Slice]) -> list[Slice]:
        """After a lost connection: ask the offset rows what was committed. Never guess."""
        while not self._stopping.is_set():
            try:
                connection = self._mysql()
                offsets = Offsets(connection, self._tools.consumer)
                left = [piece for piece in work if piece.active and self._is_open(offsets, piece)]
                self._finish(connection)
            except (Unavailable, MySQLdb.Error) as error:
                self._pause(error)
            else:
                return left
        return []

    def _is_open(self, offsets: Offsets, piece: Slice) -> bool:
        stream, number = piece.partition.id
        row = offsets.read(stream, number, locked=True)
        if row is None or row.epoch != piece.partition.epoch:
            self._drop(piece.partition)
            return False
        offsets.adopt_session(stream, number, piece.partition.epoch)
        if row.last_id == piece.entries[-1].entry_id:
            piece.settled()
            return False
        return True

    def _adapt(self, seconds: float) -> None:
        """Larger batches while commits are quick and there is a backlog, smaller when slow."""
        if seconds > self._bounds.commit_slow_seconds:
            self._limit = max(self._limit // 2, self._bounds.batch_events_least)
        elif seconds < self._bounds.commit_fast_seconds and self.in_flight >= self._limit // 2:
            self._limit = min(self._limit * 2, self._bounds.batch_events)

    # -- reading -------------------------------------------------------------------------------

    def _read(self) -> list[Slice]:
        """The next entries of every partition that may go on; waits at most block_ms."""
        self._check_offsets()
        ready = [one for one in self._owned.values() if one.checked and not one.halted]
        if not ready:
            self._stopping.wait(self._bounds.block_ms / 1000)
            return []
        count = max(self._limit // max(self._active, 1), 1)
        try:
            found = read(
                self._redis_client(),
                [(one.key, one.last_id) for one in ready],
                count,
                0 if self._more_to_restate else self._bounds.block_ms,
            )
        except RedisError as error:
            raise self._redis_away(error) from error
        self._active = len(found) or 1
        by_key = {one.key: one for one in ready}
        work = [
            self._tools.decoding.slice(by_key[key], by_key[key].last_id, entries)
            for key, entries in found
        ]
        return [piece for piece in work if not self._tried_alone(piece)]

    def _tried_alone(self, piece: Slice) -> bool:
        """After crashes in this partition entries go one by one, each noted before it is tried."""
        partition = piece.partition
        if partition.try_alone <= 0:
            return False
        for entry in islice(piece.entries, partition.try_alone):
            alone = self._tools.decoding.slice(partition, partition.last_id, [entry])
            if not piece.active or self._stopping.is_set():
                break
            if (
                entry.entry_id == partition.suspect_id
                and partition.suspect_tries >= self._bounds.suspect_tries
            ):
                detail = (
                    f"the process died {partition.suspect_tries} times while it handled this "
                    "event; find out why, then `fleet parked replay`"
                )
                self._park_alone(alone, entry, "killed_worker", detail)
            else:
                stream, number = partition.id
                connection = self._mysql()
                Offsets(connection, self._tools.consumer).suspect(
                    stream, number, partition.epoch, entry.entry_id
                )
                self._finish(connection)
                self._settle([alone])
            partition.try_alone -= 1
        return True

    def _check_offsets(self) -> None:
        """Is the entry at each offset still there, and the same? If not, Redis lost data."""
        now = time.monotonic()
        due = [one for one in self._owned.values() if not one.checked]
        if now >= self._next_check:
            due = list(self._owned.values())
            self._next_check = now + self._bounds.check_seconds
        if not due:
            return
        try:
            found = tails(self._redis_client(), [(one.key, one.last_id) for one in due])
        except RedisError as error:
            raise self._redis_away(error) from error
        for partition, tail in zip(due, found, strict=True):
            loss = what_is_lost(partition.last_id, partition.last_event_id, tail)
            if loss:
                self._rewind(partition, tail, loss)
            partition.checked = True

    def _rewind(self, partition: OwnedPartition, tail: Tail, loss: str) -> None:
        """Read the stream from its start and have the relay send again what nobody confirmed."""
        stream, number = partition.id
        self._tools.log("redis_lost_data", stream=stream, partition=number, loss=loss)
        connection = self._mysql()
        try:
            offsets = Offsets(connection, self._tools.consumer)
            trimmed = tail.entries_added - tail.length
            offsets.rewind(stream, number, partition.epoch, trimmed)
            outbox.resend_partition(connection, stream, number)
            row = offsets.read(stream, number)
        except MySQLdb.Error as error:
            raise classify(error) or error from error
        self._finish(connection)
        if row is None or row.epoch != partition.epoch:
            self._drop(partition)
            return
        partition.last_id, partition.last_event_id = row.last_id, row.last_event_id

    # -- ownership -----------------------------------------------------------------------------

    def _follow_ownership(self) -> None:
        now = time.monotonic()
        if now >= self._next_halted and any(one.halted for one in self._owned.values()):
            self._next_halted = now + self._bounds.halted_check_seconds
            self._look_at_halted()
        if now < self._next_follow:
            return
        self._next_follow = now + BEAT_SECONDS / 2
        mine = {one for one in self._keeper.wanted if one.number % self._lanes == self._index}
        for partition in self.owned:
            if self._keeper.lost(partition.id):
                self._drop(partition)
            elif partition.id not in mine:
                self._let_go(partition)
        for wanted in sorted(mine - self._owned.keys()):
            if self._stopping.is_set():
                return
            self._take(wanted)

    def _take(self, wanted: PartitionId) -> None:
        try:
            leases = self._leases()
            if not leases.acquire(wanted):
                return
        except RedisError as error:
            raise self._redis_away(error) from error
        offset = self._raise_epoch(wanted)
        alone = offset.crashes >= self._bounds.crashes_before_alone or offset.suspect_id is not None
        self._owned[wanted] = OwnedPartition(
            id=wanted,
            key=stream_key(self._tools.prefix, wanted.stream, wanted.number).encode(),
            epoch=offset.epoch,
            last_id=offset.last_id,
            last_event_id=offset.last_event_id,
            suspect_id=offset.suspect_id,
            suspect_tries=offset.suspect_tries,
            try_alone=self._bounds.batch_events_first if alone else 0,
            halted=offset.halted_reason is not None,
        )
        self._keeper.hold(wanted)
        self._tools.log(
            "partition_taken",
            stream=wanted.stream,
            partition=wanted.number,
            epoch=offset.epoch,
            offset=offset.last_id,
        )

    def _raise_epoch(self, wanted: PartitionId) -> Offset:
        """Take the offset row; end the session of a stopped owner that still holds it."""
        connection = self._mysql()
        offsets = Offsets(connection, self._tools.consumer)
        cursor = connection.cursor()
        try:
            session = offsets.owner_session(*wanted)
            cursor.execute(
                "SET SESSION innodb_lock_wait_timeout = %s",
                (self._bounds.lock_wait_takeover_seconds,),
            )
            try:
                offset = offsets.take(*wanted, self._tools.node)
            except MySQLdb.OperationalError as error:
                if error.args[0] != LOCK_WAIT_TIMEOUT or session is None:
                    raise
                self._tools.log("stopped_owner_ended", partition=str(wanted), session=session)
                connection.rollback()
                offsets.end_session(session)
                raise Unavailable(f"the last owner of {wanted} held its row; ended") from error
            self._finish(connection)
        except MySQLdb.Error as error:
            raise classify(error) or error from error
        return offset

    def _look_at_halted(self) -> None:
        connection = self._mysql()
        offsets = Offsets(connection, self._tools.consumer)
        for partition in [one for one in self._owned.values() if one.halted]:
            row = offsets.read(*partition.id)
            partition.halted = row is not None and row.halted_reason is not None
        self._finish(connection)

    def _let_go(self, partition: OwnedPartition) -> None:
        """Hand a partition over: say so in the database, then free the lease."""
        connection = self._mysql()
        try:
            Offsets(connection, self._tools.consumer).let_go(*partition.id, partition.epoch)
        except MySQLdb.Error as error:
            raise classify(error) or error from error
        self._finish(connection)
        self._drop(partition)

    def _drop_fenced(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            partition = self._owned.get(PartitionId(claim.stream, claim.partition))
            if partition is not None:
                self._tools.log("fenced", stream=claim.stream, partition=claim.partition)
                self._drop(partition)

    def _drop(self, partition: OwnedPartition) -> None:
        """Own it no longer. The lease goes if it is still ours; if Redis is away it runs out."""
        partition.owned = False
        self._owned.pop(partition.id, None)
        self._keeper.drop(partition.id)
        try:
            self._leases().release([partition.id])
        except RedisError as error:
            self._redis_away(error)

    def _leave(self) -> None:
        """Graceful end: every partition is let go, so that successors start at once."""
        for partition in self.owned:
            try:
                self._let_go(partition)
            except Unavailable as away:
                self._tools.log("left_without_goodbye", error=str(away))
                self._drop(partition)
        self._close_mysql()

    # -- connections ---------------------------------------------------------------------------

    def _restate(self, *, idle: bool) -> bool:
        """Re-fold positions with late fills when it is due; one bounded transaction a turn."""
        if not self._owned:
            return False
        connection = self._mysql()
        try:
            more = Book(connection).restate(idle=idle)
        except MySQLdb.Error as error:
            raise classify(error) or error from error
        self._finish(connection)
        return more

    def _mysql(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self._tools.connect_mysql()
            except MySQLdb.Error as error:
                raise classify(error) or error from error
        return self._connection

    def _finish(self, connection: Any) -> None:
        try:
            connection.commit()
        except MySQLdb.Error as error:
            raise classify(error) or error from error

    def _rollback(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except MySQLdb.Error:
            self._close_mysql()

    def _close_mysql(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.close()
            except MySQLdb.Error:
                return

    def _redis_client(self) -> Redis:
        if self._redis is None:
            self._redis = self._tools.connect_redis()
        return self._redis

    def _leases(self) -> Leases:
        tools = self._tools
        return Leases(self._redis_client(), tools.prefix, tools.consumer, tools.node)

    def _redis_away(self, error: RedisError) -> Unavailable:
        """After any Redis error every offset is checked again before the next read."""
        for partition in self._owned.values():
            partition.checked = False
        if self._redis is not None:
            self._redis.close()
            self._redis = None
        return Unavailable(f"Redis: {error}")

    def _pause(self, away: BaseException) -> None:
        """Back off with jitter; the transaction is gone, the session too."""
        self.last_error = str(away)
        self._tools.log("unavailable", error=str(away), lane=self._index)
        self._rollback()
        self._close_mysql()
        self._pauses += 1
        longest = self._bounds.pause_seconds * 2 ** min(self._pauses, 10)
        wait = min(longest, self._bounds.pause_seconds_most) * (0.5 + random.random() / 2)  # noqa: S311 - jitter
        self._stopping.wait(wait)

    def _report(
        self, work: Sequence[Slice], seconds: float, error: str | None, trace: str | None = None
    ) -> None:
        if error is not None:
            self.last_error = error
        self._tools.report(
            BatchReport(
                stream=work[0].partition.id.stream,
                partitions=tuple(piece.partition.id.number for piece in work),
                events=sum(len(piece.entries) for piece in work),
                parked=sum(len(piece.parked) for piece in work),
                seconds=seconds,
                first_id=work[0].entries[0].entry_id,
                last_id=work[-1].entries[-1].entry_id,
                error=error,
                traceback=trace,
            )
        )


LOCK_WAIT_TIMEOUT = 1205
OUT_OF_RANGE = 1264


def what_is_lost(last_id: str, last_event_id: bytes | None, tail: Tail) -> str | None:
    """What a stream's tail says about loss, or None. Pure; the offset START has nothing to lose."""
    if last_id == START:
        return None
    if id_pair(tail.last_id) < id_pair(last_id):
        return f"the stream ends at {tail.last_id}, before the offset {last_id}"
    if tail.at_offset is None:
        return f"the entry at the offset {last_id} is gone"
    found = value_of(tail.at_offset.fields, b"id")[:191]
    if last_event_id is not None and found != last_event_id:
        return f"the entry at the offset {last_id} is another one"
    return None


def _outbox_id(fields: Sequence[bytes]) -> int | None:
    text = value_of(fields, b"outbox")
    return int(text) if text.isdigit() and len(text) < 20 else None  # noqa: PLR2004 - BIGINT


def _is_out_of_range(cause: BaseException | None) -> bool:
    return isinstance(cause, MySQLdb.Error) and cause.args[:1] == (OUT_OF_RANGE,)


__all__ = ["Bounds", "FleetError", "HandlerFailed", "Lane", "Tools", "what_is_lost"]
