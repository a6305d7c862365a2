"""The collector on real servers, as its own role: rows that were written come in order, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from shared.cdc import envelope
from shared.cdc.checkpoint import Report, following
from shared.cdc.log import ChangeLog
from shared.changes import Chunk, Offset
from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.waiting import eventually
from tests.workers.fleet_env import ROOT
from workers.cdc import collect
from workers.cdc.appender import BatchBounds
from workers.cdc.collector_build import CollectorProcess, collector_of
from workers.cdc.ports import Bounds

QUICK = Bounds(
    batch=BatchBounds(place_seconds=0.05), look_seconds=0.05, full_seconds=0.05,
    stopped_seconds=0.5, pause_seconds_most=0.1,
)  # fmt: skip
KINDS = ("log", "snapshot")
KILLS = 5
TABLES = "fleet_signals,fleet_breaks,fleet_parked"


class Sink:
    """One that keeps every chunk, in order, and refuses what is not the next one."""

    def __init__(self, stream: ChangeLog, name: str = "audit") -> None:
        self.stream = stream
        self.name = name
        self.chunks: list[Chunk] = []
        self.offset: Offset | None = None
        self.tell()

    def tell(self) -> None:
        self.stream.report(self.name, Report(self.offset, 1))

    def read(self) -> None:
        after = b"0-1" if self.offset is None else b"%d-%d" % (self.offset.seq, self.offset.chunk)
        for entry_id, fields in self.stream.read(after, 100, 0):
            chunk = envelope.decode(entry_id, fields)
            if self.offset is not None and chunk.epoch == self.offset.epoch:
                assert (chunk.seq, chunk.chunk) == following(self.offset), "a gap"
            position = chunk.position or (self.offset and self.offset.position)
            assert position is not None
            self.offset = Offset(chunk.epoch, chunk.seq, chunk.chunk, chunk.last, position)
            self.chunks.append(chunk)
        self.tell()

    def rows(self, table: str, kinds: tuple[str, ...] = ("log",)) -> list[dict[str, Any]]:
        return [
            dict(zip(change.table.columns, change.after, strict=True)) | {"actor": chunk.actor}
            for chunk in self.chunks if chunk.kind in kinds
            for change in chunk.changes
            if change.table.name == table and change.after is not None and change.op != "m"
        ]  # fmt: skip


@pytest.fixture
def settings(settings_for: Callable[..., Settings]) -> Settings:
    return settings_for("collector", FLEET_CDC_TABLES=TABLES, FLEET_TIMESCALE_URL="")


@pytest.fixture
def stream(settings: Settings, redis_root: Any) -> ChangeLog:
    return ChangeLog(redis_root, settings.prefix)


@pytest.fixture
def database(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


@contextmanager
def collecting(settings: Settings) -> Iterator[CollectorProcess]:
    process = collector_of(settings, "test", QUICK)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            collect.run(process)
        except BaseException as failure:  # noqa: BLE001 - raised below, in the test's own thread
            traceback.print_exc()
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield process
    finally:
        process.collector.stop()
        thread.join(20)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def is_reading(process: CollectorProcess) -> bool:
    collector = process.collector
    assert collector.state == "reading", (collector.state, collector.words)
    return True


def signal_rows(connection: Any, numbers: range) -> None:
    connection.cursor().executemany(
        "INSERT INTO fleet_signals (source, channel_id, message_id, revision, received_at,"
        " received_at_ms, text, report_hash, data)"
        " VALUES ('api', 'c', %s, 1, UTC_TIMESTAMP(6), 1, 'buy', REPEAT('x', 16), '{}')",
        [(str(number),) for number in numbers],
    )


def test_rows_of_the_source_come_in_order_with_who_wrote_them(
    settings: Settings, stream: ChangeLog, database: Any
) -> None:
    sink = Sink(stream)
    with collecting(settings) as process:
        eventually(lambda: is_reading(process), 20)
        for number in range(20):
            signal_rows(database, range(number, number + 1))
            if number == 7:
                database.cursor().execute(
                    "INSERT INTO fleet_change_context (actor, request_id) VALUES ('user:7', 'r-1')"
                )
            database.commit()

        def all_there() -> bool:
            sink.read()
            return len(sink.rows("fleet_signals")) == 20

        eventually(all_there, 20)

    rows = sink.rows("fleet_signals")
    assert [row["message_id"] for row in rows] == [str(number) for number in range(20)]
    assert [row["actor"] for row in rows if row["actor"]] == ["user:7 r-1"]
    assert sink.chunks[0].kind == "control"


def test_an_idle_fleet_stands_still_and_its_lag_is_known(
    settings: Settings, stream: ChangeLog, database: Any
) -> None:
    sink = Sink(stream)
    with collecting(settings) as process:
        eventually(lambda: is_reading(process), 20)

        def snapshots_done() -> bool:
            sink.read()
            messages = [change.after for chunk in sink.chunks for change in chunk.changes
                        if change.op == "m" and change.after]  # fmt: skip
            return [one[0] for one in messages].count("snapshot_end") == 3

        eventually(snapshots_done, 20)
        before = stream.look()
        beats = _beats(database)
        eventually(lambda: _beats(database) > beats + 2)
        reading = process.collector.reading()
        after = stream.look()

    assert before is not None
    assert after is not None
    assert reading is not None
    assert after.place.seq == before.place.seq
    assert after.place.position != before.place.position
    assert reading.behind_seconds < 5


def test_a_second_one_stands_by_and_takes_over(
    settings: Settings, stream: ChangeLog, database: Any
) -> None:
    sink = Sink(stream)
    with collecting(settings) as first:
        eventually(lambda: is_reading(first), 20)
        with collecting(settings) as second:
            eventually(stream.owner)
            assert second.collector.state == "standby"
            assert second.collector.ready()
            first.collector.stop()
            signal_rows(database, range(5))
            database.commit()
            eventually(lambda: is_reading(second), 20)
            eventually(lambda: _read(sink, 5), 20)

    _once_and_in_order(sink, 5)


# -- kill -9 ---------------------------------------------------------------------------------------

STEPS = (
    "take:before:1", "take:after:1", "rewind:before:1", "rewind:after:1",
    "append:before:1", "append:after:1", "append:before:2", "append:after:2", "append:after:5",
    "trim:before:2", "trim:after:2",
)  # fmt: skip


class Node:
    """The collector in processes of its own, one after the other."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = {"PATH": os.environ["PATH"], **environ, "FLEET_ROLE": "collector"}

    @contextmanager
    def running(self, die_at: str = "") -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.collector_node"],
            cwd=ROOT, env={**self._environ, "DIE_AT": die_at}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture
