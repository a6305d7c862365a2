"""The loop. One lane owns some partitions, one Redis connection and one MySQL connection.

    follow ownership → read → decode → one transaction: (offset · effects · parked · confirmed)

What an error means is its type (shared/errors.py). Nothing here rests on XACK or on a lease: the
compare-and-set on (offset, epoch) decides, in the transaction of the effect.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

import MySQLdb
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import InvalidEvent, Unavailable
from shared.mysql import outbox
from shared.mysql.book import Book
from shared.mysql.book_folds import Share
from shared.mysql.connection import classify
from shared.mysql.offsets import FencedPartitions, Offsets
from shared.mysql.parked import park, value_of
from shared.streams.event import Event
from shared.streams.log import Entry, read
from workers.batch import OwnedPartition, Slice, parked_event, reports
from workers.holdings import Holdings, what_is_lost
from workers.links import Bounds, Tools, mysql_errors
from workers.ownership import Keeper


class HandlerFailed(Exception):  # noqa: N818 - an outcome that the loop bisects
    """A handler of ours raised something that will happen again. The cause says what."""


class Lane:
    """See the module. run() returns after stop(), or raises what nobody can cure."""

    def __init__(self, tools: Tools, keeper: Keeper, index: int, lanes: int) -> None:
        self._tools = tools
        self._bounds = tools.bounds
        self._index = index
        self._stopping = threading.Event()
        self._holdings = Holdings(tools, keeper, index, lanes)
        self._links = self._holdings.links
        self._booking = {row.stream for row in tools.table.values() if row.locks_account}
        self._limit = tools.bounds.batch_events_first
        self._active = 1
        self._pauses = 0
        self._next_restate = 0.0
        self._more_to_restate = False
        self.in_flight = 0
        self.last_error: str | None = None
        self.turned_at = time.monotonic()

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.turned_at = time.monotonic()
                try:
                    self._holdings.follow(self._stopping.is_set)
                    work = self._read()
                    if work:
                        self._settle(work)
                    self._more_to_restate = self._restate(idle=not work)
                except Unavailable as away:
                    self._pause(away)
            self._leave()
        finally:
            self._links.close_mysql()
            self._links.close_redis()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def owned(self) -> list[OwnedPartition]:
        """What this lane owns; for status only."""
        return self._holdings.all()

    # -- one batch -----------------------------------------------------------------------------

    def _settle(self, work: Sequence[Slice]) -> None:
        """Bring a batch to its end: committed, parked, fenced or halted, never just passed over."""
        work = [piece for piece in work if piece.active]
        while work and not self._stopping.is_set():
            self.turned_at = time.monotonic()
            try:
                self._commit(work)
            except FencedPartitions as fenced:
                self._links.rollback()
                self._holdings.drop_fenced(fenced.claims)
                work = [piece for piece in work if piece.active]
            except Unavailable as away:
                self._pause(away)
                work = self._unsettled(work)
            except HandlerFailed as failed:
                self._links.rollback()
                self._isolate(work, failed)
                return
            else:
                return

    def _commit(self, work: Sequence[Slice]) -> None:
        """One transaction. Offsets first: a successor waits for it, or it never starts."""
        started = time.monotonic()
        self.in_flight = sum(len(piece.entries) for piece in work)
        connection = self._links.mysql()
        try:
            Offsets(connection, self._tools.consumer).advance([piece.claim() for piece in work])
            events = [event for piece in work for event in piece.events]
            parked = [event for piece in work for event in piece.parked]
            if parked:
                # Accounts before parked rows, all at once: a parked event may name any account,
                # and whoever applies a fill of it takes its locks in this order.
                named = {event.account_id for event in parked if event.account_id is not None}
                Book(connection).lock_accounts(named | self._accounts_of(events))
                park(connection, parked)
            self._apply(connection, events)
            sent = [(one.outbox_id, one.event_id) for one in events if one.outbox_id is not None]
            sent += [found for event in parked if (found := _sent_as(event.fields))]
            outbox.confirm(connection, sent)
        except MySQLdb.Error as error:
            raise classify(error) or HandlerFailed(str(error)) from error
        try:
            connection.commit()
        except MySQLdb.Error as error:
            # The reply is lost, the effect perhaps not: _unsettled() asks the offset row.
            raise Unavailable(f"COMMIT was not answered: {error}") from error
        for piece in work:
            piece.settled()
        for event in parked:
            telemetry.count("fleet_parked_total", stream=event.stream, reason=event.reason)
        self._pauses = 0
        seconds = time.monotonic() - started
        self._adapt(seconds)
        self.in_flight = 0
        self._report(work, seconds)

    def _apply(self, connection: Any, events: Sequence[Event[Any]]) -> None:
        """Hand the events to their handlers, type by type in the order of the table."""
        by_type: dict[str, list[Event[Any]]] = {}
        for event in events:
            by_type.setdefault(event.type, []).append(event)
        book = Book(connection)
        try:
            if accounts := self._accounts_of(events):
                book.lock_accounts(accounts)
            for name in self._tools.table:
                if name in by_type:
                    self._tools.table[name].apply(book, by_type[name])
        except (MySQLdb.Error, FencedPartitions, Unavailable):
            raise
        except Exception as error:  # a bug of ours or an impossible input: bisected, parked alone
            raise HandlerFailed(f"{type(error).__name__}: {error}") from error

    def _accounts_of(self, events: Sequence[Event[Any]]) -> set[int]:
        table = self._tools.table
        return {int(event.key) for event in events if table[event.type].locks_account}

    def _isolate(self, work: Sequence[Slice], failed: HandlerFailed) -> None:
        """Split until the failing event stands alone, then park it."""
        if sum(len(piece.entries) for piece in work) > 1:
            for part in self._tools.decoding.split(work):
                self._settle(part)
            return
        (piece,) = work
        entry = piece.entries[0]
        cause = failed.__cause__
        self._report(work, 0.0, failed)
        if isinstance(cause, InvalidEvent):
            self._park_alone(piece, entry, cause.reason, cause.detail)
        elif isinstance(cause, ArithmeticError) or _is_out_of_range(cause):
            detail = f"an amount leaves DECIMAL(38,18): {cause}; correct it and send it again"
            self._park_alone(piece, entry, "overflow", detail)
        else:
            self._park_failure(piece, entry, failed)

    def _park_alone(self, piece: Slice, entry: Entry, reason: str, detail: str) -> None:
        parked = parked_event(piece.partition.id, entry, reason, detail)
        self._settle([Slice(piece.partition, piece.after_id, [entry], [], [parked])])

    def _park_failure(self, piece: Slice, entry: Entry, failed: HandlerFailed) -> None:
        """Park for a bug of ours; above the bound the partition halts instead of draining away."""
        partition = piece.partition
        stream, number = partition.id
        with mysql_errors():
            offsets = Offsets(self._links.mysql(), self._tools.consumer)
            row = offsets.read(stream, number, locked=True)
            if row is None or row.epoch != partition.epoch:
                self._links.rollback()
                self._holdings.drop(partition)
                return
            halts = row.handler_failures >= self._bounds.handler_failures
            if halts:
                reason = (
                    f"{row.handler_failures} events failed in our own handlers, the next is "
                    f"{entry.entry_id}: {failed}; mend it, then `fleet parked resume`"
                )
                offsets.halt(stream, number, partition.epoch, reason)
            else:
                offsets.count_failure(stream, number, partition.epoch)
        self._links.commit()
        if halts:
            partition.halted = True
            self._tools.log("partition_halted", stream=stream, partition=number, reason=reason)
        else:
            self._park_alone(piece, entry, "handler_failed", str(failed))
        name = value_of(entry.fields, b"type").decode(errors="replace")
        telemetry.count("fleet_handler_failures_total", stream=stream, type=name)

    def _unsettled(self, work: Sequence[Slice]) -> list[Slice]:
        """After a lost connection: ask the offset rows what was committed. Never guess."""
        while not self._stopping.is_set():
            try:
                with mysql_errors():
                    offsets = Offsets(self._links.mysql(), self._tools.consumer)
                    left = [one for one in work if one.active and self._is_open(offsets, one)]
                self._links.commit()
            except Unavailable as away:
                self._pause(away)
            else:
                return left
        return []

    def _is_open(self, offsets: Offsets, piece: Slice) -> bool:
        stream, number = piece.partition.id
        row = offsets.read(stream, number, locked=True)
        if row is None or row.epoch != piece.partition.epoch:
            self._holdings.drop(piece.partition)
            return False
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
        self._holdings.check_offsets()
        ready = self._holdings.readable()
        if not ready:
            self._stopping.wait(self._bounds.block_ms / 1000)
            return []
        count = max(self._limit // max(self._active, 1), 1)
        try:
            found = read(
                self._links.redis(),
                [(one.key, one.last_id) for one in ready],
                count,
                0 if self._more_to_restate else self._bounds.block_ms,
            )
        except RedisError as error:
            raise self._holdings.redis_away(error) from error
        self._active = len(found) or 1
        # More partitions than last time may have had news: what is too much is read again.
        share = max(self._limit // self._active, 1)
        by_key = {one.key: one for one in ready}
        work = [
            self._tools.decoding.slice(by_key[key], by_key[key].last_id, entries[:share])
            for key, entries in found
        ]
        return [piece for piece in work if not self._tried_with_care(piece)]

    def _tried_with_care(self, piece: Slice) -> bool:
        """After crashes in this partition entries go in small pieces, then one by one."""
        partition = piece.partition
        if partition.careful <= 0:
            return False
        entries = piece.entries[: partition.careful]
        for start in range(0, len(entries), partition.piece):
            few = entries[start : start + partition.piece]
            part = self._tools.decoding.slice(partition, partition.last_id, few)
            if not piece.active or self._stopping.is_set():
                break
            if partition.piece > 1:
                self._settle([part])
            else:
                self._try_alone(part)
            partition.careful -= len(few)
        return True

    def _try_alone(self, alone: Slice) -> None:
        """Note the entry, then try it; one that killed its owners before is parked untried."""
        partition, (entry,) = alone.partition, alone.entries
        tries = partition.suspect_tries if entry.entry_id == partition.suspect_id else 0
        if tries >= self._bounds.suspect_tries:
            detail = (
                f"the process died {tries} times while it handled this event; find out why, then "
                "`fleet parked replay`"
            )
            self._park_alone(alone, entry, "killed_worker", detail)
            return
        with mysql_errors():
            offsets = Offsets(self._links.mysql(), self._tools.consumer)
            offsets.suspect(*partition.id, partition.epoch, entry.entry_id)
        self._links.commit()
        self._settle([alone])

    def _leave(self) -> None:
        """Graceful end: every partition is let go, so that successors start at once."""
        try:
            for partition in self._holdings.all():
                self._holdings.let_go(partition)
        except Unavailable as away:
            self._tools.log("left_without_goodbye", error=str(away))
            self._links.close_mysql()
            for partition in self._holdings.all():
                self._holdings.drop(partition)

    def _share(self) -> Share:
        """Accounts of the partitions held here. An idle lane that folded those of a busy one
        would fold them again after each of its batches, and keep it waiting for their locks.
        """
        numbers = {one.id.number for one in self._holdings.all() if one.id.stream in self._booking}
        return Share(self._tools.decoding.partitions, tuple(sorted(numbers)))

    def _restate(self, *, idle: bool) -> bool:
        """Re-fold positions with late fills when it is due; one bounded transaction a turn."""
        share = self._share()
        if not share.numbers or time.monotonic() < self._next_restate:
            return False
        try:
            with mysql_errors():
                more = Book(self._links.mysql()).restate(idle=idle, share=share)
            self._links.commit()
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one fold's bug must not stop every stream
            self._links.rollback()
            self._next_restate = time.monotonic() + self._bounds.refold_again_seconds
            self.last_error = f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            self._tools.log("fold_failed", error=self.last_error, trace=trace)
            return False
        if not more:
            self._next_restate = time.monotonic() + self._bounds.refold_look_seconds
        return more

    def _pause(self, away: Unavailable) -> None:
        """Back off with jitter; the transaction is gone, the session too."""
        self.turned_at = time.monotonic()
        self.last_error = str(away)
        self._tools.log("unavailable", error=str(away), lane=self._index)
        self._links.close_mysql()
        self._pauses += 1
        longest = self._bounds.pause_seconds * 2 ** min(self._pauses, 10)
        jitter = 0.5 + random.random() / 2  # noqa: S311 - nobody guesses it
        self._stopping.wait(min(longest, self._bounds.pause_seconds_most) * jitter)

    def _report(
        self, work: Sequence[Slice], seconds: float, failed: HandlerFailed | None = None
    ) -> None:
        error, trace = None, None
        if failed is not None:
            error = self.last_error = str(failed)
            trace = "".join(traceback.format_exception(failed))
        for one in reports(work, seconds, error, trace):
            self._tools.report(one)


OUT_OF_RANGE = 1264
BIGINT_DIGITS = 19


def _sent_as(fields: Sequence[bytes]) -> tuple[int, str] | None:
    """Outbox row and event id of an entry that could not be decoded."""
    text = value_of(fields, b"outbox")
    if not text.isdigit() or len(text) > BIGINT_DIGITS:
        return None
    return int(text), value_of(fields, b"id").decode(errors="replace")


def _is_out_of_range(cause: BaseException | None) -> bool:
    return isinstance(cause, MySQLdb.Error) and cause.args[:1] == (OUT_OF_RANGE,)


__all__ = ["Bounds", "HandlerFailed", "Lane", "Tools", "what_is_lost"]
