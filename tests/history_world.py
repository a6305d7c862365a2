"""TimescaleDB as a sink, as the contract suite and its own tests see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import psycopg
from pydantic import SecretStr

from shared.changes import Change, Chunk, Offset
from shared.settings import Settings
from shared.timescale import offsets
from shared.timescale.connection import connect
from tests.change_world import ORDERS, created, order
from tests.sink_world import Event
from tests.timescale_world import Timescale
from tests.typed_changes import place, transaction
from workers.cdc.history import NAME, HistorySink
from workers.cdc.quarantine import write_carefully
from workers.cdc.sink import Batch, RowsRefused

_CHECK = "ALTER TABLE fleet.change_event ADD CONSTRAINT no_666 CHECK (row_key <> '[\"666\"]')"
_NO_CHECK = "ALTER TABLE fleet.change_event DROP CONSTRAINT IF EXISTS no_666"


class HistoryUnderTest:
    """As the role `timescale`; looked at as the database's owner."""

    role = NAME
    module = "workers.cdc.history"
    _TABLES = (
        "change_event", "row_state", "position_history", "pnl_history", "fill_history",
        "rollup_changes", "rollup_positions", "rollup_pnl", "rollup_trading", "cdc_offset",
        "cdc_staging", "cdc_quarantine", "cdc_batch",
    )  # fmt: skip

    def __init__(self, settings_for: Callable[[str], Settings], database: Timescale) -> None:
        self.database = database
        self._settings_for = settings_for
        database.run(_NO_CHECK)

    def settings(self, role: str) -> Settings:
        url = SecretStr(self.database.url(role))
        return self._settings_for(role).model_copy(update={"timescale_url": url})

    def make(self) -> HistorySink:
        return HistorySink(partial(connect, self.settings(self.role)))

    def environ(self) -> Mapping[str, str]:
        return {"FLEET_TIMESCALE_URL": self.database.url(self.role)}

    def takes(self) -> HistorySink:
        self.database.run(_NO_CHECK)
        return HistorySink(partial(connect, self.settings("cli")))

    def events(self) -> list[Event]:
        return [
            (epoch, seq, index, table, op)
            for epoch, seq, index, table, op in self.run(
                "SELECT epoch, seq, row_index, table_name, op FROM fleet.change_event"
                " WHERE table_name <> '' AND NOT derived ORDER BY epoch, seq, row_index"
            )
        ]

    def offset(self) -> Offset | None:
        with psycopg.connect(self.database.owner) as connection:
            return offsets.read(connection, NAME)

    def staged(self) -> int:
        return int(self.run("SELECT count(*) FROM fleet.cdc_staging")[0][0])

    def quarantined(self) -> int:
        return int(self.run("SELECT count(*) FROM fleet.cdc_quarantine")[0][0])

    def refused(self) -> Change:
        """A constraint stands for whatever the server may ever refuse."""
        self.database.run(_NO_CHECK)
        self.database.run(_CHECK)
        return created(ORDERS, order(666))

    def forbids(self) -> Change:
        self.allows()
        self.database.run(
            "CREATE FUNCTION fleet.somebodys() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.row_key = '[\"667\"]' THEN RAISE EXCEPTION 'not on my watch'; END IF;"
            " RETURN NEW; END $$"
        )
        self.database.run(
            "CREATE TRIGGER somebodys BEFORE INSERT ON fleet.change_event"
            " FOR EACH ROW EXECUTE FUNCTION fleet.somebodys()"
        )
        return created(ORDERS, order(667))

    def allows(self) -> None:
        self.database.run("DROP TRIGGER IF EXISTS somebodys ON fleet.change_event")
        self.database.run("DROP FUNCTION IF EXISTS fleet.somebodys()")

    def backup(self) -> Any:
        with psycopg.connect(self.database.owner) as connection:
            return {table: _copied(connection, table) for table in self._TABLES}

    def restore(self, backup: Mapping[str, bytes]) -> None:
        with psycopg.connect(self.database.owner) as connection:
            for table, rows in backup.items():
                connection.execute(f"TRUNCATE fleet.{table}".encode())
                with connection.cursor().copy(f"COPY fleet.{table} FROM STDIN".encode()) as copy:
                    copy.write(rows)

    def run(self, sql: str) -> list[Any]:
        return self.database.run(sql)


def _copied(connection: psycopg.Connection[Any], table: str) -> bytes:
    statement = f"COPY (SELECT * FROM fleet.{table}) TO STDOUT"  # noqa: S608 - our own names
    with connection.cursor().copy(statement.encode()) as copy:
        return b"".join(bytes(block) for block in copy)


class Desk:
    """One sink, and a way to write transactions as the loop does."""

    def __init__(self, under: HistoryUnderTest, sink: HistorySink) -> None:
        self.under = under
        self.sink = sink
        self.run = under.run
        self.seq = 0

    def commit(self, *changes: Change, **header: Any) -> int:
        """Its seq."""
        self.seq += 1
        self.write(transaction(self.seq, *changes, **header))
        return self.seq

    def write(self, *chunks: Chunk) -> None:
        with self.sink.transaction():
            self.sink.lock_offset()
            try:
                with self.sink.savepoint():
                    self.sink.write(chunks)
            except RowsRefused:
                write_carefully(self.sink, chunks)
            seq = chunks[-1].seq
            self.sink.move_offset(
                Offset(1, seq, 0, whole=True, position=place(seq)), Batch(1, seq, seq, 1)
            )
