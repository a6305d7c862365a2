"""Snapshots of tables that are written to: snapshot and log together are the table, always."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress

import pytest

from shared.errors import Unavailable
from tests.own_mysql import OwnMySQL, own_mysql
from tests.snapshot_world import TABLE, Collector, Killed, shown, whole, write
from workers.cdc.snapshot import Request
from workers.cdc.snapshot_marks import Mark, mark_from

ALL = Request("one", ("t",), "a test")


@pytest.fixture(scope="module")
def running(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    with own_mysql(servers) as mysql:
        yield mysql


@pytest.fixture
def server(running: OwnMySQL) -> OwnMySQL:
    running.run(*TABLE)
    return running


def test_a_table_at_rest_is_read_in_parts_once(server: OwnMySQL) -> None:
    collector = Collector(server)
    collector.snapshots.request(ALL)
    collector.follow()
    whole(collector)
    assert len(collector.read_by_snapshots()) == 12
    assert [len(one.rows) for one in collector.stream] == [1, 5, 5, 3]
    assert collector.stream[0].rows[0][3] == ["snapshot_begin", "t", "one"]
    assert collector.stream[-1].rows[-1][3] == ["snapshot_end", "t", "one", "1"]
    assert collector.snapshots.step() is False


def test_an_empty_table_begins_and_ends(server: OwnMySQL) -> None:
    server.run("TRUNCATE TABLE t")
    collector = Collector(server)
    collector.snapshots.request(ALL)
    collector.follow()
    whole(collector)
    assert collector.stream[-1].rows[-1][3][0] == "snapshot_end"


class InChunks:
    """Statements between the marks of the n-th chunk: before or after its SELECT."""

    def __init__(self, server: OwnMySQL, **statements: str) -> None:
        """before_1="...", after_2="..."."""
        self._server = server
        self._statements = statements
        self._tokens: list[str] = []
        self._commits = 0

    def __call__(self) -> None:
        ((text,),) = self._server.run("SELECT MAX(mark) FROM fleet_cdc_heartbeat WHERE id = 2")
        mark = mark_from(text) if text else Mark("idle")
        if mark.kind != "low":
            return
        if mark.token not in self._tokens:
            self._tokens.append(mark.token)
            self._commits = 0
        self._commits += 1
        name = f"{('before', 'after')[self._commits - 1]}_{len(self._tokens)}"
        if name in self._statements:
            self._server.run(*self._statements.pop(name).split(";"), "COMMIT")

    def all_done(self) -> bool:
        return not self._statements


@pytest.mark.parametrize("moment", ["before_1", "after_1"])
def test_what_the_log_tells_while_a_chunk_is_read_wins(server: OwnMySQL, moment: str) -> None:
    writes = InChunks(server, **{
        moment: "UPDATE t SET v = 'new' WHERE id = 0; DELETE FROM t WHERE id = 1;"
        "UPDATE t SET id = 70 WHERE id = 2",
    })  # fmt: skip
    collector = Collector(server, at_commit=writes)
    collector.snapshots.request(ALL)
    collector.follow()
    assert writes.all_done()
    whole(collector)
    assert [0, "a", "new"] in collector.folded()
    assert [row for row in collector.read_by_snapshots() if row[0] in {0, 1, 2}] == []


def test_a_chunk_of_which_the_log_has_told_all_rows_stands_in_every_sink(
    server: OwnMySQL,
) -> None:
    writes = InChunks(server, after_1="UPDATE t SET v = 'new'")
    collector = Collector(server, at_commit=writes)
    collector.snapshots.request(ALL)
    collector.follow()
    assert writes.all_done()
    whole(collector)
    assert [one for one in collector.stream if not one.rows] == []


@pytest.mark.parametrize("seed", range(10))
def test_snapshot_and_log_are_the_table_whatever_is_written(server: OwnMySQL, seed: int) -> None:
    chance = random.Random(seed)
    collector = Collector(
        server, rows_most=chance.choice((1, 2, 5)),
        at_commit=lambda: write(server, chance),
    )  # fmt: skip
    collector.snapshots.request(ALL)
    collector.follow(lambda: len(collector.stream) > 150)
    collector.at_commit = lambda: None
    collector.follow()
    whole(collector)
    assert collector.stream[-1].rows or collector.stream[-1].kind == "log"


@pytest.mark.parametrize("seed", range(10))
def test_a_collector_that_is_killed_goes_on_where_it_was(server: OwnMySQL, seed: int) -> None:
    """At any commit; what it appended last may be gone as well."""
    chance = random.Random(1000 + seed)
    lives = 6

    def at_commit() -> None:
        nonlocal lives
        write(server, chance)
        if lives and chance.random() < 0.2:
            lives -= 1
            raise Killed

    collector = Collector(server, rows_most=2)
    collector.snapshots.request(ALL)
    collector.at_commit = at_commit
    while True:
        try:
            collector.follow(lambda: len(collector.stream) > 150)
        except Killed:
            lost = chance.choice((0, 0, 1, 3))
            collector.at_commit = lambda: None
            collector.lose(min(lost, len(collector.stream)))
            collector.at_commit = at_commit
        else:
            break
    collector.at_commit = lambda: None
    collector.follow()
    whole(collector)


@pytest.mark.parametrize("again", [1, 2, 3])
def test_that_chunks_were_lost_is_known_to_the_next_one_also(
    server: OwnMySQL, again: int
) -> None:
    """It says so in the stream, and is killed at once: the next one begins behind that."""
    collector = Collector(server, rows_most=2)
    collector.snapshots.request(ALL)
    collector.follow(lambda: len(collector.stream) > 3)
    for _ in range(again):
        collector.lose(len(collector.stream))
        collector.follow(lambda: len(collector.stream) > 2)
        collector.lose(0)
        collector.follow(lambda: len(collector.stream) > 3)
        collector.lose(0)
    collector.follow()
    whole(collector)


@pytest.mark.parametrize("seed", range(6))
def test_a_lost_connection_loses_no_rows(server: OwnMySQL, seed: int) -> None:
    """Also where nobody knows whether the mark was committed. The log goes on meanwhile."""
    chance = random.Random(2000 + seed)

    def at_commit() -> None:
        write(server, chance)
        if chance.random() < 0.25:
            raise Unavailable("the connection was lost behind the commit")

    collector = Collector(server, rows_most=2)
    collector.snapshots.request(ALL)
    collector.at_commit = at_commit
    with suppress(Unavailable):
        collector.follow(lambda: len(collector.stream) > 100)
    collector.at_commit = lambda: None
    if seed % 2:
        collector.lose(0)
    collector.follow()
    whole(collector)


def test_a_table_that_cannot_be_read_now_does_not_hold_the_log(server: OwnMySQL) -> None:
    collector = Collector(server)
    collector.snapshots.request(ALL)
    server.run("CREATE TABLE u (id INT PRIMARY KEY)")
    with closing(server.connection()) as connection:
        connection.cursor().execute("LOCK TABLES t WRITE")
        collector.follow(lambda: "cdc_snapshot_waits" in [event for event, _ in collector.said])
        assert collector.read_by_snapshots() == []
        connection.cursor().execute("UNLOCK TABLES")
    collector.follow()
    whole(collector)


def test_the_same_log_gives_the_same_numbers_without_the_chunks(server: OwnMySQL) -> None:
    """Redis is gone and all rows of snapshots with it: they are read again, under the same seqs."""
    chance = random.Random(7)
    collector = Collector(server, at_commit=lambda: write(server, chance))
    collector.snapshots.request(ALL)
    collector.follow(lambda: len(collector.stream) > 60)
    collector.at_commit = lambda: None
    collector.follow()
    before = [(one.seq, one.kind, one.position) for one in collector.stream]
    collector.lose(len(collector.stream))
    collector.follow()
    again = [(one.seq, one.kind, one.position) for one in collector.stream]
    assert again[: len(before)] == before
    assert len(again) > len(before)
    whole(collector)


def test_a_restart_reads_on_behind_the_last_key(server: OwnMySQL) -> None:
    collector = Collector(server, rows_most=3)
    collector.snapshots.request(ALL)
    collector.follow(lambda: len(collector.read_by_snapshots()) >= 6)
    collector.lose(0)
    collector.follow()
    whole(collector)
    # One chunk was on its way when it ended, and is read once more.
    assert 12 <= len(collector.read_by_snapshots()) <= 15
    begins = [row for one in collector.stream for row in one.rows if row[1] == "m"]
    assert [row[3][0] for row in begins] in (
        ["snapshot_begin", "snapshot_lost", "snapshot_end"], ["snapshot_begin", "snapshot_end"],
    )  # fmt: skip


def test_deletes_that_never_reached_the_log_are_found(server: OwnMySQL) -> None:
    collector = Collector(server)
    collector.snapshots.request(ALL)
    collector.follow()
    server.run(
        "SET SESSION sql_log_bin = 0",
        "DELETE FROM t WHERE id = 2",
        "UPDATE t SET v = 'unlogged' WHERE id = 3",
        "INSERT INTO t VALUES (99, 'x', 'unlogged')",
        "COMMIT",
        "SET SESSION sql_log_bin = 1",
    )
    collector.follow()
    assert collector.folded() != collector.actual()
    collector.snapshots.request(Request("two", ("t",), "a test"))
    collector.follow()
    whole(collector)


def test_a_table_that_is_altered_meanwhile_is_read_in_its_new_shape(server: OwnMySQL) -> None:
    """The chunk that was on its way is dropped and read again; the ones before stay as they are."""
    writes = InChunks(
        server, after_2="ALTER TABLE t ADD COLUMN late INT NOT NULL DEFAULT 4 AFTER id"
    )
    collector = Collector(server, at_commit=writes)
    collector.snapshots.request(ALL)
    collector.follow()
    assert writes.all_done()
    assert [len(row) for row in collector.read_by_snapshots()] == [3] * 5 + [4] * 7
    assert any("t was altered" in one.text for one in collector.stream)


@pytest.mark.parametrize("moment", ["before_1", "after_1", "after_2"])
def test_a_truncate_meanwhile_leaves_nothing(server: OwnMySQL, moment: str) -> None:
    writes = InChunks(server, **{moment: "TRUNCATE TABLE t; INSERT INTO t VALUES (1, 'a', 'new')"})
    collector = Collector(server, at_commit=writes)
    collector.snapshots.request(ALL)
    collector.follow()
    assert writes.all_done()
    whole(collector)
    assert collector.folded() == [[1, "a", "new"]]


def test_a_table_that_is_dropped_meanwhile_is_refused(server: OwnMySQL) -> None:
    collector = Collector(server, at_commit=InChunks(server, after_1="DROP TABLE t"))
    collector.snapshots.request(ALL)
    collector.follow()
    assert shown(server) == [("t", "refused")]


def test_a_row_that_comes_just_before_the_beginning_is_not_swept(server: OwnMySQL) -> None:
    """It is the last one, and the log told it before the snapshot began."""
    numbers = iter(range(1000, 2000))
    collector = Collector(
        server,
        at_commit=lambda: server.run(
            f"INSERT INTO t VALUES ({next(numbers)}, '', '')"  # noqa: S608
        ),
    )
    collector.snapshots.request(ALL)
    collector.follow(lambda: len(collector.stream) > 3)
    collector.at_commit = lambda: None
    collector.follow()
    whole(collector)


def test_rows_that_are_added_without_end_do_not_keep_it_from_ending(server: OwnMySQL) -> None:
    numbers = iter(range(1000, 9999))

    def add() -> None:
        rows = ", ".join(f"({next(numbers)}, '', 'more')" for _ in range(7))
        server.run(f"INSERT INTO t VALUES {rows}")  # noqa: S608

    collector = Collector(server, at_commit=add)
    collector.snapshots.request(ALL)
    collector.follow(lambda: ("snapshot_end" in str(collector.stream[-1:])))
    assert 12 <= len(collector.read_by_snapshots()) < 60
    collector.at_commit = lambda: None
    collector.follow()
    whole(collector)


def test_other_tables_go_on_and_wait_their_turn(server: OwnMySQL) -> None:
    server.run(
        "CREATE TABLE u (a BIGINT UNSIGNED PRIMARY KEY, b DECIMAL(10,2))",
        "INSERT INTO u VALUES (1, 1.50), (18446744073709551615, -2)",
    )
    collector = Collector(server, "t", "u")
    collector.snapshots.request(Request("all", (), "a test"))
    assert shown(server) == [("t", "waiting"), ("u", "waiting")]
    collector.follow(lambda: bool(collector.read_by_snapshots()))
    assert shown(server) == [("t", "reading"), ("u", "waiting")]
    server.run("UPDATE u SET b = 7 WHERE a = 1")
    collector.follow()
    whole(collector)
    whole(collector, "u")
    assert shown(server) == []


def test_a_table_asked_for_twice_is_read_once_and_while_it_is_read_once_more(
    server: OwnMySQL,
) -> None:
    collector = Collector(server)
    for name in ("one", "two", "one"):
        collector.snapshots.request(Request(name, ("t",), "a test"))
    assert shown(server) == [("t", "waiting")]
    collector.follow(lambda: bool(collector.read_by_snapshots()))
    collector.snapshots.request(Request("three", ("t",), "a test"))
    collector.snapshots.request(Request("four", ("t",), "a test"))
    assert shown(server) == [("t", "reading"), ("t", "waiting")]
    collector.follow()
    whole(collector)
    assert len(collector.read_by_snapshots()) == 24


def test_what_cannot_be_read_is_refused_and_the_rest_goes_on(server: OwnMySQL) -> None:
    server.run("CREATE TABLE u (a INT, b INT)")
    collector = Collector(server, "t", "u")
    collector.snapshots.request(Request("some", ("u", "gone", "t"), "a test"))
    collector.follow()
    whole(collector)
    assert shown(server) == [("u", "refused"), ("gone", "refused")]
    whys = [words["why"] for event, words in collector.said if event == "cdc_snapshot_refused"]
    assert "ALTER TABLE" in whys[0]
    assert "FLEET_CDC_TABLES" in whys[1]


@pytest.mark.parametrize("seed", range(4))
def test_two_snapshots_of_two_collectors_do_no_harm(server: OwnMySQL, seed: int) -> None:
    """One slept through losing its fence: it writes marks into the log that nobody expects."""
    chance = random.Random(seed)
    collector = Collector(server, rows_most=2, at_commit=lambda: write(server, chance))
    collector.snapshots.request(ALL)
    collector.follow(lambda: len(collector.stream) > chance.randrange(1, 9))
    other = Collector(server, rows_most=3)
    for _ in range(2):
        other.follow(lambda: len(other.stream) > 4)
        collector.follow(lambda: chance.random() < 0.1)
    collector.at_commit = lambda: None
    collector.follow()
    whole(collector)