def node(environ_for: Callable[..., dict[str, str]]) -> Node:
    return Node(environ_for("collector", FLEET_CDC_TABLES=TABLES, FLEET_TIMESCALE_URL=""))


def test_killed_at_every_step_nothing_is_lost_and_nothing_comes_twice(
    node: Node, stream: ChangeLog, database: Any
) -> None:
    sink, written = Sink(stream), 0
    for step in STEPS:
        # One long transaction, so that steps fall inside it, and some short ones.
        for rows in (1, 2_100 if step.startswith("append") else 1, 1):
            signal_rows(database, range(written, written + rows))
            written += rows
            database.commit()
        with node.running(step) as process:
            _, log = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, (step, log)
        sink.read()
    with node.running():
        eventually(lambda: _read(sink, written), 60)

    _once_and_in_order(sink, written)


def test_killed_at_any_moment_while_rows_are_written(
    node: Node, stream: ChangeLog, database: Any
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, sink, written = random.Random(seed), Sink(stream), 0
    with node.running():
        eventually(lambda: _read(sink, 0) and sink.offset is not None, 30)
    for _ in range(KILLS):
        with node.running() as process:
            for _ in range(rng.randrange(5, 60)):
                rows = rng.choice((1, 1, 1, 900))
                signal_rows(database, range(written, written + rows))
                written += rows
                database.commit()
                sink.read()
            process.kill()
            process.wait(10)
        sink.read()
    with node.running():
        eventually(lambda: _read(sink, written), 60)

    _once_and_in_order(sink, written)


def _read(sink: Sink, rows: int) -> bool:
    sink.read()
    return len({row["message_id"] for row in sink.rows("fleet_signals", KINDS)}) >= rows


def _once_and_in_order(sink: Sink, written: int) -> None:
    """Rows of before the epoch come by the snapshot, all later ones by the log, each once."""
    log = [int(row["message_id"]) for row in sink.rows("fleet_signals")]
    assert log == list(range(written - len(log), written))
    snapshots = {int(row["message_id"]) for row in sink.rows("fleet_signals", ("snapshot",))}
    assert set(range(written)) == snapshots | set(log)
    assert {chunk.epoch for chunk in sink.chunks} == {1}


def _beats(database: Any) -> int:
    cursor = database.cursor()
    cursor.execute("SELECT COALESCE(MAX(n), 0) FROM fleet_cdc_heartbeat WHERE id = 1")
    found = int(cursor.fetchone()[0])
    database.commit()
    return found
