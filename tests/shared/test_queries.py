from __future__ import annotations

from pathlib import Path

import pytest

from shared.queries import load


def test_blocks_are_named_and_keep_their_comments(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_text("-- about\n\n-- name: one\n-- why\nSELECT 1;\n\n-- name: two\nSELECT 2\n")
    assert load(path) == {"one": "-- why\nSELECT 1", "two": "SELECT 2"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 1", "no `-- name:` block"),
        ("-- name: a\n\n-- name: b\nSELECT 1", "block a is empty"),
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", "stands twice"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.sql"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        load(path)
