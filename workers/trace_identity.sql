-- name: breaks
SELECT kind, details, expected, actual, cause, opened_at, closed_at
FROM fleet_breaks
WHERE account_id <=> %s AND identity = %s
ORDER BY id

-- name: restatements
-- Rows of closed days that it changed, as they stood before.
SELECT product, instrument, day, asset, version, realized, fees, funding, other, fills, restated_at
FROM fleet_restatements FORCE INDEX (fleet_restatements_account)
WHERE account_id = %s AND JSON_CONTAINS(cause, JSON_QUOTE(%s), '$.identities')
ORDER BY id

-- name: parked
SELECT stream, partition_no, entry_id, reason, error, parked_at, resolution, resolved_reason, resolved_at
FROM fleet_parked FORCE INDEX (fleet_parked_account)
WHERE account_id = %s AND identity = %s
ORDER BY stream, partition_no, entry_id

-- name: order
SELECT order_id, client_order_id, state, state_at_ms, side, order_type, qty, price, signal_id, strategy, reason
FROM fleet_orders FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND order_key IN %s

-- name: position
SELECT venue, qty, cost, unknown_basis_qty, avg_entry, realized, settle_asset, contract_size, fills, last_fill_at,
  restating_from_ms, restating_fills, version
FROM fleet_positions
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s

-- name: position_reports
-- The newest reports of a position, or the one of a watermark.
SELECT data FROM fleet_observed_positions
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND (%s IS NULL OR watermark_ms = %s)
ORDER BY watermark_ms DESC
LIMIT 5

-- name: balance_reports
SELECT data FROM fleet_observed_balances
WHERE account_id = %s AND asset = %s AND product = %s AND (%s IS NULL OR watermark_ms = %s)
ORDER BY watermark_ms DESC
LIMIT 5
