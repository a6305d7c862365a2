"""Places in the log: the order of files, and the two databases' GTIDs.

MySQL names what was executed as a set ("uuid:1-5:7, uuid:tag:1-3"); MariaDB names the last
transaction of each domain ("0-1-65,1-4-12"). Both answer one question after a failover: whether
the other server has all that was read.
"""

from __future__ import annotations

import re
import struct
from typing import Protocol
from uuid import UUID

_NAME = re.compile(r"(.+)\.(\d+)")


def file_number(file: str) -> tuple[str, int]:
    """("binlog", 12) of "binlog.000012". After 999999 comes 1000000: names do not sort as text."""
    found = _NAME.fullmatch(file)
    if found is None:
        raise ValueError(f"{file!r} is no name of a binlog file")
    return found[1], int(found[2])


class GtidState(Protocol):
    """Of all transactions up to a place in the log."""

    def add(self, source: str, number: int) -> None:
        """source: `uuid`, `uuid:tag`, or MariaDB's `domain-server`."""

    def text(self) -> str: ...

    def covers(self, other: str) -> bool:
        """Whether all that `other` names is in here."""


class GtidSet:
    """MySQL's. Intervals are [first, last], both included, in order and apart from one another."""

    def __init__(self, text: str = "") -> None:
        self.intervals: dict[str, list[list[int]]] = {}
        self._added = ""
        self._last = ""
        self._before = ""
        self._after = ""
        for part in text.replace("\n", "").replace(" ", "").split(","):
            if part:
                self._parse(part)

    def _parse(self, part: str) -> None:
        uuid, *rest = part.lower().split(":")
        source = str(UUID(uuid))
        uuid = source
        for word in rest:
            if not word[:1].isdigit():
                source = f"{uuid}:{word}"
                continue
            first, _, last = word.partition("-")
            self.add_range(source, int(first), int(last or first))

    def add(self, source: str, number: int) -> None:
        self._added = source
        found = self.intervals.get(source)
        if found is not None and found[-1][1] + 1 == number:
            found[-1][1] = number
            if source != self._last:
                self._last = ""
            return
        self.add_range(source, number, number)

    def add_range(self, source: str, first: int, last: int) -> None:
        """Those already in here do not matter."""
        self._last = ""
        kept: list[list[int]] = []
        for interval in self.intervals.get(source, []):
            if interval[1] + 1 < first or last + 1 < interval[0]:
                kept.append(interval)
            else:
                first, last = min(first, interval[0]), max(last, interval[1])
        kept.append([first, last])
        self.intervals[source] = sorted(kept)

    def text(self) -> str:
        """As the server writes it. From one transaction to the next only a number changes."""
        if not self._last:
            self._expect_more_of(self._added)
        if self._last:
            return f"{self._before}{self.intervals[self._last][-1][1]}{self._after}"
        return self._written()

    def _expect_more_of(self, source: str) -> None:
        """The text around the last number of this source is kept."""
        found = self.intervals.get(source)
        if found is None or found[-1][0] == found[-1][1]:
            return
        number = found[-1][1]
        found[-1][1] = _STAND_IN
        self._before, _, self._after = self._written().partition(str(_STAND_IN))
        found[-1][1] = number
        self._last = source

    def _written(self) -> str:
        return ",".join(
            ":".join([uuid, *(word for tag in sorted(tags) for word in tags[tag])])
            for uuid, tags in sorted(self._words().items())
        )

    def _words(self) -> dict[str, dict[str, list[str]]]:
        """For each uuid and tag: the tag, and its intervals."""
        found: dict[str, dict[str, list[str]]] = {}
        for source, intervals in self.intervals.items():
            uuid, _, tag = source.partition(":")
            words = [tag] if tag else []
            words += [str(a) if a == b else f"{a}-{b}" for a, b in intervals]
            found.setdefault(uuid, {})[tag] = words
        return found

    def covers(self, other: str) -> bool:
        return all(
            any(a <= first and last <= b for a, b in self.intervals.get(source, []))
            for source, intervals in GtidSet(other).intervals.items()
            for first, last in intervals
        )

    def packed(self) -> bytes:
        """As COM_BINLOG_DUMP_GTID takes it; tags have another format than sets without any."""
        tagged = any(":" in source for source in self.intervals)
        count = len(self.intervals)
        made = bytearray(struct.pack("<Q", (count << 8) | 1 << 56 | 1 if tagged else count))
        for source, intervals in sorted(self.intervals.items()):
            uuid, _, tag = source.partition(":")
            made += UUID(uuid).bytes
            if tagged:
                made += bytes([len(tag) << 1]) + tag.encode()
            made += struct.pack("<Q", len(intervals))
            for first, last in intervals:
                made += struct.pack("<QQ", first, last + 1)
        return bytes(made)


_STAND_IN = (1 << 63) - 1
"""The largest number there is: no transaction has it."""


class GtidPosition:
    """MariaDB's: the last transaction of each domain."""

    def __init__(self, text: str = "") -> None:
        self.domains: dict[int, tuple[str, int]] = {}
        for part in text.replace(" ", "").split(","):
            if part:
                source, _, number = part.rpartition("-")
                self.add(source, int(number))

    def add(self, source: str, number: int) -> None:
        domain, _, _ = source.partition("-")
        self.domains[int(domain)] = source, number

    def text(self) -> str:
        if len(self.domains) == 1:
            ((source, number),) = self.domains.values()
            return f"{source}-{number}"
        return ",".join(
            f"{source}-{number}" for _, (source, number) in sorted(self.domains.items())
        )

    def covers(self, other: str) -> bool:
        """Numbers of a domain grow, whichever server gave them."""
        return all(
            domain in self.domains and self.domains[domain][1] >= number
            for domain, (_, number) in GtidPosition(other).domains.items()
        )


class NoGtids:
    """Of a MySQL server that gave none when reading began: those that come later are not all."""

    def add(self, source: str, number: int) -> None: ...

    def text(self) -> str:
        return ""

    def covers(self, other: str) -> bool:
        return not other


def gtid_state(text: str, *, mariadb: bool) -> GtidState:
    if mariadb:
        return GtidPosition(text)
    return GtidSet(text) if text else NoGtids()
