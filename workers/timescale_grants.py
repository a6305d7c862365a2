"""Least privilege per role in TimescaleDB. Roles that are not here have no business there."""

from __future__ import annotations

from collections.abc import Mapping

_READ = "SELECT"
_WRITE = "SELECT, INSERT, UPDATE"

TABLES: Mapping[str, Mapping[str, str]] = {
    "jobs": {"fleet.equity": _WRITE, "fleet.equity_offset": _WRITE},
    "metrics": {"fleet.equity_offset": _READ},
    "cli": {"fleet.equity_offset": _READ, "fleet.alembic_version": _READ},
}


def timescale_lines(role: str, user: str, password: str) -> tuple[str, ...]:
    """Statements for a superuser or the owner of the schema; none for a role without a row."""
    tables = TABLES.get(role, {})
    if not tables:
        return ()
    name = '"' + user.replace('"', '""') + '"'
    return (
        f"CREATE ROLE {name} LOGIN PASSWORD '{password}'",
        f"GRANT USAGE ON SCHEMA fleet TO {name}",
        *(f"GRANT {what} ON {table} TO {name}" for table, what in tables.items()),
    )
