"""TimescaleDB as a sink of the change stream: `python -m workers.cdc.history`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import psycopg

from shared.changes import Chunk, Offset
from shared.settings import Settings
from shared.timescale import offsets
from shared.timescale.changes import Refusal, Writer
from shared.timescale.connection import Connection, connect, transaction
from shared.timescale.offsets import Staged
from workers.cdc.sink import Batch, Entry, Refused, RowsRefused
from workers.cdc.sink_process import run_sink

NAME = "timescale"
SILENT_MS = 60_000


class HistorySink:
    """The schema `fleet` of TimescaleDB, over one connection. See `workers.cdc.sink.Sink`."""

    name = NAME

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._writer: Writer | None = None

    def connect(self) -> None:
        if self._writer is not None:
            return
        connection = self._connect()
        writer = Writer(connection)
        with transaction(connection):
            connection.execute(f"SET idle_in_transaction_session_timeout = {SILENT_MS}".encode())
            connection.execute("SET timezone = 'UTC'")  # DATETIME columns of ours have no zone
            connection.execute("SET jit = off")  # compiling costs more than our statements
            writer.prepare()
        self._writer = writer

    def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with suppress(psycopg.Error):
                writer.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._open.begin()
        with transaction(self._open.connection):
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        sweeps = list(self._open.sweeps)
        try:
            with self._open.connection.transaction():
                yield
        except BaseException:
            self._open.sweeps = sweeps
            raise

    def lock_offset(self) -> Offset | None:
        return offsets.lock(self._open.connection, self.name)

    def write(self, chunks: Sequence[Chunk]) -> None:
        with _refused():
            self._open.write(chunks)

    def quarantine(self, chunk: Chunk, refused: Refused) -> None:
        entry = Staged(*refused.entry)
        offsets.quarantine(
            self._open.connection, entry, refused.table, refused.op, refused.reason
        )
        # What the typed history refuses is an event and a row all the same.
        with suppress(RowsRefused), self.savepoint(), _refused():
            self._open.write_refused(chunk)

    def quarantined(self, first_seq: int, last_seq: int) -> Iterator[Refused]:
        for kept in offsets.quarantined(self._open.connection, first_seq, last_seq):
            yield Refused(
                Entry(*kept.entry), kept.table, kept.op, kept.reason, kept.refused_at.isoformat()
            )

    def replay(self, chunk: Chunk, refused: Refused) -> None:
        with _refused():
            self._open.write_late(chunk)
        offsets.replayed(self._open.connection, Staged(*refused.entry))

    def stage(self, entries: Sequence[Entry]) -> None:
        offsets.stage(self._open.connection, [Staged(*entry) for entry in entries])

    def staged_rows(self) -> int:
        return offsets.staged_rows(self._open.connection)

    def staged(self) -> Iterator[Sequence[Entry]]:
        for page in offsets.staged(self._open.connection):
            yield [Entry(*entry) for entry in page]

    def unstage(self) -> None:
        offsets.unstage(self._open.connection)

    def move_offset(self, offset: Offset, batch: Batch | None) -> None:
        offsets.move(self._open.connection, self.name, offset)
        if batch is not None:
            offsets.note_batch(self._open.connection, *batch)

    @property
    def _open(self) -> Writer:
        assert self._writer is not None, "connect first"
        return self._writer


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise RowsRefused(str(refusal)) from refusal


def history_sink(settings: Settings) -> HistorySink:
    return HistorySink(partial(connect, settings))


def main() -> None:
    run_sink(NAME, history_sink)


if __name__ == "__main__":
    main()
