"""Sinks as the contract suite sees them, and the audit log as one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

from shared.changes import Change, Chunk, Offset
from shared.mysql import change_log_offset
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import data_client
from tests.change_world import ORDERS, created, order
from workers.cdc.audit import NAME, AuditSink
from workers.cdc.sink import Batch, Entry, Refused, Sink
from workers.cdc.sink_loop import SinkBounds, SinkLoop, SinkTools
from workers.cdc.tables import audit_keeps

QUICK = SinkBounds(
    rows=50, read_entries=20, gather_seconds=0.0, idle_seconds=0.02, report_seconds=0.0,
    gap_seconds=0.02, stopped_seconds=0.02, pause_seconds_most=0.05,
)  # fmt: skip
Event = tuple[int, int, int, str, str]
"""(epoch, seq, row_index, table, op)"""


class SinkUnderTest(Protocol):
    """A sink with what a test asks of its database. role: whose settings and grants it has.
    module: of its process.
    """

    role: str
    module: str

    def make(self) -> Sink:
        """A new one, as another process would have it."""

    def environ(self) -> Mapping[str, str]:
        """What its process is told beside its role's own environment."""

    def events(self) -> list[Event]:
        """Every captured change that it holds, in order; derived ones and epochs are left out."""

    def offset(self) -> Offset | None: ...

    def staged(self) -> int:
        """Entries in staging."""

    def quarantined(self) -> int: ...

    def refused(self) -> Change:
        """A row that this sink's database does not take."""

    def forbids(self) -> Change:
        """A row that a trigger of somebody's refuses, until `allows`."""

    def allows(self) -> None: ...

    def takes(self) -> Sink:
        """One that takes it after all, as the role `cli` has it: the cause is cured."""

    def backup(self) -> Any:
        """What `restore` needs to bring the database back to now."""

    def restore(self, backup: Any) -> None: ...


class AuditUnderTest:
    """As the role `audit`; looked at as administrator."""

    role = "audit"
    module = "workers.cdc.audit"
    _TABLES = (
        "fleet_change_log", "fleet_cdc_offset", "fleet_cdc_staged", "fleet_cdc_quarantine",
        "fleet_cdc_batches",
    )  # fmt: skip

    def __init__(self, settings_for: Callable[[str], Settings], root: Any) -> None:
        self.settings, self.cli = settings_for(self.role), settings_for("cli")
        self._root = root

    def make(self) -> AuditSink:
        return AuditSink(partial(connect, self.settings.audit), hashed, packet=2_000_000)

    def environ(self) -> Mapping[str, str]:
        return {}

    def takes(self) -> AuditSink:
        return AuditSink(partial(connect, self.cli.audit), hashed)

    def events(self) -> list[Event]:
        return [
            (epoch, seq, index, table, op)
            for epoch, seq, index, table, op in self.run(
                "SELECT epoch, seq, row_index, table_name, op FROM fleet_change_log"
                " WHERE table_name <> '' AND derived = 0 ORDER BY epoch, seq, row_index"
            )
        ]

    def offset(self) -> Offset | None:
        found = change_log_offset.read(self._root, NAME)[0]
        self._root.commit()
        return found

    def staged(self) -> int:
        return int(self.run("SELECT COUNT(*) FROM fleet_cdc_staged")[0][0])

    def quarantined(self) -> int:
        asked = "SELECT COUNT(DISTINCT seq, row_index) FROM fleet_cdc_quarantine"
        return int(self.run(asked)[0][0])

    def refused(self) -> Change:
        return created(ORDERS, order(666, note="x" * 2_100_000))

    def forbids(self) -> Change:
        self.allows()
        self.run(
            "CREATE TRIGGER somebodys BEFORE INSERT ON fleet_change_log FOR EACH ROW"
            " BEGIN IF INSTR(NEW.row_after, 'forbidden') THEN"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not on my watch'; END IF; END"
        )
        return created(ORDERS, order(667, note="forbidden"))

    def allows(self) -> None:
        self.run("DROP TRIGGER IF EXISTS somebodys")

    def backup(self) -> Any:
        return {name: self.run(f"SELECT * FROM {name}") for name in self._TABLES}  # noqa: S608 - our own names

    def restore(self, backup: Mapping[str, Sequence[Sequence[Any]]]) -> None:
        cursor = self._root.cursor()
        for name, rows in backup.items():
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - our own names
            for row in rows:
                marks = ", ".join(["%s"] * len(row))
                cursor.execute(f"INSERT INTO {name} VALUES ({marks})", row)  # noqa: S608 - our own names
        self._root.commit()

    def run(self, sql: str, words: Sequence[Any] = ()) -> list[Any]:
        cursor = self._root.cursor()
        cursor.execute(sql, words)
        found = list(cursor.fetchall())
        self._root.commit()
        return found


