-- name: accounts_after
-- Every account that anything was ever booked for has a row here.
SELECT account_id, (
  SELECT COUNT(*) FROM fleet_fills AS f FORCE INDEX (fleet_fills_fold) WHERE f.account_id = a.account_id
)
FROM fleet_account_state AS a
WHERE a.account_id > %s
ORDER BY a.account_id
LIMIT %s;
