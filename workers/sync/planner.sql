-- Whose turn it is, and which accounts there are.
--
-- FORCE INDEX (PRIMARY) where rows are locked: on a small table MariaDB would else read, and lock, all of it, by
-- whichever index is narrow, in another order than a run writes its rows, and one of the two is a deadlock's victim.

-- name: outstanding
-- Accounts that a task has in hand.
SELECT COUNT(*) FROM fleet_sync_accounts
WHERE venue = %s AND egress = %s AND claimed_until > UTC_TIMESTAMP(6);

-- name: due
-- Those first that wait longest. Without a lock: by this index it would be taken in another order than
-- whoever writes the rows takes theirs.
SELECT account_id FROM fleet_sync_accounts
WHERE state = 'active' AND venue = %s AND egress = %s AND due_at <= UTC_TIMESTAMP(6)
  AND (claimed_until IS NULL OR claimed_until <= UTC_TIMESTAMP(6))
ORDER BY due_at
LIMIT %s;

-- name: free
-- Those of them that nobody has claimed meanwhile; rows in use at this moment are passed over.
SELECT account_id FROM fleet_sync_accounts FORCE INDEX (PRIMARY)
WHERE account_id IN %s AND (claimed_until IS NULL OR claimed_until <= UTC_TIMESTAMP(6))
ORDER BY account_id
FOR UPDATE SKIP LOCKED;

-- name: claim
UPDATE fleet_sync_accounts FORCE INDEX (PRIMARY) SET claimed_until = UTC_TIMESTAMP(6) + INTERVAL %s SECOND WHERE account_id IN %s;

-- name: give_back
UPDATE fleet_sync_accounts FORCE INDEX (PRIMARY) SET claimed_until = NULL WHERE account_id IN %s;

-- name: new
-- In lower case, as venues and products are spelled here.
SELECT s.id, LOWER(s.venue), LOWER(s.product)
FROM fleet_account_sources s
LEFT JOIN fleet_sync_accounts a ON a.account_id = s.id
WHERE a.account_id IS NULL AND s.active = 1 AND (LOWER(s.venue), LOWER(s.product)) IN %s
LIMIT %s;

-- name: add
INSERT INTO fleet_sync_accounts (account_id, venue, product, egress)
VALUES {rows}
ON DUPLICATE KEY UPDATE account_id = fleet_sync_accounts.account_id;

-- name: unknown
-- Accounts at venues that we cannot ask; short, because a setting holds it.
SELECT LEFT(s.venue, 32), LEFT(s.product, 32), COUNT(*) AS accounts
FROM fleet_account_sources s
WHERE s.active = 1 AND (LOWER(s.venue), LOWER(s.product)) NOT IN %s
GROUP BY LEFT(s.venue, 32), LEFT(s.product, 32)
ORDER BY accounts DESC
LIMIT 4;

-- name: remember_unknown
INSERT INTO fleet_settings (name, value) VALUES ('sync.unknown', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value);

-- name: remembered_unknown
SELECT value FROM fleet_settings WHERE name = 'sync.unknown';

-- name: gone
-- Laravel has switched them off, deleted them, or moved them to where nobody can ask.
UPDATE fleet_sync_accounts a
LEFT JOIN fleet_account_sources s ON s.id = a.account_id
SET a.state = 'inactive'
WHERE a.state <> 'inactive'
  AND (s.id IS NULL OR s.active = 0 OR (LOWER(s.venue), LOWER(s.product)) NOT IN %s);

-- name: back
UPDATE fleet_sync_accounts a
JOIN fleet_account_sources s ON s.id = a.account_id
SET a.state = 'active', a.due_at = UTC_TIMESTAMP(6), a.failures = 0, a.error = NULL
WHERE a.state = 'inactive' AND s.active = 1 AND (LOWER(s.venue), LOWER(s.product)) IN %s;

-- name: elsewhere
-- Another venue or product under the same id: where the old one stood means nothing there.
SELECT a.account_id, LOWER(s.venue), LOWER(s.product)
FROM fleet_sync_accounts a
JOIN fleet_account_sources s ON s.id = a.account_id
WHERE (a.venue <> LOWER(s.venue) OR a.product <> LOWER(s.product))
  AND (LOWER(s.venue), LOWER(s.product)) IN %s
LIMIT %s;

-- name: begin_again
UPDATE fleet_sync_accounts
SET venue = %s, product = %s, state = 'active', since_ms = NULL, moved_ms = NULL, venue_uid = NULL,
  told_hash = NULL, told_ms = NULL, permissions_at = NULL, failures = 0, error = NULL, due_at = UTC_TIMESTAMP(6), version = version + 1
WHERE account_id = %s;

-- name: forget
DELETE FROM fleet_syncs WHERE account_id = %s;

-- name: rotated
-- Suspended, and Laravel has stored other keys since. As bytes: texts of two collations cannot be compared.
SELECT a.account_id
FROM fleet_sync_accounts a
JOIN fleet_account_sources s ON s.id = a.account_id
WHERE a.state = 'suspended'
  AND UNHEX(a.keys_hash) <> UNHEX(SHA2(CONCAT_WS('|', s.api_key, s.api_secret, s.passphrase), 256))
LIMIT %s;

-- name: lift
UPDATE fleet_sync_accounts
SET state = 'active', failures = 0, error = NULL, permissions_at = NULL, due_at = UTC_TIMESTAMP(6)
WHERE account_id IN %s AND state = 'suspended';

-- name: lift_states
-- Of accounts that are asked again, for whatever reason.
UPDATE fleet_account_state st
JOIN fleet_sync_accounts a ON a.account_id = st.account_id
SET st.status = 'active', st.reason = NULL, st.since = UTC_TIMESTAMP(6)
WHERE st.status = 'suspended' AND a.state = 'active';

-- name: unpinned
-- Pinned to an address that FLEET_EGRESS does not name any more.
SELECT account_id FROM fleet_sync_accounts WHERE egress NOT IN %s LIMIT %s;

-- name: pin
UPDATE fleet_sync_accounts FORCE INDEX (PRIMARY) SET egress = %s WHERE account_id IN %s;

-- name: lock
SELECT account_id FROM fleet_sync_accounts FORCE INDEX (PRIMARY) WHERE account_id IN %s ORDER BY account_id FOR UPDATE;

-- name: lock_all
SELECT account_id FROM fleet_sync_accounts FORCE INDEX (PRIMARY) ORDER BY account_id FOR UPDATE;

-- name: due_now
UPDATE fleet_sync_accounts FORCE INDEX (PRIMARY) SET due_at = UTC_TIMESTAMP(6), failures = 0 WHERE account_id IN %s AND state = 'active';

-- name: due_now_kinds
UPDATE fleet_syncs SET due_at = UTC_TIMESTAMP(6) WHERE account_id IN %s;

-- name: all_due_now
UPDATE fleet_sync_accounts SET due_at = UTC_TIMESTAMP(6), failures = 0 WHERE state = 'active';

-- name: all_due_now_kinds
UPDATE fleet_syncs SET due_at = UTC_TIMESTAMP(6);
