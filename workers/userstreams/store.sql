-- Accounts whose user streams are open, what was heard, and what may have been missed.

-- name: wanted
-- An account has a stream once it was read for the first time: what happened before is its opening.
SELECT account_id FROM fleet_sync_accounts
WHERE state = 'active' AND since_ms IS NOT NULL AND account_id > %s
ORDER BY account_id
LIMIT %s;

-- name: number
SELECT COUNT(*) FROM fleet_sync_accounts WHERE state = 'active' AND since_ms IS NOT NULL;

-- name: linked
-- complete_ms: everything up to here is in the books.
SELECT a.account_id, a.venue, a.product, a.egress, a.since_ms,
  SHA2(CONCAT_WS('|', s.api_key, s.api_secret, s.passphrase), 256),
  COALESCE(LEAST(f.complete_through_ms, c.complete_through_ms), a.since_ms),
  s.api_key, s.api_secret, s.passphrase
FROM fleet_sync_accounts a
JOIN fleet_account_sources s ON s.id = a.account_id
LEFT JOIN fleet_syncs f ON f.account_id = a.account_id AND f.kind = 'fills'
LEFT JOIN fleet_syncs c ON c.account_id = a.account_id AND c.kind = 'cash'
WHERE a.account_id IN %s AND a.state = 'active' AND a.since_ms IS NOT NULL;

-- name: standing
-- Of accounts whose stream is ours: whether it is still wanted as it was opened, and whether the books of gaps
-- say that it is down.
SELECT a.account_id, a.venue, a.product, a.egress, a.since_ms,
  SHA2(CONCAT_WS('|', s.api_key, s.api_secret, s.passphrase), 256),
  EXISTS (SELECT 1 FROM fleet_stream_gaps g
    WHERE g.account_id = a.account_id AND g.closed_at IS NULL AND g.until_ms IS NULL)
FROM fleet_sync_accounts a
JOIN fleet_account_sources s ON s.id = a.account_id
WHERE a.account_id IN %s AND a.state = 'active' AND a.since_ms IS NOT NULL;

-- name: open_gaps
SELECT account_id, id FROM fleet_stream_gaps
WHERE closed_at IS NULL AND until_ms IS NULL AND account_id IN %s
FOR UPDATE;

-- name: save_gaps
INSERT INTO fleet_stream_gaps (id, account_id, cause, from_ms, until_ms)
VALUES {rows}
ON DUPLICATE KEY UPDATE until_ms = VALUES(until_ms);

-- name: quiet
-- Accounts that the sync takes for quiet ones.
SELECT account_id FROM fleet_sync_accounts WHERE account_id IN %s AND state = 'active' AND tier <> 'active';

-- name: suspend
UPDATE fleet_sync_accounts
SET state = 'suspended', error = %s, keys_hash = %s, version = version + 1
WHERE account_id = %s AND state = 'active';

-- name: found
-- Fills that the sync has found lately and nobody else has told, by the index that folds read.
SELECT f.account_id, f.product, f.instrument, f.trade_id, f.side, f.executed_at_ms
FROM fleet_sync_accounts a
JOIN fleet_positions p ON p.account_id = a.account_id AND p.last_fill_at >= %s
JOIN fleet_fills f ON f.account_id = p.account_id AND f.product = p.product AND f.instrument = p.instrument
  AND f.position_side = p.position_side AND f.executed_at_ms >= %s
WHERE a.account_id IN %s AND a.moved_ms >= %s AND f.source = 'sync' AND f.reports = 1 AND f.kind <> 'settlement'
LIMIT %s;

-- name: read_past
-- Gaps that a sync has read past, with everything it found in the books.
SELECT g.id
FROM fleet_stream_gaps g
JOIN fleet_syncs f ON f.account_id = g.account_id AND f.kind = 'fills' AND f.complete_through_ms > g.until_ms
JOIN fleet_syncs c ON c.account_id = g.account_id AND c.kind = 'cash' AND c.complete_through_ms > g.until_ms
WHERE g.closed_at IS NULL
LIMIT %s;

-- name: close
UPDATE fleet_stream_gaps SET closed_at = UTC_TIMESTAMP(6) WHERE id IN %s;

-- name: prune
DELETE FROM fleet_stream_gaps WHERE closed_at < UTC_TIMESTAMP(6) - INTERVAL %s DAY LIMIT %s;

-- name: unread
-- Gaps have ended that no sync has read past, and the account's turn is not near: a run that was under way when it
-- was asked for has given it a later one.
SELECT DISTINCT g.account_id
FROM fleet_stream_gaps g
JOIN fleet_sync_accounts a ON a.account_id = g.account_id AND a.state = 'active' AND a.failures = 0
LEFT JOIN fleet_syncs f ON f.account_id = g.account_id AND f.kind = 'fills'
LEFT JOIN fleet_syncs c ON c.account_id = g.account_id AND c.kind = 'cash'
WHERE g.closed_at IS NULL AND g.until_ms IS NOT NULL
  AND (a.claimed_until IS NULL OR a.claimed_until <= UTC_TIMESTAMP(6))
  AND a.due_at > UTC_TIMESTAMP(6) + INTERVAL %s SECOND
  AND (COALESCE(f.found_through_ms, 0) <= g.until_ms OR COALESCE(c.found_through_ms, 0) <= g.until_ms)
LIMIT %s;
