"""A batch as the loop sees it: slices of partitions, decoded, ready for one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import InvalidEvent
from shared.mysql.offsets import EVENT_ID_BYTES, Claim
from shared.mysql.parked import ParkedEvent, value_of
from shared.streams.assignment import PartitionId
from shared.streams.decode import Table, decode
from shared.streams.event import Event
from shared.streams.log import Entry
from workers.batch_report import BatchReport
from workers.events.parked import account_of, identity_of


@dataclass(slots=True)
class OwnedPartition:
    """A partition that this node owns under one epoch."""

    id: PartitionId
    key: bytes
    epoch: int
    last_id: str
    last_event_id: bytes | None
    entries_read: int = 0  # as fleet_offsets counts them
    suspect_id: str | None = None
    suspect_tries: int = 0
    careful: int = 0  # so many entries are still to be tried in pieces, after crashes
    piece: int = 1  # entries of one of them; 1: alone, each noted before it is tried
    checked: bool = False  # the entry at the offset has been seen since the last reconnect
    not_before: float = 0.0  # its key holds no stream: looked at again at this monotonic time
    halted: bool = False
    owned: bool = True


@dataclass(slots=True)
class Slice:
    """Consecutive entries of one partition: valid ones as events, the others to be parked.

    after_id is the entry they follow. The claim compares with it, so the second half of a split
    batch can never be committed without the first.
    """

    partition: OwnedPartition
    after_id: str
    entries: Sequence[Entry]
    events: list[Event[Any]]
    parked: list[ParkedEvent]

    @property
    def active(self) -> bool:
        return self.partition.owned and not self.partition.halted

    def claim(self) -> Claim:
        """Move the offset from the entry before this slice to its last entry."""
        last = self.entries[-1]
        return Claim(
            stream=self.partition.id.stream,
            partition=self.partition.id.number,
            epoch=self.partition.epoch,
            old_id=self.after_id,
            new_id=last.entry_id,
            new_event_id=value_of(last.fields, b"id")[:EVENT_ID_BYTES],
            entries=len(self.entries),
        )

    def settled(self) -> None:
        """The claim is committed: remember it."""
        last = self.entries[-1]
        self.partition.last_id = last.entry_id
        self.partition.last_event_id = value_of(last.fields, b"id")[:EVENT_ID_BYTES]
        self.partition.entries_read += len(self.entries)


@dataclass(frozen=True, slots=True)
class Decoding:
    """What is needed to turn entries into slices."""

    table: Table
    partitions: int

    def slice(self, partition: OwnedPartition, after_id: str, entries: Sequence[Entry]) -> Slice:
        """Decode each entry by itself, so that one bad entry is one parked event."""
        events: list[Event[Any]] = []
        parked: list[ParkedEvent] = []
        stream, number = partition.id
        for entry_id, fields in entries:
            try:
                events.append(
                    decode(stream, number, self.partitions, entry_id, fields, self.table)
                )
            except InvalidEvent as invalid:
                entry = Entry(entry_id, fields)
                parked.append(parked_event(partition.id, entry, invalid.reason, invalid.detail))
        return Slice(partition, after_id, entries, events, parked)

    def split(self, work: Sequence[Slice]) -> list[list[Slice]]:
        """Smaller pieces of a batch that failed: its partitions, or the halves of one."""
        if len(work) > 1:
            return [[piece] for piece in work]
        (piece,) = work
        middle = len(piece.entries) // 2
        first, second = piece.entries[:middle], piece.entries[middle:]
        return [
            [self.slice(piece.partition, piece.after_id, first)],
            [self.slice(piece.partition, first[-1].entry_id, second)],
        ]


def parked_event(partition: PartitionId, entry: Entry, reason: str, error: str) -> ParkedEvent:
    """The parked form of an entry, with the account whose books miss it."""
    type_text = value_of(entry.fields, b"type").decode(errors="replace")
    key = value_of(entry.fields, b"key").decode(errors="replace")
    data = value_of(entry.fields, b"data")
    return ParkedEvent(
        stream=partition.stream,
        partition=partition.number,
        entry_id=entry.entry_id,
        fields=entry.fields,
        account_id=account_of(type_text, key, data),
        identity=identity_of(type_text, key, data),
        reason=reason,
        error=error,
    )


def reports(
    work: Sequence[Slice], seconds: float, error: str | None, trace: str | None
) -> list[BatchReport]:
    """What a batch tells Flower: one report for each of its streams."""
    by_stream: dict[str, list[Slice]] = {}
    for piece in work:
        by_stream.setdefault(piece.partition.id.stream, []).append(piece)
    return [
        BatchReport(
            stream=stream,
            partitions=tuple(piece.partition.id.number for piece in pieces),
            events=sum(len(piece.entries) for piece in pieces),
            parked=sum(len(piece.parked) for piece in pieces),
            seconds=seconds,
            first_id=pieces[0].entries[0].entry_id,
            last_id=pieces[-1].entries[-1].entry_id,
            error=error,
            traceback=trace,
        )
        for stream, pieces in by_stream.items()
    ]