def hashed(table: str) -> bool:
    return audit_keeps(table) == "hash"


class Killed(BaseException):
    """As SIGKILL: nothing of the process runs any more."""


class DyingSink:
    """A sink whose process dies at the `step`-th thing it does in transactions.

    Before a commit the connection is cut, so the server rolls back; `commit` dies right behind it.
    """

    STEPS = ("lock_offset", "staged_rows", "write", "stage", "unstage", "move_offset", "commit")

    def __init__(self, sink: Sink, dies_at: str, times: int = 1) -> None:
        self._sink = sink
        self._dies_at, self._left = dies_at, times
        self.name = sink.name
        self.died = False

    def connect(self) -> None:
        self._sink.connect()

    def close(self) -> None:
        self._sink.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._sink.transaction():
            yield
        self._step("commit")

    def savepoint(self) -> AbstractContextManager[None]:
        return self._sink.savepoint()

    def lock_offset(self) -> Offset | None:
        found = self._sink.lock_offset()
        self._step("lock_offset")
        return found

    def write(self, chunks: Sequence[Chunk]) -> None:
        self._sink.write(chunks)
        self._step("write")

    def quarantine(self, chunk: Chunk, refused: Refused) -> None:
        self._sink.quarantine(chunk, refused)

    def quarantined(self, first_seq: int, last_seq: int) -> Iterator[Refused]:
        return self._sink.quarantined(first_seq, last_seq)

    def replay(self, chunk: Chunk, refused: Refused) -> None:
        self._sink.replay(chunk, refused)

    def stage(self, entries: Sequence[Entry]) -> None:
        self._sink.stage(entries)
        self._step("stage")

    def staged_rows(self) -> int:
        found = self._sink.staged_rows()
        self._step("staged_rows")
        return found

    def staged(self) -> Iterator[Sequence[Entry]]:
        return self._sink.staged()

    def unstage(self) -> None:
        self._sink.unstage()
        self._step("unstage")

    def move_offset(self, offset: Offset, batch: Batch | None) -> None:
        self._sink.move_offset(offset, batch)
        self._step("move_offset")

    def _step(self, name: str) -> None:
        if name == self._dies_at:
            self._left -= 1
            if self._left == 0:
                self.died = True
                self._sink.close()
                raise Killed(name)


class Told(NamedTuple):
    """What a loop logs."""

    event: str
    fields: Mapping[str, Any]


class LoopWorld:
    """Loops of one sink over one stream."""

    def __init__(self, under: SinkUnderTest, settings: Settings) -> None:
        self.under = under
        self.settings = settings
        self.told: list[Told] = []

    def loop(self, sink: Sink | None = None, bounds: SinkBounds = QUICK) -> SinkLoop:
        tools = SinkTools(
            partial(data_client, self.settings.streams_redis, "tests", block_ms=1_000),
            self.settings.prefix,
            lambda event, **fields: self.told.append(Told(event, fields)),
            bounds,
        )
        return SinkLoop(sink or self.under.make(), tools)

    def catch_up(self, sink: Sink | None = None, bounds: SinkBounds = QUICK) -> None:
        """A loop until the stream has nothing more for it. Raises what the loop raises."""
        with closing(self.loop(sink, bounds)) as loop:
            while loop.turn():
                pass

    @contextmanager
    def running(self, sink: Sink | None = None, bounds: SinkBounds = QUICK) -> Iterator[SinkLoop]:
        """A loop in a thread."""
        loop = self.loop(sink, bounds)
        thread = threading.Thread(target=loop.run, daemon=True)
        thread.start()
        try:
            yield loop
        finally:
            loop.stop()
            thread.join(20)
            assert not thread.is_alive()
