"""The log of one server, from a position on, as whole transactions.

    source = Source(mysql, shapes, server_id=…, name=…, spill=…)
    for found in source.read(position):       # SourceTransaction | Quiet, for ever
        …

Reading is never resumed here: who reads decides where to begin again, from its own checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from shared.cdc.assembler import Assembler
from shared.cdc.cursor import Cursor
from shared.cdc.errors import SourceStopped
from shared.cdc.events import HEADER_BYTES, Kind, mysql_gtid, tagged_gtid
from shared.cdc.positions import GtidSet, gtid_state
from shared.cdc.rows import Shapes
from shared.cdc.server import Facts, ask_facts, end_of_log, gtid_at, must_have, users_of
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.cdc.wire import FILE_BEGINS, NARROW, NON_BLOCKING, WITH_ANNOTATIONS, Wire
from shared.changes import Position
from shared.endpoints import MySQLSettings
from shared.errors import Unavailable

QUIET_SECONDS = 0.4
HEARTBEAT_SECONDS = 0.5
SETTLE_SECONDS = 3.0
"""So long a transaction that was sent may not be counted as executed yet."""
POLL_SECONDS = 0.1
NOBODY = 0
"""A server id that no replica has: who only looks ends nobody's reading."""


class Source:
    """server_id: unlike any replica's. name: of this fleet (its prefix), which the server shows
    beside server_id, so that a stranger's is told from our own that has not ended yet.
    spill: folder for transactions beyond 64 MB.
    """

    def __init__(
        self, mysql: MySQLSettings, shapes: Shapes, *, server_id: int, name: str, spill: Path
    ) -> None:
        self._mysql = mysql
        self._shapes = shapes
        self._server_id = server_id
        self._name = f"tradefleet {name}"
        self._spill = spill

    def position(self) -> Position:
        """The end of the log, now: what is committed later is behind it, what was is before it."""
        with closing(Wire(self._mysql)) as wire:
            facts = ask_facts(wire)
            file, pos, executed = end_of_log(wire, facts)
            gtid = gtid_at(wire, file, pos) if facts.mariadb else ""
        if not facts.by_gtid:
            return Position(facts.server, file, pos, gtid, self._mark(file))
        gtids = GtidSet(executed)
        mark = self._complete(gtids, file, pos)
        return Position(facts.server, file, pos, gtids.text(), mark)

    def position_at(self, file: str, pos: int) -> Position:
        """MariaDB only: of a consistent snapshot, which tells file and position."""
        with closing(Wire(self._mysql)) as wire:
            facts = ask_facts(wire)
            return Position(facts.server, file, pos, gtid_at(wire, file, pos), self._mark(file))

    def broken(self, position: Position) -> str:
        """Why the log does not go on from there, as an operator asks who has restored a backup; ""
        where it does. `read` believes another server's GTIDs. Here nothing is believed: MariaDB's
        only count, and do so again after a restore.
        """
        with closing(Wire(self._mysql)) as wire:
            try:
                facts = _settled(wire, position)
            except SourceStopped as stopped:
                return stopped.what
        if facts.server != position.server:
            return f"the server is {facts.server}, the log was read on {position.server}"
        if position.mark and self._mark(position.file) != position.mark:
            return f"{position.file} is not the file that was read before"
        return ""

    def read(self, position: Position) -> Generator[SourceTransaction | Quiet, None, None]:
        """Transactions after `position`, and a Quiet whenever nothing more is there for now, at
        least each HEARTBEAT_SECONDS or so. Close the iterator to stop; its connection goes with it.

        Raises Unavailable when the server cannot be reached or the connection was lost, and
        SourceStopped for what must not be passed over: read again from the last checkpoint.
        """
        with closing(Wire(self._mysql)) as wire:
            facts = _settled(wire, position)
            self._shapes.mariadb = facts.mariadb
            gtids = gtid_state(position.gtid, mariadb=facts.mariadb)
            same_server = facts.server == position.server
            held = [self._held(facts, *one) for one in position.held]
            self._claim(wire, facts)
            if same_server:
                cursor, events = _from_place(
                    wire, facts, self._server_id, (position.file, position.pos), position.mark
                )
            else:
                cursor, events = self._by_gtid(wire, facts, position)
            with closing(
                Assembler(cursor, gtids, self._shapes, server=facts.server, spill=self._spill)
            ) as assembler:
                for one in held:
                    assembler.hold(one)
                wire.tells_idle = True
                yield from _follow(assembler, events)

    # -- the way in --------------------------------------------------------------------------------

    def _claim(self, wire: Wire, facts: Facts) -> None:
        """The server ends who reads with the same id. One of our own name is a predecessor that it
        has not missed yet; anybody else would be ended, end us, and so on for ever.
        """
        for host in users_of(wire, facts, self._server_id):
            if host != self._name:
                raise SourceStopped(
                    "server_id_in_use",
                    f"server_id {self._server_id} is used by {host or 'another replica'}",
                    "Give one of them another: FLEET_CDC_SERVER_ID",
                )
        wire.register(self._server_id, self._name)

    def _by_gtid(
        self, wire: Wire, facts: Facts, position: Position
    ) -> tuple[Cursor, Iterator[bytes]]:
        _prepare(wire)
        cursor = Cursor("", FILE_BEGINS, "", seeking=True)
        if facts.mariadb:
            wire.ask(f"SET @slave_connect_state = '{position.gtid}', @slave_gtid_strict_mode = 1")
            wire.dump(self._server_id, "", FILE_BEGINS, WITH_ANNOTATIONS)
        else:
            wire.dump_gtid(self._server_id, "", FILE_BEGINS, GtidSet(position.gtid).packed())
        return cursor, wire.events()

    def _held(self, facts: Facts, xid: str, file: str, pos: int) -> Assembler:
        """Reads one prepared XA transaction again, from where it begins."""
        with closing(Wire(self._mysql)) as wire:
            cursor, events = _from_place(
                wire, facts, NOBODY, (file, pos), "", flags=NON_BLOCKING
            )
            assembler = Assembler(
                cursor, gtid_state("", mariadb=facts.mariadb), self._shapes,
                server=facts.server, spill=self._spill,
            )  # fmt: skip
            for event in events:
                assembler.take(event)
                if assembler.position().held:
                    break
        if [one[0] for one in assembler.position().held] != [xid]:
            raise SourceStopped(
                "xa_unknown",
                f"the XA transaction {xid} does not begin at {file}:{pos} any more",
                "Its rows can only be read from the tables: fleet cdc restart --reason "
                "'XA transaction'",
            )
        return assembler

    # -- looking -----------------------------------------------------------------------------------

    def _mark(self, file: str) -> str:
        with closing(Wire(self._mysql)) as wire:
            _prepare(wire)
            wire.dump(NOBODY, file, FILE_BEGINS, NON_BLOCKING)
            cursor = Cursor(file, FILE_BEGINS, "")
            for event in wire.events():
                cursor.step(event)
                if cursor.mark:
                    break
            return cursor.mark

    def _complete(self, gtids: GtidSet, file: str, pos: int) -> str:
        """The server tells the set and the place one after the other. What is before the place and
        not in the set is asked for here. Returns the file's mark.
        """
        with closing(Wire(self._mysql)) as wire:
            _prepare(wire)
            wire.dump_gtid(NOBODY, file, FILE_BEGINS, gtids.packed(), NON_BLOCKING)
            cursor = Cursor(file, FILE_BEGINS, "", seeking=True)
            for event in wire.events():
                kind = cursor.step(event)
                if cursor.mark and cursor.starts >= pos:
                    break
                body = event[HEADER_BYTES : cursor.tail]
                if kind == Kind.GTID:
                    found = mysql_gtid(kind, body)
                    gtids.add(found.source, found.number)
                elif kind == Kind.GTID_TAGGED:
                    found = tagged_gtid(body)
                    gtids.add(found.source, found.number)
            return cursor.mark


