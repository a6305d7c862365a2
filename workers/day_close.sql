-- name: last
SELECT value FROM fleet_settings WHERE name = 'closed_through'

-- name: lock
SELECT value FROM fleet_settings WHERE name = 'closed_through' FOR UPDATE

-- name: remember
INSERT INTO fleet_settings (name, value) VALUES ('closed_through', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6)

-- name: close
INSERT INTO fleet_closed_days (day, grace_seconds, accounts) VALUES (%s, %s, %s)

-- name: offsets
SELECT stream, partition_no, last_id FROM fleet_offsets

-- name: outbox
-- Rows of before the end of the day that are not in the books yet.
SELECT EXISTS (SELECT 1 FROM fleet_outbox WHERE state < 2 AND created_at < %s)

-- name: restating
-- Late fills of before the end of the day that are still to be folded.
SELECT EXISTS (SELECT 1 FROM fleet_positions WHERE restating_from_ms < %s)

-- name: accounts
SELECT DISTINCT account_id FROM fleet_pnl_daily WHERE day = %s ORDER BY account_id
