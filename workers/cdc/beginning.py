"""How a collector begins: the fence, what Redis and the sinks hold, and from there an Appender."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from shared import telemetry
from shared.cdc.checkpoint import Checkpoint, Opening, Place, Report
from shared.cdc.log import ChangeLog, Request, Taken
from shared.changes import Offset, Position
from workers.cdc import snapshot
from workers.cdc.appender import Appender
from workers.cdc.entries import Encoder, Header
from workers.cdc.ports import Tools
from workers.cdc.resume import (
    GoOn,
    NewEpoch,
    Resumption,
    Rewind,
    Wait,
    back,
    known,
    restarted,
    resume,
)
from workers.cdc.snapshot import FirstLoad
from workers.cdc.snapshot_chunk import told
from workers.cdc.snapshot_marks import Selected

RESTART, RECOVER, SNAPSHOT = "restart", "recover", "snapshot"
"""What may be asked. recover: a restart if the log does not go on for everybody, else nothing."""
OF_BEGINNINGS = frozenset({RESTART, RECOVER})


class Beginning:
    """One try. between: called between the transactions of a first load, which may be long."""

    def __init__(
        self, tools: Tools, stream: ChangeLog, between: Callable[[Appender], None]
    ) -> None:
        self._tools = tools
        self._stream = stream
        self._between = between
        self._asked: Request | None = None

    def begin(self, renumber: str) -> Appender | Wait:
        """renumber: why the numbers of this epoch hold no longer, "" where they do."""
        tools = self._tools
        tools.examine()
        taken = self._stream.take()
        reports = self._stream.reports()
        found = self._decide(taken, reports, renumber)
        if isinstance(found, Wait):
            return found
        tools.snapshots.restore()
        if isinstance(found, NewEpoch):
            return self._epoch(taken, found)
        checkpoint = self._checkpoint(taken, found)
        self._done()
        tools.standings.restore(checkpoint.place.seq)
        offsets = known(reports, tools.sinks)
        appender = Appender(self._stream, checkpoint, offsets, tools.now_us, tools.bounds.batch)
        _fill_load(tools, appender)
        return appender

    def _decide(self, taken: Taken, reports: Mapping[str, Report], renumber: str) -> Resumption:
        sinks, selection = self._tools.sinks, self._tools.selection
        asked = self._stream.requests()
        self._asked = next((one for one in asked if one.kind in OF_BEGINNINGS), None)
        first = self._stream.extent().first
        kept = self._tools.snapshots.selected()
        found = resume(taken, reports, sinks, selection, first, kept=kept)
        if isinstance(found, Wait):
            return found
        offsets = known(reports, sinks)
        why = self._why_anew(taken, offsets)
        if why:
            return restarted(taken, offsets, why, first)
        if renumber and taken.checkpoint is not None:
            return back(
                offsets, taken.checkpoint, selection, renumber, kept=kept, renumber=True
            )
        return found

    def _why_anew(self, taken: Taken, offsets: Sequence[Offset]) -> str:
        """Of what an operator asked; "" where nothing is to begin."""
        asked = self._asked
        if asked is None or asked.kind == RESTART:
            return asked.reason if asked is not None else ""
        places = [one.position for one in offsets]
        if taken.checkpoint is not None:
            places.append(taken.checkpoint.place.position)
        found = next(filter(None, map(self._tools.source.broken, places)), "")
        self._tools.log("cdc_recover", asked=asked.reason, broken=found)
        return f"{asked.reason}: {found}" if found else ""

    def _done(self) -> None:
        if self._asked is not None:
            self._stream.done(self._asked)

    def _checkpoint(self, taken: Taken, found: GoOn | Rewind) -> Checkpoint:
        if isinstance(found, GoOn):
            return found.checkpoint
        place = found.place
        self._tools.log("cdc_rewind", why=found.why, seq=place.seq, epoch=place.epoch)
        telemetry.count("fleet_cdc_rewinds_total")
        return self._stream.rewind(_fence(taken), found.head, place, self._tools.now_ms())

    def _epoch(self, taken: Taken, found: NewEpoch) -> Appender:
        """Its first entry says why; everything captured is read anew behind it."""
        tools, stream = self._tools, self._stream
        tools.log("cdc_epoch", epoch=found.epoch, why=found.why)
        # Before anybody can see the epoch: it is what is asked when the checkpoint is lost.
        tools.snapshots.select(Selected(found.epoch, tools.selection))
        position, load = _from_where(tools, found)
        if load is None:
            # Kept by the source before the epoch begins, so a crash in between forgets nothing.
            tools.snapshots.request(snapshot.Request(f"epoch-{found.epoch}", (), found.why))
        place = Place(found.epoch, found.seq + 1, position, tools.selection)
        tools.standings.restore(found.seq)
        tools.standings.begin_epoch(place.seq)
        control = _control(place, found, tools.now_us())
        entries, now_ms = list(Encoder().entries(control, (), ())), tools.now_ms()
        if found.afresh or taken.checkpoint is None:
            checkpoint = stream.rewind(
                _fence(taken), (found.seq, 1), place, now_ms,
                entries=entries, opens=Opening((place.seq, 0), found.position),
            )  # fmt: skip
        else:
            checkpoint = stream.append(taken.checkpoint, entries, place, now_ms)
        self._done()
        appender = Appender(stream, checkpoint, (), tools.now_us, tools.bounds.batch)
        if load is not None:
            self._load(appender, load)
        return appender

    def _load(self, appender: Appender, load: FirstLoad) -> None:
        """All tables as of the epoch's position."""
        with closing(load):
            for one in load.transactions(appender.place.epoch, appender.place.seq + 1):
                appender.snapshot(self._tools.standings.snapshot(one))
                appender.flush()
                self._between(appender)


def _control(place: Place, found: NewEpoch, now_us: int) -> Header:
    """`begins` is empty where the epoch begins at the end of the log, see Chunk."""
    begins = ("", 0) if found.position is None else (found.position.file, found.position.pos)
    return Header(
        place.epoch, place.seq, "control", place.position.gtid, begins, now_us, place.position,
        now_us, text=found.why,
    )  # fmt: skip


def _from_where(tools: Tools, found: NewEpoch) -> tuple[Position, FirstLoad | None]:
    if found.position is not None:
        return found.position, None
    load = tools.snapshots.first_load()
    if load is None:
        return tools.source.position(), None
    return tools.source.position_at(load.file, load.pos), load


def _fill_load(tools: Tools, appender: Appender) -> None:
    """Numbers that a first load has used, and whose rows nobody can read again."""
    place = appender.place
    for _ in range(tools.snapshots.unfinished_load(place.epoch, place.seq)):
        appender.snapshot(told("", "snapshot_lost", "a first load was broken off"))
        appender.flush()


def _fence(taken: Taken) -> int | None:
    return taken.checkpoint.fence if taken.checkpoint else None
