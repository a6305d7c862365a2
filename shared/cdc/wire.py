"""A connection that asks a few questions and then receives the log.

PyMySQL shakes hands (TLS, caching_sha2_password) and asks. From the dump on its socket is read
here, because a packet may then cost no more than a microsecond.
"""

from __future__ import annotations

import select
import ssl
import struct
from collections.abc import Iterator
from typing import Any

import pymysql
from pymysql.constants import COMMAND

from shared.cdc.errors import SourceStopped
from shared.endpoints import MySQLSettings
from shared.errors import Unavailable

CONNECT_SECONDS = 5
SILENT_SECONDS = 20
"""The server tells a few times a second that it is there, also when nothing happens."""
RECEIVE_BYTES = 256 * 1024
IDLE_SECONDS = 0.002
"""A server that sends event by event has more to send when it says nothing for less than this."""

COM_BINLOG_DUMP_GTID = 0x1E
NON_BLOCKING = 1
WITH_ANNOTATIONS = 2
"""MariaDB leaves these events out otherwise, and positions could not be counted."""
FILE_BEGINS = 4
NARROW = 1 << 32
"""COM_BINLOG_DUMP knows no position from here on."""

_PACKET_MOST = 0xFFFFFF
_U32 = struct.Struct("<I")
_OK, _EOF, _ERROR = 0x00, 0xFE, 0xFF

PRIVILEGE = "privilege"
_PRIVILEGES = {1044, 1142, 1227}
_LOG_ERROR = 1236
_LOG_ERRORS: tuple[tuple[str, str, str], ...] = (
    (
        "server_uuid/server_id",
        "server_id_in_use",
        "Another replica uses this server_id: give one of them another (FLEET_CDC_SERVER_ID)",
    ),
    ("could not find first log", "purged", "{purged}"),
    ("purged", "purged", "{purged}"),
    ("position > file size", "position_ahead", "{reset}"),
    ("impossible position", "position_ahead", "{reset}"),
    ("not in the master's binlog", "position_ahead", "{reset}"),
    ("max_allowed_packet", "packet", "SET GLOBAL max_allowed_packet to its largest value"),
    ("binlog_row_event_max_size", "packet", "SET GLOBAL max_allowed_packet to its largest value"),
)
CURES = {
    "purged": (
        "What was in the purged files can only be read from the tables: `fleet cdc restart "
        "--reason ...` begins at the end of the log and takes a snapshot of all tables. Keep "
        "binlogs longer (binlog_expire_logs_seconds)"
    ),
    "reset": (
        "The server was reset or restored, or is another one. Restored: `fleet recover`. Else see "
        "what it has lost, then `fleet cdc restart --reason ...` begins at the end of its log and "
        "takes a snapshot of all tables"
    ),
}


