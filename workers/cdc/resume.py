"""Where a collector goes on. Pure: it is told what Redis and the sinks hold, and decides.

The log can be read again from any position that is still there, and gives the same transactions,
numbers and chunks. So whatever was lost in Redis is one case: begin at the sink that is furthest
behind; those ahead skip what they have. Only where numbers cannot be the same does an epoch begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from shared.cdc.checkpoint import (
    NOTHING,
    Checkpoint,
    Id,
    Place,
    Report,
    following,
    is_there,
    whole_seq,
)
from shared.cdc.log import Taken
from shared.changes import Offset, Position
from workers.cdc.continuity import is_after
from workers.cdc.snapshot_marks import Selected


class GoOn(NamedTuple):
    """At the checkpoint, as if nothing had been."""

    checkpoint: Checkpoint


class Rewind(NamedTuple):
    """The stream begins again after `head`; the log is read from `place`."""

    head: Id
    place: Place
    why: str


class NewEpoch(NamedTuple):
    """seq: the last one that anybody has. position: None means that of the source now.
    afresh: what the stream holds is of no use to anybody.
    """

    epoch: int
    seq: int
    position: Position | None
    why: str
    afresh: bool


class Wait(NamedTuple):
    """Nothing can be decided before these sinks have said what they have."""

    sinks: tuple[str, ...]

    @property
    def why(self) -> str:
        return f"waiting for the sinks to say what they have: {', '.join(self.sinks)}"


Resumption: TypeAlias = GoOn | Rewind | NewEpoch | Wait


def resume(
    taken: Taken,
    reports: Mapping[str, Report],
    sinks: Sequence[str],
    selection: str,
    first: Id | None,
    *,
    kept: Selected | None = None,
) -> Resumption:
    """sinks: the configured ones. first: the stream's first entry, None: it is empty. kept: what
    the source knows of the newest epoch.
    """
    offsets = known(reports, sinks)
    checkpoint = taken.checkpoint
    if checkpoint is not None and taken.agrees:
        why = _missing(offsets, checkpoint, first)
        if why:
            return back(offsets, checkpoint, selection, why, kept=kept)
        return _selected(checkpoint, selection)
    silent = tuple(name for name in sinks if name not in reports)
    if silent:
        return Wait(silent)
    if offsets or checkpoint is not None:
        return back(offsets, checkpoint, selection, "Redis lost what it held", kept=kept)
    return NewEpoch(1, NOTHING[0], None, "first start", afresh=True)


def known(reports: Mapping[str, Report], sinks: Sequence[str]) -> list[Offset]:
    """Offsets of the configured sinks that have any."""
    return [found.offset for name, found in reports.items() if name in sinks and found.offset]


def back(
    offsets: Sequence[Offset],
    checkpoint: Checkpoint | None,
    selection: str,
    why: str,
    *,
    kept: Selected | None = None,
    renumber: bool = False,
) -> Rewind | NewEpoch:
    """To the sink that is furthest behind; where none has anything, to the checkpoint, at which new
    sinks begin. One of the two must be there.
    """
    if offsets:
        last = min(offsets, key=lambda one: (one.epoch, whole_seq(one)))
        place = Place(last.epoch, whole_seq(last), last.position, selection)
        head = (place.seq, last.chunk) if last.whole and place.seq else (place.seq, 1)
    elif checkpoint is not None:
        place = checkpoint.place
        head = (place.seq, 1)
    else:
        raise ValueError("nobody knows any position")
    epochs, seqs = used(offsets, checkpoint)
    if checkpoint is not None:
        same = checkpoint.place.filter == selection
    else:
        same = kept is None or kept == (place.epoch, selection)
        epochs |= {kept.epoch} if kept else set()
    # A sink that has nothing yet needs how the epoch began, which the log does not give again.
    if len(epochs) > 1 or renumber or not same or not place.seq:
        return NewEpoch(max(epochs) + 1, max(seqs), place.position, why, afresh=True)
    return Rewind(head, place, why)


def restarted(
    taken: Taken, offsets: Sequence[Offset], reason: str, first: Id | None
) -> NewEpoch:
    """An operator says that what was missed is missed: an epoch from now on. It stands behind what
    the stream holds, unless a sink could not come to it there: one that was restored needs what is
    gone, and one that is ahead of the stream has used the next numbers.
    """
    checkpoint = taken.checkpoint
    epochs, seqs = used(offsets, checkpoint)
    last = max(seqs, default=0)
    follows = (
        checkpoint is not None
        and taken.agrees
        and checkpoint.head[0] == last
        and all(_can_go_on(one, checkpoint, first) for one in offsets)
    )
    return NewEpoch(max(epochs, default=0) + 1, last, None, reason, afresh=not follows)


def used(offsets: Sequence[Offset], checkpoint: Checkpoint | None) -> tuple[set[int], set[int]]:
    """Epochs and numbers that somebody has seen."""
    epochs, seqs = {one.epoch for one in offsets}, {one.seq for one in offsets}
    if checkpoint is not None:
        epochs.add(checkpoint.place.epoch)
        seqs |= {checkpoint.place.seq, checkpoint.head[0]}
    return epochs, seqs


def _missing(offsets: Sequence[Offset], checkpoint: Checkpoint, first: Id | None) -> str:
    """Why the stream is not what the sinks need next; empty where it is."""
    if any(one.epoch > checkpoint.place.epoch for one in offsets):
        return "Redis lost the entries that began an epoch"
    if not all(_can_go_on(one, checkpoint, first) for one in offsets):
        return "a sink needs entries that the stream does not have any more"
    return ""


def _can_go_on(offset: Offset, checkpoint: Checkpoint, first: Id | None) -> bool:
    """What comes next for this sink is there, or an epoch that leaves nothing out for it."""
    if is_there(following(offset), first, checkpoint.head):
        return True
    opens = checkpoint.opens
    if opens is None or first != opens.id or offset.epoch >= checkpoint.place.epoch:
        return False
    return opens.position is None or not is_after(opens.position, offset.position)


def _selected(checkpoint: Checkpoint, selection: str) -> GoOn | NewEpoch:
    place = checkpoint.place
    if place.filter == selection:
        return GoOn(checkpoint)
    seq = max(place.seq, checkpoint.head[0])
    return NewEpoch(
        place.epoch + 1, seq, place.position, "another selection of tables", afresh=False
    )


def renumbered(place: Place, ends: Position, ahead: Sequence[Offset]) -> Offset | None:
    """A sink that counted otherwise: it has been where this transaction begins, under another seq.

    place: before the transaction that ends at `ends`. The log gave the same numbers to everybody
    unless something is wrong; then an epoch begins, and nobody is given two meanings of one seq.
    """
    for one in ahead:
        passed = is_after(ends, one.position) and not is_after(place.position, one.position)
        if passed and place.seq != whole_seq(one):
            return one
    return None


def half_read(seq: int, offsets: Sequence[Offset]) -> Offset | None:
    """A sink that has a part of `seq`. The rest of a snapshot is gone with the rows it was read
    from, so that part can never become whole.
    """
    return next((one for one in offsets if one.seq == seq and not one.whole), None)
