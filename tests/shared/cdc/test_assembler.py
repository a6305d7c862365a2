"""Events that a test made: what a server does once in a year, or never yet.

A log of them has the server's own framing (length, position, checksum), so each test can bend one.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from shared.cdc.assembler import Assembler
from shared.cdc.cursor import Cursor
from shared.cdc.errors import SourceStopped
from shared.cdc.events import PASSED, ROWS, ROWS_UNREADABLE, UNREADABLE, Kind
from shared.cdc.positions import gtid_state
from shared.cdc.rows import Declared, Shapes
from shared.cdc.selection import Schemas, Selection
from shared.cdc.source import pass_to
from shared.cdc.transaction import SourceTransaction

FILE = "binlog.000007"
STAMP = 1_700_000_000


class Written:
    """A log as it is written: each event knows where it ends."""

    def __init__(self, pos: int = 4, *, told: bool = True) -> None:
        self.pos = pos
        self._told = told

    def event(
        self, kind: int, body: bytes = b"", flags: int = 0, *, at: int | None = None
    ) -> bytes:
        length = 19 + len(body) + 4
        self.pos += 0 if flags & 0x20 else length
        end = self.pos if at is None else at
        end = end if self._told or at is not None else 0
        head = struct.pack("<IBIIIH", STAMP, kind, 1, length, end & 0xFFFFFFFF, flags) + body
        return head + struct.pack("<I", zlib.crc32(head))

    def begins(self, *, created: int = 0, again: bool = False, stamp: int = STAMP) -> bytes:
        """Format description. again: as it is repeated to who begins in the middle."""
        body = struct.pack("<H50sIB", 4, b"9.7.4", created, 19) + b"\0" * 40 + b"\1"
        found = self.event(Kind.FORMAT_DESCRIPTION, body, at=0 if again else None)
        if again:
            self.pos -= len(found)
        head = struct.pack("<I", stamp) + found[4:-4]
        return head + struct.pack("<I", zlib.crc32(head))

    def rotates(self, file: str, *, artificial: bool = True) -> bytes:
        body = struct.pack("<Q", 4) + file.encode()
        return self.event(Kind.ROTATE, body, 0x20 if artificial else 0)

    def transaction(self, *rows: int, end: bool = True) -> list[bytes]:
        gtid = b"\0" + bytes(16) + struct.pack("<QB", self.pos, 2) + bytes(16) + bytes(7)
        found = [self.event(Kind.GTID, gtid), self.says("BEGIN"), self.table_map()]
        found += [self.row(number) for number in rows]
        return [*found, self.event(Kind.XID, bytes(8))] if end else found

    def says(self, text: str) -> bytes:
        head = struct.pack("<IIBHH", 1, 0, 3, 0, 0)
        return self.event(Kind.QUERY, head + b"app\0" + text.encode())

    def table_map(self, table: str = "t") -> bytes:
        """One column, `id INT NOT NULL`, with its name."""
        name = bytes([len(table)]) + table.encode() + b"\0"
        body = struct.pack("<IHH", 9, 0, 1) + b"\3app\0" + name + b"\1\3\0\0"
        return self.event(Kind.TABLE_MAP, body + b"\1\1\0" + b"\4\3\2id")

    def row(self, number: int, kind: int = Kind.WRITE_ROWS_1, table: int = 9) -> bytes:
        return self.event(kind, struct.pack("<IHHBBBi", table, 0, 1, 1, 1, 0, number))


def assembler(tmp_path: Path, pos: int = 4, mark: str = "") -> Assembler:
    selection = Selection(Schemas("app", "app"), ("t",), {})
    shapes = Shapes(selection, lambda _schema, _table: Declared({}), mariadb=False)
    gtids = gtid_state("", mariadb=False)
    return Assembler(Cursor(FILE, pos, mark), gtids, shapes, server="s", spill=tmp_path)


def taken(found: Assembler, *events: bytes) -> list[SourceTransaction]:
    return [one for event in events if (one := found.take(event)) is not None]


def numbers(transaction: SourceTransaction) -> list[bytes]:
    return list(transaction.rows)


def stops(found: Assembler, *events: bytes) -> str:
    with pytest.raises(SourceStopped) as stopped:
        taken(found, *events)
    assert stopped.value.cure
    return stopped.value.reason


def test_positions_are_between_transactions_only(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    taken(found, log.rotates(FILE), log.begins())
    before = log.pos
    for event in log.transaction(1, 2, end=False):
        taken(found, event)
        assert found.position().pos == before
    (done,) = taken(found, log.event(Kind.XID, bytes(8)))
    assert (done.begins, done.ends.pos) == ((FILE, before), log.pos)
    assert numbers(done) == [b'[0,"c",null,[1]]', b'[0,"c",null,[2]]']


def test_positions_are_counted_beyond_4_gigabytes(tmp_path: Path) -> None:
    """Trap 22: headers have 32 bits."""
    start = (1 << 32) - 100
    log, found = Written(start), assembler(tmp_path, start)
    taken(found, log.rotates(FILE), log.begins(again=True))
    done = taken(found, *log.transaction(1), *log.transaction(2))
    assert [one.ends.pos > 1 << 32 for one in done] == [True, True]
    assert done[-1].ends.pos == log.pos
    assert done[1].begins == (FILE, done[0].ends.pos)


def test_positions_are_counted_where_the_server_tells_none(tmp_path: Path) -> None:
    """Trap 22: MariaDB since 11.4."""
    log, found = Written(500, told=False), assembler(tmp_path, 500)
    done = taken(found, log.rotates(FILE), log.begins(again=True), *log.transaction(1))
    assert done[0].ends.pos == log.pos


def test_a_file_that_cannot_be_entered_beyond_4_gigabytes_is_read_up_to_there() -> None:
    log = Written()
    head = [log.rotates(FILE), log.begins(), *log.transaction(1)]
    middle = log.pos
    events = iter([*head, *log.transaction(2)])
    cursor = Cursor(FILE, 4, "")
    pass_to(cursor, events, middle)
    assert cursor.pos == middle
    assert len(list(events)) == 5
    with pytest.raises(SourceStopped, match="position_ahead"):
        pass_to(Cursor(FILE, 4, ""), iter([*head, log.rotates("binlog.000008")]), middle + 1)


def test_an_event_that_was_left_out_stops(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    first, second = log.begins(), log.transaction(1)
    del second[3]
    assert stops(found, first, *second) == "gap"


def test_a_checksum_that_fails_stops(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    events = [log.begins(), *log.transaction(1)]
    events[4] = events[4].replace(b"\1\0\0\0", b"\2\0\0\0", 1)
    assert stops(found, *events) == "damaged"


@pytest.mark.parametrize("mark", ["", str(STAMP)])
def test_a_file_is_known_by_how_it_began(tmp_path: Path, mark: str) -> None:
    log, found = Written(500), assembler(tmp_path, 500, mark)
    taken(found, log.rotates(FILE), log.begins(again=True))
    assert found.position().mark == str(STAMP)


def test_another_file_of_the_same_name_stops(tmp_path: Path) -> None:
    """Trap 21: RESET MASTER, and more bytes than before."""
    log, found = Written(500), assembler(tmp_path, 500, str(STAMP))
    assert stops(found, log.rotates(FILE), log.begins(again=True, stamp=STAMP + 1)) == "log_reset"


def test_the_next_file_has_its_own_mark_and_positions(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    taken(found, log.begins(), *log.transaction(1))
    end = found.position()
    following = log.rotates("binlog.000008", artificial=False)
    taken(found, following)
    assert found.position().file == end.file
    log = Written()
    taken(found, log.rotates("binlog.000008"), log.begins(stamp=STAMP + 9))
    now = found.position()
    assert (now.file, now.pos, now.mark) == ("binlog.000008", log.pos, str(STAMP + 9))


def test_a_transaction_that_a_crash_tore_off_never_was(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    taken(found, log.begins(), *log.transaction(1, end=False))
    following = Written()
    done = taken(
        found,
        following.rotates("binlog.000008"),
        following.begins(created=STAMP),
        *following.transaction(2),
    )
    assert [numbers(one) for one in done] == [[b'[0,"c",null,[2]]']]


def test_a_transaction_that_is_torn_off_without_a_crash_stops(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    taken(found, log.begins(), *log.transaction(1, end=False))
    following = Written()
    assert stops(found, following.rotates("binlog.000008"), following.begins()) == "torn"


def test_rows_in_the_middle_of_nowhere_stop(tmp_path: Path) -> None:
    """Trap 1: whoever begins inside a transaction has no TABLE_MAP."""
    log, found = Written(), assembler(tmp_path)
    assert stops(found, log.begins(), log.row(1)) == "torn"
    log, found = Written(), assembler(tmp_path)
    events = [log.begins(), *log.transaction(end=False), log.row(1, table=8)]
    assert stops(found, *events) == "no_table_map"


def test_a_kind_of_event_that_nobody_knows_stops(tmp_path: Path) -> None:
    """Trap 4."""
    log, found = Written(), assembler(tmp_path)
    assert stops(found, log.begins(), log.event(99)) == "unknown_event"


@pytest.mark.parametrize("kind", sorted(UNREADABLE))
def test_a_kind_that_is_not_read_stops_wherever_it_stands(tmp_path: Path, kind: Kind) -> None:
    log, found = Written(), assembler(tmp_path)
    events = [log.begins(), *log.transaction(end=False), log.event(kind)]
    assert stops(found, *events) == UNREADABLE[kind][0]


@pytest.mark.parametrize("kind", sorted(ROWS_UNREADABLE))
def test_rows_that_are_not_read_stop_only_on_captured_tables(tmp_path: Path, kind: Kind) -> None:
    log, found = Written(), assembler(tmp_path)
    taken(found, log.begins(), *log.transaction(end=False))
    taken(found, log.table_map("elsewhere"), log.row(1, kind))
    assert stops(found, log.table_map(), log.row(1, kind)) == ROWS_UNREADABLE[kind][0]


def test_every_kind_is_declared_once(tmp_path: Path) -> None:
    handled = set(assembler(tmp_path)._on)
    aside = {Kind.HEARTBEAT, Kind.HEARTBEAT_2}
    assert set(Kind) <= handled | aside
    assert not PASSED & (ROWS | set(ROWS_UNREADABLE) | set(UNREADABLE))


def test_a_savepoint_takes_back_what_came_after_it(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    taken(found, log.begins(), *log.transaction(1, 2, end=False), log.says("SAVEPOINT `a`"))
    taken(found, log.row(3), log.says("SAVEPOINT `b`"), log.row(4))
    taken(found, log.says("ROLLBACK TO `a`"), log.row(5))
    (done,) = taken(found, log.event(Kind.XID, bytes(8)))
    assert numbers(done) == [f'[0,"c",null,[{number}]]'.encode() for number in (1, 2, 5)]


def test_a_rollback_leaves_nothing_and_moves_the_position(tmp_path: Path) -> None:
    log, found = Written(), assembler(tmp_path)
    assert taken(found, log.begins(), *log.transaction(1, end=False), log.says("ROLLBACK")) == []
    assert found.position().pos == log.pos
