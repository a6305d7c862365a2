-- name: known
SELECT incomplete FROM fleet_account_state WHERE account_id = %s

-- name: rows
SELECT product, instrument, asset, version, realized, fees, funding, other, fills
FROM fleet_pnl_daily FORCE INDEX (PRIMARY)
WHERE account_id = %(account)s AND day = %(day)s
  AND (%(product)s IS NULL OR product = %(product)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)

-- name: positions
-- Positions with a fill or an entry in a span of time: from, and below.
SELECT account_id, product, instrument, position_side, restating_from_ms
FROM fleet_positions AS p FORCE INDEX (PRIMARY)
WHERE account_id = %(account)s
  AND (%(product)s IS NULL OR product = %(product)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)
  AND (EXISTS (
      SELECT 1 FROM fleet_fills AS f FORCE INDEX (fleet_fills_fold)
      WHERE f.account_id = p.account_id AND f.product = p.product AND f.instrument = p.instrument
        AND f.position_side = p.position_side
        AND f.executed_at_ms >= %(from_ms)s AND f.executed_at_ms < %(to_ms)s)
    OR EXISTS (
      SELECT 1 FROM fleet_position_entries AS e FORCE INDEX (fleet_position_entries_fold)
      WHERE e.account_id = p.account_id AND e.product = p.product AND e.instrument = p.instrument
        AND e.position_side = p.position_side
        AND e.at_ms >= %(from_ms)s AND e.at_ms < %(to_ms)s))
ORDER BY product, instrument, position_side

-- name: cash
-- In the order of the ledger's CashEntry.
SELECT account_id, venue_type, ref, asset, instrument, product, venue, amount, kind, at_ms, report_hash, data,
  quote_asset, basis
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %(account)s AND at_ms >= %(from_ms)s AND at_ms < %(to_ms)s AND kind IN %(kinds)s
  AND (%(product)s IS NULL OR product = %(product)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)
ORDER BY at_ms, venue_type, ref, asset, instrument

-- name: restatements
SELECT product, instrument, asset, version, realized, fees, funding, other, fills, cause, restated_at
FROM fleet_restatements FORCE INDEX (fleet_restatements_account)
WHERE account_id = %(account)s AND day = %(day)s
  AND (%(product)s IS NULL OR product = %(product)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)
ORDER BY id
