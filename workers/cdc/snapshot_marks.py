"""What is known of snapshots, in the source itself: rows of `fleet_cdc_heartbeat`.

    2  the last mark: where in a table the reading is; its place in the log is what it is for
    3  the queue: tables that are still to be read, the first one is being read
    4  the first load: how many seqs it has used
    5  tables that could not be read, and why
    6  a mark of `fleet cdc verify`: which seq is the moment that it compares
    7  what the newest epoch captures: Redis may lose the checkpoint that says so

A mark and what it changes are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from shared.cdc.table_chunks import Key
from shared.changes import Value
from shared.mysql.connection import Connection
from shared.queries import load

SQL = load(Path(__file__).with_name("snapshot_marks.sql"))

HEARTBEAT = "fleet_cdc_heartbeat"
MARK, QUEUE, LOAD, REFUSED, VERIFY, SELECTION = 2, 3, 4, 5, 6, 7
REFUSED_KEPT = 20

MarkKind = Literal["begin", "low", "high", "load", "resume", "idle", "verify"]


class Mark(NamedTuple):
    """begin: a table's snapshot begins here (one seq). low: everything logged before is committed.
    high: rows between `after` and `last` stand here, but for those that the log has told since
    `low` (one seq). resume: nothing older is under way. load, idle: only to remember. verify: one
    seq, which stands for this place of the log.

    token: of this mark. begin_seq: 0 before `begin` has passed. after: rows up to this key are
    read; None: none is. through: the table's last key, after it began; None: not known, or no row.
    rows: read so far. done: it is the table's last chunk. start: rows that were read before it.
    """

    kind: MarkKind
    token: str = ""
    table: str = ""
    request: str = ""
    begin_seq: int = 0
    after: Key | None = None
    last: Key | None = None
    through: Key | None = None
    rows: int = 0
    done: bool = False
    start: int = 0


class Waiting(NamedTuple):
    """A table in the queue. by: who asked, for people."""

    table: str
    request: str
    by: str


class Load(NamedTuple):
    """A first load: seqs from `first` to `last` are its own, the last perhaps not appended."""

    epoch: int
    first: int
    last: int


class Refused(NamedTuple):
    """why: says what to do."""

    table: str
    request: str
    why: str


class Selected(NamedTuple):
    """What an epoch captures. filter: fingerprint, as in the checkpoint."""

    epoch: int
    filter: str


class Known(NamedTuple):
    mark: Mark
    queue: list[Waiting]
    load: Load | None
    refused: list[Refused]
    selected: Selected | None = None


class Progress(NamedTuple):
    """For `fleet cdc status`. state: waiting | reading | refused (why says what to do)."""

    table: str
    request_id: str
    state: str
    rows: int
    why: str


NOTHING = Known(Mark("idle"), [], None, [])


def mark_text(mark: Mark) -> str:
    told = mark._asdict()
    for name in ("after", "last", "through"):
        told[name] = None if told[name] is None else [part.hex() for part in told[name]]
    return orjson.dumps(told).decode()


def mark_from(text: str | bytes) -> Mark:
    """Raises ValueError, KeyError or TypeError for what nobody of ours wrote."""
    told = orjson.loads(text)
    for name in ("after", "last", "through"):
        if told[name] is not None:
            told[name] = tuple(bytes.fromhex(part) for part in told[name])
    return Mark(**told)


def mark_in(values: Mapping[str, Value]) -> Mark | None:
    """Of a row of the heartbeat as the log shows it; None: another one."""
    if int(str(values["id"])) not in {MARK, VERIFY} or not isinstance(values["mark"], str):
        return None
    return mark_from(values["mark"])


def write(
    cursor: Any,
    mark: Mark | None = None,
    queue: list[Waiting] | None = None,
    load: Load | None = None,
    refused: list[Refused] | None = None,
    *,
    selected: Selected | None = None,
) -> None:
    """Each that is given; the caller commits."""
    rows: list[tuple[int, str]] = []
    if selected is not None:
        rows.append((SELECTION, orjson.dumps(list(selected)).decode()))
    if queue is not None:
        rows.append((QUEUE, orjson.dumps([list(one) for one in queue]).decode()))
    if load is not None:
        rows.append((LOAD, orjson.dumps(list(load)).decode()))
    if refused is not None:
        kept = [list(one) for one in refused[-REFUSED_KEPT:]]
        rows.append((REFUSED, orjson.dumps(kept).decode()))
    if mark is not None:
        rows.append((VERIFY if mark.kind == "verify" else MARK, mark_text(mark)))
    for row in rows:
        cursor.execute(SQL["write"], row)


def read(cursor: Any) -> Known:
    cursor.execute(SQL["read"])
    found = {int(number): orjson.loads(text) for number, text in cursor.fetchall()}
    return Known(
        mark_from(orjson.dumps(found[MARK])) if MARK in found else NOTHING.mark,
        [Waiting(*one) for one in found.get(QUEUE, ())],
        Load(*found[LOAD]) if LOAD in found else None,
        [Refused(*one) for one in found.get(REFUSED, ())],
        Selected(*found[SELECTION]) if SELECTION in found else None,
    )


class Queue:
    """Tables that are still to be read; the first one is being read. What is changed here is in the
    source with the caller's commit; if that fails it is to be read again from there.
    """

    def __init__(self, known: Known = NOTHING) -> None:
        self.waiting = list(known.queue)
        self.refused = list(known.refused)

    def fill(self, cursor: Any, waiting: Sequence[Waiting]) -> None:
        """These and no others."""
        self.waiting = list(waiting)
        write(cursor, Mark("idle"), self.waiting)

    def add(self, cursor: Any, more: Sequence[Waiting]) -> None:
        self.waiting += more
        write(cursor, queue=self.waiting)

    def leave(self, cursor: Any) -> None:
        """The first one is read."""
        del self.waiting[:1]
        write(cursor, Mark("idle"), self.waiting)

    def refuse(self, cursor: Any, why: str) -> None:
        """The first one cannot be read."""
        first = self.waiting.pop(0)
        self.refused = [one for one in self.refused if one.table != first.table]
        self.refused.append(Refused(first.table, first.request, why))
        write(cursor, Mark("idle"), self.waiting, refused=self.refused)


def progress(connection: Connection) -> list[Progress]:
    """What `fleet cdc status` shows; reads only."""
    cursor = connection.cursor()
    known = read(cursor)
    cursor.close()
    connection.rollback()
    return progress_of(known)


def progress_of(known: Known) -> list[Progress]:
    """Pure."""
    found = []
    for place, one in enumerate(known.queue):
        reading = place == 0 and (one.table, one.request) == (known.mark.table, known.mark.request)
        state, rows = ("reading", known.mark.rows) if reading else ("waiting", 0)
        found.append(Progress(one.table, one.request, state, rows, ""))
    found += [Progress(one.table, one.request, "refused", 0, one.why) for one in known.refused]
    return found
