-- How fresh the accounts are.

-- name: groups
-- late: seconds behind its turn; stale: since its last run that answered everything.
SELECT venue, egress, tier, state, COUNT(*), SUM(failures > 0),
  COALESCE(MAX(GREATEST(TIMESTAMPDIFF(MICROSECOND, due_at, UTC_TIMESTAMP(6)), 0)), 0),
  COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, ran_at, UTC_TIMESTAMP(6))), 0),
  SUM(since_ms IS NULL)
FROM fleet_sync_accounts
GROUP BY venue, egress, tier, state
ORDER BY venue, egress, tier, state;

-- name: account
SELECT venue, product, egress, state, tier, since_ms, moved_ms, due_at, claimed_until, ran_at, failures, error
FROM fleet_sync_accounts
WHERE account_id = %s;

-- name: kinds
SELECT kind, due_at, ran_at, found_through_ms, complete_through_ms, outbox_first IS NOT NULL
FROM fleet_syncs
WHERE account_id = %s;

-- name: failing
SELECT account_id, venue, state, failures, error
FROM fleet_sync_accounts
WHERE state = 'suspended' OR failures > 0
ORDER BY state DESC, failures DESC, account_id
LIMIT %s;

-- name: gaps
-- Of user streams: what no sync has read past yet, and what is still down.
SELECT a.venue, g.cause, COUNT(*), SUM(g.until_ms IS NULL),
  MAX(TIMESTAMPDIFF(MICROSECOND, g.opened_at, UTC_TIMESTAMP(6)))
FROM fleet_stream_gaps g
JOIN fleet_sync_accounts a ON a.account_id = g.account_id
WHERE g.closed_at IS NULL AND a.state = 'active'
GROUP BY a.venue, g.cause
ORDER BY a.venue, g.cause;

-- name: ran_since
-- Whether the account was asked, with or without success, after a moment.
SELECT version, ran_at, error, state FROM fleet_sync_accounts WHERE account_id = %s;
