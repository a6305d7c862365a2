"""Rows that a sink's database refuses: found one by one, kept whole, replayed later. None is lost,
and none holds up the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.cdc import envelope
from shared.changes import Chunk
from workers.cdc.continuity import rows_of
from workers.cdc.sink import Entry, Refused, RowsRefused, Sink


def write_carefully(sink: Sink, chunks: Sequence[Chunk]) -> int:
    """Writes all rows that the sink takes and quarantines the others; how many those are.

    Raises RowsRefused where it refuses something that is no row.
    """
    try:
        with sink.savepoint():
            sink.write(chunks)
    except RowsRefused as refused:
        rows = rows_of(chunks)
        if rows == 0:
            raise
        if rows > 1:
            left, right = split(chunks, rows // 2)
            return write_carefully(sink, left) + write_carefully(sink, right)
        before, alone, after = _around_the_row(chunks)
        if before:
            sink.write(before)
        sink.quarantine(alone, Refused(*_refused(alone, str(refused))))
        if after:
            sink.write(after)
        return 1
    return 0


def split(chunks: Sequence[Chunk], rows: int) -> tuple[list[Chunk], list[Chunk]]:
    """The first `rows` rows, and the rest. A chunk that is cut keeps `last` on its second part."""
    left, right = list[Chunk](), list[Chunk]()
    for chunk in chunks:
        count = len(chunk.changes)
        if right:
            right.append(chunk)
        elif count <= rows:
            left.append(chunk)
            rows -= count
        else:
            first, second = cut(chunk, rows)
            if rows:
                left.append(first)
            right.append(second)
    return left, right


def cut(chunk: Chunk, rows: int) -> tuple[Chunk, Chunk]:
    """A chunk as two. Only the second may end the transaction."""
    first = chunk._replace(last=False, position=None, changes=chunk.changes[:rows])
    second = chunk._replace(first_row=chunk.first_row + rows, changes=chunk.changes[rows:])
    return first, second


def entry_of(chunk: Chunk) -> Entry:
    """A chunk encoded again, as an entry of the stream."""
    tables = list(dict.fromkeys(change.table for change in chunk.changes))
    numbers = {table: number for number, table in enumerate(tables)}
    rows = [envelope.encode_row(numbers[change.table], change) for change in chunk.changes]
    fields = envelope.encode(chunk, rows, [envelope.encode_table(table) for table in tables])
    return Entry(
        chunk.epoch, chunk.seq, chunk.chunk, chunk.first_row, len(chunk.changes), fields
    )  # fmt: skip


def chunk_of(entry: Entry) -> Chunk:
    return envelope.decode(entry.entry_id, entry.fields)


def replay(sink: Sink, first_seq: int, last_seq: int) -> tuple[int, list[Refused]]:
    """Writes what is in quarantine of these transactions: how many, and what is refused again."""
    done, again = 0, list[Refused]()
    with sink.transaction():
        for one in sink.quarantined(first_seq, last_seq):
            try:
                with sink.savepoint():
                    sink.replay(chunk_of(one.entry), one)
                done += 1
            except RowsRefused as refused:
                again.append(one._replace(entry=_bare(one.entry), reason=str(refused)))
    return done, again


def _around_the_row(chunks: Sequence[Chunk]) -> tuple[list[Chunk], Chunk, list[Chunk]]:
    """The only row alone, and what stands before and behind it; all of that is without rows."""
    at = next(place for place, chunk in enumerate(chunks) if chunk.changes)
    alone, rest = cut(chunks[at], 1)
    after = [rest] if rest.last else []
    return list(chunks[:at]), alone, after + list(chunks[at + 1 :])


def _refused(alone: Chunk, reason: str) -> tuple[Entry, str, str, str]:
    change = alone.changes[0]
    return entry_of(alone), change.table.name, change.op, reason


def _bare(entry: Entry) -> Entry:
    return entry._replace(fields={})
