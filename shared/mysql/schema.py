"""Schema changes: SQL files statement by statement, and the views over Laravel's tables.

MySQL commits every DDL statement by itself, so a migration can stop half-way. `run_file` therefore
passes over a statement whose object is already there: run `fleet migrate` again and it goes on.
For that every statement must change one table, and an ALTER carries all its changes at once
(atomic on MySQL 8 and MariaDB 10.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from shared.mysql.connection import Connection, Cursor

VERSION_TABLE = "fleet_alembic_version"
AUDIT_VERSION_TABLE = "fleet_audit_version"
SOURCES_VIEW = "fleet_account_sources"
SOURCES_TABLE = "exchange_accounts"
SOURCES_COLUMNS = (
    "id",
    "user_id",
    "venue",
    "product",
    "api_key",
    "api_secret",
    "passphrase",
    "settings",
    "active",
)

# Table exists, duplicate column, duplicate key name, cannot drop what is not there.
ALREADY_DONE = frozenset({1050, 1060, 1061, 1091})

_PIECE = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `[^`]*` | --[ \t][^\n]* | ; | .""",
    re.VERBOSE | re.DOTALL,
)

# SQL SECURITY INVOKER: a reader needs its own grants on what stands behind the view (`fleet doctor
# --grants` prints them by column), so the view opens nothing, and it has no definer whose account
# can be dropped, rotated or missing after a restore elsewhere.
_OVER_LARAVEL = """\
CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_account_sources AS
SELECT id, user_id, venue, product, api_key, api_secret, passphrase, settings, active
FROM {table}"""

_EMPTY = """\
CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_account_sources AS
SELECT CAST(0 AS UNSIGNED) AS id, CAST(0 AS UNSIGNED) AS user_id, CAST('' AS CHAR(32)) AS venue,
       CAST('' AS CHAR(16)) AS product, CAST('' AS CHAR(255)) AS api_key,
       CAST('' AS CHAR(255)) AS api_secret, CAST('' AS CHAR(255)) AS passphrase,
       CAST('{}' AS CHAR(255)) AS settings, 0 AS active
FROM DUAL WHERE 1 = 0"""

# The server's own text of the view we made: when it differs later, an operator replaced the view.
_REMEMBER = """\
INSERT INTO fleet_settings (name, value)
SELECT 'view.fleet_account_sources', SHA2(view_definition, 256)
FROM information_schema.views
WHERE table_schema = DATABASE() AND table_name = 'fleet_account_sources'
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6)"""

# A day belongs to the account's owner of that day; an account whose owners nobody has noted belongs
# to Laravel's user of now. Both servers push `user_id` and `day` down into the innermost selects:
# a user's year reads the rows of that user's accounts only. A window function would prevent it.
_BY_USER = """\
CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_pnl_by_user AS
SELECT o.user_id, p.day, p.asset, SUM(p.realized) AS realized, SUM(p.fees) AS fees,
       SUM(p.funding) AS funding, SUM(p.other) AS other, CAST(SUM(p.fills) AS SIGNED) AS fills
FROM (
  SELECT n.account_id, n.user_id, n.valid_from, COALESCE(
           (SELECT MIN(l.valid_from) FROM fleet_account_owners AS l
            WHERE l.account_id = n.account_id AND l.valid_from > n.valid_from),
           DATE '9999-12-31') AS valid_before
  FROM fleet_account_owners AS n
  UNION ALL
  SELECT s.id, s.user_id, DATE '1000-01-01', DATE '9999-12-31'
  FROM fleet_account_sources AS s
  WHERE NOT EXISTS (SELECT 1 FROM fleet_account_owners AS n WHERE n.account_id = s.id)
) AS o
JOIN fleet_pnl_daily AS p
  ON p.account_id = o.account_id AND p.day >= o.valid_from AND p.day < o.valid_before
GROUP BY o.user_id, p.day, p.asset"""


class Sources(NamedTuple):
    """What fleet_account_sources is, or would become at the next `fleet migrate`."""

    missing: tuple[str, ...]  # columns of Laravel's table; all of them when there is no table
    table: str  # schema-qualified and quoted
    own: bool  # an operator replaced the view: it is left alone

    @property
    def empty(self) -> bool:
        return bool(self.missing) and not self.own


def statements(text: str) -> Iterator[str]:
    """SQL statements of a file, without comments and closing semicolons."""
    parts: list[str] = []
    for piece in _PIECE.findall(text):
        if piece == ";":
            yield from _statement(parts)
            parts = []
        elif not piece.startswith("--"):
            parts.append(piece)
    yield from _statement(parts)


def _statement(parts: list[str]) -> Iterator[str]:
    lines = (line.rstrip() for line in "".join(parts).splitlines())
    text = "\n".join(line for line in lines if line)
    if text:
        yield text


def run_file(path: Path, execute: Callable[[str], None]) -> None:
    """Each statement of one migration file through execute, in order."""
    for statement in statements(path.read_text(encoding="utf-8")):
        execute(statement)


def applied_version(connection: Connection, table: str = VERSION_TABLE) -> str | None:
    """The schema's version; None before the first migration. Ends the transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT COUNT(*) FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = %s",
        (table,),
    )
    row = None
    if cursor.fetchone()[0]:
        cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of two constants
        row = cursor.fetchone()
    connection.commit()
    return str(row[0]) if row else None


def sources(connection: Connection, laravel_database: str) -> Sources:
    """What stands behind fleet_account_sources. Reads only; ends the transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s",
        (laravel_database, SOURCES_TABLE),
    )
    present = {str(name).lower() for (name,) in cursor.fetchall()}
    own = _is_own(cursor)
    connection.commit()
    missing = tuple(name for name in SOURCES_COLUMNS if name not in present)
    return Sources(missing, f"{quoted(laravel_database)}.{quoted(SOURCES_TABLE)}", own)


def view_statements(found: Sources) -> list[str]:
    """The statements that bring both views up to date, in order."""
    if found.own:
        return [_BY_USER]
    over_laravel = _EMPTY if found.missing else _OVER_LARAVEL.format(table=found.table)
    return [over_laravel, _REMEMBER, _BY_USER]


def refresh_views(connection: Connection, laravel_database: str) -> Sources:
    """Create both views anew; a fleet_account_sources that an operator wrote is left alone."""
    found = sources(connection, laravel_database)
    cursor = connection.cursor()
    for statement in view_statements(found):
        cursor.execute(statement)
    connection.commit()
    return found


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _is_own(cursor: Cursor) -> bool:
    """Whether the view is there and its text is not the one we left."""
    cursor.execute(
        "SELECT SHA2(view_definition, 256) FROM information_schema.views"
        " WHERE table_schema = DATABASE() AND table_name = %s",
        (SOURCES_VIEW,),
    )
    present = cursor.fetchone()
    if present is None:
        return False
    cursor.execute("SELECT value FROM fleet_settings WHERE name = %s", (f"view.{SOURCES_VIEW}",))
    return bool(cursor.fetchone() != present)
