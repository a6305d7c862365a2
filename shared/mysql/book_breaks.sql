-- name: read
SELECT identity, details FROM fleet_breaks WHERE (kind, identity) IN ({rows});

-- name: open
-- Opens, opens again, or widens. Assignments run from left to right: a break that was open keeps its time.
INSERT INTO fleet_breaks (kind, account_id, identity, details, expected, actual, cause)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  opened_at = IF(closed_at IS NULL, opened_at, UTC_TIMESTAMP(6)),
  closed_at = NULL,
  details = VALUES(details), expected = VALUES(expected), actual = VALUES(actual), cause = VALUES(cause);

-- name: open_of_account
SELECT id, kind, account_id, identity, details, expected, actual, cause, opened_at, closed_at
FROM fleet_breaks FORCE INDEX (fleet_breaks_account)
WHERE account_id = %s AND closed_at IS NULL AND kind IN %s
ORDER BY id;

-- name: open_of_identities
SELECT id, kind, account_id, identity, details, expected, actual, cause, opened_at, closed_at
FROM fleet_breaks FORCE INDEX (fleet_breaks_identity)
WHERE (kind, identity) IN ({rows}) AND closed_at IS NULL;

-- name: ids
SELECT kind, identity, id FROM fleet_breaks WHERE (kind, identity) IN ({rows});

-- name: close
UPDATE fleet_breaks SET closed_at = UTC_TIMESTAMP(6) WHERE id IN ({rows});

-- name: close_decided
UPDATE fleet_breaks SET closed_at = UTC_TIMESTAMP(6), details = %s WHERE id = %s AND closed_at IS NULL;

-- name: listed
SELECT id, kind, account_id, identity, details, expected, actual, cause, opened_at, closed_at
FROM fleet_breaks
WHERE (%s IS NULL OR account_id = %s) AND (%s IS NULL OR kind = %s) AND (%s OR closed_at IS NULL)
ORDER BY id
LIMIT %s;

-- name: one
SELECT id, kind, account_id, identity, details, expected, actual, cause, opened_at, closed_at
FROM fleet_breaks WHERE id = %s;
