"""Changes of the source as what is written here: events, newest rows, histories, roll-ups. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from shared.changes import Change, Chunk, row_key
from shared.timescale import lines
from shared.timescale.histories import HISTORIES, Cells, Values, has_columns, typed
from shared.timescale.rollups import Increments, Stamp

EVENT_COLUMNS = (
    "committed_at", "seq", "row_index", "epoch", "table_name", "row_key", "op", "derived", "kind",
    "before", "after", "actor", "gtid", "file", "pos", "shape",
)  # fmt: skip
STATE_COLUMNS = (
    "table_name", "row_key", "row", "committed_at", "epoch", "seq", "row_index", "deleted",
    "refused",
)  # fmt: skip

FILLS = "fleet_fills"
NO_KEY = "[]"
KEY_BYTES_MOST = 1000
_HOUR_US = 3_600_000_000

Standing = Mapping[str, Values]
"""Fills that have a row of weight 1, by row_key, as they stand before the batch."""


class Row(NamedTuple):
    """One change of a row. before, after: column -> value. of: its transaction."""

    of: Chunk
    row_index: int
    table: str
    key: str
    op: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    derived: bool
    shape: str

    @property
    def stamp(self) -> Stamp:
        return stamp_of(self.of, self.row_index)

    @property
    def deleted(self) -> bool:
        return self.after is None


def stamp_of(chunk: Chunk, row_index: int) -> Stamp:
    return Stamp(chunk.seq, row_index, *_moments(chunk.committed_at_us))


def _moments(at_us: int) -> tuple[str, str]:
    """A time, and when its hour began."""
    hour, rest = divmod(at_us, _HOUR_US)
    began = _hour(hour)
    seconds, micros = divmod(rest, 1_000_000)
    return f"{began[:14]}{seconds // 60:02d}:{seconds % 60:02d}.{micros:06d}Z", began


@lru_cache(maxsize=1024)
def _hour(hour: int) -> str:
    return lines.moment(hour * _HOUR_US)


def row_of(chunk: Chunk, change: Change, row_index: int) -> Row:
    """Of any op but t and m."""
    table, columns = change.table, change.table.columns
    return Row(
        chunk,
        row_index,
        table.name,
        bounded(row_key(change)),
        change.op,
        None if change.before is None else dict(zip(columns, change.before, strict=True)),
        None if change.after is None else dict(zip(columns, change.after, strict=True)),
        change.derived,
        table.shape,
    )


class Gathered:
    """What is to be written. Rows are added in the order of their places."""

    def __init__(self, standing: Standing) -> None:
        """standing: as it is before the batch, of all fills in it."""
        self.events: list[str] = []
        self.states: dict[tuple[str, str], str] = {}
        self.histories: dict[str, list[str]] = {}
        self.increments = Increments()
        self._standing: dict[str, Cells | None] = {
            key: typed(HISTORIES[FILLS], row)
            for key, row in standing.items()
            if has_columns(HISTORIES[FILLS], row)
        }

    def add(self, row: Row) -> None:
        """All of a row. Raises NotTyped: then nothing of the batch is to be written."""
        stamp, after = row.stamp, _json(row.after)
        self.event(row, stamp, after)
        self.state(row, stamp, after, refused=False)
        self.history(row, stamp)

    def untyped(self, row: Row) -> None:
        """A row that its typed history refuses. What stood of a fill is no longer so, and what it
        is now cannot be told.
        """
        stamp, after = row.stamp, _json(row.after)
        self.event(row, stamp, after)
        self.state(row, stamp, after, refused=True)
        if row.table == FILLS:
            self._fill(row.key, stamp, None)

    def event(self, row: Row, stamp: Stamp, after: str) -> None:
        self._event(
            row.of, stamp, row.table, row.key, row.op, row.shape, _json(row.before), after,
            derived=row.derived,
        )  # fmt: skip

    def message(self, chunk: Chunk, change: Change, row_index: int) -> None:
        """A change of op t or m: of a table, not of a row."""
        self._event(
            chunk, stamp_of(chunk, row_index), change.table.name, NO_KEY, change.op,
            change.table.shape, lines.NULL, _json(change.after), derived=change.derived,
        )  # fmt: skip

    def epoch(self, chunk: Chunk, row_index: int) -> None:
        """What an epoch begins with: why."""
        self._event(
            chunk, stamp_of(chunk, row_index), "", NO_KEY, "m", "", lines.NULL,
            _json(["epoch", chunk.epoch, chunk.text]), derived=False,
        )  # fmt: skip

    def state(self, row: Row, stamp: Stamp, after: str, *, refused: bool) -> None:
        table = lines.text(row.table)
        self.states[(row.table, row.key)] = (
            f"{table}\t{lines.text(row.key)}\t{after}\t{stamp.committed_at}\t{row.of.epoch}\t"
            f"{stamp.seq}\t{stamp.row_index}\t{lines.boolean(row.deleted)}\t"
            f"{lines.boolean(refused)}\n"
        )

    def history(self, row: Row, stamp: Stamp) -> None:
        """The typed history of the row's table, where it has one."""
        history = HISTORIES.get(row.table)
        figures = row.before if row.after is None else row.after
        if history is None or figures is None or not has_columns(history, figures):
            return
        if row.table == FILLS:
            self._fill(row.key, stamp, None if row.deleted else typed(history, figures))
            return
        cells, deleted = typed(history, figures), lines.boolean(row.deleted)
        if row.table == "fleet_positions":
            self.increments.position(stamp, cells, deleted)
        else:
            self.increments.pnl(stamp, cells, deleted)
        self._typed(row.table, stamp, deleted, cells)

    def _fill(self, key: str, stamp: Stamp, cells: Cells | None) -> None:
        before = self._standing.get(key)
        if before == cells:  # read again by a snapshot
            return
        for found, weight in ((before, -1), (cells, 1)):
            if found is not None:
                self._typed(FILLS, stamp, str(weight), found)
                self.increments.fill(found, weight)
        self._standing[key] = cells

    def _typed(self, table: str, stamp: Stamp, fourth: str, cells: Cells) -> None:
        told = "\t".join(cells)
        self.histories.setdefault(table, []).append(
            f"{stamp.committed_at}\t{stamp.seq}\t{stamp.row_index}\t{fourth}\t{told}\n"
        )

    def _event(  # noqa: PLR0917 - the line's cells
        self, chunk: Chunk, stamp: Stamp, table: str, key: str, op: str, shape: str, before: str,
        after: str, *, derived: bool,
    ) -> None:  # fmt: skip
        file, pos = chunk.begins
        name = lines.text(table)
        told = f"{lines.text(chunk.actor)}\t{lines.text(chunk.gtid)}\t{lines.text(file)}\t{pos}"
        self.events.append(
            f"{stamp.committed_at}\t{stamp.seq}\t{stamp.row_index}\t{chunk.epoch}\t{name}\t"
            f"{lines.text(key)}\t{op}\t{lines.boolean(derived)}\t{chunk.kind}\t"
            f"{before}\t{after}\t{told}\t{shape}\n"
        )
        self.increments.count(stamp.hour, name, op)


def bounded(key: bytes) -> str:
    """row_key here: longer than an index holds, it is the hash of itself."""
    if len(key) > KEY_BYTES_MOST:
        return f'[{{"$sha256":"{hashlib.sha256(key).hexdigest()}"}}]'
    return key.decode()


def _json(value: Any) -> str:
    return lines.NULL if value is None else lines.json(value)


def fill_keys(rows: Iterable[Row]) -> list[str]:
    """Of the fills among them."""
    return list({row.key for row in rows if row.table == FILLS})
