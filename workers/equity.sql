-- name: done
-- Locked, so that transactions that write rows come one after the other.
SELECT value FROM fleet_settings WHERE name = 'equity_snapshot' FOR UPDATE

-- name: remember
INSERT INTO fleet_settings (name, value) VALUES ('equity_snapshot', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6)

-- name: one_view
-- Positions, cash and prices of one transaction are those of one moment, whatever is booked meanwhile.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: accounts
SELECT account_id FROM fleet_account_state WHERE account_id > %s ORDER BY account_id LIMIT %s

-- name: written_at
-- Later than every row's, whatever the server's clock does; so a copy that reads in this order misses none.
SELECT GREATEST(UTC_TIMESTAMP(6), COALESCE(MAX(written_at) + INTERVAL 1 MICROSECOND, UTC_TIMESTAMP(6)))
FROM fleet_equity

-- name: write
INSERT INTO fleet_equity
  (account_id, asset, at, cash, unrealized, flows, unpriceable, oldest_price_at, written_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE
  cash = VALUES(cash), unrealized = VALUES(unrealized), flows = VALUES(flows),
  unpriceable = VALUES(unpriceable), oldest_price_at = VALUES(oldest_price_at),
  written_at = VALUES(written_at)
