"""Events of the log: their numbers, what is done with each, and what is read out of them.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html,
https://mariadb.com/docs/server/reference/clientserver-protocol/replication-protocol. An event is a
header of 19 bytes, a body, and where the log has them, four bytes of CRC32. `body` below is
without both.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from shared.cdc.errors import SourceStopped

HEADER = struct.Struct("<IBIIIH")
"""When it was written in seconds, kind, server id, length, position of its end (32 bits), flags."""
HEADER_BYTES = 19
CHECKSUM_BYTES = 4
WHOLE = 0x2144DF1C
"""CRC32 of anything that is followed by its own CRC32."""
ARTIFICIAL = 0x20
"""Flag of an event that was made for us: it stands nowhere in the file."""

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Kind(IntEnum):
    QUERY = 2
    STOP = 3
    ROTATE = 4
    INTVAR = 5
    APPEND_BLOCK = 9
    DELETE_FILE = 11
    RAND = 13
    USER_VAR = 14
    FORMAT_DESCRIPTION = 15
    XID = 16
    BEGIN_LOAD_QUERY = 17
    EXECUTE_LOAD_QUERY = 18
    TABLE_MAP = 19
    WRITE_ROWS_1 = 23
    UPDATE_ROWS_1 = 24
    DELETE_ROWS_1 = 25
    INCIDENT = 26
    HEARTBEAT = 27
    IGNORABLE = 28
    ROWS_QUERY = 29
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    TRANSACTION_CONTEXT = 36
    VIEW_CHANGE = 37
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_2 = 41
    GTID_TAGGED = 42
    # MariaDB's own
    ANNOTATE_ROWS = 160
    BINLOG_CHECKPOINT = 161
    MARIADB_GTID = 162
    GTID_LIST = 163
    START_ENCRYPTION = 164
    QUERY_COMPRESSED = 165
    WRITE_ROWS_COMPRESSED_1 = 166
    UPDATE_ROWS_COMPRESSED_1 = 167
    DELETE_ROWS_COMPRESSED_1 = 168
    WRITE_ROWS_COMPRESSED = 169
    UPDATE_ROWS_COMPRESSED = 170
    DELETE_ROWS_COMPRESSED = 171
    PARTIAL_ROW_DATA = 172


PASSED = frozenset(
    {
        Kind.STOP,  # the server stopped in good order; another file follows
        Kind.INTVAR, Kind.RAND, Kind.USER_VAR,  # what the statement that follows needs
        Kind.APPEND_BLOCK, Kind.DELETE_FILE, Kind.BEGIN_LOAD_QUERY,  # a file for LOAD DATA
        Kind.IGNORABLE, Kind.ROWS_QUERY, Kind.ANNOTATE_ROWS,  # for people
        Kind.TRANSACTION_CONTEXT, Kind.VIEW_CHANGE,  # group replication's own
        Kind.PREVIOUS_GTIDS, Kind.GTID_LIST,  # what the files before hold
        Kind.BINLOG_CHECKPOINT,  # for the server's own recovery
        Kind.START_ENCRYPTION,  # the file is encrypted; it is sent in the clear
    }
)  # fmt: skip
"""They change no row, whatever they say."""

ROWS = frozenset(
    {
        Kind.WRITE_ROWS_1, Kind.UPDATE_ROWS_1, Kind.DELETE_ROWS_1,
        Kind.WRITE_ROWS, Kind.UPDATE_ROWS, Kind.DELETE_ROWS,
    }
)  # fmt: skip

_LOG_COMPRESSED = (
    "compressed",
    "SET GLOBAL log_bin_compress = OFF; then `fleet cdc restart --reason ...`",
)
ROWS_UNREADABLE: dict[int, tuple[str, str]] = {
    Kind.PARTIAL_UPDATE_ROWS: (
        "partial_json",
        "SET GLOBAL binlog_row_value_options = ''; then `fleet cdc restart --reason ...`",
    ),
    Kind.WRITE_ROWS_COMPRESSED_1: _LOG_COMPRESSED,
    Kind.UPDATE_ROWS_COMPRESSED_1: _LOG_COMPRESSED,
    Kind.DELETE_ROWS_COMPRESSED_1: _LOG_COMPRESSED,
    Kind.WRITE_ROWS_COMPRESSED: _LOG_COMPRESSED,
    Kind.UPDATE_ROWS_COMPRESSED: _LOG_COMPRESSED,
    Kind.DELETE_ROWS_COMPRESSED: _LOG_COMPRESSED,
}
"""Rows of a table that its TABLE_MAP names: a reason to stop only where that one is captured."""

UNREADABLE: dict[int, tuple[str, str]] = {
    Kind.INCIDENT: (
        "incident",
        "Its log lacks something: look at its error log, then `fleet cdc restart --reason ...`",
    ),
    Kind.TRANSACTION_PAYLOAD: (
        "compressed",
        "SET GLOBAL binlog_transaction_compression = OFF; then `fleet cdc restart --reason ...`",
    ),
    Kind.QUERY_COMPRESSED: _LOG_COMPRESSED,
    Kind.PARTIAL_ROW_DATA: (
        "partial_rows",
        "SET GLOBAL binlog_row_event_fragment_threshold higher; then `fleet cdc restart`",
    ),
}
"""Nobody can tell which tables they change."""


def unknown(kind: int, where: str) -> SourceStopped:
    """For a kind that stands nowhere above: it may change rows, so it is not passed over."""
    return SourceStopped(
        "unknown_event",
        f"event {kind} at {where} is none that this version knows",
        "Install a version that knows it, or see which setting of the server writes it",
    )


class FormatDescription(NamedTuple):
    """How a file begins. created: after a start of the server only, else 0."""

    version: str
    created: int
    checked: bool


def format_description(event: bytes) -> FormatDescription:
    """event: whole, header included, because it says itself whether it has a checksum."""
    version = event[21:71].rstrip(b"\0").decode("ascii", "replace")
    return FormatDescription(version, _U32.unpack_from(event, 71)[0], event[-5] == 1)


class Rotate(NamedTuple):
    file: str
    pos: int


def rotate(body: bytes) -> Rotate:
    return Rotate(body[8:].decode(), _U64.unpack_from(body)[0])


class Gtid(NamedTuple):
    """source: as `GtidState.add` takes it, "" for an anonymous one. committed_at_us: 0 where the
    event does not tell. alone: the one event that follows is all of it; None: it does not say.
    """

    source: str
    number: int
    committed_at_us: int
    alone: bool | None = None

    @property
    def text(self) -> str:
        if not self.source:
            return ""
        between = ":" if ":" in self.source or len(self.source) == _UUID_LETTERS else "-"
        return f"{self.source}{between}{self.number}"


_UUID_LETTERS = 36
_MICROSECONDS = (1 << 55) - 1
_TIME_FOLLOWS = 2
_uuids: dict[bytes, str] = {}


def mysql_gtid(kind: int, body: bytes) -> Gtid:
    """GTID and ANONYMOUS_GTID. The bit beyond the microseconds says that another time follows."""
    sid = body[1:17]
    source = _uuids.get(sid) or _uuids.setdefault(sid, str(UUID(bytes=sid)))
    at_us = 0
    if len(body) >= 49 and body[25] == _TIME_FOLLOWS:  # noqa: PLR2004 - up to the commit time's end
        at_us = int.from_bytes(body[42:49], "little") & _MICROSECONDS
    if kind == Kind.ANONYMOUS_GTID:
        return Gtid("", 0, at_us)
    return Gtid(source, _U64.unpack_from(body, 17)[0], at_us)


def tagged_gtid(body: bytes) -> Gtid:
    """GTID_TAGGED: fields with numbers, in mysql::serialization's own encoding of integers."""
    _, at = _varying(body, 0)  # version
    size, at = _varying(body, at)
    _, at = _varying(body, at)  # the last field that must be known
    uuid, tag, number, at_us = b"", "", 0, 0
    while at < size:
        field, at = _varying(body, at)
        if field == 1:
            octets = []
            for _ in range(16):
                octet, at = _varying(body, at)
                octets.append(octet)
            uuid = bytes(octets)
        elif field == 3:  # noqa: PLR2004 - numbers of fields
            length, at = _varying(body, at)
            tag, at = body[at : at + length].decode("ascii"), at + length
        else:
            value, at = _varying(body, at)
            if field == 2:  # noqa: PLR2004 - numbers of fields
                number = value >> 1
            elif field == 6:  # noqa: PLR2004 - numbers of fields
                at_us = value
    source = str(UUID(bytes=uuid))
    return Gtid(f"{source}:{tag}" if tag else source, number, at_us)


