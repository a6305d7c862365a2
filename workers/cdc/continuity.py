"""Whether a stream entry is the next one for a sink, one it has, or none that may be written.

Pure. A sink stands at an Offset; of a transaction that is not whole it also knows how many rows it
has. `follow` says what an entry is, `plan` what a sink does with some of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from shared.cdc.positions import file_number
from shared.changes import Chunk, Offset, Position
from workers.cdc.sink import Entry

Step = Literal["next", "have", "gap"]


class Place(NamedTuple):
    """rows: of the transaction that is not whole, so far; 0 where `offset.whole`."""

    offset: Offset
    rows: int


class Read(NamedTuple):
    """A stream entry, as it was read and decoded."""

    chunk: Chunk
    entry: Entry


@dataclass(slots=True)
class Plan:
    """What one database transaction does, in this order.

    completes: `whole` begins with the rest of what is staged. drops_staged: that one never becomes
    whole, or the sink has it. whole: chunks of whole transactions. tail: of one that is not whole.
    """

    place: Place
    completes: bool = False
    drops_staged: bool = False
    whole: list[Chunk] = field(default_factory=list)
    tail: list[Entry] = field(default_factory=list)
    moved: bool = False
    gap: str = ""


def follow(place: Place, chunk: Chunk) -> tuple[Step, str]:
    """What this entry is for a sink that stands here, and for a gap why."""
    offset = place.offset
    if chunk.epoch > offset.epoch:
        begins = chunk.kind == "control" and chunk.chunk == 0 and chunk.seq > offset.seq
        if begins and _leaves_nothing_out(offset, chunk):
            return "next", ""
        return "gap", (
            f"epoch {chunk.epoch} goes on with {chunk.entry_id}, {chunk.kind}: the entry that "
            f"begins it behind {offset.seq} is missing"
        )
    last = (offset.seq + 1, -1) if offset.whole else (offset.seq, offset.chunk)
    if (chunk.seq, chunk.chunk) <= last:
        return "have", ""
    wanted = (offset.seq + 1, 0, 0) if offset.whole else (offset.seq, offset.chunk + 1, place.rows)
    found = (chunk.seq, chunk.chunk, chunk.first_row)
    if found == wanted and chunk.epoch == offset.epoch:
        return "next", ""
    return "gap", (
        f"{wanted[0]}-{wanted[1]} from row {wanted[2]} of epoch {offset.epoch} is next here, the "
        f"stream goes on with {found[0]}-{found[1]} from row {found[2]} of epoch {chunk.epoch}"
    )


def _leaves_nothing_out(offset: Offset, control: Chunk) -> bool:
    """Whether an epoch begins where this sink is or has been. One that begins at the end of the log
    (`begins` is empty) leaves out what an operator said is missed, and the tables are read instead.
    """
    if control.seq == offset.seq + 1 or not control.begins[0] or control.position is None:
        return True
    return not is_after(control.position, offset.position)


def plan(place: Place, entries: Iterable[Read]) -> Plan:
    """What to do with these entries, read in order behind the offset. It ends before a gap."""
    made = Plan(place)
    staged = not place.offset.whole
    open_: list[Read] = []
    for one in entries:
        step, why = follow(made.place, one.chunk)
        if step == "have":
            continue
        if step == "gap":
            made.gap = why
            break
        chunk = one.chunk
        if chunk.epoch > made.place.offset.epoch:
            made.drops_staged = made.drops_staged or staged
            staged, open_ = False, []
        known = has_already(made.place.offset.position, chunk)
        made.place = _after(made.place, chunk, known=known)
        made.moved = True
        open_.append(one)
        if not chunk.last:
            continue
        if known:
            made.drops_staged = made.drops_staged or staged
        else:
            made.completes = made.completes or staged
            made.whole += [read.chunk for read in open_]
        staged, open_ = False, []
    made.tail = [read.entry for read in open_]
    return made


def has_already(ours: Position, chunk: Chunk) -> bool:
    """Whether a transaction of the log ends where we have been: a new epoch reads it once more."""
    if chunk.kind != "log" or chunk.position is None:
        return False
    return not is_after(chunk.position, ours)


def is_after(one: Position, other: Position) -> bool:
    """Whether `one` is behind `other` in the same log. Positions of different logs cannot be
    compared: then it is taken for new, which at worst writes a row twice under two seqs.
    """
    if not same_log(one, other):
        return True
    if one.file == other.file:
        return one.pos > other.pos
    return file_number(one.file) > file_number(other.file)


def same_log(one: Position, other: Position) -> bool:
    """Whether both are of one server, and of one count of its files."""
    if one.server != other.server:
        return False
    if one.file == other.file:
        return one.mark == other.mark
    try:
        (name, number), (other_name, other_number) = file_number(one.file), file_number(other.file)
    except ValueError:
        return False
    return name == other_name and (number > other_number) == (_made(one) >= _made(other))


def _after(place: Place, chunk: Chunk, *, known: bool) -> Place:
    """Where the sink stands with this chunk. Its place in the log never goes back: an epoch begins
    where another sink is, and what of the log is read once more, snapshots' marks among it, stays
    known.
    """
    position = place.offset.position
    if chunk.position is not None and not known and is_after(chunk.position, position):
        position = chunk.position
    rows = 0 if chunk.last else chunk.first_row + len(chunk.changes)
    return Place(Offset(chunk.epoch, chunk.seq, chunk.chunk, chunk.last, position), rows)


def _made(position: Position) -> int:
    """When the position's file was begun, as far as its mark says so."""
    return int(position.mark) if position.mark.isdecimal() else 0


def rows_of(chunks: Sequence[Chunk]) -> int:
    return sum(len(chunk.changes) for chunk in chunks)
