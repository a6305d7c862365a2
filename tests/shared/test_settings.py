from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from shared.errors import SettingsError
from shared.settings import (
    DECRYPTS,
    ROLES,
    WITHOUT_MYSQL,
    Settings,
    load,
)
from shared.settings_streams import RedisBudget, parse_budget, parse_retention

MINIMAL = {
    "APP_NAME": "Trade Desk",
    "DB_DATABASE": "desk",
    "DB_USERNAME": "desk",
    "REDIS_PREFIX": "trade_desk_database_",
}


class Desk:
    """An env file of its own, and load() over it with a chosen environment."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / ".env"

    def load(
        self,
        role: str = "cli",
        lines: str = "",
        exists: Callable[[str], bool] | None = None,
        **environ: str,
    ) -> Settings:
        self.file.write_text(lines, encoding="utf-8")
        return load(role, {"FLEET_ENV_FILE": str(self.file)} | environ, exists)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def lines(**more: str) -> str:
    return "".join(f'{name}="{value}"\n' for name, value in (MINIMAL | more).items())


def without(*names: str) -> str:
    return "".join(f'{k}="{v}"\n' for k, v in MINIMAL.items() if k not in names)


def test_defaults_are_the_contracts(desk: Desk) -> None:
    settings = desk.load(lines=lines())
    assert settings.mysql.server == "127.0.0.1:3306"
    assert (settings.mysql.laravel_database, settings.mysql.database) == ("desk", "desk")
    assert (settings.redis.server, settings.redis.database) == ("127.0.0.1:6379", 0)
    assert settings.streams_redis == settings.redis
    assert settings.broker == settings.redis.at(2)
    assert settings.broker_prefix == "trade_desk_database_fleet:"
    assert settings.horizon_prefix == "trade_desk_horizon:"
    assert settings.redis_budget == RedisBudget(Decimal("0.25"), None)
    assert settings.partitions == 32
    assert settings.stream_retention == timedelta(hours=24)
    assert settings.queues == ("fleet",)
    assert settings.laravel_connection == "redis"
    assert settings.events_queue == "fleet-events"
    assert settings.horizon == "jobs"
    assert settings.metrics_port == 9540
    assert settings.timescale_url is None
    assert settings.app_env == "production"
    assert settings.queue.retry_after == 90
    assert settings.cache.redis.database == 1


def test_the_environment_wins_over_the_file(desk: Desk) -> None:
    settings = desk.load(lines=lines(DB_HOST="file", FLEET_PARTITIONS="8"), DB_HOST="env")
    assert settings.mysql.host == "env"
    assert settings.partitions == 8


def test_laravels_export_wins_over_the_file_and_the_difference_is_noted(
    desk: Desk, tmp_path: Path
) -> None:
    export = {"format": 1, "values": {"REDIS_PREFIX": "own-", "DB_HOST": "x", "REDIS_DB": 3}}
    (tmp_path / "fleet.laravel.json").write_text(json.dumps(export), encoding="utf-8")
    settings = desk.load(lines=lines(DB_HOST="y"), REDIS_DB="4")
    assert settings.prefix == "own-"
    assert settings.mysql.host == "x"
    assert settings.redis.database == 4
    assert [note.split()[0] for note in settings.notes] == ["DB_HOST", "REDIS_PREFIX"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 2, "values": {}}', '{"format": 1, "values": {"A": [1]}}']
)
def test_a_broken_export_refuses_to_start(desk: Desk, tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.laravel.json").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"fleet\.laravel\.json"):
        desk.load(lines=lines())


def test_a_named_env_file_must_exist_and_the_default_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load("cli", {"FLEET_ENV_FILE": str(tmp_path / "absent")} | MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert load("cli", MINIMAL).app_name == "Trade Desk"


@pytest.mark.parametrize("role", ROLES)
def test_only_roles_that_decrypt_hold_the_master_key(desk: Desk, role: str) -> None:
    settings = desk.load(role, lines(APP_PREVIOUS_KEYS="base64:old,base64:older"), APP_KEY="k")
    held = settings.app_key is not None
    assert held == (role in DECRYPTS)
    assert len(settings.app_previous_keys) == (2 if held else 0)


def test_a_role_that_does_not_decrypt_does_not_open_the_key_file(desk: Desk) -> None:
    assert desk.load("relay", lines(), APP_KEY_FILE="/nonexistent").app_key is None
    with pytest.raises(SettingsError, match="APP_KEY_FILE"):
        desk.load("jobs", lines(), APP_KEY_FILE="/nonexistent")


def test_secrets_may_come_from_files(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter 2\n", encoding="utf-8")
    settings = desk.load(lines=lines(DB_PASSWORD="x"), DB_PASSWORD_FILE=str(tmp_path / "secret"))
    assert settings.mysql.password.get_secret_value() == "hunter 2"
    with pytest.raises(SettingsError, match="keep one"):
        desk.load(lines=lines(), DB_PASSWORD="a", DB_PASSWORD_FILE="b")


def test_no_secret_shows(desk: Desk) -> None:
    settings = desk.load(
        "jobs",
        lines(APP_KEY="hunter1", DB_PASSWORD="hunter2", REDIS_PASSWORD="hunter3"),
        FLEET_TIMESCALE_URL="postgresql://u:hunter4@h/d",
        FLEET_BROKER_URL="redis://:hunter5@h/2",
        SENTRY_DSN="https://hunter6@h/1",
    )
    shown = f"{settings!r} {settings} {settings.mysql!r} {settings.broker.url()!r}"
    shown += settings.model_dump_json()
    assert "hunter" not in shown
    assert settings.broker.url().get_secret_value() == "redis://:hunter5@h:6379/2"


def test_settings_are_frozen(desk: Desk) -> None:
    with pytest.raises(ValidationError):
        desk.load(lines=lines()).partitions = 3  # type: ignore[misc]


@pytest.mark.parametrize("word", ["null", "(null)", "NULL", "empty", "(empty)", ""])
def test_laravels_literals(desk: Desk, word: str) -> None:
    settings = desk.load(lines=lines(REDIS_PASSWORD=word), REDIS_PREFIX=word)
    assert settings.redis.password is None
    assert settings.prefix == ""
    assert settings.broker_prefix == "fleet:"


class TestPrefix:
    def test_asks_redis_when_nobody_wrote_it(self, desk: Desk) -> None:
        settings = desk.load(lines=without("REDIS_PREFIX"), exists=lambda p: "-" in p)
        assert settings.prefix == "trade-desk-database-"

    def test_stays_ambiguous_refuses_and_names_the_lines(self, desk: Desk) -> None:
        with pytest.raises(SettingsError) as caught:
            desk.load(lines=without("REDIS_PREFIX"), exists=lambda _: False)
        assert "REDIS_PREFIX=trade_desk_database_" in str(caught.value)
        assert "REDIS_PREFIX=trade-desk-database-" in str(caught.value)

    def test_app_name_is_laravel_when_absent(self, desk: Desk) -> None:
        settings = desk.load(
            lines=without("REDIS_PREFIX", "APP_NAME"), exists=lambda p: p.endswith("_")
        )
        assert settings.prefix == "laravel_database_"

    def test_a_name_without_letters_gives_a_bare_prefix(self, desk: Desk) -> None:
        settings = desk.load(
            lines=without("REDIS_PREFIX"), exists=lambda p: p.endswith("_"), APP_NAME="日本語"
        )
        assert settings.prefix == "_database_"
        assert settings.horizon_prefix == "_horizon:"

    def test_an_uncertain_slug_is_asked_for(self, desk: Desk) -> None:
        with pytest.raises(SettingsError, match="REDIS_PREFIX="):
            desk.load(lines=without("REDIS_PREFIX"), exists=lambda _: True, APP_NAME="Αγορά")


class TestMySQL:
    def test_a_url_overrides_the_parts(self, desk: Desk) -> None:
        url = "mysql://al%40b:p%2Fw@db:3307/other"
        mysql = desk.load(lines=lines(DB_HOST="x"), DATABASE_URL=url, DB_URL=url).mysql
        assert (mysql.host, mysql.port, mysql.user) == ("db", 3307, "al@b")
        assert mysql.password.get_secret_value() == "p/w"
        assert (mysql.laravel_database, mysql.database) == ("other", "other")

    def test_socket_ssl_and_own_schema(self, desk: Desk) -> None:
        mysql = desk.load(
            lines=lines(DB_SOCKET="/run/m.sock", MYSQL_ATTR_SSL_CA="/ca", FLEET_DB_DATABASE="fleet")
        ).mysql
        assert (mysql.server, mysql.ssl_ca) == ("/run/m.sock", "/ca")
        assert (mysql.laravel_database, mysql.database) == ("desk", "fleet")

    @pytest.mark.parametrize(
        ("more", "cure"),
        [
            ({"DB_CONNECTION": "sqlite"}, "DB_CONNECTION=mysql"),
            ({"DB_PORT": "x"}, "DB_PORT"),
            ({"DB_URL": "mysql://a/b", "DATABASE_URL": "mysql://a/c"}, "keep"),
            ({"DB_URL": "pgsql://a/b"}, "mysql://"),
            ({"DB_URL": "mysql://u:p#1@a/b"}, "DB_URL"),
            ({"DB_DATABASE": ""}, "DB_DATABASE="),
            ({"DB_USERNAME": "null"}, "DB_USERNAME="),
        ],
    )
    def test_refuses_and_says_what_to_write(
        self, desk: Desk, more: dict[str, str], cure: str
    ) -> None:
        with pytest.raises(SettingsError, match=cure):
            desk.load(lines=lines(**more))

    @pytest.mark.parametrize("role", sorted(WITHOUT_MYSQL))
    def test_roles_without_mysql_start_without_it(self, desk: Desk, role: str) -> None:
        settings = desk.load(role, without("DB_DATABASE", "DB_USERNAME"))
        with pytest.raises(SettingsError, match="DB_"):
            _ = settings.mysql


class TestRedis:
    def test_parts(self, desk: Desk) -> None:
        redis = desk.load(
            lines=lines(
                REDIS_HOST="tls://r", REDIS_PORT="7", REDIS_USERNAME="u", REDIS_PASSWORD="p"
            )
        ).redis
        assert (redis.server, redis.tls, redis.username) == ("r:7", True, "u")
        assert redis.password == SecretStr("p")
        assert redis.url().get_secret_value() == "rediss://u:p@r:7/0"

    @pytest.mark.parametrize("host", ["/run/redis.sock", "unix:///run/redis.sock"])
    def test_socket(self, desk: Desk, host: str) -> None:
        redis = desk.load(lines=lines(REDIS_HOST=host, REDIS_PORT="0")).redis
        assert (redis.socket, redis.server) == ("/run/redis.sock", "/run/redis.sock")

    def test_a_url_overrides_the_parts_for_queues_and_cache(self, desk: Desk) -> None:
        settings = desk.load(
            lines=lines(REDIS_HOST="x", REDIS_PASSWORD="kept", REDIS_URL="rediss://r:7")
        )
        assert (settings.redis.server, settings.redis.tls) == ("r:7", True)
        assert settings.redis.password == SecretStr("kept")
        assert (settings.redis.database, settings.cache.redis.database) == (0, 1)

    def test_own_servers(self, desk: Desk) -> None:
        settings = desk.load(
            lines=lines(),
            FLEET_STREAMS_REDIS_URL="redis://s:1/5",
            FLEET_BROKER_URL="unix:///b.sock?db=6",
            FLEET_BROKER_PREFIX="",
        )
        assert (settings.streams_redis.server, settings.streams_redis.database) == ("s:1", 5)
        assert (settings.broker.socket, settings.broker.database) == ("/b.sock", 6)
        assert settings.broker_prefix == ""

    @pytest.mark.parametrize(
        ("more", "cure"),
        [
            ({"REDIS_DB": "x"}, "REDIS_DB"),
            ({"REDIS_HOST": "http://x"}, "REDIS_HOST"),
            ({"REDIS_URL": "x"}, "REDIS_URL"),
            ({"REDIS_URL": "redis://h/x"}, "REDIS_URL"),
            ({"REDIS_CLIENT": "other"}, "phpredis"),
            ({"REDIS_CACHE_DB": "2"}, "FLEET_BROKER_URL=redis"),
            ({"FLEET_BROKER_URL": "redis://127.0.0.1/1"}, "FLEET_BROKER_URL=redis"),
            ({"FLEET_STREAMS_REDIS_URL": "redis://127.0.0.1/1"}, "FLEET_STREAMS_REDIS_URL=redis"),
        ],
    )
    def test_refuses_and_says_what_to_write(
        self, desk: Desk, more: dict[str, str], cure: str
    ) -> None:
        with pytest.raises(SettingsError, match=cure):
            desk.load(lines=lines(**more))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLEET_PARTITIONS", "0"),
        ("FLEET_PARTITIONS", "many"),
        ("FLEET_PARTITIONS", "-1"),
        ("FLEET_PARTITIONS", "²"),
        ("FLEET_STREAM_RETENTION", "soon"),
        ("FLEET_STREAM_RETENTION", "0"),
        ("FLEET_REDIS_BUDGET", "lots"),
        ("FLEET_REDIS_BUDGET", "101%"),
        ("FLEET_REDIS_BUDGET", "0"),
        ("FLEET_QUEUES", "a b"),
        ("FLEET_QUEUES", "a,a"),
        ("FLEET_QUEUES", "a,,b"),
        ("FLEET_EVENTS_QUEUE", "a,b"),
        ("FLEET_HORIZON", "yes"),
        ("FLEET_METRICS_PORT", "70000"),
        ("FLEET_TIMESCALE_URL", "mysql://x"),
        ("FLEET_EXCHANGE_URL", "127.0.0.1:9650"),
        ("FLEET_EXCHANGE_URL", "http://127.0.0.1:9650/fapi"),
        ("FLEET_EXCHANGE_URL", "http://127.0.0.1:port"),
        ("FLEET_EXCHANGE_URL", "https://user:secret@exchange.example"),
        ("FLEET_EGRESS", "192.0.2.1"),
        ("FLEET_EGRESS", "a=192.0.2.1,a=192.0.2.2"),
        ("FLEET_EGRESS", "a b=192.0.2.1"),
        ("FLEET_ALLOW_WITHDRAW_KEYS", "yes"),
        ("FLEET_ORDER_SHARE", "1"),
        ("FLEET_ORDER_SHARE", "10%"),
    ],
)
def test_a_malformed_value_names_its_setting(desk: Desk, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: write"):
        desk.load(lines=lines(**{name: value}))


def test_a_misspelt_name_is_refused_with_the_right_one(desk: Desk) -> None:
    with pytest.raises(SettingsError, match=r"FLEET_PARTITION is no setting.*FLEET_PARTITIONS"):
        desk.load(lines=lines(), FLEET_PARTITION="8")


def test_names_of_a_process_are_no_misspelling(desk: Desk) -> None:
    assert desk.load(lines=lines(FLEET_LOG_LEVEL="debug"), FLEET_ROLE="cli").role == "cli"


def test_an_unknown_role_is_refused(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="streams"):
        desk.load("stream", lines())


def test_queues_and_horizon(desk: Desk) -> None:
    settings = desk.load(lines=lines(FLEET_QUEUES="fleet, reports", FLEET_HORIZON="false"))
    assert settings.queues == ("fleet", "reports")
    assert settings.horizon == "off"


@pytest.mark.parametrize(
    ("text", "maxmemory", "limit"),
    [
        ("25%", 1000, 250),
        ("12.5 %", 1000, 125),
        ("25%", 0, None),
        ("512mb", 0, 512 * 2**20),
        ("2G", 1, 2 * 10**9),
        ("1024", 0, 1024),
    ],
)
def test_budget(text: str, maxmemory: int, limit: int | None) -> None:
    assert parse_budget(text).limit(maxmemory) == limit


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86_400), ("90m", 5400), ("3600", 3600), ("7d", 604_800)]
)
def test_retention(text: str, seconds: int) -> None:
    assert parse_retention(text) == timedelta(seconds=seconds)


@given(st.text())
def test_any_text_is_a_value_or_a_settings_error(text: str) -> None:
    for parse in (parse_budget, parse_retention):
        try:
            parse(text)
        except SettingsError as error:
            assert "write" in str(error)  # noqa: PT017 - the message is the point
