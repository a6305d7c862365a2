"""What the collector has read and not appended yet, and where that leads.

A log transaction may go to the stream in several calls; one of a snapshot goes in one, together
with the place behind it, because nobody could read its rows again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.cdc.checkpoint import Checkpoint, Place, whole_seq
from shared.cdc.log import ChangeLog, Entry
from shared.cdc.transaction import SourceTransaction
from shared.changes import Offset, Position
from shared.errors import FleetError
from workers.cdc.entries import Encoder, Header, header_of
from workers.cdc.resume import half_read, renumbered
from workers.cdc.snapshot import SnapshotTransaction


class Renumbered(FleetError):  # noqa: N818 - a state, not a mistake
    """The log, read again, does not give the numbers that a sink has: an epoch must begin."""


@dataclass(frozen=True, slots=True)
class BatchBounds:
    """Of one call. seconds: an entry waits no longer for others. place_seconds: a place that moved
    past nothing of interest waits so long.
    """

    entries: int = 500
    bytes: int = 1024 * 1024
    seconds: float = 0.02
    place_seconds: float = 1.0


class Appender:
    """Numbers, encodes and appends, from a checkpoint on."""

    def __init__(
        self,
        log: ChangeLog,
        checkpoint: Checkpoint,
        offsets: Sequence[Offset],
        now_us: Callable[[], int],
        bounds: BatchBounds,
    ) -> None:
        """offsets: what sinks have already, perhaps more than the stream."""
        self.checkpoint = checkpoint
        self.place = checkpoint.place
        self.appended = 0  # transactions
        self._log = log
        self._now_us = now_us
        self._bounds = bounds
        self._encoder = Encoder()
        self._entries: list[Entry] = []
        self._bytes = 0
        self._first_us = self._last_us = 0  # when the entries that wait were made
        self._offsets = [one for one in offsets if one.epoch == self.place.epoch]
        self._ahead = [one for one in self._offsets if whole_seq(one) > self.place.seq]
        # Chunks of the next transaction that stand in the stream already.
        self._skipped = checkpoint.head[1] + 1 if checkpoint.broken_off else 0

    def transaction(self, found: SourceTransaction) -> None:
        """One of the log. Without captured rows only the place moves."""
        if self._ahead:
            self._check_numbers(found.ends)
        if not len(found.rows):
            self.moved(found.ends)
            return
        seq, now_us = self.place.seq + 1, self._now_us()
        self._last_us = now_us
        if not self._entries:
            self._first_us = now_us
        header = header_of(found, self.place.epoch, seq, now_us)
        skipped, self._skipped = self._skipped, 0
        self._entries_of(header, found, skipped)
        self.place = Place(self.place.epoch, seq, found.ends, self.place.filter)
        self.appended += 1

    def snapshot(self, found: SnapshotTransaction) -> None:
        """One of a snapshot, behind what was there before. To be followed by nothing but others
        like it, until `flush`.
        """
        seq = self.place.seq + 1
        if self._skipped or half_read(seq, self._offsets):
            raise Renumbered(
                f"a part of {seq} was read, and its rows were those of a table at that moment"
            )
        place, now_us = self.place, self._now_us()
        begins = (place.position.file, place.position.pos)
        header = Header(
            place.epoch, seq, "snapshot", "", begins, now_us, place.position, now_us,
            text=found.text,
        )  # fmt: skip
        for entry in self._encoder.entries(header, found.tables, found.rows):
            self._add(entry)
        self.place = place._replace(seq=seq)
        self.appended += 1

    def moved(self, position: Position) -> None:
        """Nothing of interest up to here."""
        if position is not self.place.position:
            self.place = self.place._replace(position=position)

    def full(self) -> bool:
        """Whether to append now, although more may come at once."""
        bounds = self._bounds
        return (
            len(self._entries) >= bounds.entries
            or self._bytes >= bounds.bytes
            or self._last_us - self._first_us >= bounds.seconds * 1_000_000
        )

    def flush(self) -> None:
        """One call for all that waits. See ChangeLog.append for what it raises: none of it counts
        as written then.
        """
        now_ms = self._now_us() // 1000
        moved = self.place != self.checkpoint.place
        late = now_ms - self.checkpoint.at_ms >= self._bounds.place_seconds * 1000
        if self._entries or (moved and late):
            place = self.place if moved else None
            self.checkpoint = self._log.append(self.checkpoint, self._entries, place, now_ms)
            self._emptied()

    def leave(self) -> None:
        """At the end: also a place that moved a moment ago."""
        if self._entries or self.place != self.checkpoint.place:
            self.checkpoint = self._log.append(
                self.checkpoint, self._entries, self.place, self._now_us() // 1000
            )
            self._emptied()

    def _entries_of(self, header: Header, found: SourceTransaction, skipped: int) -> None:
        chunks = skipped
        for entry in self._encoder.entries(header, found.tables, found.rows, skipped):
            # A long one does not wait for its end: the sinks put aside what is there.
            if self.full():
                self.flush()
            self._add(entry)
            chunks += 1
        partly = half_read(header.seq, self._offsets)
        had = max(skipped, 0 if partly is None else partly.chunk + 1)
        if chunks <= had:
            raise Renumbered(f"{header.seq} has {chunks} chunks, more were appended before")

    def _emptied(self) -> None:
        self._entries, self._bytes = [], 0
        self._first_us = self._last_us

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.header) + len(entry.payload)

    def _check_numbers(self, ends: Position) -> None:
        differs = renumbered(self.place, ends, self._ahead)
        if differs is not None:
            raise Renumbered(
                f"a sink stands at {differs.seq} where the log, read again, has come to "
                f"{self.place.seq}"
            )
        self._ahead = [one for one in self._ahead if whole_seq(one) > self.place.seq]
