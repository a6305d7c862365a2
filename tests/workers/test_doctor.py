from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis.exceptions import NoPermissionError
from rich.console import Console

from shared.endpoints import RedisSettings
from shared.errors import SettingsError
from shared.settings import Settings
from shared.settings_streams import RedisBudget
from workers import diagnosis
from workers.diagnosis import Finding
from workers.doctor import examine, run_doctor, show
from workers.grants import PASSWORD, as_text, grants
from workers.migrate import migrate_timescale

GOOD_MYSQL: Mapping[str, str] = {
    "version": "8.4.0",
    "sql_mode": (
        "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
        "NO_ENGINE_SUBSTITUTION"
    ),
    "time_zone": "+00:00",
    "transaction_isolation": "READ-COMMITTED",
    "max_allowed_packet": "67108864",
}
GOOD_REDIS: Mapping[str, object] = {
    "redis_version": "7.2.4",
    "role": "master",
    "maxmemory": 1000,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
}
QUARTER = RedisBudget(Decimal("0.25"), None)

MySQLCheck = Callable[[Mapping[str, str]], list[Finding]]


def levels(findings: list[Finding]) -> set[str]:
    assert all(finding.cure or finding.level == "ok" for finding in findings)
    return {finding.level for finding in findings}


@pytest.mark.parametrize(
    ("check", "change", "level"),
    [
        (diagnosis.mysql_version, {}, "ok"),
        (diagnosis.mysql_version, {"version": "10.6.1-MariaDB-log"}, "ok"),
        (diagnosis.mysql_version, {"version": "10.5.9-MariaDB"}, "fail"),
        (diagnosis.mysql_version, {"version": "5.7.44"}, "fail"),
        (diagnosis.mysql_session, {}, "ok"),
        (diagnosis.mysql_session, {"sql_mode": ""}, "fail"),
        (diagnosis.mysql_session, {"time_zone": "SYSTEM"}, "fail"),
        (diagnosis.mysql_session, {"transaction_isolation": "REPEATABLE-READ"}, "fail"),
        (diagnosis.mysql_session, {"max_allowed_packet": "1048576"}, "warn"),
    ],
)
def test_mysql_checks(check: MySQLCheck, change: dict[str, str], level: str) -> None:
    assert level in levels(check({**GOOD_MYSQL, **change}))


@pytest.mark.parametrize(
    ("change", "fsync", "level"),
    [
        ({}, "everysec", "ok"),
        ({}, "no", "fail"),
        ({}, None, "warn"),
        ({"aof_enabled": 0}, "everysec", "fail"),
        ({"aof_last_write_status": "err"}, "always", "fail"),
    ],
)
def test_redis_durability(change: dict[str, object], fsync: str | None, level: str) -> None:
    assert levels(diagnosis.redis_durability("r", {**GOOD_REDIS, **change}, fsync)) == {level}


@pytest.mark.parametrize(
    ("change", "budget", "level"),
    [
        ({}, QUARTER, "ok"),
        ({"maxmemory_policy": "allkeys-lru"}, QUARTER, "fail"),
        ({"maxmemory": 0}, QUARTER, "fail"),
        ({"maxmemory": 0}, RedisBudget(None, 500), "ok"),
        ({}, RedisBudget(None, 5000), "fail"),
    ],
)
def test_redis_memory(change: dict[str, object], budget: RedisBudget, level: str) -> None:
    assert levels(diagnosis.redis_memory("r", {**GOOD_REDIS, **change}, budget)) == {level}


def test_redis_version_and_role() -> None:
    assert levels(diagnosis.redis_version("r", GOOD_REDIS)) == {"ok"}
    assert levels(diagnosis.redis_version("r", {"redis_version": "6.0.16"})) == {"fail"}
    assert levels(diagnosis.redis_role("r", GOOD_REDIS)) == {"ok"}
    assert levels(diagnosis.redis_role("r", {"role": "slave"})) == {"fail"}


