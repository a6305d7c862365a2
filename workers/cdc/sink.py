"""What a sink of the change stream can do; `sink_loop` decides when, the same for every sink.

A sink keeps rows, its offset, chunks of a transaction that is not whole yet, and rows it refused,
in one database, and changes them in one transaction. Everything below `transaction` is called
inside one, after `lock_offset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from shared.changes import Chunk, Offset
from shared.errors import FleetError


class Entry(NamedTuple):
    """A stream entry as it was read, and where its chunk stands."""

    epoch: int
    seq: int
    chunk: int
    first_row: int
    rows: int
    fields: Mapping[bytes, bytes]

    @property
    def entry_id(self) -> bytes:
        return b"%d-%d" % (self.seq, self.chunk)


class Batch(NamedTuple):
    """What one database transaction wrote, for the sink's diary: `explain` reads it."""

    epoch: int
    first_seq: int
    last_seq: int
    rows: int


class Refused(NamedTuple):
    """A row that a sink would not take. entry: it alone, encoded again; first_row: its row_index.

    at: when, ISO in UTC; "" before it is kept.
    """

    entry: Entry
    table: str
    op: str
    reason: str
    at: str = ""


class RowsRefused(FleetError):  # noqa: N818 - a state, not a mistake
    """The database takes some of these rows never, whatever is tried again (too long, out of
    range, no partition). reason: the server's own words. The loop finds which ones they are.
    """


class Sink(Protocol):
    """One database that receives changes.

    Any method may raise Unavailable: the loop closes the sink, waits and begins again at the
    offset that the database then shows, so a commit whose outcome is unknown does no harm.
    """

    name: str
    """Field in `:sinks`, label of metrics: `audit`, `timescale`."""

    def connect(self) -> None:
        """Opens the connection; a session that falls silent in a transaction must end by itself
        within a minute, so that a stopped twin does not hold the offset for ever.
        """

    def close(self) -> None:
        """Never raises; `connect` may follow."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commits at the end, rolls back on any error."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Inside a transaction: an error undoes what was done inside, and nothing before."""

    def lock_offset(self) -> Offset | None:
        """The offset, locked until the transaction ends (`FOR UPDATE`); None: a new sink.

        Where there is no row the lock must hold all the same (make the row first).
        """

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Rows of whole transactions, in order, at most some thousands at once; a transaction may
        go over several calls, all in one database transaction. A chunk may be a part of one
        (`first_row` is right, `last` is set on the transaction's last part only).

        Raises RowsRefused, after which the loop rolls back (to a savepoint or wholly).
        """

    def quarantine(self, chunk: Chunk, refused: Refused) -> None:
        """Keeps `refused`, and in its own tables whatever it can keep of the chunk's one change
        (the audit log: its hash, so that the chain shows that there was one).
        """

    def quarantined(self, first_seq: int, last_seq: int) -> Iterator[Refused]:
        """What is kept and not replayed, in order, one at a time."""

    def replay(self, chunk: Chunk, refused: Refused) -> None:
        """Writes one quarantined change as if it came late (a state that is newer stays) and marks
        it as replayed. Raises RowsRefused.
        """

    def stage(self, entries: Sequence[Entry]) -> None:
        """Puts raw entries of a transaction that is not whole yet aside."""

    def staged_rows(self) -> int:
        """Rows in all staged entries: the next chunk's `first_row`."""

    def staged(self) -> Iterator[Sequence[Entry]]:
        """The staged entries in order, a few (some MB) at a time. Rows are written in between."""

    def unstage(self) -> None:
        """Removes all staged entries."""

    def move_offset(self, offset: Offset, batch: Batch | None) -> None:
        """The last call of a transaction. batch: None where no row was written."""
