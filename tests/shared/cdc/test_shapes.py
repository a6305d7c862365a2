"""A captured table changes while it is captured: it goes on, or it alone is stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import orjson
import pytest

from shared.cdc.envelope import encode_row
from shared.cdc.shapes import ACCEPTED_TABLE, ShapeWatch, Standing, narrower, verdict
from shared.cdc.transaction import Noted, SourceTransaction
from shared.changes import Change, Position, Table

SPOT = Position("s", "binlog.1", 4, "", "")


def table(name: str = "users", key: Sequence[str] = ("id",), **types: str) -> Table:
    columns = tuple(types)
    made = Table(
        "desk", name, columns, tuple(types.values()), tuple(columns.index(one) for one in key), ""
    )
    return made._replace(shape=hashlib.sha256(orjson.dumps(list(made))).hexdigest()[:12])


# --- verdicts ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tinyint", "int"),
        ("int(11)", "int"),
        ("int", "int(11)"),
        ("int unsigned", "bigint"),
        ("int unsigned", "bigint unsigned"),
        ("decimal(10,2)", "decimal(12,4)"),
        ("decimal(10,2) unsigned", "decimal(10,2)"),
        ("float", "double"),
        ("varchar(20)", "varchar(21)"),
        ("char(20)", "varchar(20)"),
        ("varchar(255)", "text"),
        ("text", "longtext"),
        ("varbinary(10)", "blob"),
        ("enum('a','b')", "enum('b','a','it''s')"),
        ("set('a')", "set('a','b')"),
        ("datetime", "datetime(6)"),
        ("bit(3)", "bit(8)"),
    ],
)
def test_a_wider_type_holds_every_value(old: str, new: str) -> None:
    assert narrower(old, new) == ""
    assert verdict(table(id="int", a=old), table(id="int", a=new)).kind in {"additive", "same"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("bigint", "int", "large numbers"),
        ("int unsigned", "int", "large numbers"),
        ("int", "bigint unsigned", "negative"),
        ("decimal(38,18)", "decimal(38,8)", "decimals"),
        ("decimal(38,8)", "decimal(38,18)", "large numbers"),
        ("decimal(5,2)", "decimal(5,2) unsigned", "negative"),
        ("double", "float", "digits"),
        ("varchar(20)", "varchar(19)", "shorter"),
        ("text", "varchar(255)", "shorter"),
        ("longblob", "varbinary(255)", "shorter"),
        ("enum('a','b')", "enum('a')", "'b'"),
        ("datetime(6)", "datetime(3)", "seconds"),
        ("datetime(6)", "timestamp(6)", "another type"),
        ("int", "varchar(20)", "another type"),
        ("text", "blob", "another type"),
        ("uuid", "char(36)", "another type"),
    ],
)
def test_a_narrower_type_is_told_with_its_reason(old: str, new: str, why: str) -> None:
    assert why in narrower(old, new)
    found = verdict(table(id="int", a=old), table(id="int", a=new))
    assert found.kind == "narrowing"
    assert f"a was {old} and is {new}" in found.said


def test_a_new_column_at_any_place_goes_on() -> None:
    old = table(id="int", a="int")
    for new in (table(id="int", b="text", a="int"), table(b="text", id="int", a="int")):
        assert verdict(old, new) == ("additive", "users: b is new")


def test_columns_that_only_moved_go_on() -> None:
    found = verdict(table(id="int", a="int", b="int"), table(b="int", id="int", a="int"))
    assert found == ("additive", "users: its columns moved")


def test_a_column_that_is_gone_or_renamed_is_a_loss() -> None:
    old = table(id="int", a="int", b="int")
    assert verdict(old, table(id="int", b="int")).said == "users has lost something: a is gone"
    renamed = verdict(old, table(id="int", c="int", b="int"))
    assert renamed.kind == "narrowing"
    assert "a is gone, c stands in its place" in renamed.said


def test_another_key_is_a_loss() -> None:
    found = verdict(table(id="int", a="int"), table(id="int", a="int", key=("id", "a")))
    assert found.kind == "narrowing"
    assert "its key was id and is id, a" in found.said
    found = verdict(table(id="int"), table(id="int", key=()))
    assert "is the whole row" in found.said


# --- the log ---


class Rows(list[bytes]):
    closed = False

    def close(self) -> None:
        self.closed = True


def transaction(*changes: Change, accepts: Sequence[str] = ()) -> SourceTransaction:
    tables = list(dict.fromkeys(change.table for change in changes))
    rows = Rows(encode_row(tables.index(change.table), change) for change in changes)
    noted = [Noted(ACCEPTED_TABLE, "c", {"table_name": name}) for name in accepts]
    return SourceTransaction(("binlog.1", 4), SPOT, "", 0, tables, rows, noted)


def insert(of: Table, *values: int) -> Change:
    return Change(of, "c", None, list(values))


def told(found: SourceTransaction) -> Iterator[tuple[Table, str, object]]:
    """(table, op, row after) of each row."""
    assert len(found.rows) == len(list(found.rows))
    for row in found.rows:
        number, op, _, after = orjson.loads(row)
        yield found.tables[number], op, after


WIDE = table(id="int", a="int", b="int")
LESS = table(id="int", a="int")
OTHER = table("orders", id="int")


def test_rows_of_tables_that_have_not_changed_pass_as_they_are() -> None:
    watch = ShapeWatch({})
    first, second = transaction(insert(LESS, 1, 2)), transaction(insert(LESS, 3, 4))
    assert watch.passed(first) is first
    assert watch.passed(second) is second
    assert watch.changed() == {"users": Standing(LESS, "")}
    assert watch.changed() == {}


def test_a_table_that_grows_goes_on_and_is_kept_as_it_is_now() -> None:
    watch = ShapeWatch({"users": Standing(LESS, "")})
    grown = transaction(insert(WIDE, 1, 2, 3))
    assert watch.passed(grown) is grown
    assert watch.changed() == {"users": Standing(WIDE, "")}


def test_a_table_that_narrows_is_stopped_and_the_others_go_on() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "")})
    mixed = transaction(insert(OTHER, 1), insert(LESS, 1, 2), insert(LESS, 3, 4), insert(OTHER, 2))
    found = list(told(watch.passed(mixed)))
    assert [(of.name, op) for of, op, _ in found] == [
        ("orders", "c"),
        ("users", "m"),
        ("orders", "c"),
    ]
    assert found[1][0] == WIDE  # nobody makes room for the shape that nobody accepted
    assert str(found[1][2]).startswith("['stopped', 'users has lost something: b is gone")
    assert "fleet cdc resync users" in str(found[1][2])
    assert "b is gone" in watch.stopped["users"]


def test_a_stopped_table_stays_so_without_another_word() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "stopped before")})
    alone = watch.passed(transaction(insert(LESS, 1, 2)))
    assert len(alone.rows) == 0  # it takes no seq
    # Also when it gets back what it had: what was left out in between is missing.
    assert len(watch.passed(transaction(insert(WIDE, 1, 2, 3))).rows) == 0
    assert watch.changed() == {}


def test_accepting_takes_the_next_shape_as_it_comes() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "stopped before")})
    found = list(told(watch.passed(transaction(accepts=["users"]))))
    assert [(of, op, after[0]) for of, op, after in found] == [(WIDE, "m", "accepted")]  # type: ignore[index]
    assert watch.changed() == {"users": Standing(None, "")}
    after = transaction(insert(LESS, 1, 2))
    assert watch.passed(after) is after
    assert watch.changed() == {"users": Standing(LESS, "")}
    assert watch.stopped == {}


def test_accepting_what_is_not_stopped_says_nothing() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "")})
    for name in ("users", "unknown"):
        assert len(watch.passed(transaction(accepts=[name])).rows) == 0


def test_rows_and_the_acceptance_in_one_transaction_keep_their_order() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "stopped"), "orders": Standing(OTHER, "")})
    found = told(watch.passed(transaction(insert(OTHER, 1), accepts=["users"])))
    assert [(of.name, op) for of, op, _ in found] == [("orders", "c"), ("users", "m")]


def test_a_message_about_a_table_without_columns_is_no_change_of_shape() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "")})
    empty = Table("desk", "users", (), (), (), "")
    passed = watch.passed(transaction(Change(empty, "m", None, ["dropped", "users"])))
    assert [op for _, op, _ in told(passed)] == ["m"]


def test_the_log_read_again_gives_the_same() -> None:
    """What is kept under a seq is enough to go on behind it as if nothing had happened."""
    log = [
        transaction(insert(WIDE, 1, 2, 3)),
        transaction(insert(LESS, 1, 2), insert(OTHER, 1)),
        transaction(insert(LESS, 2, 2)),
        transaction(accepts=["users"]),
        transaction(insert(LESS, 3, 2)),
        transaction(insert(WIDE, 4, 2, 3)),
        transaction(insert(LESS, 5, 2)),
    ]

    def run(begin: int, standings: Mapping[str, Standing]) -> tuple[list[object], list[object]]:
        watch, kept, out = ShapeWatch(standings), dict(standings), list[object]()
        states: list[object] = []
        for one in log[begin:]:
            found = watch.passed(one)
            kept |= watch.changed()
            out.append([(of.shape, op, after) for of, op, after in told(found)])
            states.append(dict(kept))
        return out, states

    whole, states = run(0, {})
    for begin in range(1, len(log)):
        again, _ = run(begin, states[begin - 1])  # type: ignore[arg-type]
        assert again == whole[begin:]


def test_a_new_epoch_takes_tables_as_they_come_but_for_the_stopped() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, ""), "orders": Standing(OTHER, "stopped")})
    watch.forget()
    assert watch.changed() == {"users": Standing(None, "")}
    taken = transaction(insert(LESS, 1, 2))
    assert watch.passed(taken) is taken
    assert "orders" in watch.stopped


def test_closing_the_rest_closes_what_was_read() -> None:
    watch = ShapeWatch({"users": Standing(WIDE, "stopped")})
    one = transaction(insert(LESS, 1, 2))
    watch.passed(one).rows.close()
    assert one.rows.closed  # type: ignore[attr-defined]
