"""Logs that servers wrote under other settings: what they leave out is found per event."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import pytest

from shared.cdc.errors import SourceStopped
from tests.own_mysql import own_mysql
from tests.raw_log import RawLog

TABLE = "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, e ENUM('a','b'), b BLOB)"


def test_setting_row_metadata_to_full_does_not_repair_what_was_logged_before(
    servers: Mapping[str, str],
) -> None:
    mariadb = servers["SERVERS_FLAVOUR"] == "mariadb"
    less = ["MINIMAL", "NO_LOG"] if mariadb else ["MINIMAL"]
    with (
        own_mysql(servers, binlog_row_metadata=less[0]) as mysql,
        closing(RawLog(mysql.where, "metadata")) as log,
    ):
        log.run(TABLE)
        for setting in less:
            log.run(f"SET GLOBAL binlog_row_metadata = '{setting}'", "DELETE FROM t")
            position = log.position()
            log.run("INSERT INTO t VALUES (18446744073709551615, 'b', x'FF')")
            log.run("SET GLOBAL binlog_row_metadata = 'FULL'")
            with pytest.raises(SourceStopped, match="binlog_row_metadata = 'FULL'") as stopped:
                log.changes(position, log.shapes("t"))
            assert stopped.value.reason == "row_metadata"
        log.run("FLUSH TABLES")
        position = log.position()
        log.run("INSERT INTO t VALUES (18446744073709551614, 'b', x'FF')")
        (change,) = log.changes(position, log.shapes("t"))
        assert change.after == ["18446744073709551614", "b", {"$base64": "/w=="}]


@pytest.mark.only("mariadb")
def test_times_in_the_format_from_before_5_6_stop(servers: Mapping[str, str]) -> None:
    with (
        own_mysql(servers, mysql56_temporal_format="OFF") as mysql,
        closing(RawLog(mysql.where, "times")) as log,
    ):
        for type_ in ("TIMESTAMP NULL", "TIMESTAMP(6) NULL", "DATETIME(3)", "TIME(6)"):
            log.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id INT PRIMARY KEY, a {type_})")
            position = log.position()
            log.run("INSERT INTO t VALUES (1, '2026-11-26 08:00:00')")
            with pytest.raises(SourceStopped, match=r"ALTER TABLE times\.t FORCE"):
                log.changes(position, log.shapes("t"))
        log.run("SET GLOBAL mysql56_temporal_format = ON", "ALTER TABLE t FORCE")
        position = log.position()
        log.run("INSERT INTO t VALUES (2, '08:00:00.5')")
        (change,) = log.changes(position, log.shapes("t"))
        assert change.after == [2, "08:00:00.500000"]
