"""What would lose changes at the source is found before it does, with the line that cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from shared.cdc.errors import SourceStopped
from shared.cdc.selection import Keeping, Schemas, Selection
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.own_mysql import OwnMySQL, own_mysql
from workers.cdc.preflight import (
    CapturedTable,
    Cascade,
    Fault,
    SourceFacts,
    faults,
    findings,
    require,
)
from workers.cdc.source_facts import source_facts, source_faults

COLLECTOR = 4_000_000_000
GOOD: Mapping[str, str] = {
    "version": "9.7.4",
    "server_id": "1",
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_row_value_options": "",
    "binlog_transaction_compression": "OFF",
    "binlog_expire_logs_seconds": "604800",
    "binlog_expire_logs_auto_purge": "ON",
    "binlog_error_action": "ABORT_SERVER",
    "binlog_order_commits": "ON",
    "binlog_checksum": "CRC32",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "log_replica_updates": "ON",
    "read_only": "OFF",
    "super_read_only": "OFF",
    "gtid_mode": "ON",
    "innodb_native_foreign_keys": "OFF",
}
MARIADB: Mapping[str, str] = {
    **{
        name: value
        for name, value in GOOD.items()
        if name not in {"gtid_mode", "innodb_native_foreign_keys", "log_replica_updates"}
    },
    "version": "11.8.9-MariaDB-log",
    "log_bin_compress": "OFF",
    "expire_logs_days": "7.000000",
    "max_binlog_total_size": "0",
    "log_slave_updates": "OFF",
    "wsrep_on": "OFF",
}
ORDERS = CapturedTable(
    "orders", "desk", "BASE TABLE", "InnoDB", {"id": "int", "note": "text"}, ("id",), ()
)
CHOSEN = Selection(Schemas("fleet", "desk"), ["orders", "sessions"], {})
CASCADE = Cascade("orders_user_id_foreign", "users", "ON DELETE CASCADE, ON UPDATE RESTRICT")


def facts(
    change: Mapping[str, str] | None = None,
    *,
    of: Mapping[str, str] = GOOD,
    table: CapturedTable = ORDERS,
    **more: Any,
) -> SourceFacts:
    said: dict[str, Any] = {
        "variables": {**of, **(change or {})},
        "filters": "",
        "replicates": False,
        "tables": [table],
        "missing": [],
        "accounts": "",
        "collector_id": COLLECTOR,
    }
    return SourceFacts(**(said | more))


def one(found: list[Fault]) -> Fault:
    assert len(found) == 1, found
    assert found[0].cure
    return found[0]


def test_good_servers_have_no_fault() -> None:
    assert faults(facts(), CHOSEN) == []
    assert faults(facts(of=MARIADB), CHOSEN) == []
    (said,) = findings([], 16)
    assert (said.level, said.check) == ("ok", "binlog")


@pytest.mark.parametrize(
    ("change", "text", "cure"),
    [
        ({"log_bin": "OFF"}, "binlog is off", "my.cnf: log_bin"),
        ({"server_id": "0"}, "server_id is 0", "SET GLOBAL server_id = 1"),
        ({"server_id": str(COLLECTOR)}, "that of the collector", "FLEET_CDC_SERVER_ID="),
        ({"binlog_format": "MIXED"}, "MIXED", "SET GLOBAL binlog_format = 'ROW'"),
        ({"binlog_format": "STATEMENT"}, "STATEMENT", "SET GLOBAL binlog_format = 'ROW'"),
        ({"binlog_row_image": "MINIMAL"}, "holes", "SET GLOBAL binlog_row_image = 'FULL'"),
        ({"binlog_row_image": "FULL_NODUP"}, "holes", "SET GLOBAL binlog_row_image = 'FULL'"),
        ({"binlog_row_metadata": "NO_LOG"}, "names", "SET GLOBAL binlog_row_metadata = 'FULL'"),
        ({"binlog_row_metadata": "MINIMAL"}, "names", "SET GLOBAL binlog_row_metadata = 'FULL'"),
        ({"binlog_row_value_options": "PARTIAL_JSON"}, "JSON", "binlog_row_value_options = ''"),
        ({"binlog_transaction_compression": "ON"}, "not read", "= 'OFF'"),
        ({"log_bin_compress": "ON"}, "not read", "SET GLOBAL log_bin_compress = 'OFF'"),
        ({"read_only": "ON"}, "heartbeat", "DB_HOST"),
        ({"super_read_only": "ON", "read_only": "ON"}, "heartbeat", "DB_HOST"),
    ],
)
def test_a_log_that_cannot_be_read_exactly_stops_the_collector(
    change: dict[str, str], text: str, cure: str
) -> None:
    found = faults(facts(change), CHOSEN)
    fault = one(found)
    assert text in fault.text
    assert cure in fault.cure
    with pytest.raises(SourceStopped, match=text) as stopped:
        require(found)
    assert stopped.value.reason == "source_settings"
    assert stopped.value.cure == fault.cure
    assert findings(found, 1)[0].level == "fail"


@pytest.mark.parametrize(
    ("change", "text", "cure"),
    [
        ({"binlog_expire_logs_seconds": "86400"}, "after 24 h", "= 604800"),
        ({"sync_binlog": "0"}, "power cut", "SET GLOBAL sync_binlog = 1"),
        ({"sync_binlog": "1000"}, "power cut", "SET GLOBAL sync_binlog = 1"),
        ({"innodb_flush_log_at_trx_commit": "2"}, "power cut", "SET GLOBAL innodb_flush"),
        ({"binlog_error_action": "IGNORE_ERROR"}, "go on", "'ABORT_SERVER'"),
        ({"binlog_order_commits": "OFF"}, "another order", "'ON'"),
        ({"max_binlog_total_size": "1000"}, "beyond 1000 bytes", "= 0"),
    ],
)
def test_what_can_lose_changes_fails_the_doctor_and_lets_the_collector_read(
    change: dict[str, str], text: str, cure: str
) -> None:
    found = faults(facts(change), CHOSEN)
    assert text in one(found).text
    assert cure in one(found).cure
    assert findings(found, 1)[0].level == "fail"
    require(found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"gtid_mode": "OFF"}, "failover"),
        ({"binlog_checksum": "NONE"}, "not noticed"),
        ({"wsrep_on": "ON"}, "Galera"),
    ],
)
def test_what_loses_nothing_by_itself_is_a_warning(change: dict[str, str], text: str) -> None:
    found = faults(facts(change), CHOSEN)
    assert text in one(found).text
    assert findings(found, 1)[0].level == "warn"


@pytest.mark.parametrize(
    "change",
    [
        {"binlog_expire_logs_seconds": "0"},
        {"binlog_expire_logs_seconds": "60", "binlog_expire_logs_auto_purge": "OFF"},
    ],
)
def test_a_log_that_is_never_purged_is_long_enough(change: dict[str, str]) -> None:
    assert faults(facts(change), CHOSEN) == []


@pytest.mark.parametrize("replicates", [True, False, None])
def test_a_replica_must_log_what_it_replicates(*, replicates: bool | None) -> None:
    found = faults(facts(of=MARIADB, replicates=replicates), CHOSEN)
    if replicates is False:
        assert found == []
    else:
        assert "log_slave_updates is off" in one(found).text
        assert one(found).stops is bool(replicates)


def test_schemas_that_the_log_leaves_out_stop_it() -> None:
    fault = one(faults(facts(filters="Binlog_Ignore_DB=desk"), CHOSEN))
    assert fault.stops
    assert "Binlog_Ignore_DB=desk" in fault.text


@pytest.mark.parametrize(
    ("table", "text", "cure", "level"),
    [
        (ORDERS._replace(key=()), "no primary key", "PRIMARY KEY", "fail"),
        (ORDERS._replace(kind="VIEW", engine=""), "is a view", "behind orders", "fail"),
        (ORDERS._replace(engine="MEMORY"), "loses rows", "ENGINE=InnoDB", "fail"),
        (ORDERS._replace(engine="MyISAM"), "half", "ENGINE=InnoDB", "warn"),
        (ORDERS._replace(name="sessions"), "machinery", "without sessions", "warn"),
    ],
)
def test_tables_that_cannot_be_followed_are_named(
    table: CapturedTable, text: str, cure: str, level: str
) -> None:
    found = faults(facts(table=table), CHOSEN)
    assert text in one(found).text
    assert cure in one(found).cure
    assert findings(found, 1)[0].level == level


def test_a_compressed_column_stops_it_with_the_statement_that_undoes_it() -> None:
    table = ORDERS._replace(columns={"id": "int", "note": "text /*M!100301 COMPRESSED*/"})
    fault = one(faults(facts(of=MARIADB, table=table), CHOSEN))
    assert fault.stops
    assert "ALTER TABLE desk.orders MODIFY note text;" in fault.cure


@pytest.mark.parametrize(
    ("of", "change", "logged"),
    [
        (MARIADB, {}, False),
        (GOOD, {"version": "8.4.6"}, False),
        (GOOD, {"version": "9.5.0"}, False),
        (GOOD, {"version": "9.6.0"}, True),
        (GOOD, {"innodb_native_foreign_keys": "ON"}, False),
    ],
)
def test_rows_that_a_foreign_key_changes_are_unprovable_where_they_are_not_logged(
    of: Mapping[str, str], change: dict[str, str], *, logged: bool
) -> None:
    found = faults(facts(change, of=of, table=ORDERS._replace(cascades=(CASCADE,))), CHOSEN)
    if logged:
        assert found == []
    else:
        fault = one(found)
        assert "cannot be proven" in fault.text
        assert "ON DELETE CASCADE" in fault.text
        assert "DROP FOREIGN KEY orders_user_id_foreign" in fault.cure
        assert "fleet cdc resync orders" in fault.cure
        assert fault.loses
        assert not fault.stops


def test_a_key_that_is_dropped_stops_it_before_the_log_does() -> None:
    rules: dict[str, Keeping] = {"orders.id": "drop"}
    chosen = Selection(Schemas("fleet", "desk"), ["orders"], rules)
    fault = one(faults(facts(), chosen))
    assert fault.stops
    assert "FLEET_CDC_COLUMNS=orders.id=hash" in fault.cure


def test_the_gravest_comes_first_and_says_how_many_there_are() -> None:
    bad = {"binlog_format": "MIXED", "binlog_row_image": "MINIMAL", "sync_binlog": "0"}
    found = faults(facts(bad, missing=["users"]), CHOSEN)
    assert [(fault.stops, fault.loses) for fault in found] == [
        (True, True),
        (True, True),
        (False, True),
        (False, False),
    ]
    with pytest.raises(SourceStopped, match="and 1 more"):
        require(found)


# --- servers -------------------------------------------------------------------------------------


@pytest.mark.database
def test_the_collector_may_ask_all_of_it_with_its_own_rights(
    settings_for: Callable[..., Settings],
) -> None:
    settings = settings_for("collector")
    with closing(connect(settings.mysql)) as connection:
        found, tables = source_faults(settings, connection)
    require(found)
    assert [fault.text for fault in found if "sync_binlog" not in fault.text] == []
    assert tables == 16


@pytest.fixture(scope="module")
def own(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    with own_mysql(servers, sync_binlog="1", innodb_flush_log_at_trx_commit="1") as found:
        found.run(
            "CREATE TABLE parents (id INT PRIMARY KEY) ENGINE=InnoDB",
            "CREATE TABLE children (id INT PRIMARY KEY, parent INT, CONSTRAINT of_parent"
            " FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE) ENGINE=InnoDB",
            "CREATE TABLE keyless (a INT NULL, b INT NOT NULL, UNIQUE (a, b)) ENGINE=InnoDB",
            "CREATE TABLE uniques (a INT NOT NULL, b INT NOT NULL, UNIQUE (b, a)) ENGINE=InnoDB",
            "CREATE TABLE forgetful (id INT PRIMARY KEY) ENGINE=MEMORY",
            "CREATE VIEW seen AS SELECT id FROM parents",
            database="app_laravel",
        )
        yield found


def asked(own: OwnMySQL, *tables: str) -> list[Fault]:
    chosen = Selection(Schemas("app", "app_laravel"), tables, {})
    with closing(own.connection()) as connection:
        return faults(source_facts(connection, chosen, COLLECTOR), chosen)


WRONG = [
    ("binlog_format", "MIXED"),
    ("binlog_row_image", "MINIMAL"),
    ("binlog_row_metadata", "MINIMAL"),
    ("binlog_row_value_options", "PARTIAL_JSON"),
    ("binlog_transaction_compression", "ON"),
    ("log_bin_compress", "ON"),
    ("binlog_expire_logs_seconds", "3600"),
    ("max_binlog_total_size", "100000000"),
    ("sync_binlog", "0"),
    ("innodb_flush_log_at_trx_commit", "2"),
    ("binlog_order_commits", "OFF"),
]


@pytest.mark.database
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_the_statement_of_a_cure_cures_it(own: OwnMySQL, name: str, value: str) -> None:
    if not own.run(f"SHOW GLOBAL VARIABLES LIKE '{name}'"):
        return  # this server has no such setting
    ((_, before),) = own.run(f"SHOW GLOBAL VARIABLES LIKE '{name}'")
    shown = value if value.isdigit() else f"'{value}'"
    own.run(f"SET GLOBAL {name} = {shown}")
    try:
        assert asked(own, "parents")[0].text.startswith((name, "the log is purged"))
        statement = one(asked(own, "parents")).cure.partition(";")[0]
        assert statement.startswith(f"SET GLOBAL {name}")
        own.run(statement)
        assert asked(own, "parents") == []
    finally:
        own.run(f"SET GLOBAL {name} = {before if before.isdigit() else repr(before)}")


@pytest.mark.database
def test_tables_are_judged_as_the_server_has_them(own: OwnMySQL) -> None:
    assert asked(own, "parents") == []
    assert asked(own, "uniques") == []
    assert "no primary key" in one(asked(own, "keyless")).text
    assert "loses rows" in one(asked(own, "forgetful")).text
    assert "is a view" in one(asked(own, "seen")).text
    assert "is not there" in one(asked(own, "nobody")).text
    cascades = asked(own, "children")
    if own.flavour == "mysql":
        assert cascades == []  # 9.6 and later log them
    else:
        assert "children changes when parents does (ON DELETE CASCADE" in one(cascades).text


@pytest.mark.database
def test_a_compressed_column_is_seen_and_cured(own: OwnMySQL) -> None:
    if own.flavour == "mysql":
        return  # it has none
    own.run(
        "CREATE TABLE packed (id INT PRIMARY KEY, note TEXT COMPRESSED)", database="app_laravel"
    )
    fault = one(asked(own, "packed"))
    assert fault.stops
    own.run(fault.cure.partition(";")[0], database="app_laravel")
    assert asked(own, "packed") == []


@pytest.mark.database
def test_a_server_without_a_log_and_one_that_leaves_schemas_out(servers: Mapping[str, str]) -> None:
    with own_mysql(servers, binlog_ignore_db="app_laravel") as mysql:
        mysql.run("CREATE TABLE parents (id INT PRIMARY KEY)", database="app_laravel")
        assert "Binlog_Ignore_DB=app_laravel" in asked(mysql, "parents")[0].text
        mysql.stop()
        options = {"log_bin": "0", "skip_log_bin": "1"}
        if mysql.flavour == "mysql":
            options |= {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}
        mysql.start(**options)
        found = asked(mysql, "parents")
        assert found[0].text.startswith("the binlog is off")
        with pytest.raises(SourceStopped, match="binlog is off"):
            require(found)