@pytest.mark.parametrize(
    ("stored", "published", "level"),
    [
        (None, None, "ok"),
        ("32", b"32", "ok"),
        ("32", None, "warn"),
        ("32", b"16", "fail"),
        ("16", b"16", "fail"),
    ],
)
def test_partitions(stored: str | None, published: bytes | None, level: str) -> None:
    assert levels(diagnosis.partitions(32, stored, published)) == {level}


def test_clocks_schema_and_edition() -> None:
    assert levels(diagnosis.clocks(timedelta(milliseconds=-900))) == {"ok"}
    assert levels(diagnosis.clocks(timedelta(seconds=-5))) == {"warn"}
    assert levels(diagnosis.schema_version("mysql", "0001", "0001")) == {"ok"}
    assert levels(diagnosis.schema_version("mysql", None, "0001")) == {"fail"}
    assert levels(diagnosis.timescale_edition("2.19.3", "apache")) == {"ok"}
    assert levels(diagnosis.timescale_edition(None, None)) == {"fail"}
    assert levels(diagnosis.timescale_edition("2.9.0", "apache")) == {"fail"}
    assert levels(diagnosis.timescale_edition("2.19.3", "timescale")) == {"ok"}
    assert levels(diagnosis.timescale_edition("2.19.3", None)) == {"fail"}  # not preloaded
    unreadable = diagnosis.timescale_edition("2.19.3", "apache", unreadable=3)
    assert levels(unreadable) == {"fail"}


def test_databases_that_the_cache_empties(settings: Settings) -> None:
    assert levels(diagnosis.databases(settings, cluster=False)) == {"ok"}
    assert levels(diagnosis.databases(settings, cluster=True)) == {"fail"}
    shared = settings.cache._replace(redis=settings.redis)
    changed = settings.model_copy(update={"cache": shared})
    assert "fail" in levels(diagnosis.databases(changed, cluster=False))
    changed = settings.model_copy(update={"broker": settings.redis})
    assert levels(diagnosis.databases(changed, cluster=False)) == {"warn"}


def test_a_cluster_is_told_from_a_server(settings: Settings) -> None:
    plain = RedisSettings(host="s", port=1)
    cluster = RedisSettings(nodes=(("s", 1),))
    assert diagnosis.cluster(settings, laravels=False, streams=False) == []
    unsaid = settings.model_copy(update={"streams_redis": plain})
    (found,) = diagnosis.cluster(unsaid, laravels=False, streams=True)
    assert found.cure == "FLEET_STREAMS_REDIS_URL=redis+cluster://s:1"
    said = settings.model_copy(update={"streams_redis": cluster})
    assert diagnosis.cluster(said, laravels=False, streams=True) == []
    assert levels(diagnosis.cluster(settings, laravels=True, streams=True)) == {"fail", "warn"}
    tagged = said.model_copy(update={"prefix": "{desk}_"})
    (found,) = diagnosis.cluster(tagged, laravels=False, streams=True)
    assert (found.level, "one slot" in found.text) == ("warn", True)


def test_a_healthy_desk_has_nothing_that_loses_data(
    settings_for: Callable[..., Settings],
) -> None:
    settings = settings_for("cli")
    migrate_timescale(settings)
    findings = examine(settings)
    assert [finding for finding in findings if finding.level == "fail"] == []
    checked = {finding.check for finding in findings}
    assert {"binlog", "mysql schema", "accounts", "clocks"} <= checked
    assert {"hiredis", "partitions", "databases", "timescale edition"} <= checked
    assert run_doctor(settings) == 0


