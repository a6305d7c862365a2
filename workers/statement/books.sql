-- ---- what was made

-- name: by_instrument
SELECT asset, product, instrument, SUM(realized), SUM(fees), SUM(funding), SUM(other), SUM(fills)
FROM fleet_pnl_daily FORCE INDEX (PRIMARY)
WHERE account_id = %s AND day BETWEEN %s AND %s
GROUP BY asset, product, instrument
ORDER BY asset, product, instrument;

-- name: by_day
SELECT asset, day, SUM(realized), SUM(fees), SUM(funding), SUM(other), SUM(fills)
FROM fleet_pnl_daily FORCE INDEX (PRIMARY)
WHERE account_id = %s AND day BETWEEN %s AND %s
GROUP BY asset, day
ORDER BY asset, day;

-- name: by_cause
SELECT asset, bucket, strategy, signal_id, SUM(realized), SUM(fees), SUM(funding), SUM(other), SUM(fills)
FROM fleet_pnl_attribution FORCE INDEX (PRIMARY)
WHERE account_id = %s AND day BETWEEN %s AND %s
GROUP BY asset, bucket, strategy, signal_id
ORDER BY asset, bucket, strategy, signal_id;

-- name: flows
SELECT at_ms, asset, kind, venue_type, ref, amount
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %s AND at_ms >= %s AND at_ms < %s AND kind IN %s
ORDER BY at_ms, asset, venue_type, ref, instrument;

-- ---- how far it can be relied on

-- name: account
SELECT status, reason,
  (SELECT COUNT(*) FROM fleet_parked FORCE INDEX (fleet_parked_account)
   WHERE fleet_parked.account_id = fleet_account_state.account_id AND resolution IS NULL)
FROM fleet_account_state
WHERE account_id = %s;

-- name: waiting
SELECT product, instrument, position_side, restating_from_ms
FROM fleet_positions FORCE INDEX (PRIMARY)
WHERE account_id = %s AND restating_from_ms < %s
ORDER BY product, instrument, position_side;

-- name: breaks
SELECT kind, identity, cause, opened_at
FROM fleet_breaks FORCE INDEX (fleet_breaks_account)
WHERE account_id = %s AND closed_at IS NULL
ORDER BY id;

-- name: closed_through
SELECT value FROM fleet_settings WHERE name = 'closed_through';

-- name: restated
SELECT day, COUNT(DISTINCT batch), MAX(restated_at)
FROM fleet_restatements FORCE INDEX (fleet_restatements_account)
WHERE account_id = %s AND day BETWEEN %s AND %s
GROUP BY day
ORDER BY day;
