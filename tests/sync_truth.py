"""What the exchange has booked, beside what the sync has told and the ledger has booked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

BOOKED_FILLS = """
SELECT instrument, side, executed_at_ms, qty, price, fee, IF(fee IS NULL, '', fee_asset)
FROM fleet_fills WHERE account_id = %s
"""
CLAIMS = """
SELECT
  s.found_through_ms,
  (SELECT COUNT(DISTINCT JSON_UNQUOTE(JSON_EXTRACT(o.data, '$.instrument')),
     JSON_UNQUOTE(JSON_EXTRACT(o.data, '$.trade_id')), JSON_UNQUOTE(JSON_EXTRACT(o.data, '$.side')))
   FROM fleet_outbox o
   WHERE o.type = 'order.filled.1' AND o.event_key = %s AND o.ts_us <= s.found_through_ms * 1000),
  s.complete_through_ms,
  (SELECT COUNT(*) FROM fleet_fills f
   WHERE f.account_id = s.account_id AND f.executed_at_ms <= s.complete_through_ms)
FROM fleet_syncs s
WHERE s.account_id = %s AND s.kind = 'fills'
"""
"""Of an account, as text and as number: up to when its fills are told, how many are; up to when
they are booked, how many are. All of one moment.
"""


def true_fill(fill: dict[str, Any]) -> tuple[Any, ...]:
    """A fill of the exchange's truth as BOOKED_FILLS has it."""
    fee = None if fill["fee"] is None else Decimal(fill["fee"])
    amounts = (Decimal(fill["qty"]), Decimal(fill["price"]), fee)
    asset = "" if fee is None else fill["fee_asset"]
    return (fill["symbol"], fill["side"], fill["at_ms"], *amounts, asset)


def ahead_of_rows(claims: Iterable[Sequence[Any]], true_ms: Sequence[int]) -> list[str]:
    """Cursors of an account that say more than was there. claims: as CLAIMS tells them. true_ms:
    when each fill was made, asked for afterwards: what came later is none that was claimed.
    """
    found = []
    for told_ms, told, booked_ms, booked in claims:
        for words, through_ms, there in (("told", told_ms, told), ("booked", booked_ms, booked)):
            true = 0 if through_ms is None else sum(at_ms <= through_ms for at_ms in true_ms)
            if there < true:
                late = max(true_ms) - through_ms
                found.append(f"{words} through {through_ms}: {there} of {true} ({late} ms ago)")
    return found
