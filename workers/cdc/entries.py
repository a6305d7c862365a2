"""Transactions of the source as entries of the stream: numbered, cut into chunks, encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from orjson import Fragment

from shared.cdc import envelope
from shared.cdc.envelope import Piece
from shared.cdc.log import Entry
from shared.cdc.transaction import Noted, SourceTransaction
from shared.changes import Chunk, Position, Table

CONTEXT, OFFSETS = "fleet_change_context", "fleet_offsets"
_SHAPES_MOST = 1_000


class Header(NamedTuple):
    """What all chunks of a transaction have in common. at_us: now."""

    epoch: int
    seq: int
    kind: Literal["log", "snapshot", "control"]
    gtid: str
    begins: tuple[str, int]
    committed_at_us: int
    ends: Position
    at_us: int
    actor: str = ""
    text: str = ""


def header_of(transaction: SourceTransaction, epoch: int, seq: int, at_us: int) -> Header:
    return Header(
        epoch, seq, "log", transaction.gtid, transaction.begins, transaction.committed_at_us,
        transaction.ends, at_us, actor_of(transaction.noted) if transaction.noted else "",
    )  # fmt: skip


def actor_of(noted: Iterable[Noted]) -> str:
    """Who is behind a transaction: what the application wrote into it wins; else the stream entry
    whose offset moved in it, `ledger orders:3 1700000000000-0`; else nobody said.
    """
    stream = ""
    for row in noted:
        if row.op == "d":
            continue
        values = row.values
        if row.table == CONTEXT:
            request = values.get("request_id")
            return f"{values['actor']} {request}" if request else str(values["actor"])
        if row.table == OFFSETS:
            stream = (
                f"{values['consumer']} {values['stream']}:{values['partition_no']} "
                f"{values['last_id']}"
            )
    return stream


class Encoder:
    """Entries of transactions; remembers the tables that it has encoded."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str, str], Fragment] = {}

    def entries(
        self, header: Header, tables: Sequence[Table], rows: Iterable[bytes], skipped: int = 0
    ) -> Iterator[Entry]:
        """All chunks in order. skipped: so many are in the stream already."""
        fragments = [self._fragment(table) for table in tables]
        pieces = envelope.cut(rows)
        number, piece = 0, next(pieces)
        for following in pieces:
            if number >= skipped:
                yield self._entry(header, number, piece, fragments, last=False)
            number, piece = number + 1, following
        if number >= skipped:
            yield self._entry(header, number, piece, fragments, last=True)

    def _entry(
        self, header: Header, number: int, piece: Piece, tables: list[Fragment], *, last: bool
    ) -> Entry:
        chunk = Chunk(
            header.epoch, header.seq, number, last, header.kind, header.gtid, header.begins,
            header.committed_at_us, header.at_us, header.actor, header.text, piece.first_row,
            header.ends if last else None, [],
        )  # fmt: skip
        (_, told), (name, payload) = envelope.encode(chunk, piece.rows, tables).items()
        return Entry(b"%d-%d" % (header.seq, number), name, told, payload)

    def _fragment(self, table: Table) -> Fragment:
        key = table.schema, table.name, table.shape  # a table that is only named has no shape
        found = self._tables.get(key)
        if found is None:
            if len(self._tables) >= _SHAPES_MOST:
                self._tables.clear()
            found = self._tables[key] = envelope.encode_table(table)
        return found
