"""What a fleet captures, by its settings and by what stands behind Laravel's accounts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from workers.cdc.tables import (
    DEFAULT_ACCOUNTS,
    SECRET_COLUMNS,
    TABLES,
    accounts_source,
    audit_keeps,
    behind,
    chosen,
    readable,
    select,
    selection,
)

DEFAULT = {row.table for row in TABLES} | {"exchange_accounts"}
COLUMNS = "select `d`.`accounts`.`id` AS `id`,`d`.`accounts`.`cred` AS `api_key`,"


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (("default",), DEFAULT),
        (("default", "+users"), DEFAULT | {"users"}),
        (("default", "users"), DEFAULT | {"users"}),
        (("+users",), DEFAULT | {"users"}),
        (
            ("-fleet_pos*", "-exchange_accounts"),
            {name for name in DEFAULT if not name.startswith(("fleet_pos", "exchange"))},
        ),
        (("fleet_fills", "users"), {"fleet_fills", "users"}),
        (("fleet_sync*",), {"fleet_sync*"}),
    ],
)
def test_the_default_is_added_to_and_taken_from(written: tuple[str, ...], names: set[str]) -> None:
    assert set(chosen(written)) == names


def test_grants_name_the_tables_that_a_pattern_means() -> None:
    ours = ("fleet_syncs", "fleet_sync_accounts", "fleet_fills", "fleet_cdc_shapes", "fleet_outbox")
    syncs = ("fleet_sync_accounts", "fleet_syncs")
    assert readable(("fleet_sync*", "users"), ours) == (*syncs, "users")
    assert readable(("fleet_*",), ours) == ("fleet_fills", *syncs)


def test_rows_that_never_change_are_audited_by_their_hash() -> None:
    assert {row.table for row in TABLES if row.audit == "hash"} == {
        "fleet_fills",
        "fleet_cash_entries",
    }
    assert audit_keeps("fleet_fills") == "hash"
    assert audit_keeps("fleet_positions") == audit_keeps("users") == "full"


def test_credentials_and_payloads_stay_at_the_source(settings: Settings) -> None:
    found = selection(settings)
    laravel, fleet = settings.mysql.laravel_database, settings.mysql.database
    names = ("id", "user_id", *SECRET_COLUMNS)
    assert found.columns(laravel, "exchange_accounts", names) == (
        "keep",
        "keep",
        *("drop" for _ in SECRET_COLUMNS),
    )
    assert found.columns(fleet, "fleet_parked", ("reason", "data", "fields")) == (
        "keep",
        "drop",
        "drop",
    )
    named = settings.model_copy(update={"cdc_columns": {"exchange_accounts.settings": "keep"}})
    kept = selection(named).columns(laravel, "exchange_accounts", ("settings", "api_key"))
    assert kept == ("keep", "drop")


def test_a_view_over_another_table_says_which_columns_hold_credentials() -> None:
    found = behind(f"{COLUMNS}'' AS `passphrase` from `d`.`accounts`", "d")
    assert found.table == "accounts"
    assert "cred" in found.secrets
    assert "" not in found.secrets


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (f"{COLUMNS}1 AS `active` from (`d`.`accounts` join `d`.`users` `u` on(1))", "d.users"),
        (f"{COLUMNS}1 AS `active` from `elsewhere`.`accounts`", "elsewhere.accounts"),
        (
            "select json_value(`d`.`accounts`.`keys`,'$.a') AS `api_key` from `d`.`accounts`",
            "computes api_key",
        ),
    ],
)
def test_a_view_that_hides_where_credentials_are_is_not_captured(definition: str, why: str) -> None:
    found = behind(definition, "d")
    assert found.table is None
    assert why in found.why
    assert "FLEET_CDC_TABLES" in found.why


@pytest.mark.database
def test_what_stands_behind_the_view_is_found_with_the_collectors_own_rights(
    settings_for: Callable[..., Settings], mysql_root: MySQLSettings, fleet_schema: str
) -> None:
    settings = settings_for("collector")
    laravel = settings.mysql.laravel_database
    with closing(connect(settings.mysql)) as connection:
        assert accounts_source(connection, laravel) == DEFAULT_ACCOUNTS
        assert select(settings, connection).interest(laravel, "exchange_accounts") == "captured"
    with closing(connect(mysql_root, fleet_schema)) as root:
        cursor = root.cursor()
        before = _definition(cursor)
        own = f"SELECT id, venue, product AS api_key FROM {laravel}.exchange_accounts"  # noqa: S608
        replace = "CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_account_sources AS"
        cursor.execute(f"{replace} {own}")
        try:
            with closing(connect(settings.mysql)) as connection:
                found = accounts_source(connection, laravel)
        finally:
            cursor.execute(f"{replace} {before}")
        assert found.table == "exchange_accounts"
        assert found.secrets[0] == "product"


def _definition(cursor: Any) -> str:
    cursor.execute(
        "SELECT view_definition FROM information_schema.views"
        " WHERE table_schema = DATABASE() AND table_name = 'fleet_account_sources'"
    )
    (text,) = cursor.fetchone()
    return str(text)
