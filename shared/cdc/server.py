"""What a server says of itself and of its log, and whether that agrees with what was read."""

from __future__ import annotations

from typing import NamedTuple

from shared.cdc.errors import SourceStopped
from shared.cdc.positions import file_number, gtid_state
from shared.cdc.wire import CURES, PRIVILEGE, Wire
from shared.changes import Position

_VARIABLES = """SHOW GLOBAL VARIABLES WHERE variable_name IN
('version', 'log_bin', 'server_id', 'server_uuid', 'server_uid', 'gtid_mode', 'gtid_executed',
 'gtid_purged', 'gtid_binlog_pos')"""


class Facts(NamedTuple):
    """server: as in Position. by_gtid: MySQL, and every transaction has one. executed, purged:
    GTIDs of all that is, or is not any more, in its log. files: name -> size.
    """

    mariadb: bool
    version: tuple[int, int]
    server: str
    server_id: int
    by_gtid: bool
    executed: str
    purged: str
    files: dict[str, int]


def ask_facts(wire: Wire) -> Facts:
    said = {str(name).lower(): str(value) for name, value in wire.ask(_VARIABLES)}
    if said["log_bin"].upper() not in {"ON", "1"}:
        raise SourceStopped(
            "no_log", f"{wire.server} writes no binlog", "Set log_bin in my.cnf and restart it"
        )
    mariadb = "mariadb" in said["version"].lower()
    major, minor = said["version"].split(".")[:2]
    files = {str(row[0]): int(row[1]) for row in wire.ask("SHOW BINARY LOGS")}
    return Facts(
        mariadb=mariadb,
        version=(int(major), int(minor)),
        server=said.get("server_uuid") or said.get("server_uid") or said["server_id"],
        server_id=int(said["server_id"]),
        by_gtid=said.get("gtid_mode", "") == "ON",
        executed=said.get("gtid_binlog_pos", "") if mariadb else said.get("gtid_executed", ""),
        purged=said.get("gtid_purged", ""),
        files=files,
    )


def end_of_log(wire: Wire, facts: Facts) -> tuple[str, int, str]:
    """File, position and, on MySQL, the executed set, which may be a moment older."""
    new = not facts.mariadb and facts.version >= (8, 2)
    rows = wire.ask("SHOW BINARY LOG STATUS" if new else "SHOW MASTER STATUS")
    file, pos, *more = rows[0]
    return str(file), int(pos), str(more[2]) if len(more) > 2 and more[2] else ""  # noqa: PLR2004


def gtid_at(wire: Wire, file: str, pos: int) -> str:
    """MariaDB's, of a place between two transactions."""
    file_number(file)  # nothing else than a name gets into the statement
    found = wire.ask(f"SELECT BINLOG_GTID_POS('{file}', {int(pos)})")[0][0]
    if found is None:
        raise SourceStopped("position_ahead", f"there is no place {file}:{pos}", CURES["reset"])
    return str(found)


def users_of(wire: Wire, facts: Facts, server_id: int) -> list[str]:
    """What those that read with this id call themselves. MariaDB tells only who may administer
    replicas; without that one of two with the same id learns it when the server ends it.
    """
    try:
        rows = wire.ask("SHOW SLAVE HOSTS" if facts.mariadb else "SHOW REPLICAS")
    except SourceStopped as refused:
        if facts.mariadb and refused.reason == PRIVILEGE:
            return []
        raise
    return [str(row[1]) for row in rows if int(row[0]) == server_id]


def must_have(facts: Facts, position: Position) -> None:
    """Raises SourceStopped where the server's log does not go on from this position."""
    executed = gtid_state(facts.executed, mariadb=facts.mariadb)
    if facts.server != position.server:
        _must_continue(facts, position)
    if position.gtid and not executed.covers(position.gtid):
        raise SourceStopped(
            "log_reset",
            f"the server has {facts.executed or 'no transaction'}, but {position.gtid} was read",
            CURES["reset"],
        )
    if facts.server == position.server:
        _must_have_place(facts, position)


def _must_continue(facts: Facts, position: Position) -> None:
    """Another server: its files are others, so only GTIDs can tell where to go on."""
    changed = f"the server is {facts.server}, the log was read on {position.server}"
    if not position.gtid or (not facts.mariadb and not facts.by_gtid):
        raise SourceStopped("server_changed", f"{changed}, without GTIDs", CURES["reset"])
    if position.held:
        xids = ", ".join(one[0] for one in position.held)
        raise SourceStopped(
            "server_changed", f"{changed}, when XA {xids} had no outcome yet", CURES["reset"]
        )
    if facts.mariadb and _counted_by(facts.server_id, position.gtid):
        raise SourceStopped(
            "server_changed",
            f"{changed}; both have server_id {facts.server_id}, so a number of one may be another "
            "transaction of the other",
            CURES["reset"],
        )
    if facts.purged and not gtid_state(position.gtid, mariadb=False).covers(facts.purged):
        raise SourceStopped(
            "purged", f"{changed}, and this one has purged what comes next", CURES["purged"]
        )


def _counted_by(server_id: int, gtid: str) -> bool:
    """Whether some last transaction is of a server with this id. A dump that was loaded into a new
    MariaDB begins its numbers again, and soon has as many.
    """
    return any(one.split("-")[1] == str(server_id) for one in gtid.split(",") if one)


def _must_have_place(facts: Facts, position: Position) -> None:
    size = facts.files.get(position.file)
    if size is None:
        name, number = file_number(position.file)
        known = [file_number(file) for file in facts.files]
        if known and known[0][0] == name and number < known[0][1]:
            raise SourceStopped(
                "purged",
                f"{position.file} is purged; the oldest file is {next(iter(facts.files))}",
                CURES["purged"],
            )
        raise SourceStopped("log_reset", f"there is no file {position.file}", CURES["reset"])
    if position.pos > size:
        raise SourceStopped(
            "position_ahead",
            f"{position.file} has {size} bytes, it was read up to {position.pos}",
            CURES["reset"],
        )
