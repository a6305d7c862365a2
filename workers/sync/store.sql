-- What a run reads and writes. Everything of one batch of accounts goes in one statement.

-- name: now
SELECT UTC_TIMESTAMP(6);

-- name: accounts
-- keys_hash: of the encrypted columns, so that a rotated key is seen without opening it.
SELECT a.account_id, a.venue, a.product, a.egress, a.tier, a.since_ms, a.moved_ms, a.told_hash, a.told_ms, a.failures, a.version,
  a.permissions_at, s.settings, s.api_key, s.api_secret, s.passphrase,
  SHA2(CONCAT_WS('|', s.api_key, s.api_secret, s.passphrase), 256)
FROM fleet_sync_accounts a
JOIN fleet_account_sources s ON s.id = a.account_id
WHERE a.account_id IN %s AND a.state = 'active';

-- name: kinds
SELECT account_id, kind, place, due_at FROM fleet_syncs WHERE account_id IN %s;

-- name: held
SELECT account_id, product, instrument FROM fleet_positions WHERE account_id IN %s AND qty <> 0;

-- name: lock
-- By the primary key, as planner.sql says.
SELECT account_id, version FROM fleet_sync_accounts FORCE INDEX (PRIMARY) WHERE account_id IN %s ORDER BY account_id FOR UPDATE;

-- name: newest_outbox
SELECT COALESCE(MAX(id), 0) FROM fleet_outbox;

-- name: save_kinds
-- Left to right: complete_through_ms sees whether rows are still on their way.
INSERT INTO fleet_syncs (account_id, kind, place, due_at, ran_at, found_through_ms, complete_through_ms, outbox_first, outbox_last)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  place = VALUES(place),
  due_at = VALUES(due_at),
  ran_at = VALUES(ran_at),
  outbox_first = COALESCE(fleet_syncs.outbox_first, VALUES(outbox_first)),
  outbox_last = COALESCE(VALUES(outbox_last), fleet_syncs.outbox_last),
  found_through_ms = COALESCE(VALUES(found_through_ms), fleet_syncs.found_through_ms),
  complete_through_ms = IF(fleet_syncs.outbox_first IS NULL, fleet_syncs.found_through_ms, fleet_syncs.complete_through_ms);

-- name: save_accounts
INSERT INTO fleet_sync_accounts
  (account_id, venue, product, egress, state, tier, keys_hash, venue_uid, since_ms, moved_ms, told_hash, told_ms, due_at, ran_at, permissions_at, failures, error, version)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  state = IF(fleet_sync_accounts.state = 'active', VALUES(state), fleet_sync_accounts.state),
  tier = VALUES(tier), keys_hash = VALUES(keys_hash), venue_uid = COALESCE(VALUES(venue_uid), fleet_sync_accounts.venue_uid),
  since_ms = VALUES(since_ms), moved_ms = VALUES(moved_ms), told_hash = VALUES(told_hash), told_ms = VALUES(told_ms),
  due_at = VALUES(due_at),
  ran_at = COALESCE(VALUES(ran_at), fleet_sync_accounts.ran_at),
  permissions_at = COALESCE(VALUES(permissions_at), fleet_sync_accounts.permissions_at),
  failures = VALUES(failures), error = VALUES(error), version = fleet_sync_accounts.version + 1, claimed_until = NULL;

-- name: suspend
INSERT INTO fleet_account_state (account_id, status, reason, since)
VALUES (%s, 'suspended', %s, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE status = 'suspended', reason = VALUES(reason), since = VALUES(since);

-- name: same_exchange_account
-- An account of the exchange that was linked before this one, by another user or another key.
SELECT MIN(account_id) FROM fleet_sync_accounts
WHERE venue = %s AND venue_uid = %s AND product = %s AND account_id < %s AND state <> 'inactive';

-- name: unconfirmed
-- What was found and may be in the books by now.
SELECT account_id, kind, found_through_ms, outbox_first, outbox_last
FROM fleet_syncs
WHERE outbox_first IS NOT NULL
ORDER BY outbox_first
LIMIT %s;

-- name: on_their_way
SELECT 1 FROM fleet_outbox
WHERE id BETWEEN %s AND %s AND state < 2 AND event_key = %s
LIMIT 1;

-- name: confirm
-- A run that found more meanwhile has moved outbox_last: its own rows are looked for next time.
UPDATE fleet_syncs
SET complete_through_ms = %s, outbox_first = NULL, outbox_last = NULL
WHERE account_id = %s AND kind = %s AND outbox_last = %s;
