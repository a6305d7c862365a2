"""Values of the source as PostgreSQL reads them: exact, or refused with the column's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.timescale import lines
from shared.timescale.gather import KEY_BYTES_MOST, bounded, stamp_of
from shared.timescale.histories import HISTORIES, NotTyped, has_columns, typed
from tests.typed_changes import FILLS, PNL, POSITIONS, fill, pnl, position, transaction

ROWS = {
    "fleet_positions": dict(zip(POSITIONS.columns, position(), strict=True)),
    "fleet_pnl_daily": dict(zip(PNL.columns, pnl(), strict=True)),
    "fleet_fills": dict(zip(FILLS.columns, fill(), strict=True)),
}


def cell(table: str, column: str, value: Any) -> str:
    history = HISTORIES[table]
    return typed(history, {**ROWS[table], column: value})[history.names.index(column)]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**20) + 1,
                   max_value=10**20 - 1))  # fmt: skip
def test_every_amount_that_the_ledger_can_hold_stays_what_it_is(amount: Decimal) -> None:
    said = format(amount, "f")
    assert cell("fleet_positions", "qty", said) == said


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_text_comes_back_from_a_copied_line(text: str) -> None:
    told = cell("fleet_fills", "strategy", text)
    assert "\t" not in told
    assert "\n" not in told
    unescaped = told.replace("\\\\", "\1").replace("\\t", "\t").replace("\\n", "\n")
    assert unescaped.replace("\\r", "\r").replace("\1", "\\") == text.replace("\1", "\\")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("fleet_positions", "qty", "100000000000000000000"),
        ("fleet_positions", "qty", "1.0000000000000000001"),
        ("fleet_positions", "qty", "1e5"),
        ("fleet_positions", "qty", "NaN"),
        ("fleet_positions", "qty", " 1"),
        ("fleet_positions", "qty", "1\n"),
        ("fleet_positions", "qty", "٣"),
        ("fleet_positions", "qty", None),
        ("fleet_positions", "qty", 1.5),
        ("fleet_positions", "account_id", "-1"),
        ("fleet_positions", "last_fill_at", {"$date": "2026-02-31 00:00:00"}),
        ("fleet_positions", "last_fill_at", "0000-01-01T00:00:00.000000"),
        ("fleet_positions", "venue", {"$base64": "/w=="}),
        ("fleet_positions", "venue", "a\0b"),
        ("fleet_pnl_daily", "day", "2026-11-26T00:00:00"),
        ("fleet_fills", "trade_id", None),
    ],
)
def test_what_a_column_does_not_hold_is_refused_by_name(
    table: str, column: str, value: Any
) -> None:
    with pytest.raises(NotTyped, match=f"{HISTORIES[table].table}.{column} "):
        cell(table, column, value)


def test_a_null_is_taken_where_the_source_has_one() -> None:
    assert cell("fleet_positions", "avg_entry", None) == lines.NULL
    assert cell("fleet_fills", "fee", None) == lines.NULL
    assert cell("fleet_fills", "strategy", "\\N") == "\\\\N"


def test_a_history_needs_its_columns_and_no_others() -> None:
    history, row = HISTORIES["fleet_positions"], ROWS["fleet_positions"]
    assert has_columns(history, {**row, "more": 1})
    assert not has_columns(history, {name: row[name] for name in row if name != "qty"})


def test_a_key_longer_than_an_index_holds_is_the_hash_of_itself() -> None:
    longest = b'["' + b"x" * (KEY_BYTES_MOST - 4) + b'"]'
    assert bounded(longest) == longest.decode()
    assert bounded(longest + b" ").startswith('[{"$sha256":"')
    assert len(bounded(longest * 3)) < 100


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": "x\\u0000"}, '{"a":"x\\\\\\\\u0000"}'),
        ({"a": "\0"}, '{"a":{"$utf8":"AA=="}}'),
        ({"a": ["\0", 1, None]}, '{"a":[{"$utf8":"AA=="},1,null]}'),
        ({"a": "\t\n\\"}, '{"a":"\\\\t\\\\n\\\\\\\\"}'),
    ],
)
def test_json_is_copied_as_it_is(value: Any, told: str) -> None:
    assert lines.json(value) == told


@given(st.integers(0, 4_102_444_800_000_000))
def test_a_time_of_commit_is_told_to_the_microsecond_with_its_hour(at_us: int) -> None:
    stamp = stamp_of(transaction(7, at_us=at_us), 3)
    at = datetime.fromisoformat(stamp.committed_at)
    assert (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == at_us
    assert datetime.fromisoformat(stamp.hour) == at.replace(minute=0, second=0, microsecond=0)
