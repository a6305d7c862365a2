-- name: written_after
-- The place is spelled out, because only so both servers go straight to it in the index.
SELECT account_id, asset, at, cash, unrealized, flows, unpriceable, oldest_price_at, written_at
FROM fleet_equity FORCE INDEX (fleet_equity_written)
WHERE written_at > %(written_at)s
  OR (written_at = %(written_at)s AND account_id > %(account_id)s)
  OR (written_at = %(written_at)s AND account_id = %(account_id)s AND asset > %(asset)s)
  OR (written_at = %(written_at)s AND account_id = %(account_id)s AND asset = %(asset)s AND at > %(at)s)
ORDER BY written_at, account_id, asset, at
LIMIT %(limit)s

-- name: waiting
-- Counted up to a bound.
SELECT COUNT(*)
FROM (
  SELECT 1
  FROM fleet_equity FORCE INDEX (fleet_equity_written)
  WHERE written_at > %(written_at)s
    OR (written_at = %(written_at)s AND account_id > %(account_id)s)
    OR (written_at = %(written_at)s AND account_id = %(account_id)s AND asset > %(asset)s)
    OR (written_at = %(written_at)s AND account_id = %(account_id)s AND asset = %(asset)s AND at > %(at)s)
  LIMIT %(limit)s
) AS later
