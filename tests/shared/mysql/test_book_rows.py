"""Statements of the book: which ones leave, when, and in how many pieces. A fake cursor records."""

from __future__ import annotations

from typing import Any

from shared.mysql.book_rows import KEYS_PER_SELECT, Rows

READ = "SELECT a FROM t WHERE (a) IN ({rows})"
WRITE = "INSERT INTO t VALUES {rows}"
REMOVE = "DELETE FROM t WHERE (a, b) IN ({rows})"


class Recorder:
    """Connection and cursor at once."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def cursor(self) -> Recorder:
        return self

    def execute(self, statement: str) -> None:
        self.sent.append(statement)

    def nextset(self) -> int:
        return 1

    def fetchall(self) -> tuple[Any, ...]:
        return ()


def test_writes_wait_for_the_next_read_and_go_before_it_in_one_round_trip() -> None:
    recorder = Recorder()
    rows = Rows(recorder)
    rows.write(WRITE, [(1,)])
    rows.write(WRITE, [(2,)])
    assert not recorder.sent
    rows.read(READ, [(3,)])
    assert recorder.sent == [
        "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\nSELECT a FROM t WHERE (a) IN ((3))"
    ]


def test_flush_sends_what_waits_once() -> None:
    recorder = Recorder()
    rows = Rows(recorder)
    rows.write(WRITE, [(1,)])
    rows.flush()
    rows.flush()
    assert recorder.sent == ["INSERT INTO t VALUES (1)"]


def test_a_lone_key_is_named_twice_because_mariadb_would_lock_the_whole_table() -> None:
    recorder = Recorder()
    rows = Rows(recorder)
    rows.change(REMOVE, [(1, "x")])
    rows.flush()
    assert recorder.sent == ["DELETE FROM t WHERE (a, b) IN ((1,'x'),(1,'x'))"]


def test_many_keys_go_in_several_statements_for_the_same_reason() -> None:
    recorder = Recorder()
    rows = Rows(recorder)
    rows.change(REMOVE, [(number, "x") for number in range(KEYS_PER_SELECT + 1)])
    rows.flush()
    (sent,) = recorder.sent
    assert [part.count("'x'") for part in sent.split(";\n")] == [KEYS_PER_SELECT, 1]