def _settled(wire: Wire, position: Position) -> Facts:
    """What the server says of itself, once it has all that was read. Raises SourceStopped."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        facts = ask_facts(wire)
        try:
            must_have(facts, position)
        except SourceStopped:
            if time.monotonic() >= end:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return facts


def _prepare(wire: Wire) -> None:
    """What this session wants of a dump. MySQL has old and new names for some of it."""
    period = int(HEARTBEAT_SECONDS * 1e9)
    wire.ask(
        f"SET @master_heartbeat_period = {period}, @source_heartbeat_period = {period},"
        " @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32',"
        " @mariadb_slave_capability = 4"
    )


def _from_place(
    wire: Wire, facts: Facts, server_id: int, place: tuple[str, int], mark: str, *, flags: int = 0
) -> tuple[Cursor, Iterator[bytes]]:
    """A position beyond 4 GiB can be asked for on MySQL with GTIDs. Elsewhere such a file is read
    from its beginning, and what is before it passed over.
    """
    file, pos = place
    _prepare(wire)
    flags |= WITH_ANNOTATIONS if facts.mariadb else 0
    if pos < NARROW:
        wire.dump(server_id, file, pos, flags)
        return Cursor(file, pos, mark), wire.events()
    if facts.by_gtid:
        wire.dump_gtid(server_id, file, pos, GtidSet().packed(), flags)
        return Cursor(file, pos, mark), wire.events()
    wire.dump(server_id, file, FILE_BEGINS, flags)
    cursor, events = Cursor(file, FILE_BEGINS, mark), wire.events()
    pass_to(cursor, events, pos)
    return cursor, events


def pass_to(cursor: Cursor, events: Iterator[bytes], pos: int) -> None:
    """Leaves out what is before `pos` in this file."""
    file = cursor.file
    for event in events:
        cursor.step(event)
        if cursor.file != file or cursor.pos >= pos:
            break
    if (cursor.file, cursor.pos) != (file, pos):
        raise SourceStopped(
            "position_ahead",
            f"no event of {file} ends at {pos}",
            "See whether the server was reset or restored: fleet cdc restart --reason ...",
        )


def _follow(
    assembler: Assembler, events: Iterator[bytes], clock: Callable[[], float] = time.monotonic
) -> Iterator[SourceTransaction | Quiet]:
    take = assembler.take
    told = clock()
    for event in events:
        found = take(event) if event else None
        if found is not None:
            yield found
            told = clock()
        elif not event or clock() - told >= QUIET_SECONDS:
            yield Quiet(assembler.position())
            told = clock()
    raise Unavailable("MySQL: the server ended the reading of its log")
