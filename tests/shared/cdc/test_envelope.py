"""A chunk comes out of its entry as it went in, whatever texts it holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cdc.envelope import (
    BYTES_MOST,
    ROWS_MOST,
    committed_at_us,
    cut,
    decode,
    encode,
    encode_row,
    encode_table,
)
from shared.changes import Change, Chunk, Position, Table
from shared.errors import InvalidEvent

TEXTS = st.text(max_size=9) | st.sampled_from(['","tables":', ',"tables":[', "}", '"'])
AT = Position("s", "f.1", 9, "", "1", (("x'61',1", "f.1", 4),))


@given(
    name=TEXTS, column=TEXTS, actor=TEXTS, values=st.lists(TEXTS, max_size=4), many=st.booleans()
)
def test_a_chunk_comes_out_as_it_went_in(
    name: str, column: str, actor: str, values: list[str], many: bool  # noqa: FBT001 - drawn
) -> None:
    table = Table("s", name, (column,), ("text",), (0,), "shape")
    texts = [value * (2_000 if many else 1) for value in values]
    changes = [Change(table, "c", None, [text], derived=bool(text)) for text in texts]
    told = Chunk(1, 5, 2, True, "log", "", ("f.1", 4), 1, 2, actor, "", 7, AT, changes)
    rows = [encode_row(0, change) for change in changes]
    entry = encode(told, rows, [encode_table(table)])
    assert decode(b"5-2", entry) == told
    assert committed_at_us(b"5-2", entry) == told.committed_at_us


def test_where_a_piece_ends_depends_on_its_rows_alone() -> None:
    rows = [b"x" * size for size in (BYTES_MOST * 2, 1, BYTES_MOST, *([1] * (ROWS_MOST + 1)))]
    pieces = list(cut(iter(rows)))
    assert [piece.first_row for piece in pieces] == [0, 1, 2, 3, 503]
    assert [row for piece in pieces for row in piece.rows] == rows


def test_what_no_collector_wrote_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="5-2"):
        decode(b"5-2", {b"h": b"{}"})
    with pytest.raises(InvalidEvent, match="5-2"):
        committed_at_us(b"5-2", {b"h": b"{}"})
