from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.settings import ROLES, Settings, load
from shared.settings_cdc import (
    HASHES,
    parse_columns,
    parse_history,
    parse_tables,
    server_id_of,
)

MINIMAL = {
    "APP_NAME": "Trade Desk",
    "DB_DATABASE": "desk",
    "DB_USERNAME": "desk",
    "DB_PASSWORD": "s3cret",
    "FLEET_DB_DATABASE": "fleet",
    "REDIS_PREFIX": "trade_desk_database_",
}
KEY = "k" * 44
OTHERS = sorted(set(ROLES) - HASHES)


class Desk:
    """An env file of its own, and load() over it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / ".env"

    def load(self, role: str, **lines: str) -> Settings:
        text = "".join(f'{name}="{value}"\n' for name, value in (MINIMAL | lines).items())
        self.file.write_text(text, encoding="utf-8")
        return load(role, {"FLEET_ENV_FILE": str(self.file)})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_defaults(desk: Desk) -> None:
    settings = desk.load("collector")
    assert settings.cdc_tables == ("default",)
    assert settings.cdc_columns == {}
    assert settings.cdc_hash_key is None
    assert settings.cdc_server_id is None
    assert settings.audit == settings.mysql
    assert settings.audit_months is None
    assert settings.history_of("fleet_fills") is None
    assert settings.cdc_spill.is_dir()


def test_the_audit_log_may_be_on_another_server(desk: Desk) -> None:
    settings = desk.load("audit", FLEET_AUDIT_URL="mysql://keeper:p%40ss@archive:3307/books")
    audit = settings.audit
    assert (audit.host, audit.port, audit.user, audit.database) == (
        "archive",
        3307,
        "keeper",
        "books",
    )
    assert audit.password.get_secret_value() == "p@ss"
    assert settings.mysql.database == "fleet"
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["archive/books", "postgresql://u:p@h/b", "mysql://h/b", "mysql://u:p@h", "mysql://u@h:x/b"]
)
def test_a_url_that_is_none_says_how_it_is_written(desk: Desk, url: str) -> None:
    with pytest.raises(SettingsError, match="FLEET_AUDIT_URL: write mysql://user"):
        desk.load("audit", FLEET_AUDIT_URL=url)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("default", ("default",)),
        (" default , +users ", ("default", "+users")),
        ("+users,-fleet_s*", ("+users", "-fleet_s*")),
        ("fleet_fills, users", ("fleet_fills", "users")),
        ("-fleet_change_log", ("-fleet_change_log",)),
        (",", ("default",)),
    ],
)
def test_tables_are_names_with_commas(text: str, names: tuple[str, ...]) -> None:
    assert parse_tables(text) == names


@pytest.mark.parametrize("text", ["desk.users", "users;", "+", "use rs", "fleet_fills,+users"])
def test_what_is_no_list_of_tables_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="FLEET_CDC_TABLES"):
        parse_tables(text)


@pytest.mark.parametrize("text", ["+fleet_change_log", "fleet_cdc_heartbeat", "default,+*"])
def test_what_may_not_be_captured_is_refused_at_the_start_of_every_role(
    desk: Desk, text: str
) -> None:
    for role in ("collector", "streams"):
        with pytest.raises(SettingsError, match="FLEET_CDC_TABLES"):
            desk.load(role, FLEET_CDC_TABLES=text)


def test_columns_are_kept_dropped_or_hashed() -> None:
    found = parse_columns("users.email=hash, users.phone = drop,users.api_key=keep")
    assert found == {"users.email": "hash", "users.phone": "drop", "users.api_key": "keep"}
    assert parse_columns("") == {}
    wrong = ("email=hash", "users.email", "users.email=mask", "a.b=drop,a.b=hash", "a.b.c=drop")
    for text in wrong:
        with pytest.raises(SettingsError, match="FLEET_CDC_COLUMNS"):
            parse_columns(text)


def test_hashing_without_a_key_is_refused_where_it_is_done(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="FLEET_CDC_HASH_KEY"):
        desk.load("collector", FLEET_CDC_COLUMNS="users.email=hash")
    assert desk.load("audit", FLEET_CDC_COLUMNS="users.email=hash").cdc_hash_key is None


def test_a_short_key_is_refused(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="openssl rand"):
        desk.load("collector", FLEET_CDC_HASH_KEY="secret")


@pytest.mark.parametrize("role", OTHERS)
def test_the_key_of_hashes_is_not_held_by_a_role_that_hashes_nothing(desk: Desk, role: str) -> None:
    settings = desk.load(role, FLEET_CDC_HASH_KEY=KEY, FLEET_CDC_COLUMNS="users.email=hash")
    assert settings.cdc_hash_key is None


@pytest.mark.parametrize("role", sorted(HASHES))
def test_the_key_of_hashes_is_held_and_never_shown(desk: Desk, role: str) -> None:
    settings = desk.load(role, FLEET_CDC_HASH_KEY=KEY)
    assert settings.cdc_hash_key is not None
    assert settings.cdc_hash_key.get_secret_value() == KEY
    assert KEY not in repr(settings)


def test_history_is_kept_by_table() -> None:
    assert parse_history("730d, fleet_signals=90d") == {
        "*": timedelta(days=730),
        "fleet_signals": timedelta(days=90),
    }
    for text in ("730", "90h", "fleet_signals=", "=90d", "90d,30d", "0d"):
        with pytest.raises(SettingsError, match="FLEET_CDC_HISTORY"):
            parse_history(text)


def test_history_of_a_table_that_is_not_named_is_that_of_all_others(desk: Desk) -> None:
    settings = desk.load("timescale", FLEET_CDC_HISTORY="730d,fleet_signals=90d")
    assert settings.history_of("fleet_signals") == timedelta(days=90)
    assert settings.history_of("fleet_fills") == timedelta(days=730)


def test_whole_numbers_have_bounds(desk: Desk) -> None:
    settings = desk.load("collector", FLEET_CDC_SERVER_ID="4294967295", FLEET_AUDIT_MONTHS="84")
    assert (settings.cdc_server_id, settings.audit_months) == (4294967295, 84)
    for name, text in (
        ("FLEET_CDC_SERVER_ID", "0"),
        ("FLEET_CDC_SERVER_ID", "4294967296"),
        ("FLEET_AUDIT_MONTHS", "0"),
    ):
        with pytest.raises(SettingsError, match=name):
            desk.load("collector", **{name: text})


def test_a_fleet_has_its_own_server_id_and_always_the_same() -> None:
    found = server_id_of("trade_desk_database_")
    assert found == server_id_of("trade_desk_database_")
    assert found != server_id_of("trade_desk_database")
    assert 2**31 <= found < 2**32
