"""Rows of a long transaction: the same from memory and from a file, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cdc.errors import SourceStopped
from shared.cdc.spill import SpilledRows

ROWS = st.lists(st.binary(max_size=30), max_size=60)


@given(ROWS, st.integers(0, 1000), st.integers(0, 60), ROWS)
def test_rows_come_back_in_order_wherever_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[bytes],
    memory: int,
    keep: int,
    more: list[bytes],
) -> None:
    found = SpilledRows(tmp_path_factory.getbasetemp(), memory)
    for row in rows:
        found.append(row)
    assert list(found) == rows
    keep = min(keep, len(rows))
    found.truncate(keep)
    for row in more:
        found.append(row)
    assert list(found) == rows[:keep] + more
    assert list(found) == rows[:keep] + more
    assert len(found) == keep + len(more)
    found.close()


def test_a_row_larger_than_a_block_comes_back(tmp_path: Path) -> None:
    rows = [b"a" * 3_000_000, b"", b"b" * 10]
    found = SpilledRows(tmp_path, 10)
    for row in rows:
        found.append(row)
    assert list(found) == rows
    assert found.memory < 1000
    assert list(tmp_path.iterdir()) == [], "the file has no name, so nobody has to clean up"
    found.close()


def test_a_folder_that_cannot_be_written_stops_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = SpilledRows(tmp_path / "file", 1)
    with pytest.raises(SourceStopped, match="FLEET_CDC_SPILL_DIR"):
        found.append(b"row")
