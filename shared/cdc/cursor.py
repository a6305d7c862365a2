"""Where in the log an event stands, and whether it is whole. Positions are counted, not believed:
headers have 32 bits of them, and MariaDB leaves most of them out.
"""

from __future__ import annotations

from zlib import crc32

from shared.cdc.errors import SourceStopped
from shared.cdc.events import (
    ARTIFICIAL,
    CHECKSUM_BYTES,
    HEADER,
    HEADER_BYTES,
    WHOLE,
    FormatDescription,
    Kind,
    format_description,
    rotate,
)
from shared.cdc.wire import CURES, FILE_BEGINS

ASIDE = 0
"""No kind of event: it changes nothing."""

_NARROW = 0xFFFFFFFF
_BETWEEN = frozenset(
    {
        Kind.GTID, Kind.ANONYMOUS_GTID, Kind.GTID_TAGGED, Kind.MARIADB_GTID, Kind.ROTATE,
        Kind.STOP, Kind.PREVIOUS_GTIDS, Kind.GTID_LIST, Kind.BINLOG_CHECKPOINT,
    }
)  # fmt: skip
"""Events between transactions: before these a server that was asked by GTID leaves some out."""


class Cursor:
    """From a position on. mark: "" where it is not known yet which file of that name it is.

    seeking: the server was asked by GTID; it chooses file and position.
    """

    def __init__(self, file: str, pos: int, mark: str, *, seeking: bool = False) -> None:
        self.file = file
        self.pos = pos
        self.mark = mark
        self.starts = pos
        """Where the last event began."""
        self.tail: int | None = None
        """Where an event's checksum begins, as the end of a slice."""
        self.begun: FormatDescription | None = None
        self._seeking = seeking
        self._checked = False
        self._next = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.starts}"

    def step(self, event: bytes) -> int:
        """The event's kind; ASIDE for what stands nowhere in the log. Raises SourceStopped."""
        stamp, kind, _, length, end, flags = HEADER.unpack_from(event)
        if self._checked and crc32(event) != WHOLE:
            raise self._damaged(kind, "fails its checksum")
        if length != len(event):
            raise self._damaged(kind, f"has {len(event)} bytes and says {length}")
        if flags & ARTIFICIAL or kind in {Kind.HEARTBEAT, Kind.HEARTBEAT_2}:
            if kind == Kind.ROTATE:
                self._goes_on(event)
            return ASIDE
        if kind == Kind.FORMAT_DESCRIPTION:
            return self._file_begins(event, str(stamp))
        starts = self.pos
        if end and end != (starts + length) & _NARROW:
            starts = self._jumped(end, length, kind)
        self.starts = starts
        self.pos = starts + length
        if kind == Kind.ROTATE:
            self._goes_on(event)
        return int(kind)

    def _goes_on(self, event: bytes) -> None:
        """The next file, which begins with its format description. A rotation that was made for us
        may come before anybody has said whether there are checksums.
        """
        tail = -CHECKSUM_BYTES if crc32(event) == WHOLE else None
        self._next = rotate(event[HEADER_BYTES:tail]).file

    def _file_begins(self, event: bytes, stamp: str) -> int:
        """In the middle of a file the server repeats how it began."""
        found = format_description(event)
        again = self.begun is None and self.pos > FILE_BEGINS and not self._seeking
        self._checked = found.checked
        self.tail = -CHECKSUM_BYTES if found.checked else None
        self.begun = found
        if self._checked and crc32(event) != WHOLE:
            raise self._damaged(Kind.FORMAT_DESCRIPTION, "fails its checksum")
        if again or self._next in {"", self.file}:
            self._same_file(stamp)
        if again:
            return ASIDE
        self.file, self.mark = self._next or self.file, stamp
        self.starts, self.pos = FILE_BEGINS, FILE_BEGINS + len(event)
        return int(Kind.FORMAT_DESCRIPTION)

    def _same_file(self, stamp: str) -> None:
        if self.mark and self.mark != stamp:
            raise SourceStopped(
                "log_reset",
                f"{self.file} is not the file that was read before: it began at {stamp}, that one "
                f"at {self.mark} (seconds since 1970)",
                CURES["reset"],
            )
        self.mark = stamp

    def _jumped(self, end: int, length: int, kind: int) -> int:
        """Where an event begins that does not follow the one before."""
        if self._seeking and kind in _BETWEEN:
            starts = (self.pos & ~_NARROW) + ((end - length) & _NARROW)
            return starts if starts >= self.pos else starts + _NARROW + 1
        raise SourceStopped(
            "gap",
            f"after {self.file}:{self.pos} comes an event of kind {kind} with {length} bytes that "
            f"ends at {end}: something between them was not sent",
            "Look at what stands between the fleet and the server; see its error log",
        )

    def _damaged(self, kind: int, what: str) -> SourceStopped:
        return SourceStopped(
            "damaged",
            f"the event of kind {kind} at {self.file}:{self.pos} {what}",
            "Look at the server's disk and error log (mysqlbinlog --verify-binlog-checksum). What "
            "is lost can only be read from the tables: fleet cdc restart --reason 'log damaged'",
        )
