"""`fleet cdc verify`: the source and both sinks, row for row, as of one moment of the log.

    marks, view of the source  ─>  wait until every sink has passed both marks  ─>  its view
    per table: one pass over source and sink, sums of parts  ─>  parts that differ, row by row

Memory is bounded by PARTS and ROWS_AT_ONCE, whatever the tables hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from shared.cdc.table_chunks import TableChunks
from shared.errors import Unavailable
from workers.cdc.snapshot_tables import CannotRead
from workers.cdc.verify_rows import Difference, Rows, Sums, compare, excused, in_groups, part_of
from workers.cdc.verify_sinks import AuditView, Moment, SinkView
from workers.cdc.verify_view import SourceView

ROWS_AT_ONCE = 50_000
PASSES_MOST = 20
NAMED_MOST = 50
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.2


@dataclass(slots=True)
class SinkResult:
    """differing: the first NAMED_MOST. more: how many more there are at least. unseen: rows that
    only the source has, and which may be older than what the sink keeps. older: parts in which
    rows are from before a column was added, and nothing else differs.
    """

    sink: str
    differing: list[Difference] = field(default_factory=list)
    more: int = 0
    unseen: int = 0
    older: int = 0
    why: str = ""


@dataclass(slots=True)
class TableResult:
    """refused: why it was not compared. unprovable: what the log does not hold of it."""

    table: str
    rows: int = 0
    sinks: list[SinkResult] = field(default_factory=list)
    refused: str = ""
    unprovable: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return any(one.differing or one.why for one in self.sinks)


def moment_of(
    source: SourceView,
    audit: AuditView,
    sinks: Sequence[SinkView],
    wait_seconds: float = WAIT_SECONDS,
) -> Moment:
    """Waits until every sink has passed the marks, and opens their views. Raises Unavailable."""
    until = time.monotonic() + wait_seconds
    while True:
        moment = audit.moment(source.marks)
        behind = [
            one.name for one in sinks if moment is None or one.seq() < moment.after
        ]
        if moment is not None and not behind:
            break
        if time.monotonic() > until:
            raise Unavailable(
                f"{' and '.join(behind)} did not come along within {wait_seconds:g} s: "
                "fleet cdc status"
            )
        time.sleep(POLL_SECONDS)
    for one in sinks:
        one.open()
    return moment


def verify_table(
    source: SourceView, sinks: Sequence[SinkView], moment: Moment, table: str
) -> TableResult:
    """Raises Unavailable."""
    result = TableResult(table)
    try:
        chunks = source.chunks(table)
    except CannotRead as error:
        result.refused = str(error)
        return result
    forms = [Rows(chunks.table, hashed=one.hashed(table)) for one in sinks]
    ours = [Sums() for _ in sinks]
    for key, row in source.rows(chunks):
        result.rows += 1
        for form, sums in zip(forms, ours, strict=True):
            sums.add(key, form.digest(key, row))
    for sink, form, sums in zip(sinks, forms, ours, strict=True):
        theirs = Sums()
        for key, found in sink.rows(table, moment):
            theirs.add(key, form.found_digest(key, found))
        result.sinks.append(_Pair(source, chunks, sink, form, moment).looked_at(sums, theirs))
    return result


@dataclass(frozen=True, slots=True)
class _Pair:
    """A table of the source and of one sink."""

    source: SourceView
    chunks: TableChunks
    sink: SinkView
    form: Rows
    moment: Moment

    def looked_at(self, ours: Sums, theirs: Sums) -> SinkResult:
        result = SinkResult(self.sink.name)
        parts = ours.differing(theirs)
        if not parts:
            return result
        versions = self.sink.versions(self.chunks.table.name, self.moment)
        forgotten = self.sink.forgotten()
        sizes = [sum(pair) for pair in zip(ours.rows, theirs.rows, strict=True)]
        groups = in_groups(parts, sizes, ROWS_AT_ONCE)
        for group in islice(groups, PASSES_MOST):
            source = {
                key: row for key, row in self.source.rows(self.chunks) if part_of(key) in group
            }
            found = {
                key: row
                for key, row in self.sink.rows(self.chunks.table.name, self.moment)
                if part_of(key) in group
            }
            before = len(result.differing) + result.more + result.unseen
            for one in compare(self.form, source, found):
                row = source.get(one.key)
                if one.key in versions and excused(self.form, row, versions[one.key]):
                    continue
                if forgotten and one.what == "not there":
                    result.unseen += 1
                elif len(result.differing) < NAMED_MOST:
                    result.differing.append(one)
                else:
                    result.more += 1
            if len(result.differing) + result.more + result.unseen == before:
                result.older += len(group)
            del source, found
        left = list(groups)
        if left:
            result.why = (
                f"{sum(map(len, left))} parts of {len(parts)} that differ were not looked at: "
                f"fleet cdc resync {self.chunks.table.name}, then verify again"
            )
        return result


def gaps(
    seqs: Iterable[tuple[int, int, bool]], forgotten: int = 0
) -> Iterator[tuple[int, int]]:
    """(first, last) of the seqs that are missing. Pure.

    seqs: see SinkView. An epoch may begin further on, and where another sink was: what this one has
    already it passes over, until the first change of the log that is new.
    """
    known: tuple[int, int] | None = None
    passing = False
    for epoch, seq, of_log in seqs:
        if seq <= forgotten:
            continue
        if known is not None:
            passing = passing or epoch != known[0]
            if seq != known[1] + 1 and not passing:
                yield known[1] + 1, seq - 1
        passing = passing and not of_log
        known = epoch, seq
