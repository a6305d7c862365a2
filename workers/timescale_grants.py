"""Least privilege per role in TimescaleDB. Roles that are not here have no business there."""

from __future__ import annotations

from collections.abc import Mapping

_READ = "SELECT"
_WRITE = "SELECT, INSERT, UPDATE"

# A sink's own tables: what it writes, and what it reads to know what is there. Replays do the same.
_SINK = {
    "fleet.cdc_offset": _WRITE,
    "fleet.cdc_staging": "SELECT, INSERT, DELETE",
    "fleet.cdc_quarantine": _WRITE,
    "fleet.cdc_batch": "SELECT, INSERT",
    "fleet.change_event": "SELECT, INSERT",
    "fleet.row_state": _WRITE,
    "fleet.position_history": "SELECT, INSERT",
    "fleet.pnl_history": "SELECT, INSERT",
    "fleet.fill_history": "SELECT, INSERT",
    "fleet.rollup_changes": _WRITE,
    "fleet.rollup_positions": _WRITE,
    "fleet.rollup_pnl": _WRITE,
    "fleet.rollup_trading": _WRITE,
}

TABLES: Mapping[str, Mapping[str, str]] = {
    "timescale": _SINK,
    "jobs": {
        "fleet.equity": _WRITE,
        "fleet.equity_offset": _WRITE,
        "fleet.rollup_changes": _READ,
        "fleet.cdc_offset": _READ,  # checks of the data
        "fleet.change_event": _READ,
    },
    "metrics": {
        "fleet.equity_offset": _READ,
        "fleet.cdc_offset": _READ,
        "fleet.cdc_quarantine": _READ,
    },
    "cli": {
        "fleet.equity_offset": _READ,
        "fleet.alembic_version": _READ,
        **_SINK,
    },
    # Nobody of the fleet: Grafana, and who else only looks.
    "dashboards": {
        "fleet.changes_hourly": _READ,
        "fleet.equity": _READ,
        "fleet.fills": _READ,
        "fleet.pnl_daily": _READ,
        "fleet.position_hourly": _READ,
        "fleet.trading_hourly": _READ,
    },
}
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "jobs": (
        "fleet.keep_history(text, interval)",
        "fleet.forget_changes(text, interval)",
    ),
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
        *(f"GRANT EXECUTE ON FUNCTION {one} TO {name}" for one in FUNCTIONS.get(role, ())),
    )
