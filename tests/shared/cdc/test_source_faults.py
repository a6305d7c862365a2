"""What must stop the reading of a log, each on a server of its own that is broken that way: with
the reason and the cure, and never with a change that is silently left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from shared.cdc import source as log_source
from shared.cdc.errors import SourceStopped
from shared.cdc.source import Source
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.cdc.wire import Wire
from shared.changes import Position
from shared.errors import Unavailable
from tests.cdc_log import Log, rows_of
from tests.own_certificates import authority
from tests.own_mysql import PASSWORD, OwnMySQL, own_mysql
from tests.waiting import eventually

TABLE = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000))"
OTHER = "CREATE TABLE other (id INT PRIMARY KEY, v VARCHAR(2000))"


def read_on(reading: Iterator[SourceTransaction | Quiet]) -> None:
    for _ in range(20):
        next(reading)


def stops(log: Log, position: Position) -> SourceStopped:
    """Why the log cannot be followed from here."""
    with closing(log.source.read(position)) as reading, pytest.raises(SourceStopped) as stopped:
        read_on(reading)
    assert stopped.value.cure
    return stopped.value


@pytest.fixture(scope="module")
def broken(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    """The server of all tests here; each gets it with an empty log."""
    with own_mysql(servers, secure_file_priv="") as mysql:
        if mysql.flavour == "mariadb":
            # Else it purges nothing while no replica is connected.
            mysql.run("SET GLOBAL slave_connections_needed_for_purge = 0")
        yield mysql


@pytest.fixture
def server(broken: OwnMySQL) -> OwnMySQL:
    broken.run("DROP TABLE IF EXISTS t, other", TABLE, OTHER)
    reset(broken)
    return broken


def reset(mysql: OwnMySQL) -> None:
    mysql.run("RESET MASTER" if mysql.flavour == "mariadb" else "RESET BINARY LOGS AND GTIDS")


def purge(mysql: OwnMySQL, file: str) -> None:
    """Away with it, as soon as no reader that has just gone is thought to need it."""

    def gone() -> bool:
        names = [str(row[0]) for row in mysql.run("SHOW BINARY LOGS")]
        following = names[names.index(file) + 1] if file in names else None
        if following is None:
            return True
        mysql.run(f"PURGE BINARY LOGS TO '{following}'")
        return False

    eventually(gone)


@contextmanager
def setting(mysql: OwnMySQL, name: str, value: str) -> Iterator[None]:
    ((before,),) = mysql.run(f"SELECT @@GLOBAL.{name}")
    mysql.run(f"SET GLOBAL {name} = {value!r}")
    try:
        yield
    finally:
        mysql.run(f"SET GLOBAL {name} = {before if isinstance(before, int) else repr(before)}")


# -- forms that are not read (traps 4 and 7) -------------------------------------------------------

STATEMENTS = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
"""InnoDB logs statements from there on."""
DOCUMENT = """(9, '', JSON_OBJECT('a', 1, 'b', REPEAT('x', 1000)))"""


def unread(mysql: OwnMySQL, name: str, value: str, *statements: str) -> SourceStopped:
    """Statements with a setting; `{}` in them is the table: the log goes on past one that is not
    captured, and stops at one that is.
    """
    log = Log(mysql)
    with setting(mysql, name, value):
        start = log.source.position()
        mysql.run(*(one.format("other") for one in statements))
        assert log.read(start) == []
        mysql.run(*(one.format("t") for one in statements))
    found = stops(log, start)
    assert name in found.cure
    return found


def test_a_compressed_log_stops(server: OwnMySQL) -> None:
    if server.flavour == "mariadb":
        insert = "INSERT INTO {} VALUES (1, REPEAT('x', 1000))"
        assert unread(server, "log_bin_compress", "ON", insert).reason == "compressed"
        return
    log = Log(server)
    with setting(server, "binlog_transaction_compression", "ON"):
        start = log.source.position()
        server.run("INSERT INTO t VALUES (1, REPEAT('x', 1000))")
    found = stops(log, start)
    assert found.reason == "compressed"
    assert "binlog_transaction_compression" in found.cure


def test_a_part_of_a_json_document_stops(server: OwnMySQL) -> None:
    if server.flavour == "mariadb":
        return  # it logs JSON as the text that it is
    for table in ("t", "other"):
        server.run(f"ALTER TABLE {table} ADD j JSON", f"INSERT {table} VALUES {DOCUMENT}")  # noqa: S608
    update = "UPDATE {} SET j = JSON_SET(j, '$.a', 7)"
    found = unread(server, "binlog_row_value_options", "PARTIAL_JSON", update)
    assert found.reason == "partial_json"


@pytest.mark.parametrize("form", ["STATEMENT", "MIXED"])
def test_a_statement_that_changes_rows_stops(server: OwnMySQL, form: str) -> None:
    insert = "INSERT INTO {} (id, v) VALUES (1, 't')"
    assert unread(server, "binlog_format", form, STATEMENTS, insert).reason == "statement_format"


def test_a_statement_with_rows_from_a_file_stops(server: OwnMySQL) -> None:
    path = server.folder / "tmp" / "rows.txt"
    path.write_text("1\tx\n2\ty\n")
    path.chmod(0o644)
    load = f"LOAD DATA INFILE '{server.inside(path)}' INTO TABLE {{}}"
    found = unread(server, "binlog_format", "STATEMENT", STATEMENTS, load)
    assert found.reason == "statement_format"


def test_a_log_with_a_damaged_byte_stops(server: OwnMySQL) -> None:
    """Whether the server sees it first or we do. Nothing after it is read."""
    log = Log(server)
    start = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'untouched')")
    server.run("INSERT INTO t VALUES (2, 'damaged')")
    server.run("FLUSH BINARY LOGS")
    path = server.folder / "data" / start.file
    path.write_bytes(path.read_bytes().replace(b"damaged", b"dbmaged"))
    with closing(log.source.read(start)) as reading:
        first = next(one for one in reading if isinstance(one, SourceTransaction))
        assert rows_of(first) == [("t", "c", None, [1, "untouched"])]
        with pytest.raises(SourceStopped) as stopped:
            read_on(reading)
    assert stopped.value.reason in {"damaged", "log_error"}


def test_a_log_without_checksums_is_read(server: OwnMySQL) -> None:
    with setting(server, "binlog_checksum", "NONE"):
        log = Log(server)
        start = log.source.position()
        server.run("INSERT INTO t VALUES (1, 'without')")
        server.run("SET GLOBAL binlog_checksum = CRC32")
        server.run("INSERT INTO t VALUES (2, 'with')")
        server.run("SET GLOBAL binlog_checksum = NONE")
        server.run("INSERT INTO t VALUES (3, 'without')")
        rows = [row[3] for one in log.read(start) for row in rows_of(one)]
        assert rows == [[1, "without"], [2, "with"], [3, "without"]]


# -- another log under the same name (trap 21) -----------------------------------------------------


def a_second_later(mysql: OwnMySQL) -> None:
    """A file is known by the second in which it began."""
    (began,) = mysql.run("SELECT UNIX_TIMESTAMP()")
    eventually(lambda: mysql.run("SELECT UNIX_TIMESTAMP()") != [began])


def test_a_log_that_was_reset_is_an_error(server: OwnMySQL) -> None:
    """Also when the new file has the old name, the same number of transactions and more bytes."""
    log = Log(server)
    server.run("INSERT INTO t VALUES (1, 'x')")
    position = log.source.position()
    a_second_later(server)
    reset(server)
    for number in range(2, 40):
        server.run(f"INSERT INTO t VALUES ({number}, REPEAT('x', 100))")  # noqa: S608 - our own
    now = log.source.position()
    assert now.file == position.file
    assert now.pos > position.pos
    assert stops(log, position).reason == "log_reset"


def test_a_log_that_was_reset_and_is_short_is_an_error(server: OwnMySQL) -> None:
    log = Log(server)
    for number in range(5):
        server.run(f"INSERT INTO t VALUES ({number}, 'x')")  # noqa: S608 - our own
    position = log.source.position()
    reset(server)
    assert stops(log, position).reason in {"log_reset", "position_ahead"}


def test_a_position_beyond_the_end_is_an_error(server: OwnMySQL) -> None:
    log = Log(server)
    position = log.source.position()
    assert stops(log, position._replace(pos=position.pos + 500)).reason == "position_ahead"
    ahead = position._replace(file="binlog.000009")
    assert stops(log, ahead).reason == "log_reset"


def test_a_position_inside_an_event_is_an_error(server: OwnMySQL) -> None:
    log = Log(server)
    position = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'x')")
    assert stops(log, position._replace(pos=position.pos + 7)).reason in {"log_error", "gap"}


def test_a_purged_log_is_an_error_with_its_cure(server: OwnMySQL) -> None:
    log = Log(server)
    position = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'x')", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    purge(server, position.file)
    found = stops(log, position)
    assert found.reason == "purged"
    assert "fleet cdc restart" in found.cure
    assert position.file in found.what


def test_a_held_transaction_whose_beginning_is_purged_is_an_error(server: OwnMySQL) -> None:
    log = Log(server)
    start = log.source.position()
    with closing(server.connection()) as connection:
        insert = "INSERT INTO t VALUES (1, 'x')"
        for one in ("XA START 'g'", insert, "XA END 'g'", "XA PREPARE 'g'"):
            connection.cursor().execute(one)
    server.run("FLUSH BINARY LOGS")
    server.run("INSERT INTO other VALUES (1, 'x')")
    server.run("FLUSH BINARY LOGS")
    server.run("INSERT INTO other VALUES (2, 'x')")
    with closing(log.source.read(start)) as reading:
        held = eventually(lambda: _beyond(next(reading), start.file))
    assert held is not None
    purge(server, start.file)
    assert stops(log, held).reason == "purged"
    server.run("SET autocommit = 1", "XA ROLLBACK 'g'")


def _beyond(one: SourceTransaction | Quiet, file: str) -> Position | None:
    position = one.position if isinstance(one, Quiet) else one.ends
    return position if position.file > file and position.held else None


# -- servers that go and come ----------------------------------------------------------------------


def test_a_server_that_stops_is_unavailable_and_goes_on_later(server: OwnMySQL) -> None:
    log = Log(server)
    start = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'before')")
    with closing(log.source.read(start)) as reading:
        first = next(one for one in reading if isinstance(one, SourceTransaction))
        server.stop()
        with pytest.raises(Unavailable):
            read_on(reading)
    with pytest.raises(Unavailable):
        next(log.source.read(first.ends))
    server.start()
    server.run("INSERT INTO t VALUES (2, 'after')")
    assert log.rows(first.ends) == [[("t", "c", None, [2, "after"])]]


def test_a_server_that_is_killed_goes_on_later(server: OwnMySQL) -> None:
    log = Log(server)
    start = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'before')")
    with closing(server.connection()) as connection:
        connection.cursor().execute("INSERT INTO t VALUES (2, 'never committed')")
        server.kill()
    server.start()
    server.run("INSERT INTO t VALUES (3, 'after')")
    assert log.rows(start) == [
        [("t", "c", None, [1, "before"])],
        [("t", "c", None, [3, "after"])],
    ]


def replica(server: OwnMySQL, other: OwnMySQL) -> None:
    """`other` follows `server`."""
    where = f"_HOST = '127.0.0.1', {{0}}_PORT = {server.where.port}, {{0}}_USER = 'root'"
    where = f"{{0}}{where}, {{0}}_PASSWORD = '{PASSWORD}'"
    if server.flavour == "mariadb":
        other.run(f"CHANGE MASTER TO {where.format('MASTER')}, MASTER_USE_GTID = slave_pos")
        other.run("START SLAVE")
        return
    more = "SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
    other.run(f"CHANGE REPLICATION SOURCE TO {where.format('SOURCE')}, {more}")
    other.run("START REPLICA")


def test_another_server_goes_on_where_the_first_one_was_left(
    servers: Mapping[str, str], server: OwnMySQL
) -> None:
    """By GTID: its files and positions are others. Also with tags, where the database has them."""
    log = Log(server)
    server.run("DROP TABLE IF EXISTS t", TABLE)
    options = {"log_slave_updates": "ON"} if server.flavour == "mariadb" else {}
    with own_mysql(servers, server_id="2", **options) as other:
        other.run("CREATE TABLE of_its_own (id INT)", "DROP TABLE of_its_own", "FLUSH BINARY LOGS")
        server.run("DROP TABLE IF EXISTS other")
        strange = Log(other)
        position = log.source.position()
        assert stops(strange, position).reason in {"log_reset", "server_changed"}

        if other.flavour == "mariadb":
            reset(other)
        replica(server, other)
        server.run("INSERT INTO t VALUES (1, 'first')")
        if server.flavour == "mysql":
            server.run("SET gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (2, 'tagged')")
        (*_, last) = log.read(position)
        server.run("INSERT INTO t VALUES (3, 'last')")
        eventually(lambda: other.run("SHOW TABLES LIKE 't'"), 30)
        eventually(lambda: other.run("SELECT id FROM t WHERE id = 3"), 30)
        (found,) = strange.read(last.ends)
        assert rows_of(found) == [("t", "c", None, [3, "last"])]
        assert found.ends.server != position.server
        assert strange.read(found.ends) == []


def test_a_backup_loaded_into_a_new_server_is_not_taken_for_the_old_one(
    servers: Mapping[str, str], server: OwnMySQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB's numbers begin again: soon the new server has those that were read on the old."""
    monkeypatch.setattr(log_source, "SETTLE_SECONDS", 0.2)
    log = Log(server)
    position = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'lost')")
    (last,) = log.read(position)
    assert log.source.broken(last.ends) == ""
    with own_mysql(servers) as restored:
        restored.run(TABLE, *("INSERT INTO t SELECT COUNT(*), 'new' FROM t" for _ in range(20)))
        strange = Log(restored)
        assert stops(strange, last.ends).reason in {"log_reset", "server_changed"}
        assert strange.source.broken(last.ends)


