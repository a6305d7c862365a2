"""MariaDB's first load: one moment of all tables, and the log from there on."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest

from tests.own_mysql import OwnMySQL, own_mysql
from tests.snapshot_world import TABLE, Collector, Killed, shown, whole, write
from tests.waiting import eventually


@pytest.fixture(scope="module")
def running(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    with own_mysql(servers) as mysql:
        yield mysql


@pytest.fixture
def server(running: OwnMySQL) -> OwnMySQL:
    running.run(*TABLE)
    return running


@pytest.mark.only("mysql")
def test_mysql_begins_with_chunks_instead(server: OwnMySQL) -> None:
    assert Collector(server).load() is False


@pytest.mark.only("mariadb")
@pytest.mark.parametrize("seed", range(6))
def test_first_load_and_log_are_the_tables(server: OwnMySQL, seed: int) -> None:
    server.run("CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1), (2)")
    chance = random.Random(seed)
    collector = Collector(
        server, "t", "u", rows_most=1, at_commit=lambda: write(server, chance)
    )
    assert collector.load()
    assert shown(server) == []
    collector.at_commit = lambda: None
    collector.follow()
    whole(collector)
    whole(collector, "u")
    assert collector.read_by_snapshots("u") == [[1], [2]]


@pytest.mark.only("mariadb")
def test_the_first_load_is_of_exactly_the_position_where_the_log_goes_on(
    server: OwnMySQL,
) -> None:
    """While rows come all the time: each is in the load or in the log behind it, none in both."""
    stop = threading.Event()

    def insert() -> None:
        with closing(server.connection()) as connection:
            for number in itertools.count(100):
                connection.cursor().execute("INSERT INTO t VALUES (%s, '', '')", (number,))
                connection.commit()
                if stop.is_set():
                    return

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        eventually(lambda: len(Collector(server).actual()) > 50)
        collector = Collector(server)
        assert collector.load()
    finally:
        stop.set()
        thread.join()
    collector.follow()
    whole(collector)
    loaded = {row[0] for row in collector.read_by_snapshots()}
    told = {row[3][0] for one in collector.stream if one.kind == "log" for row in one.rows}
    assert loaded & told == set()


@pytest.mark.only("mariadb")
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_first_load_that_is_broken_off_goes_on_by_chunks(server: OwnMySQL, lost: int) -> None:
    """Under numbers of its own: those of the load are not used for anything else."""
    server.run("CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1), (2)")
    chance = random.Random(lost)
    collector = Collector(server, "t", "u", rows_most=1)
    commits = itertools.count()

    def at_commit() -> None:
        write(server, chance)
        if next(commits) == 6:
            raise Killed

    collector.at_commit = at_commit
    with pytest.raises(Killed):
        collector.load()
    collector.at_commit = lambda: None
    ended = collector.seq
    collector.lose(lost)
    collector.fill_load()
    assert collector.seq >= ended
    collector.follow()
    whole(collector)
    whole(collector, "u")


@pytest.mark.only("mariadb")
def test_a_first_load_whose_table_is_altered_goes_on_by_chunks(server: OwnMySQL) -> None:
    commits = itertools.count()

    def at_commit() -> None:
        if next(commits) == 5:
            server.run("ALTER TABLE t ADD COLUMN late INT")

    collector = Collector(server, rows_most=1, at_commit=at_commit)
    assert collector.load()
    assert shown(server) == [("t", "reading")]
    collector.follow()
    assert {len(row) for row in collector.read_by_snapshots()} == {3, 4}
    assert len(collector.folded()) == 12