def test_servers_that_are_away_are_findings(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    away = settings.redis.model_copy(update={"port": 1})
    changed = settings.model_copy(
        update={
            "database": settings.mysql.model_copy(update={"port": 1}),
            "redis": away,
            "streams_redis": away,
            "broker": away,
            "timescale_url": None,
        }
    )
    assert run_doctor(changed) == 1
    assert capsys.readouterr().out.count("fail") >= 4


def test_settings_that_cannot_be_loaded_are_the_only_finding() -> None:
    error = SettingsError("write REDIS_PREFIX=[x]")
    assert [(f.level, f.cure) for f in examine(error)] == [("fail", "write REDIS_PREFIX=[x]")]
    out = io.StringIO()
    show(examine(error), Console(file=out, width=200))
    assert "REDIS_PREFIX=[x]" in out.getvalue()
    assert run_doctor(error) == 1


def test_grants_are_least(settings: Settings) -> None:
    lines = grants(settings)
    text = as_text(lines)
    by_role = {row.role: row for row in lines}
    assert not by_role["flower"].mysql
    assert not by_role["beat"].mysql
    assert "ALL PRIVILEGES" not in text
    assert "+@" not in text
    assert "~*" not in text
    assert "allkeys" not in text
    assert "DELETE" not in "".join(by_role["relay"].mysql)
    assert not any("api_key" in line for line in by_role["cli"].laravel)
    assert settings.prefix in dict(by_role["streams"].redis)[settings.redis.server]
    passwords = [bool(row.mysql) + len(row.redis) + bool(row.timescale) for row in lines]
    assert text.count(PASSWORD) == sum(passwords) - 1
    assert not by_role["streams"].timescale


def test_only_the_collector_reads_the_log_and_only_it_appends(settings: Settings) -> None:
    by_role = {row.role: row for row in grants(settings)}
    readers = [role for role, row in by_role.items() if "REPLICATION" in "".join(row.mysql)]
    assert readers == ["collector"]
    assert f"`{settings.mysql.database}`.`fleet_fills`" in "".join(by_role["collector"].mysql)
    assert "exchange_accounts" in "".join(by_role["collector"].laravel)
    for sink in ("audit", "timescale"):
        (line,) = [line for _, line in by_role[sink].redis]
        assert "+xread" in line
        assert not {"+xadd", "+xtrim", "+del"} & set(line.split())
        stream = f"{settings.prefix}streams:{{cdc:0}}"
        keys = [word for word in shlex.split(line) if stream in word]
        assert keys == [f"%R~{stream}*", f"~{stream}:sinks", f"~{stream}:requests"]


def test_the_audit_log_of_another_server_is_granted_there(settings: Settings) -> None:
    assert not any(row.audit for row in grants(settings))
    elsewhere = settings.mysql.model_copy(update={"host": "archive", "database": "books"})
    changed = settings.model_copy(update={"audit_database": elsewhere})
    by_role = {row.role: row for row in grants(changed)}
    assert any("`books`.`fleet_change_log`" in line for line in by_role["audit"].audit)
    assert not any("fleet_change_log" in line for line in by_role["audit"].mysql)
    assert by_role["migrate"].audit[-1].startswith("GRANT SELECT")
    assert not by_role["streams"].audit
    assert "-- on the server of FLEET_AUDIT_URL:" in as_text(list(by_role.values()))


def test_an_old_redis_holds_no_change_stream() -> None:
    assert diagnosis.capture_version("r", GOOD_REDIS) == []
    old = diagnosis.capture_version("r", {**GOOD_REDIS, "redis_version": "6.2.14"})
    assert levels(old) == {"warn"}


def test_a_prefix_is_meant_letter_by_letter(settings: Settings) -> None:
    changed = settings.model_copy(update={"prefix": "a*[b]:", "broker_prefix": "a*[b]:fleet:"})
    lines = dict(next(row for row in grants(changed) if row.role == "relay").redis)
    assert r"~a\*\[b\]:streams:*" in lines[settings.redis.server]


def test_a_role_cannot_do_what_it_was_not_granted(mysql_connection: Any, redis_client: Any) -> None:
    with pytest.raises(NoPermissionError):
        redis_client.set("elsewhere", 1)
    with pytest.raises(NoPermissionError):
        redis_client.flushdb()
    with pytest.raises(Exception, match="denied"):
        mysql_connection.cursor().execute("DROP TABLE fleet_fills")
