-- name: fills
-- Of the last seven whole days: fills, days with any of an account, and positions' days.
SELECT COALESCE(SUM(fills), 0), COUNT(DISTINCT account_id, day),
  COUNT(DISTINCT account_id, product, instrument, day)
FROM fleet_pnl_daily
WHERE day >= UTC_DATE() - INTERVAL 7 DAY AND day < UTC_DATE()

-- name: accounts
-- Accounts at exchanges that are asked, by venue, product and tier.
SELECT venue, product, tier, COUNT(*)
FROM fleet_sync_accounts
WHERE state = 'active'
GROUP BY venue, product, tier
ORDER BY venue, product, tier

-- name: users
SELECT COUNT(DISTINCT user_id), COUNT(*) FROM fleet_account_owners
