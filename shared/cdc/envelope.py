"""How a chunk stands in a stream entry: a JSON header, and rows that are encoded once.

    ID  seq-chunk        h  header, JSON
                         p  rows, a JSON array   or   z  the same, zstd

A row is [number of the table in the header, op, before, after], and a fifth `1` where it is
derived. Rows are encoded when they are decoded from the log, so a long transaction is held,
spilled and cut into chunks as bytes. Where a chunk ends depends on its rows alone: a collector
that reads the same transaction again makes the same chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson
import zstandard

from shared.changes import Change, Chunk, Table, position_from, position_json
from shared.errors import InvalidEvent

ROWS_MOST = 500
BYTES_MOST = 512 * 1024
COMPRESSED_FROM = 4 * 1024
ZSTD_LEVEL = 1
DECODED_MOST = 128 * 1024 * 1024
"""A single row may be as large as max_allowed_packet of the source."""


class Piece(NamedTuple):
    """Rows of one chunk as bytes: their encodings, and how many came before them."""

    first_row: int
    rows: list[bytes]


def encode_row(table_number: int, change: Change) -> bytes:
    """One row. table_number: its place in the transaction's list of tables."""
    if change.derived:
        return orjson.dumps([table_number, change.op, change.before, change.after, 1])
    return orjson.dumps([table_number, change.op, change.before, change.after])


def cut(rows: Iterable[bytes]) -> Iterator[Piece]:
    """Pieces within ROWS_MOST and BYTES_MOST, one at a time; a larger row is a piece of its own."""
    first, piece, size = 0, list[bytes](), 0
    for row in rows:
        if piece and (len(piece) == ROWS_MOST or size + len(row) > BYTES_MOST):
            yield Piece(first, piece)
            first, piece, size = first + len(piece), [], 0
        piece.append(row)
        size += len(row)
    yield Piece(first, piece)


def encode_table(table: Table) -> orjson.Fragment:
    """Once per shape: the header of every chunk holds it."""
    return orjson.Fragment(orjson.dumps(list(table)))


def encode(
    chunk: Chunk, rows: Sequence[bytes], tables: Sequence[orjson.Fragment]
) -> dict[bytes, bytes]:
    """Fields of the stream entry `chunk.entry_id`; its `changes` are not looked at."""
    header = orjson.dumps(
        {
            "epoch": chunk.epoch,
            "last": chunk.last,
            "kind": chunk.kind,
            "gtid": chunk.gtid,
            "begins": chunk.begins,
            "committed_at_us": chunk.committed_at_us,
            "appended_at_us": chunk.appended_at_us,
            "actor": chunk.actor,
            "text": chunk.text,
            "first_row": chunk.first_row,
            "position": None if chunk.position is None else position_json(chunk.position),
            "tables": tables,
        }
    )
    payload = b"[" + b",".join(rows) + b"]"
    if len(payload) < COMPRESSED_FROM:
        return {b"h": header, b"p": payload}
    return {b"h": header, b"z": zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(payload)}


_TABLES_FOLLOW = b',"tables":'
_TABLES: dict[bytes, list[Table]] = {}
_TABLES_MOST = 1_000


def decode(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Chunk:
    """A stream entry. Raises InvalidEvent: no collector wrote it, and nobody skips it.

    Tables are the header's last field (`encode`); inside a JSON text their name cannot stand so.
    """
    try:
        seq, chunk = entry_id.split(b"-")
        told, _, of = fields[b"h"].rpartition(_TABLES_FOLLOW)
        header = orjson.loads(told + b"}")
        tables = _TABLES.get(of) or _tables(of)
        payload = fields.get(b"p")
        if payload is None:
            compressed = fields[b"z"]
            payload = zstandard.ZstdDecompressor().decompress(
                compressed, max_output_size=DECODED_MOST
            )
        changes = [
            Change(tables[row[0]], row[1], row[2], row[3], len(row) > 4)  # noqa: PLR2004 - the mark
            for row in orjson.loads(payload)
        ]
        position = header["position"]
        return Chunk(
            epoch=header["epoch"],
            seq=int(seq),
            chunk=int(chunk),
            last=header["last"],
            kind=header["kind"],
            gtid=header["gtid"],
            begins=(header["begins"][0], header["begins"][1]),
            committed_at_us=header["committed_at_us"],
            appended_at_us=header["appended_at_us"],
            actor=header["actor"],
            text=header["text"],
            first_row=header["first_row"],
            position=None if position is None else position_from(position),
            changes=changes,
        )
    except (KeyError, IndexError, TypeError, ValueError, zstandard.ZstdError) as error:
        raise _no_entry(entry_id) from error


def committed_at_us(entry_id: bytes, fields: Mapping[bytes, bytes]) -> int:
    """Of the transaction that an entry belongs to; its rows are not looked at. Raises as decode."""
    try:
        return int(orjson.loads(fields[b"h"])["committed_at_us"])
    except (KeyError, TypeError, ValueError) as error:
        raise _no_entry(entry_id) from error


def _no_entry(entry_id: bytes) -> InvalidEvent:
    return InvalidEvent(
        "malformed",
        f"entry {entry_id.decode(errors='replace')} of the change stream is none of a "
        "collector's: see what else writes to its key",
    )


def _tables(text: bytes) -> list[Table]:
    """The end of a header. Transactions mostly have the same tables: they are decoded once, and
    their columns are held once.
    """
    found = [
        Table(schema, name, tuple(columns), tuple(types), tuple(places), shape)
        for schema, name, columns, types, places, shape in orjson.loads(text[:-1])
    ]
    if len(_TABLES) >= _TABLES_MOST:
        _TABLES.clear()
    _TABLES[text] = found
    return found
