"""Offsets in the sink's own database: the fence, the order of commits, the diary of the owner.

Every method runs inside the caller's transaction. The compare-and-set comes first in a batch's
transaction, so a successor that raises the epoch waits for the batch or the batch never starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import MySQLdb

from shared.errors import Fenced
from shared.queries import load

SQL = load(Path(__file__).with_name("offsets.sql"))

_NO_SUCH_SESSION = {1094, 1095}  # it is gone; or the server was restarted and it is not ours

EVENT_ID_BYTES = 191
"""So much of an event's id is kept beside the offset, to see that the entry is still the same."""


class Offset(NamedTuple):
    """One row of fleet_offsets, as its owner needs it."""

    last_id: str
    last_event_id: bytes | None
    entries_read: int
    epoch: int
    crashes: int
    suspect_id: str | None
    suspect_tries: int
    handler_failures: int
    halted_reason: str | None


class Claim(NamedTuple):
    """What a batch wants of one partition: move from old_id to new_id under this epoch."""

    stream: str
    partition: int
    epoch: int
    old_id: str
    new_id: str
    new_event_id: bytes
    entries: int


class Standing(NamedTuple):
    """What an owner must notice even when nothing arrives."""

    epoch: int
    halted_reason: str | None


class FencedPartitions(Fenced):
    """Some partitions of a batch belong to somebody else now."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        names = ", ".join(f"{claim.stream}:{claim.partition}" for claim in claims)
        super().__init__(f"another owner has taken {names}")
        self.claims = tuple(claims)


class Offsets:
    """The offsets of one consumer, over one connection."""

    def __init__(self, connection: Any, consumer: str) -> None:
        self._cursor = connection.cursor()
        self._consumer = consumer

    def ensure(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Rows for partitions that have none yet."""
        # Looked for without a lock: the row of a sleeping owner must not keep a node from starting.
        missing = set(partitions) - self.standing().keys()
        rows = [(self._consumer, stream, number) for stream, number in sorted(missing)]
        if rows:
            self._cursor.executemany(SQL["ensure"], rows)

    def owner_session(self, stream: str, partition: int) -> int | None:
        """Session of the last owner, so that a stopped owner's transaction can be ended."""
        self._cursor.execute(SQL["owner_session"], (self._consumer, stream, partition))
        row = self._cursor.fetchone()
        return row[0] if row else None

    def end_session(self, session: int) -> None:
        """End another session of our own user; its open transaction is rolled back."""
        try:
            self._cursor.execute(f"KILL {int(session)}")
        except MySQLdb.OperationalError as error:
            if error.args[0] not in _NO_SUCH_SESSION:
                raise

    def wait_for_locks(self, seconds: int) -> None:
        """How long this session waits for a row from now on."""
        self._cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", (seconds,))

    def end_when_silent(self, seconds: int) -> None:
        """The server ends this session, and with it its locks, when it says nothing for so long."""
        self._cursor.execute("SET SESSION wait_timeout = %s", (seconds,))

    def take(self, stream: str, partition: int, owner: str) -> Offset:
        """Raise the epoch; the caller owns the partition when this commits."""
        words = (owner, owner, owner, self._consumer, stream, partition)
        self._cursor.execute(SQL["take"], words)
        offset = self.read(stream, partition)
        if offset is None:
            raise Fenced(f"fleet_offsets has no row for {stream}:{partition}; run `fleet migrate`")
        return offset

    def read(self, stream: str, partition: int, *, locked: bool = False) -> Offset | None:
        """The row, or None. locked: wait for whoever holds it."""
        sql = SQL["read_locked"] if locked else SQL["read"]
        self._cursor.execute(sql, (self._consumer, stream, partition))
        row = self._cursor.fetchone()
        return Offset(*row) if row else None

    def standing(self) -> dict[tuple[str, int], Standing]:
        """(stream, partition) -> epoch and halt of every partition."""
        self._cursor.execute(SQL["standing"], (self._consumer,))
        return {(row[0], row[1]): Standing(row[2], row[3]) for row in self._cursor.fetchall()}

    def advance(self, claims: Sequence[Claim]) -> None:
        """Compare-and-set every claim; FencedPartitions names those that matched no row."""
        ordered = sorted(claims)
        moved = self._advanced(ordered)
        lost = [claim for claim, rows in zip(ordered, moved, strict=True) if rows != 1]
        if lost:
            raise FencedPartitions(lost)

    def _advanced(self, claims: Sequence[Claim]) -> list[int]:
        """Rows that each claim moved. One round trip: a small batch of many partitions would spend
        a third of its time on one after the other.
        """
        if not claims:
            return []
        words: list[Any] = []
        for claim in claims:
            words += (claim.new_id, claim.new_event_id[:EVENT_ID_BYTES], claim.entries)
            words += (self._consumer, claim.stream, claim.partition, claim.epoch, claim.old_id)
        self._cursor.execute(";\n".join([SQL["advance"]] * len(claims)), words)
        moved = [self._cursor.rowcount]
        while self._cursor.nextset():
            moved.append(self._cursor.rowcount)
        return moved

    def rewind(self, stream: str, partition: int, epoch: int, entries_read: int) -> bool:
        """Start over at the stream's first entry; entries_read keeps the lag right.

        False: the partition belongs to somebody else now.
        """
        moved = self._cursor.execute(
            SQL["rewind"], (entries_read, self._consumer, stream, partition, epoch)
        )
        return bool(moved == 1)

    def recount(
        self, stream: str, partition: int, epoch: int, last_id: str, entries_read: int
    ) -> None:
        """Correct the counter behind the lag, for an offset that stands at its stream's end."""
        self._cursor.execute(
            SQL["recount"], (entries_read, self._consumer, stream, partition, epoch, last_id)
        )

    def suspect(self, stream: str, partition: int, epoch: int, entry_id: str) -> None:
        """Note the entry that is about to be tried alone."""
        self._cursor.execute(
            SQL["suspect"], (entry_id, entry_id, self._consumer, stream, partition, epoch)
        )

    def count_failure(self, stream: str, partition: int, epoch: int) -> None:
        """One more event was parked for a failure of our own handlers."""
        self._cursor.execute(SQL["count_failure"], (self._consumer, stream, partition, epoch))

    def halt(self, stream: str, partition: int, epoch: int, reason: str) -> None:
        """Stop reading until `fleet parked resume`."""
        self._cursor.execute(SQL["halt"], (reason[:512], self._consumer, stream, partition, epoch))

    def let_go(self, stream: str, partition: int, epoch: int) -> None:
        """Say goodbye: the next owner need not suspect a crash."""
        self._cursor.execute(SQL["let_go"], (self._consumer, stream, partition, epoch))

    def adopt_session(self, stream: str, partition: int, epoch: int) -> None:
        """Tell a successor which session is ours after a reconnect."""
        self._cursor.execute(SQL["adopt_session"], (self._consumer, stream, partition, epoch))
