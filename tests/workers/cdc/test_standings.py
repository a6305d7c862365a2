"""A table that was stopped stays so: through a restart, a loss of Redis, and a new epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import orjson
import pytest

from shared.cdc.envelope import encode_row
from shared.cdc.shapes import ACCEPTED_TABLE, Standing
from shared.cdc.transaction import Noted, SourceTransaction
from shared.changes import Change, Position, Table
from shared.mysql.connection import connect
from shared.settings import Settings
from workers.cdc.snapshot_chunk import SnapshotTransaction
from workers.cdc.standings import Standings, accept_shape, standings_at, stopped_tables

pytestmark = pytest.mark.database

SPOT = Position("s", "binlog.1", 4, "", "")
WIDE = Table("desk", "users", ("id", "é"), ("int", "enum('a','''')"), (0,), "wide")
LESS = Table("desk", "users", ("id",), ("int",), (0,), "less")
OTHER = Table("desk", "orders", ("id",), ("int",), (0,), "other")


class Rows(list[bytes]):
    def close(self) -> None: ...


def transaction(*tables: Table, accepts: Sequence[str] = ()) -> SourceTransaction:
    rows = Rows(
        encode_row(number, Change(table, "c", None, [1] * len(table.columns)))
        for number, table in enumerate(tables)
    )
    noted = [Noted(ACCEPTED_TABLE, "c", {"table_name": name}) for name in accepts]
    return SourceTransaction(("binlog.1", 4), SPOT, "", 0, list(tables), rows, noted)


@pytest.fixture
def opened(settings_for: Callable[..., Settings]) -> Callable[[], Any]:
    """Connections as the role `collector`."""
    settings = settings_for("collector")
    return lambda: connect(settings.mysql)


def at(opened: Callable[[], Any], seq: int) -> dict[str, Standing]:
    with closing(opened()) as connection:
        return standings_at(connection, seq)


def test_what_a_transaction_changes_is_kept_before_it_is_appended(
    opened: Callable[[], Any],
) -> None:
    standings = Standings(opened)
    standings.restore(0)
    standings.passed(transaction(WIDE, OTHER), 1)
    standings.passed(transaction(OTHER), 2)
    standings.passed(transaction(LESS), 3)
    assert set(standings.stopped) == {"users"}

    with closing(opened()) as connection:
        assert stopped_tables(connection, 2) == {}
        assert stopped_tables(connection, 3) == standings.stopped

    again = Standings(opened)
    again.restore(3)
    assert again.stopped == standings.stopped
    assert len(again.passed(transaction(LESS), 4).rows) == 0


def test_reading_begins_behind_any_transaction_with_the_tables_of_then(
    opened: Callable[[], Any],
) -> None:
    standings = Standings(opened)
    standings.restore(0)
    standings.passed(transaction(WIDE), 1)
    standings.passed(transaction(LESS), 2)
    assert at(opened, 2)["users"].stopped
    assert at(opened, 1) == {"users": Standing(WIDE, "")}
    # What was behind is forgotten: the log gives it again.
    assert at(opened, 9) == {"users": Standing(WIDE, "")}
    again = Standings(opened)
    again.restore(1)
    assert len(again.passed(transaction(LESS), 2).rows) == 1
    assert at(opened, 2)["users"].stopped


def test_an_accepted_shape_is_taken_from_its_transaction_on(
    opened: Callable[[], Any], settings_for: Callable[..., Settings]
) -> None:
    standings = Standings(opened)
    standings.restore(0)
    standings.passed(transaction(WIDE), 1)
    standings.passed(transaction(LESS), 2)
    operator = settings_for("cli")
    with closing(connect(operator.mysql)) as connection:
        accept_shape(connection, "users", "ada")
    # The log brings the row back as noted.
    assert len(standings.passed(transaction(accepts=["users"]), 3).rows) == 1
    assert at(opened, 3) == {"users": Standing(None, "")}
    assert len(standings.passed(transaction(LESS), 4).rows) == 1
    assert at(opened, 4) == {"users": Standing(LESS, "")}


def test_a_new_epoch_counts_anew_and_leaves_stopped_what_is_stopped(
    opened: Callable[[], Any],
) -> None:
    standings = Standings(opened)
    standings.restore(0)
    standings.passed(transaction(WIDE, OTHER), 1)
    standings.passed(transaction(LESS), 50)
    # Redis and the sinks end at 40: number 50 is nobody's any more.
    anew = Standings(opened)
    anew.restore(40)
    anew.begin_epoch(41)
    assert anew.stopped == {}
    assert at(opened, 60) == {"users": Standing(None, ""), "orders": Standing(None, "")}

    standings = Standings(opened)
    standings.restore(41)
    standings.passed(transaction(WIDE), 42)
    standings.passed(transaction(LESS), 43)
    standings.restore(43)
    standings.begin_epoch(44)
    assert set(standings.stopped) == {"users"}


def test_a_snapshot_of_a_stopped_table_keeps_its_number_and_has_no_rows(
    opened: Callable[[], Any],
) -> None:
    standings = Standings(opened)
    standings.restore(0)
    standings.passed(transaction(WIDE), 1)
    standings.passed(transaction(LESS), 2)
    row = encode_row(0, Change(LESS, "r", None, [1]))
    left_out = standings.snapshot(SnapshotTransaction([LESS], [row], "users 1"))
    assert [orjson.loads(row)[1:4] for row in left_out.rows] == [
        ["m", None, ["left_out", "users: stopped"]]
    ]
    assert "users" in left_out.text
    whole = SnapshotTransaction([OTHER], [row], "orders 1")
    assert standings.snapshot(whole) is whole
