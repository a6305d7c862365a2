"""A source that needs no database: transactions of some tables as entries of a real stream, and
what a sink that has all of them must hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.cdc.checkpoint import Place, position_bytes
from shared.cdc.keys import cdc_keys
from shared.changes import Change, Chunk, Op, Position, Row, Table
from workers.cdc.quarantine import entry_of

ORDERS = Table(
    "desk", "fleet_orders", ("id", "status", "price", "note"),
    ("bigint unsigned", "varchar(32)", "decimal(38,18)", "text"), (0,), "orders-1",
)  # fmt: skip
FILLS = Table(
    "desk", "fleet_fills", ("account_id", "trade_id", "qty", "fee"),
    ("bigint unsigned", "varchar(64)", "decimal(38,18)", "decimal(38,18)"), (0, 1), "fills-1",
)  # fmt: skip
NOTES = Table("desk", "notes", ("text",), ("text",), (), "notes-1")

SERVER = "aaaaaaaa-1111-2222-3333-444444444444"
COMMITTED_US = 1_795_680_000_000_000  # 2026-11-26 08:00 UTC


def order(number: int, status: str = "new", price: str = "1.50", note: str = "") -> Row:
    return [str(number), status, price, note]


def created(table: Table, row: Row) -> Change:
    return Change(table, "c", None, row)


def updated(table: Table, before: Row, after: Row) -> Change:
    return Change(table, "u", before, after)


def deleted(table: Table, row: Row) -> Change:
    return Change(table, "d", row, None)


def read(table: Table, row: Row) -> Change:
    return Change(table, "r", None, row)


def message(table: Table, *said: str) -> Change:
    return Change(table, "m", None, list(said))


class ChangeStream:
    """Numbers transactions as the collector does, and appends their entries to Redis.

    A transaction that was made once can be appended again, so a stream can be lost and made anew.
    """

    def __init__(self, redis: Any, prefix: str, *, chunk_rows: int = 500) -> None:
        self.redis = redis
        self.keys = cdc_keys(prefix)
        self.chunk_rows = chunk_rows
        self.epoch, self.seq, self.pos = 0, 0, 4
        self.file, self.mark = "binlog.000001", "1795600000"
        self.made: list[Chunk] = []
        self._committed_us = itertools.count(COMMITTED_US, 1_000)

    # --- making ---

    def control(self, why: str = "first start", *, epoch: int = 0, seq: int = 0) -> list[Chunk]:
        self.epoch = epoch or self.epoch + 1
        return self._transaction([], "control", text=why, seq=seq)

    def commit(self, *changes: Change, actor: str = "ledger orders:3 1-0") -> list[Chunk]:
        self.pos += 100
        return self._transaction(changes, "log", actor=actor)

    def snapshot(self, *changes: Change) -> list[Chunk]:
        return self._transaction(changes, "snapshot")

    def position(self) -> Position:
        return Position(SERVER, self.file, self.pos, f"0-1-{self.pos}", self.mark)

    def _transaction(
        self, changes: Sequence[Change], kind: Any, *, actor: str = "", text: str = "", seq: int = 0
    ) -> list[Chunk]:
        self.seq = seq or self.seq + 1
        at = next(self._committed_us)
        pieces = [
            changes[at : at + self.chunk_rows] for at in range(0, len(changes), self.chunk_rows)
        ] or [()]
        made = [
            Chunk(
                self.epoch, self.seq, number, number == len(pieces) - 1, kind,
                f"0-1-{self.pos}", (self.file, max(4, self.pos - 100)), at, at + 2_000, actor, text,
                number * self.chunk_rows, self.position() if number == len(pieces) - 1 else None,
                list(piece),
            )
            for number, piece in enumerate(pieces)
        ]  # fmt: skip
        self.made += made
        return made

    # --- appending ---

    def append(self, chunks: Sequence[Chunk], **more: Any) -> None:
        """As the collector's script: entries, and the checkpoint behind the last whole one."""
        pipe = self.redis.pipeline(transaction=True)
        for chunk in chunks:
            entry = entry_of(chunk)
            pipe.xadd(self.keys.stream, dict(entry.fields), id=entry.entry_id)
        whole = [chunk for chunk in chunks if chunk.last]
        head = chunks[-1].entry_id
        fields: dict[str, Any] = {"head": head, "fence": 1, "stopped": "", "at_ms": 1}
        if whole:
            last = whole[-1]
            assert last.position is not None
            place = Place(last.epoch, last.seq, last.position, "all")
            fields |= {
                "epoch": place.epoch, "seq": place.seq, "filter": place.filter,
                "position": position_bytes(place.position),
            }  # fmt: skip
        pipe.hset(self.keys.checkpoint, mapping=fields | more)
        pipe.execute()

    def append_all(self, since_seq: int = 0) -> None:
        self.append([chunk for chunk in self.made if chunk.seq > since_seq])

    def trim_before(self, seq: int) -> None:
        self.redis.xtrim(self.keys.stream, minid=f"{seq}-0", approximate=False)

    def lose(self) -> None:
        self.redis.delete(self.keys.stream, self.keys.checkpoint)


def state(chunks: Sequence[Chunk], table: Table) -> Mapping[str, Row]:
    """Rows of a table after all these changes, by the text of their key."""
    rows: dict[str, Row] = {}
    for change in (change for chunk in chunks for change in chunk.changes):
        if change.table.name != table.name:
            continue
        op: Op = change.op
        if op == "t":
            rows.clear()
        elif op != "m":
            if change.before is not None:
                rows.pop(_key(change.table, change.before), None)
            if change.after is not None:
                rows[_key(change.table, change.after)] = change.after
    return rows


def every_change(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int, int, Change]]:
    """(epoch, seq, row_index, change) of each row."""
    for chunk in chunks:
        for index, change in enumerate(chunk.changes, chunk.first_row):
            yield chunk.epoch, chunk.seq, index, change


def _key(table: Table, row: Row) -> str:
    return str([row[place] for place in table.key] if table.key else row)
