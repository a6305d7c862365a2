"""Whether the audit log is what the sink wrote: every hash, nothing missing at its end."""

from __future__ import annotations

from typing import NamedTuple

from shared.mysql import change_log_months as months
from shared.mysql import change_log_offset
from shared.mysql.change_log_months import Broken
from shared.mysql.connection import Connection
from workers.cdc.audit import NAME


class AuditProof(NamedTuple):
    """rows: that were proved; dropped: behind anchors. through: (epoch, seq). hash: of the last
    row, to be kept elsewhere. why: "" where all is well.
    """

    rows: int
    dropped: int
    through: tuple[int, int]
    hash: str
    broken: Broken | None
    why: str


def prove_audit(connection: Connection) -> AuditProof:
    """Reads every row that is kept. Rows that the sink writes meanwhile are left out."""
    offset, end = change_log_offset.read(connection, NAME)
    connection.commit()
    through = (0, 0) if offset is None else (offset.epoch, offset.seq)
    found = months.prove(connection, through)
    dropped = months.anchored_rows(connection)
    connection.commit()
    why = ""
    if found.broken is not None:
        epoch, seq, row, _ = found.broken
        why = f"row {row} of {epoch}/{seq} is not what was written, or a row before it is gone"
    elif found.hash != end.hash or found.rows + dropped != end.rows:
        why = f"the log ends with {found.rows + dropped} rows, the sink wrote {end.rows}"
    return AuditProof(found.rows, dropped, through, found.hash.hex(), found.broken, why)
