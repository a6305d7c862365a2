"""Change capture: what is captured, what becomes of columns, and where it is kept."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from shared.cdc.selection import Keeping, refuse
from shared.endpoints import MYSQL_TLS, MySQLSettings, mysql_from_values, whole
from shared.errors import SettingsError

Values = Mapping[str, str | None]

CDC_NAMES = (
    "FLEET_AUDIT_MONTHS",
    "FLEET_AUDIT_URL",
    "FLEET_CDC_COLUMNS",
    "FLEET_CDC_HASH_KEY",
    "FLEET_CDC_HISTORY",
    "FLEET_CDC_SERVER_ID",
    "FLEET_CDC_SPILL_DIR",
    "FLEET_CDC_TABLES",
)
HASHES = frozenset({"collector", "cli", "rq"})
"""Roles that may hold FLEET_CDC_HASH_KEY: one hashes, the others compare with the source."""

DEFAULT_TABLES = "default"
SPILL_FOLDER = Path("/var/tmp")  # noqa: S108 - on disk, where /tmp is often memory
EVERY_TABLE = "*"
_TABLE = re.compile(r"[+-]?[A-Za-z0-9_$*]{1,64}")
_COLUMN = re.compile(r"[A-Za-z0-9_$]{1,64}\.[A-Za-z0-9_$]{1,64}")
_DAYS = re.compile(r"([1-9]\d{0,4})d", re.ASCII)
_KEEPINGS = ("keep", "drop", "hash")
_KEY_BYTES = 32
_HIGHEST_SERVER_ID = 2**32 - 1
_MONTHS_MOST = 1200


class CdcFields(BaseModel):
    """Fields of Settings.

    cdc_tables: as written, see `workers/cdc/tables.py`. cdc_columns: `table.column` -> keep, drop
    or hash. cdc_hash_key: destroying it makes every hash anonymous. audit_database None: our own
    schema. cdc_server_id None: `server_id_of(prefix)`. cdc_spill: transactions that are too large
    for memory. cdc_history: what TimescaleDB keeps, by table, `*` for all others; audit_months:
    whole months of the audit log. What is not set is kept for good.
    """

    cdc_tables: tuple[str, ...] = (DEFAULT_TABLES,)
    cdc_columns: Mapping[str, Keeping] = {}
    cdc_hash_key: SecretStr | None = None
    cdc_server_id: int | None = None
    cdc_spill: Path = SPILL_FOLDER
    cdc_history: Mapping[str, timedelta] = {}
    audit_database: MySQLSettings | None = None
    audit_months: int | None = None

    def history_of(self, table: str) -> timedelta | None:
        """How long TimescaleDB keeps the history of a table; None: for good."""
        return self.cdc_history.get(table, self.cdc_history.get(EVERY_TABLE))


def cdc_fields(values: Values, role: str) -> dict[str, Any]:
    """Raises SettingsError with the line that cures it."""
    key = values.get("FLEET_CDC_HASH_KEY")
    if key and len(key.encode()) < _KEY_BYTES:
        raise SettingsError(
            "FLEET_CDC_HASH_KEY is short enough to be guessed: write what "
            "`openssl rand -base64 32` prints, and keep it where it can be destroyed"
        )
    columns = parse_columns(values.get("FLEET_CDC_COLUMNS") or "")
    if not key and role == "collector" and "hash" in columns.values():
        raise SettingsError(
            "FLEET_CDC_COLUMNS hashes a column: write FLEET_CDC_HASH_KEY=..., which "
            "`openssl rand -base64 32` prints"
        )
    server_id = values.get("FLEET_CDC_SERVER_ID")
    months = values.get("FLEET_AUDIT_MONTHS")
    return {
        "cdc_tables": parse_tables(values.get("FLEET_CDC_TABLES") or DEFAULT_TABLES),
        "cdc_columns": columns,
        "cdc_hash_key": SecretStr(key) if key else None,
        "cdc_server_id": whole("FLEET_CDC_SERVER_ID", server_id, 1, _HIGHEST_SERVER_ID)
        if server_id
        else None,
        "cdc_spill": Path(values.get("FLEET_CDC_SPILL_DIR") or SPILL_FOLDER),
        "cdc_history": parse_history(values.get("FLEET_CDC_HISTORY") or ""),
        "audit_database": _audit(values),
        "audit_months": whole("FLEET_AUDIT_MONTHS", months, 1, _MONTHS_MOST) if months else None,
    }


def parse_tables(text: str) -> tuple[str, ...]:
    """`default,+users,-fleet_signals`, or a plain list, which stands for itself."""
    items = tuple(item.strip() for item in text.split(",") if item.strip())
    for item in items:
        if not _TABLE.fullmatch(item):
            raise SettingsError(
                f"FLEET_CDC_TABLES: {item!r} is no name of a table; write names with commas, "
                "without a schema: default,+users,-fleet_signals"
            )
        if not item.startswith("-") and item != DEFAULT_TABLES:
            refuse(item.removeprefix("+"))
    signed = [item for item in items if item[0] in "+-"]
    if signed and DEFAULT_TABLES not in items and len(signed) < len(items):
        raise SettingsError(
            "FLEET_CDC_TABLES: write a list of tables, or what is added to and taken from the "
            "default: default,+users,-fleet_signals"
        )
    return items or (DEFAULT_TABLES,)


def parse_columns(text: str) -> dict[str, Keeping]:
    """`users.email=hash,users.phone=drop`; `keep` for a column whose name sounds like a secret."""
    found: dict[str, Keeping] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, keeping = (part.strip() for part in item.partition("="))
        if not _COLUMN.fullmatch(name) or keeping not in _KEEPINGS or name in found:
            raise SettingsError(
                f"FLEET_CDC_COLUMNS: {item!r}; write each column once with keep, drop or hash: "
                "users.email=hash,users.phone=drop"
            )
        found[name] = cast("Keeping", keeping)
    return found


def parse_history(text: str) -> dict[str, timedelta]:
    """`730d` for every table, `fleet_signals=90d` for one; with commas."""
    found: dict[str, timedelta] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, span = (part.strip() for part in item.rpartition("="))
        table = name if equals else EVERY_TABLE
        days = _DAYS.fullmatch(span)
        if not days or not table or table in found or (equals and not _TABLE.fullmatch(table)):
            raise SettingsError(f"FLEET_CDC_HISTORY: {item!r}; write 730d or fleet_signals=90d")
        found[table] = timedelta(days=int(days[1]))
    return found


def server_id_of(prefix: str) -> int:
    """Of a fleet that names none: the same at every start, and high, where people seldom count."""
    return 2**31 | zlib.crc32(f"collector {prefix}".encode()) >> 1


def _audit(values: Values) -> MySQLSettings | None:
    """The schema of the audit log. Nothing of Laravel's DB_* counts, but the files of its TLS."""
    text = values.get("FLEET_AUDIT_URL")
    if not text:
        return None
    wanted = "FLEET_AUDIT_URL: write mysql://user:password@host:3306/schema"
    try:
        url = urlsplit(text)
        port = url.port or 3306
    except ValueError:
        raise SettingsError(wanted) from None
    if url.scheme not in {"mysql", "mariadb"} or not url.username or not url.path.strip("/"):
        raise SettingsError(wanted)
    return mysql_from_values(
        {
            "DB_URL": text,
            "DB_PORT": str(port),
            **{name: values.get(name) for name in MYSQL_TLS},
        }
    )
