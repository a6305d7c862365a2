"""The binlog of a real server, event by event as it comes, for tests of what is made of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pymysql

from shared.cdc.declarations import declarations
from shared.cdc.rows import ROW_EVENTS, Shapes, table_id
from shared.cdc.selection import Keeping, Schemas, Selection
from shared.changes import Change
from shared.endpoints import MySQLSettings

TABLE_MAP = 19
_DUMP = 0x12
_DUMP_NON_BLOCK = 1
_HEADER = 19


class RawLog:
    """A schema of its own, SQL by a root connection in UTC, and the changes that its SQL caused."""

    def __init__(self, root: MySQLSettings, schema: str, **options: Any) -> None:
        """options: instead of root's, for a server of the test's own."""
        self.schema = schema
        self.connection = self._connect(root, **options)
        self._dump: Callable[[], Any] = lambda: self._connect(root, **options)
        self.declarations = declarations(self._dump)
        self.mariadb = "MariaDB" in self.ask("SELECT @@version")[0][0]
        self.run(f"CREATE DATABASE IF NOT EXISTS `{schema}` CHARACTER SET utf8mb4")
        self.run(f"USE `{schema}`", "SET time_zone = '+00:00', sql_mode = ''")

    def close(self) -> None:
        self.run(f"DROP DATABASE IF EXISTS `{self.schema}`")
        self.connection.close()

    def run(self, *statements: str) -> None:
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def ask(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as the server's own text: nothing is converted."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return list(cursor.fetchall())

    def shapes(self, *tables: str, columns: Mapping[str, Keeping] | None = None) -> Shapes:
        selection = Selection(
            Schemas(f"{self.schema}_fleet", self.schema), tables, columns or {}, b"k" * 32
        )
        return Shapes(selection, self.declarations, mariadb=self.mariadb)

    def position(self) -> tuple[str, int]:
        try:
            row = self.ask("SHOW BINARY LOG STATUS")[0]
        except pymysql.err.Error:
            row = self.ask("SHOW MASTER STATUS")[0]
        return str(row[0]), int(row[1])

    def events(self, position: tuple[str, int]) -> Iterator[tuple[int, bytes]]:
        """(type, body) from there to the end of the log, without header and checksum."""
        file, pos = position
        with closing(self._dump()) as dump:
            with dump.cursor() as cursor:
                cursor.execute(
                    "SET @source_binlog_checksum = 'CRC32', @master_binlog_checksum = 'CRC32'"
                )
                if self.mariadb:
                    cursor.execute("SET @mariadb_slave_capability = 4")
            wanted = pos.to_bytes(4, "little") + _DUMP_NON_BLOCK.to_bytes(2, "little")
            ours = (1_000_000 + os.getpid()).to_bytes(4, "little")
            dump._execute_command(_DUMP, wanted + ours + file.encode())
            while True:
                packet = dump._read_packet().get_all_data()
                if packet[0] == 0xFE:
                    return
                yield packet[5], packet[1 + _HEADER : -4]

    def changes(self, position: tuple[str, int], shapes: Shapes) -> list[Change]:
        """Of the tables of that selection, in order."""
        found, known = list[Change](), dict[int, Any]()
        for type_, body in self.events(position):
            if type_ == TABLE_MAP:
                known[table_id(body)] = shapes.shape(body)
            elif type_ in ROW_EVENTS and known[table_id(body)] is not None:
                found += known[table_id(body)].rows(type_, body)
        return found

    def _connect(self, root: MySQLSettings, **options: Any) -> Any:
        where: dict[str, Any] = {
            "host": root.host,
            "port": root.port,
            "user": root.user,
            "password": root.password.get_secret_value(),
        }
        return pymysql.connect(
            **(where | options), charset="utf8mb4", autocommit=True, conv={}
        )
