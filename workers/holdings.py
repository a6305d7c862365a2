"""The partitions of one lane: taken, watched for loss of Redis, given away.

A lease says who may try; the epoch in the database says who may write. Everything here happens
between two batches of the lane, in its own thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import MySQLdb
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import Unavailable
from shared.mysql import outbox
from shared.mysql.connection import LOCK_WAIT_SECONDS
from shared.mysql.offsets import EVENT_ID_BYTES, Claim, Offset, Offsets
from shared.mysql.parked import value_of
from shared.streams.assignment import PartitionId
from shared.streams.keys import stream_key
from shared.streams.lease import BEAT_SECONDS, Leases
from shared.streams.log import START, Tail, id_pair, tails
from workers.batch import OwnedPartition
from workers.links import Links, Tools, mysql_errors
from workers.ownership import Keeper

LOCK_WAIT_TIMEOUT = 1205


class Holdings:
    """See the module. Raises Unavailable wherever a server is away."""

    def __init__(self, tools: Tools, keeper: Keeper, index: int, lanes: int) -> None:
        self._tools = tools
        self._bounds = tools.bounds
        self._keeper = keeper
        self._index = index
        self._lanes = lanes
        self._owned: dict[PartitionId, OwnedPartition] = {}
        self._next_follow = self._next_check = self._next_rows = 0.0
        self.links = Links(tools.connect_mysql, tools.connect_redis, self._adopt_sessions)

    def all(self) -> list[OwnedPartition]:
        return list(self._owned.values())

    def readable(self) -> list[OwnedPartition]:
        """Those that may go on: seen to be whole since the last reconnect, and not halted."""
        return [one for one in self._owned.values() if one.checked and not one.halted]

    # -- taking and giving away ----------------------------------------------------------------

    def follow(self, stopping: Callable[[], bool]) -> None:
        """Take what the keeper wants for this lane, give away what it does not."""
        now = time.monotonic()
        if now >= self._next_rows and self._owned:
            self._look_at_rows()
            self._next_rows = now + self._bounds.halted_check_seconds
        if now < self._next_follow:
            return
        self._next_follow = now + BEAT_SECONDS / 2
        mine = {one for one in self._keeper.wanted if one.number % self._lanes == self._index}
        for partition in self.all():
            if self._keeper.lost(partition.id):
                self.drop(partition)
            elif partition.id not in mine:
                self.let_go(partition)
        for wanted in sorted(mine - self._owned.keys()):
            if stopping():
                return
            self._take(wanted)

    def _take(self, wanted: PartitionId) -> None:
        try:
            if not self._leases().acquire(wanted):
                return
        except RedisError as error:
            raise self.redis_away(error) from error
        offset = self._raise_epoch(wanted)
        bounds = self._bounds
        alone = offset.crashes >= bounds.crashes_before_alone or offset.suspect_id is not None
        careful = alone or offset.crashes >= bounds.crashes_before_pieces
        self._owned[wanted] = OwnedPartition(
            id=wanted,
            key=stream_key(self._tools.prefix, wanted.stream, wanted.number).encode(),
            epoch=offset.epoch,
            last_id=offset.last_id,
            last_event_id=offset.last_event_id,
            entries_read=offset.entries_read,
            suspect_id=offset.suspect_id,
            suspect_tries=offset.suspect_tries,
            careful=bounds.batch_events_first if careful else 0,
            piece=1 if alone else bounds.piece_events,
            halted=offset.halted_reason is not None,
        )
        self._keeper.hold(wanted)
        telemetry.count("fleet_takeovers_total", stream=wanted.stream)
        self._tools.log(
            "partition_taken",
            stream=wanted.stream,
            partition=wanted.number,
            epoch=offset.epoch,
            offset=offset.last_id,
        )

    def _raise_epoch(self, wanted: PartitionId) -> Offset:
        connection = self.links.mysql()
        offsets = Offsets(connection, self._tools.consumer)
        with mysql_errors(), self._ending_a_stopped_session(connection, offsets, wanted):
            offset = offsets.take(*wanted, self._tools.node)
        self.links.commit()
        return offset

    def _adopt_sessions(self, connection: Any) -> None:
        """After a reconnect: tell a successor which session may hold our rows now."""
        offsets = Offsets(connection, self._tools.consumer)
        offsets.end_when_silent(self._bounds.silent_seconds)
        for partition in self.all():
            with self._ending_a_stopped_session(connection, offsets, partition.id):
                offsets.adopt_session(*partition.id, partition.epoch)
        connection.commit()

    @contextmanager
    def _ending_a_stopped_session(
        self, connection: Any, offsets: Offsets, partition: PartitionId
    ) -> Iterator[None]:
        """A stopped owner's open transaction, or one of ours behind a dead line, holds the row
        for hours: after a short wait its session is ended, and the caller tries again.
        """
        session = offsets.owner_session(*partition)
        offsets.wait_for_locks(self._bounds.lock_wait_takeover_seconds)
        try:
            yield
        except MySQLdb.OperationalError as error:
            connection.rollback()
            if error.args[0] != LOCK_WAIT_TIMEOUT or session in {None, connection.thread_id()}:
                raise
            self._tools.log("stopped_owner_ended", partition=str(partition), session=session)
            offsets.end_session(int(session or 0))
            raise Unavailable(f"the last owner of {partition} held its row; ended") from error
        offsets.wait_for_locks(LOCK_WAIT_SECONDS)

    def _look_at_rows(self) -> None:
        """An idle owner learns here that it was fenced; a halted one that it may go on."""
        with mysql_errors():
            rows = Offsets(self.links.mysql(), self._tools.consumer).standing()
        self.links.commit()
        for partition in self.all():
            row = rows.get(partition.id)
            if row is None or row.epoch != partition.epoch:
                self._fenced(partition)
            else:
                partition.halted = row.halted_reason is not None

    def let_go(self, partition: OwnedPartition) -> None:
        """Hand a partition over: say so in the database, then free the lease."""
        with mysql_errors():
            offsets = Offsets(self.links.mysql(), self._tools.consumer)
            offsets.let_go(*partition.id, partition.epoch)
        self.links.commit()
        self.drop(partition)

    def drop_fenced(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            partition = self._owned.get(PartitionId(claim.stream, claim.partition))
            if partition is not None:
                self._fenced(partition)

    def _fenced(self, partition: OwnedPartition) -> None:
        stream, number = partition.id
        telemetry.count("fleet_fenced_total", stream=stream)
        self._tools.log("fenced", stream=stream, partition=number, epoch=partition.epoch)
        self.drop(partition)

    def drop(self, partition: OwnedPartition) -> None:
        """Own it no longer. The lease goes if it is still ours; if Redis is away it runs out."""
        partition.owned = False
        self._owned.pop(partition.id, None)
        self._keeper.drop(partition.id)
        if not self.links.has_redis:
            return  # each new attempt would wait for the timeout of a connection
        try:
            self._leases().release([partition.id])
        except RedisError as error:
            self.redis_away(error)

    # -- loss of Redis -------------------------------------------------------------------------

    def check_offsets(self) -> None:
        """Is the entry at each offset still there, and the same? If not, Redis lost data."""
        now = time.monotonic()
        due = [one for one in self.all() if not one.checked and now >= one.not_before]
        if now >= self._next_check:
            due = self.all()
            self._next_check = now + self._bounds.check_seconds
        if not due:
            return
        try:
            found = tails(self.links.redis(), [(one.key, one.last_id) for one in due])
        except RedisError as error:
            raise self.redis_away(error) from error
        for partition, tail in zip(due, found, strict=True):
            if tail is None:
                self._set_aside(partition, now)
                continue
            loss = what_is_lost(partition.last_id, partition.last_event_id, tail)
            if loss:
                self._rewind(partition, tail, loss)
            elif tail.last_id == partition.last_id:
                self._recount(partition, tail.entries_added)
            partition.checked = True

    def _set_aside(self, partition: OwnedPartition, now: float) -> None:
        """Somebody's key has our stream's name: the other partitions go on without this one."""
        partition.checked = False
        partition.not_before = now + self._bounds.check_seconds
        self._tools.log(
            "key_is_no_stream",
            key=partition.key.decode(),
            cure="see what the key holds, then RENAME or DEL it; the relay sends again",
        )

    def _recount(self, partition: OwnedPartition, entries_added: int) -> None:
        """Everything is read: a stream that was made anew between two looks shows here."""
        if partition.entries_read == entries_added:
            return
        with mysql_errors():
            Offsets(self.links.mysql(), self._tools.consumer).recount(
                *partition.id, partition.epoch, partition.last_id, entries_added
            )
        self.links.commit()
        partition.entries_read = entries_added

    def _rewind(self, partition: OwnedPartition, tail: Tail, loss: str) -> None:
        """Read the stream from its start and have the relay send again what nobody confirmed."""
        stream, number = partition.id
        trimmed = tail.entries_added - tail.length
        with mysql_errors():
            connection = self.links.mysql()
            offsets = Offsets(connection, self._tools.consumer)
            mine = offsets.rewind(stream, number, partition.epoch, trimmed)
            if mine:
                outbox.resend_partition(connection, stream, number)
        self.links.commit()
        if not mine:
            # What we remember is old: the successor moved on and the entry was trimmed.
            self._fenced(partition)
            return
        partition.last_id, partition.last_event_id = START, None
        partition.entries_read = trimmed
        telemetry.count("fleet_redis_losses_total", stream=stream)
        self._tools.log("redis_lost_data", stream=stream, partition=number, loss=loss)

    def _leases(self) -> Leases:
        tools = self._tools
        return Leases(self.links.redis(), tools.prefix, tools.consumer, tools.node)

    def redis_away(self, error: RedisError) -> Unavailable:
        """After any Redis error every offset is checked again before the next read."""
        for partition in self._owned.values():
            partition.checked = False
        self.links.close_redis()
        return Unavailable(f"Redis: {error}")


def what_is_lost(last_id: str, last_event_id: bytes | None, tail: Tail) -> str | None:
    """What a stream's tail says about loss, or None. Pure; the offset START has nothing to lose."""
    if last_id == START:
        return None
    if id_pair(tail.last_id) < id_pair(last_id):
        return f"the stream ends at {tail.last_id}, before the offset {last_id}"
    if tail.at_offset is None:
        return f"the entry at the offset {last_id} is gone"
    found = value_of(tail.at_offset.fields, b"id")[:EVENT_ID_BYTES]
    if last_event_id is not None and found != last_event_id:
        return f"the entry at the offset {last_id} is another one"
    return None
