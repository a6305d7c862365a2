-- name: progress
SELECT value FROM fleet_settings WHERE name = 'observed_thinned'

-- name: remember
INSERT INTO fleet_settings (name, value) VALUES ('observed_thinned', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6)

-- name: next_account
SELECT MIN(account_id) FROM fleet_reconciliations WHERE account_id > %s

-- name: named
-- What breaks and openings of an account name: a break by its identity or in its details.
SELECT identity, details FROM fleet_breaks FORCE INDEX (fleet_breaks_account) WHERE account_id = %s

-- name: openings
SELECT at_ms FROM fleet_position_entries FORCE INDEX (PRIMARY) WHERE account_id = %s AND kind = 'open'

-- name: positions
-- A loose scan of the index.
SELECT product, instrument, position_side, MIN(watermark_ms), MAX(watermark_ms)
FROM fleet_observed_positions
WHERE account_id = %s
GROUP BY account_id, product, instrument, position_side

-- name: wallets
SELECT asset, product, MIN(watermark_ms), MAX(watermark_ms)
FROM fleet_observed_balances
WHERE account_id = %s
GROUP BY account_id, asset, product

-- name: position_watermarks
SELECT watermark_ms FROM fleet_observed_positions FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND ((watermark_ms >= %s AND watermark_ms < %s) OR (watermark_ms >= %s AND watermark_ms < %s))
ORDER BY watermark_ms

-- name: wallet_watermarks
SELECT watermark_ms FROM fleet_observed_balances FORCE INDEX (PRIMARY)
WHERE account_id = %s AND asset = %s AND product = %s
  AND ((watermark_ms >= %s AND watermark_ms < %s) OR (watermark_ms >= %s AND watermark_ms < %s))
ORDER BY watermark_ms

-- name: remove_positions
DELETE FROM fleet_observed_positions
WHERE (account_id, product, instrument, position_side, watermark_ms) IN ({rows})

-- name: remove_wallets
DELETE FROM fleet_observed_balances
WHERE (account_id, asset, product, watermark_ms) IN ({rows})