def test_it_says_whether_the_log_goes_on_from_a_place(
    server: OwnMySQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_source, "SETTLE_SECONDS", 0.2)
    log = Log(server)
    position = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'v')")
    assert log.source.broken(position) == ""
    assert "bytes" in log.source.broken(position._replace(pos=position.pos + 100_000))
    assert "not the file" in log.source.broken(position._replace(mark="1"))
    assert log.source.broken(position._replace(server="another", gtid=""))
    (last,) = log.read(position)
    reset(server)  # perhaps within the second in which the file was made: its mark is the same
    assert log.source.broken(last.ends)


def test_a_log_that_is_off_is_an_error(servers: Mapping[str, str]) -> None:
    with own_mysql(servers, skip_log_bin="ON") as mysql:
        mysql.run(TABLE)
        with pytest.raises(SourceStopped) as stopped:
            Log(mysql).source.position()
        assert stopped.value.reason == "no_log"


def test_a_server_is_known_by_its_certificate(server: OwnMySQL, tmp_path: Path) -> None:
    """MYSQL_ATTR_SSL_CA: encrypted, and signed by that authority or not spoken to."""
    ours = authority(server.folder, "ours")
    server.restart(
        ssl_ca=server.inside(ours),
        ssl_cert=server.inside(server.folder / "ours-cert.pem"),
        ssl_key=server.inside(server.folder / "ours-key.pem"),
    )
    log = Log(server)
    trusting = server.where.model_copy(update={"ssl_ca": str(ours)})
    with closing(Wire(trusting)) as wire:
        ((_, cipher),) = wire.ask("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        assert cipher
    source = Source(trusting, log.source._shapes, server_id=7, name="tls", spill=log.folder)
    start = source.position()
    server.run("INSERT INTO t VALUES (1, REPEAT('x', 2000)), (2, 'y')")
    with closing(source.read(start)) as reading:
        first = next(one for one in reading if isinstance(one, SourceTransaction))
        assert [row[3][0] for row in rows_of(first)] == [1, 2]

    stranger = trusting.model_copy(update={"ssl_ca": str(authority(tmp_path, "another"))})
    source = Source(stranger, log.source._shapes, server_id=7, name="tls", spill=log.folder)
    with pytest.raises(Unavailable, match="certificate"):
        source.position()
