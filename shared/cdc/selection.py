"""Which tables and columns are captured, as everybody asks it: the log's reader, snapshots, proof.

An allow-list. What is not in it does not leave the source, and a column that is dropped or hashed
is so before Redis. Names are compared as they stand, without wildcards of SQL.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import orjson

from shared.cdc.transaction import Interest
from shared.changes import Value
from shared.errors import SettingsError

OURS = "fleet_"
"""All our tables begin so; all others are the application's."""

NOTED = frozenset(
    {"fleet_cdc_heartbeat", "fleet_cdc_accepted", "fleet_change_context", "fleet_offsets"}
)
"""Looked at and not captured: they say who wrote, how far the log is read, what was accepted."""

_NEVER = ("fleet_cdc_*", "fleet_change_*", "fleet_audit_*", "fleet_offsets")
"""Written by capturing itself: each change would cause the next, an idle fleet be never idle."""

BY_NAME_ONLY = frozenset({"fleet_outbox", "fleet_settings"})
"""No pattern means these: what goes through them is captured where it arrives."""

FRAMEWORK = (
    "sessions",
    "cache",
    "cache_locks",
    "jobs",
    "job_batches",
    "failed_jobs",
    "migrations",
    "password_resets",
    "password_reset_tokens",
    "personal_access_tokens",
    "oauth_*",
    "telescope_*",
    "pulse_*",
)
"""Laravel's own machinery: tokens, payloads with people's data, many writes that say nothing."""

SECRET_WORDS = (
    "password",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "private_key",
    "two_factor",
)
"""A column of the application named like one of these is dropped unless a rule names it."""

Keeping = Literal["keep", "drop", "hash"]
HASH_TYPE = "char(64)"


def is_ours(table: str) -> bool:
    return table.startswith(OURS)


def never_captured(table: str) -> bool:
    return any(fnmatchcase(table, pattern) for pattern in _NEVER)


def of_the_framework(table: str) -> bool:
    return any(fnmatchcase(table, pattern) for pattern in FRAMEWORK)


class Schemas(NamedTuple):
    """Names of the two schemas on the source; they may be the same."""

    fleet: str
    laravel: str

    def of(self, table: str) -> str:
        """Where a table of that name is looked for."""
        return self.fleet if is_ours(table) else self.laravel


class Selection:
    """Pure but for its memory of what it has said: the same answer for the same name, always."""

    def __init__(
        self,
        schemas: Schemas,
        tables: Sequence[str],
        columns: Mapping[str, Keeping],
        hash_key: bytes | None = None,
    ) -> None:
        """tables: names, and patterns with * for ours. columns: `table.column` -> what is done.

        hash_key: None for those who never hash. Raises SettingsError for a table that is never
        captured.
        """
        for table in tables:
            refuse(table)
        self.schemas = schemas
        self.names = tuple(sorted({table for table in tables if "*" not in table}))
        self.patterns = tuple(sorted({table for table in tables if "*" in table}))
        self._rules = dict(columns)
        self._key = hash_key
        self.fingerprint = self._fingerprint()

    def interest(self, schema: str, table: str) -> Interest | None:
        """captured, noted, or None: of no interest."""
        if schema != self.schemas.of(table):
            return None
        if table in NOTED:
            return "noted"
        if table in self.names:
            return "captured"
        if never_captured(table) or table in BY_NAME_ONLY:
            return None
        if any(fnmatchcase(table, pattern) for pattern in self.patterns):
            return "captured"
        return None

    def columns(self, schema: str, table: str, names: Sequence[str]) -> tuple[Keeping, ...]:
        """What is done with each column of a captured table, in the order of names."""
        del schema
        return tuple(self._keeping(table, name) for name in names)

    def hashed(self, value: Value) -> str | None:
        """HMAC-SHA256 of a value as 64 hexadecimal digits; NULL stays NULL.

        Equal values are equal in every table, so they can be joined; without the key nobody can
        tell who they were, not even by trying all addresses there are.
        """
        if value is None:
            return None
        if self._key is None:
            raise SettingsError("a column is to be hashed: write FLEET_CDC_HASH_KEY")
        text = value.encode() if isinstance(value, str) else orjson.dumps(value)
        return hmac.digest(self._key, text, "sha256").hex()

    def _keeping(self, table: str, column: str) -> Keeping:
        rule = self._rules.get(f"{table}.{column}")
        if rule is not None:
            return rule
        if is_ours(table):
            return "keep"
        bare = column.lower()
        return "drop" if any(word in bare for word in SECRET_WORDS) else "keep"

    def _fingerprint(self) -> str:
        """Changes whenever other rows or other values would be captured from the same log."""
        told = b"" if self._key is None else hmac.digest(self._key, b"fingerprint", "sha256")
        said = [
            list(self.schemas),
            self.names,
            self.patterns,
            sorted(self._rules.items()),
            SECRET_WORDS,
            _NEVER,
            sorted(BY_NAME_ONLY),
            told.hex(),
        ]
        return hashlib.sha256(orjson.dumps(said)).hexdigest()[:16]


def refuse(table: str) -> None:
    """Raises SettingsError for what can not be captured, or not by a pattern."""
    if "*" in table:
        if not is_ours(table):
            raise SettingsError(
                f"FLEET_CDC_TABLES: {table} may take in tokens and sessions: name each table of "
                "the application in full; * is for those of the fleet (fleet_sync*)"
            )
        return
    if never_captured(table):
        raise SettingsError(
            f"FLEET_CDC_TABLES: {table} is written by capturing itself, so each change would cause "
            f"the next: leave {table} out"
        )
