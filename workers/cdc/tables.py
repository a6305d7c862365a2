"""What is captured: one row per table of the default, and how the settings change it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from shared.cdc.selection import (
    BY_NAME_ONLY,
    Keeping,
    Schemas,
    Selection,
    is_ours,
    never_captured,
)
from shared.mysql.connection import Connection
from shared.mysql.schema import SOURCES_TABLE, SOURCES_VIEW
from shared.settings import Settings
from shared.settings_cdc import DEFAULT_TABLES

AuditKeeps = Literal["full", "hash"]


class Captured(NamedTuple):
    """audit: `hash` where rows never change, so that the audit log needs no second copy of them:
    it keeps their key and the SHA-256 of the row. dropped: columns that stay at the source.
    """

    table: str
    audit: AuditKeeps = "full"
    dropped: tuple[str, ...] = ()


_PAYLOAD = ("fields", "data")

TABLES: Sequence[Captured] = (
    Captured("fleet_fills", audit="hash"),
    Captured("fleet_cash_entries", audit="hash"),
    Captured("fleet_positions"),
    Captured("fleet_pnl_daily"),
    Captured("fleet_orders"),
    Captured("fleet_signals"),
    Captured("fleet_account_state"),
    Captured("fleet_breaks"),
    Captured("fleet_closed_days"),
    Captured("fleet_restatements"),
    Captured("fleet_account_owners"),
    Captured("fleet_instruments"),
    Captured("fleet_position_modes"),
    Captured("fleet_position_entries"),
    Captured("fleet_parked", dropped=_PAYLOAD),
)
_BY_NAME = {row.table: row for row in TABLES}

# Columns of fleet_account_sources: what stands behind them opens accounts, or may.
SECRET_COLUMNS = ("api_key", "api_secret", "passphrase", "settings")


class AccountsSource(NamedTuple):
    """Laravel's table of accounts. table None: what stands behind the view cannot be captured by
    default, and why says so. secrets: its columns that hold credentials.
    """

    table: str | None
    secrets: tuple[str, ...]
    why: str = ""


DEFAULT_ACCOUNTS = AccountsSource(SOURCES_TABLE, SECRET_COLUMNS)

_BEHIND = re.compile(r"(?:\bfrom|\bjoin|,)\s*\(*`([^`]+)`\.`([^`]+)`(?!\.)", re.IGNORECASE)
_FROM = re.compile(r"\bfrom\b", re.IGNORECASE)
_PLAIN = re.compile(r"(?:`[^`]+`\.){0,2}`([^`]+)`")
_LITERAL = re.compile(r"'[^']*'|\d+|null", re.IGNORECASE)


def audit_keeps(table: str) -> AuditKeeps:
    """What the audit log keeps of a captured table."""
    row = _BY_NAME.get(table)
    return row.audit if row else "full"


def select(settings: Settings, connection: Connection) -> Selection:
    """What this fleet captures. Asks what stands behind the view of accounts."""
    return selection(settings, accounts_source(connection, settings.mysql.laravel_database))


def selection(settings: Settings, accounts: AccountsSource = DEFAULT_ACCOUNTS) -> Selection:
    """Pure. Raises SettingsError for what may not be captured."""
    columns: dict[str, Keeping] = {
        f"{row.table}.{column}": "drop" for row in TABLES for column in row.dropped
    }
    columns |= {f"{accounts.table}.{column}": "drop" for column in accounts.secrets}
    columns |= settings.cdc_columns
    key = settings.cdc_hash_key
    return Selection(
        Schemas(settings.mysql.database, settings.mysql.laravel_database),
        chosen(settings.cdc_tables, accounts.table),
        columns,
        key.get_secret_value().encode() if key else None,
    )


def chosen(written: Sequence[str], accounts: str | None = SOURCES_TABLE) -> tuple[str, ...]:
    """Names and patterns after FLEET_CDC_TABLES: the default, with what is added and taken away."""
    names: dict[str, None] = {}
    if DEFAULT_TABLES in written or all(item[0] in "+-" for item in written):
        names = dict.fromkeys(_BY_NAME)
        names |= dict.fromkeys(filter(None, [accounts]))
    taken = [item[1:] for item in written if item.startswith("-")]
    for item in written:
        if item != DEFAULT_TABLES and not item.startswith("-"):
            names[item.removeprefix("+")] = None
    return tuple(
        name for name in names if not any(fnmatchcase(name, pattern) for pattern in taken)
    )


def readable(written: Sequence[str], ours: Sequence[str]) -> tuple[str, ...]:
    """Names for grants: patterns become those of our tables that they mean."""
    found: dict[str, None] = {}
    for name in chosen(written):
        meant = (
            one
            for one in ours
            if fnmatchcase(one, name) and not never_captured(one) and one not in BY_NAME_ONLY
        )
        found |= dict.fromkeys(meant if "*" in name else (name,))
    return tuple(sorted(found, key=lambda name: (not is_ours(name), name)))


def accounts_source(connection: Connection, laravel_database: str) -> AccountsSource:
    """What stands behind fleet_account_sources; the default where nothing does yet."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT view_definition FROM information_schema.views"
        " WHERE table_schema = DATABASE() AND table_name = %s",
        (SOURCES_VIEW,),
    )
    row = cursor.fetchone()
    connection.commit()
    return behind(str(row[0] or "") if row else "", laravel_database)


def behind(definition: str, laravel_database: str) -> AccountsSource:
    """Of the view's text, as the server writes it.

    An operator's own view may rename columns or compute them. Where it cannot be told which columns
    hold credentials, the table is not captured unless somebody says what becomes of them.
    """
    _, *rest = _FROM.split(definition, maxsplit=1)
    found = set(_BEHIND.findall(f"from {rest[0]}")) if rest else set()
    if not found:
        return DEFAULT_ACCOUNTS
    cure = (
        "write FLEET_CDC_TABLES=default,+TABLE, and in FLEET_CDC_COLUMNS drop for each of its "
        "columns that holds credentials"
    )
    schemas = {schema for schema, _ in found}
    if len(found) > 1 or schemas != {laravel_database}:
        said = ", ".join(sorted(f"{schema}.{table}" for schema, table in found))
        return AccountsSource(None, (), f"{SOURCES_VIEW} reads {said}: {cure}")
    table = found.pop()[1]
    secrets = []
    for column in SECRET_COLUMNS:
        shown = re.search(rf"(\S+) AS `{column}`", definition, re.IGNORECASE)
        if shown is None or _LITERAL.fullmatch(shown[1].rpartition(",")[2]):
            continue  # no column of the table
        plain = _PLAIN.fullmatch(shown[1].rpartition(",")[2])
        if plain is None:
            return AccountsSource(None, (), f"{SOURCES_VIEW} computes {column}: {cure}")
        secrets.append(plain[1])
    return AccountsSource(table, tuple(dict.fromkeys((*secrets, *SECRET_COLUMNS))))
