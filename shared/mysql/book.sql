-- name: lock_accounts
-- The lock of every writer of an account's rows. The forced index keeps the scan off other accounts' rows.
SELECT account_id, incomplete
FROM fleet_account_state FORCE INDEX (PRIMARY)
WHERE account_id IN ({rows})
ORDER BY account_id
FOR UPDATE;

-- name: lock_free_accounts
SELECT account_id, incomplete
FROM fleet_account_state FORCE INDEX (PRIMARY)
WHERE account_id IN ({rows})
ORDER BY account_id
FOR UPDATE SKIP LOCKED;

-- name: create_accounts
INSERT INTO fleet_account_state (account_id)
VALUES {rows}
ON DUPLICATE KEY UPDATE account_id = VALUES(account_id);

-- name: supersede
UPDATE fleet_parked FORCE INDEX (fleet_parked_account)
SET resolution = 'superseded', resolved_at = UTC_TIMESTAMP(6)
WHERE resolution IS NULL AND (account_id, identity) IN ({rows});

-- name: complete_accounts
UPDATE fleet_account_state FORCE INDEX (PRIMARY)
SET incomplete = EXISTS (
  SELECT 1 FROM fleet_parked
  WHERE fleet_parked.account_id = fleet_account_state.account_id AND fleet_parked.resolution IS NULL
)
WHERE account_id IN ({rows});