def _varying(body: bytes, at: int) -> tuple[int, int]:
    """As many ones as the first byte ends with, so many bytes follow it; and where the next is."""
    more = 0
    while more < 8 and body[at] >> more & 1:  # noqa: PLR2004 - bits of a byte
        more += 1
    after = at + more + 1
    return int.from_bytes(body[at:after], "little") >> (more + 1), after


_STANDALONE = 0x01


def mariadb_gtid(body: bytes, server_id: int, written_at: int) -> Gtid:
    """written_at: seconds, of the header: MariaDB tells no more."""
    number, domain, flags = struct.unpack_from("<QIB", body)
    alone = bool(flags & _STANDALONE)
    return Gtid(f"{domain}-{server_id}", number, written_at * 1_000_000, alone)


def xa_prepare(body: bytes) -> tuple[bool, str]:
    """Whether it is the commit at once (ONE PHASE), and which transaction, as both databases write
    it into statements: X'6731',X'6231',7.
    """
    at_once, form, gtrid, bqual = struct.unpack_from("<BIII", body)
    first, second = body[13 : 13 + gtrid], body[13 + gtrid : 13 + gtrid + bqual]
    return bool(at_once), f"X'{first.hex()}',X'{second.hex()}',{form}"


class Query(NamedTuple):
    """text: the statement. schema: the session's default one."""

    schema: str
    text: bytes
    ansi_quotes: bool
    no_backslash: bool


_QUERY_FIXED = 13
_ANSI_QUOTES, _NO_BACKSLASH = 0x4, 0x100000


def query_text(body: bytes, fixed: int = _QUERY_FIXED) -> bytes:
    """The statement alone: most say BEGIN or COMMIT."""
    return body[fixed + 1 + body[8] + _U16.unpack_from(body, 11)[0] :]


def query(body: bytes, kind: int = Kind.QUERY) -> Query:
    """QUERY and EXECUTE_LOAD_QUERY, which has 13 bytes more about the file."""
    fixed = _QUERY_FIXED + (13 if kind == Kind.EXECUTE_LOAD_QUERY else 0)
    variables = body[fixed : fixed + _U16.unpack_from(body, 11)[0]]
    at = fixed + len(variables)
    schema = body[at : at + body[8]].decode("utf-8", "replace")
    mode = 0
    # The flags (0) and the mode (1) are always first.
    if variables[:1] == b"\0":
        variables = variables[5:]
    if variables[:1] == b"\1":
        mode = _U64.unpack_from(variables, 1)[0]
    return Query(
        schema, query_text(body, fixed), bool(mode & _ANSI_QUOTES), bool(mode & _NO_BACKSLASH)
    )