class Wire:
    """One connection. Raises Unavailable when the server cannot be reached or has gone."""

    def __init__(self, mysql: MySQLSettings) -> None:
        try:
            self._connection = pymysql.connect(
                host=mysql.host,
                port=mysql.port,
                unix_socket=mysql.socket,
                user=mysql.user,
                password=mysql.password.get_secret_value(),
                ssl_ca=mysql.ssl_ca,
                ssl_cert=mysql.ssl_cert,
                ssl_key=mysql.ssl_key,
                ssl_verify_cert=bool(mysql.ssl_ca) or None,
                # As all other connections of the fleet.
                ssl_disabled=not (mysql.ssl_ca or mysql.ssl_cert),
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=SILENT_SECONDS,
                write_timeout=SILENT_SECONDS,
            )
        except (pymysql.MySQLError, OSError) as error:
            raise _unavailable(error) from error
        self.server = mysql.server
        self.tells_idle = False

    def close(self) -> None:
        """At once, without a word to the server: it may be in the middle of a packet."""
        self._connection._force_close()  # noqa: SLF001 - the library has no other way

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of one statement. Raises SourceStopped where a privilege is missing."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code in _PRIVILEGES:
                raise SourceStopped(
                    PRIVILEGE, f"{error.args[1]} ({statement})", "See fleet doctor --grants"
                ) from error
            raise _unavailable(error) from error
        except OSError as error:
            raise _unavailable(error) from error

    def register(self, server_id: int, name: str) -> None:
        """From now on SHOW REPLICAS names us. name: stands there as the host."""
        host = name.encode()[:60]
        body = struct.pack("<IB", server_id, len(host)) + host
        body += struct.pack("<BBHII", 0, 0, 0, 0, 0)
        self._send(COMMAND.COM_REGISTER_SLAVE, body)
        try:
            self._connection._read_packet()  # noqa: SLF001 - it knows no such command
        except (pymysql.MySQLError, OSError) as error:
            raise _unavailable(error) from error

    def dump(self, server_id: int, file: str, pos: int, flags: int = 0) -> None:
        """The log from a place on, below 4 GiB. An empty file: see @slave_connect_state."""
        body = struct.pack("<IHI", pos, flags, server_id) + file.encode()
        self._send(COMMAND.COM_BINLOG_DUMP, body)

    def dump_gtid(
        self, server_id: int, file: str, pos: int, done: bytes, flags: int = 0
    ) -> None:
        """MySQL only: likewise with a position of 64 bits, and without what is in `done`
        (`GtidSet.packed`). An empty file: where the first of the others is.
        """
        name = file.encode()
        body = struct.pack("<HII", flags, server_id, len(name)) + name
        body += struct.pack("<QI", pos, len(done)) + done
        self._send(COM_BINLOG_DUMP_GTID, body)

    def _send(self, command: int, body: bytes) -> None:
        try:
            self._connection._execute_command(command, body)  # noqa: SLF001 - likewise
        except (pymysql.MySQLError, OSError) as error:
            raise _unavailable(error) from error

    def events(self) -> Iterator[bytes]:
        """Whole events, header and checksum included, until the server says that there are no
        more (NON_BLOCKING only). Raises Unavailable and, for what the server says of its log,
        SourceStopped. With tells_idle an empty one says that nothing more is there for now.
        """
        receive = self._connection._sock.recv  # noqa: SLF001 - see the module
        data, at, parts = b"", 0, list[bytes]()
        while True:
            while len(data) - at >= _U32.size:
                size = _U32.unpack_from(data, at)[0] & _PACKET_MOST
                end = at + _U32.size + size
                if end > len(data):
                    break
                if size < _PACKET_MOST and not parts:
                    if data[at + 4]:
                        if data[at + 4] == _EOF:
                            return
                        raise _refused(data[at + 4 : end])
                    yield data[at + 5 : end]
                else:
                    parts.append(data[at + 4 : end])
                    if size < _PACKET_MOST:
                        yield b"".join(parts)[1:]
                        parts = []
                at = end
            missing = 1
            if len(data) - at >= _U32.size:
                size = _U32.unpack_from(data, at)[0] & _PACKET_MOST
                missing = at + _U32.size + size - len(data)
            if self.tells_idle and missing == 1 and not self._is_readable():
                yield b""
            data, at = _filled(receive, data[at:], missing), 0

    def _is_readable(self) -> bool:
        """Of a TLS record the rest may have been decrypted already."""
        connected = self._connection._sock  # noqa: SLF001 - see the module
        if isinstance(connected, ssl.SSLSocket) and connected.pending():
            return True
        return bool(select.select([connected], [], [], 0)[0])


def _filled(receive: Any, rest: bytes, missing: int) -> bytes:
    """At least so many bytes more; a long packet is joined once."""
    pieces = [rest]
    while missing > 0:
        try:
            piece = receive(max(RECEIVE_BYTES, min(missing, _PACKET_MOST)))
        except OSError as error:
            raise _unavailable(error) from error
        if not piece:
            raise Unavailable("MySQL: the server closed the connection that reads its log")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _refused(packet: bytes) -> SourceStopped | Unavailable:
    """What the server says instead of an event."""
    if packet[0] != _ERROR:
        return SourceStopped(
            "protocol",
            f"the server sent a packet that begins with {packet[0]}",
            "See what stands between the fleet and the server (a proxy?)",
        )
    code = struct.unpack_from("<H", packet, 1)[0]
    text = packet[9:].decode("utf-8", "replace")
    if code != _LOG_ERROR:
        return Unavailable(f"MySQL {code}: {text}")
    lower = text.lower()
    for words, reason, cure in _LOG_ERRORS:
        if words in lower:
            return SourceStopped(reason, text, cure.format(**CURES))
    return SourceStopped(
        "log_error", text, "Look at the server's error log; " + CURES["reset"]
    )


def _unavailable(error: Exception) -> Unavailable:
    code = error.args[0] if isinstance(error, pymysql.MySQLError) and error.args else 0
    if isinstance(code, int) and code:
        return Unavailable(f"MySQL {code}: {error.args[1] if len(error.args) > 1 else 'lost'}")
    return Unavailable(f"MySQL: the connection failed or was lost ({error})")
