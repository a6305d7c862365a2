"""What change capture needs on MySQL beside our own tables; workers/grants.py makes the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.cdc.selection import is_ours
from shared.mysql.schema import AUDIT_VERSION_TABLE
from shared.settings import Settings
from workers.cdc.tables import readable

SOURCE = "REPLICATION SLAVE, REPLICATION CLIENT"
"""On every schema, because the log has no parts: it may read all changes, and the list of logs."""

CDC_OWN = {
    "fleet_cdc_heartbeat": "SELECT, INSERT, UPDATE",
    "fleet_cdc_shapes": "SELECT, INSERT, UPDATE, DELETE",
}
SOURCES = {"fleet_account_sources": "SELECT, SHOW VIEW"}  # what stands behind it

_READ = "SELECT"
_ADD = "SELECT, INSERT"
_WRITE = "SELECT, INSERT, UPDATE"
_FULL = "SELECT, INSERT, UPDATE, DELETE"

_AUDIT_READ = dict.fromkeys(
    (
        "fleet_change_log", "fleet_change_log_late", "fleet_cdc_anchors", "fleet_cdc_offset",
        "fleet_cdc_staged", "fleet_cdc_quarantine", "fleet_cdc_batches", AUDIT_VERSION_TABLE,
    ),
    _READ,
)  # fmt: skip
AUDIT: Mapping[str, Mapping[str, str]] = {
    "audit": {
        AUDIT_VERSION_TABLE: _READ,
        "fleet_change_log": _ADD,  # nobody updates or deletes a row of it
        "fleet_cdc_anchors": _READ,
        "fleet_cdc_offset": _WRITE,
        "fleet_cdc_staged": "SELECT, INSERT, DELETE",
        "fleet_cdc_quarantine": _ADD,
        "fleet_cdc_batches": _ADD,
    },
    "jobs": {
        **_AUDIT_READ,
        # Partitions ahead, and whole months dropped behind an anchor.
        "fleet_change_log": "SELECT, INSERT, CREATE, ALTER, DROP",
        "fleet_change_log_late": "SELECT, DELETE",
        "fleet_cdc_anchors": _ADD,
        "fleet_cdc_quarantine": "SELECT, DELETE",
        "fleet_cdc_batches": "SELECT, DELETE",
    },
    "rq": _AUDIT_READ,
    "metrics": {"fleet_cdc_offset": _READ, "fleet_cdc_quarantine": _READ},
    "cli": {
        **_AUDIT_READ,
        "fleet_change_log_late": _ADD,  # `fleet cdc quarantine replay`
        "fleet_cdc_quarantine": "SELECT, UPDATE",
    },
}
"""Tables of the audit log by role, in the schema of FLEET_AUDIT_URL."""

AUDIT_MIGRATE = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP"


def captured_tables(
    settings: Settings, ours: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Tables that snapshots and proofs read: (ours, the application's), with SELECT."""
    names = readable(settings.cdc_tables, ours)
    return (
        {name: _READ for name in names if is_ours(name)},
        {name: _READ for name in names if not is_ours(name)},
    )
