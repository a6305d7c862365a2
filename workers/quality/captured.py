"""Checks of what change capture keeps: the newest transactions, in both sinks."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from shared.mysql import change_log_months as months
from shared.mysql import change_log_offset
from shared.queries import load
from workers.cdc.audit import NAME as AUDIT
from workers.cdc.history import NAME as TIMESCALE
from workers.cdc.standings import stopped_tables
from workers.cdc.verify import gaps
from workers.quality.found import Found
from workers.quality.sources import Sources

SQL = load(Path(__file__).with_name("checks.sql"))

TRANSACTIONS = 500
CHAINED = 1_000
SINCE = timedelta(days=1)
"""Older changes are not compared: one sink may have let them go."""

Span = tuple[int, int, int]
"""(epoch, after a seq, through a seq)"""


def tables_captured(sources: Sources) -> Found:
    _, _, seq = _written(sources)
    ((known,),) = sources.rows(SQL["tables_known"], (seq,))
    return Found.of(int(known), sorted(stopped_tables(sources.mysql, seq)))


def audit_complete(sources: Sources) -> Found:
    """Transactions are numbered without a hole, and each leaves a row."""
    epoch, after, through = _written(sources)
    rows = sources.audit_rows(SQL["audit_seqs"], (epoch, after, through))
    seqs = [(int(of), int(seq), bool(of_log)) for of, seq, of_log in rows]
    missing = list(gaps(seqs))
    last = seqs[-1][1] if seqs else after
    if last < through:
        missing.append((last + 1, through))
    lost = sum(end - first + 1 for first, end in missing)
    named = Found.of(len(missing), [f"{first}-{end}" for first, end in missing]).detail
    return Found(len(seqs), len(seqs) + lost, named)


def audit_chain(sources: Sources) -> Found:
    """From the row before on; the whole chain is for `fleet cdc audit verify`."""
    proved = months.prove_newest(sources.audit, _written(sources)[2], CHAINED)
    if proved.broken is None:
        return Found(proved.rows, proved.rows)
    place = "/".join(str(one) for one in proved.broken[:3])
    return Found(proved.rows, proved.rows + 1, f"row {place}")


def changes_once(sources: Sources) -> Found:
    words = (*_both(sources), sources.now - SINCE)
    rows = sources.history_rows(SQL["history_changes"], words)
    total, twice = sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
    return Found(total - twice, total, f"{twice} twice" if twice else "")


def sinks_agree(sources: Sources) -> Found:
    words = (*_both(sources), sources.now - SINCE)
    audit = {int(seq): int(n) for seq, n in sources.audit_rows(SQL["audit_changes"], words)}
    rows = sources.history_rows(SQL["history_changes"], words)
    history = {int(row[0]): int(row[1]) for row in rows}
    differing = sorted(seq for seq in audit | history if audit.get(seq) != history.get(seq))
    return Found.of(len(audit | history), [f"transaction {seq}" for seq in differing])


def _written(sources: Sources) -> Span:
    """The newest whole transactions of the audit log."""
    offset, _ = change_log_offset.read(sources.audit, AUDIT)
    sources.audit.commit()
    if offset is None:
        return 0, 0, 0
    return _span(offset.epoch, offset.seq - (not offset.whole))


def _both(sources: Sources) -> Span:
    """Those that TimescaleDB has as well; none while it is in another epoch."""
    epoch, _, through = _written(sources)
    rows = sources.history_rows(SQL["history_offset"], (TIMESCALE,))
    if not rows or int(rows[0][0]) != epoch:
        return epoch, through, through
    return _span(epoch, min(through, int(rows[0][1])))


def _span(epoch: int, through: int) -> Span:
    return epoch, max(through - TRANSACTIONS, 0), through
