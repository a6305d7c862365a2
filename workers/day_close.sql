-- name: last
SELECT value FROM fleet_settings WHERE name = 'day_closed' FOR UPDATE

-- name: remember
INSERT INTO fleet_settings (name, value) VALUES ('day_closed', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6)

-- name: offsets
SELECT stream, partition_no, last_id FROM fleet_offsets

-- name: outbox
-- Rows of before the end of the day that are not in the books yet.
SELECT EXISTS (SELECT 1 FROM fleet_outbox WHERE state < 2 AND created_at < %s)

-- name: restating
-- Late fills of before the end of the day that are still to be folded.
SELECT EXISTS (SELECT 1 FROM fleet_positions WHERE restating_from_ms < %s)

-- name: accounts
-- PHP has no integers beyond 2^63 - 1, so Laravel has no such account.
SELECT DISTINCT account_id FROM fleet_pnl_daily
WHERE day = %s AND account_id < 9223372036854775808
ORDER BY account_id
