-- name: park
INSERT INTO fleet_parked
  (stream, partition_no, entry_id, event_key, type, event_id, fields, data, account_id, identity, reason, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE tries = fleet_parked.tries + 1

-- name: count_again
UPDATE fleet_parked SET tries = tries + 1
WHERE stream = %s AND partition_no = %s AND event_id = %s AND data = %s

-- name: mark_incomplete
INSERT INTO fleet_account_state (account_id, incomplete)
VALUES (%s, 1)
ON DUPLICATE KEY UPDATE incomplete = 1

-- name: open
-- Open events, oldest first; every filter may be NULL. Pages by primary key.
SELECT stream, partition_no, entry_id, event_key, type, event_id, fields, data, account_id, identity, reason, error, tries, parked_at
FROM fleet_parked
WHERE resolution IS NULL
  AND (%(stream)s IS NULL OR stream = %(stream)s)
  AND (%(type)s IS NULL OR type = %(type)s)
  AND (%(reason)s IS NULL OR reason = %(reason)s)
  AND (%(key)s IS NULL OR event_key = %(key)s)
  AND (%(entry_id)s IS NULL OR entry_id = %(entry_id)s)
  AND (stream, partition_no, entry_id) > (%(after_stream)s, %(after_partition)s, %(after_entry)s)
ORDER BY stream, partition_no, entry_id
LIMIT %(limit)s

-- name: count_open
SELECT reason, type, COUNT(*) FROM fleet_parked WHERE resolution IS NULL GROUP BY reason, type ORDER BY 3 DESC, 1, 2

-- name: lock_one
SELECT resolution FROM fleet_parked WHERE stream = %s AND partition_no = %s AND entry_id = %s FOR UPDATE

-- name: resolve
UPDATE fleet_parked
SET resolution = %s, resolved_reason = %s, resolved_at = UTC_TIMESTAMP(6)
WHERE stream = %s AND partition_no = %s AND entry_id = %s AND resolution IS NULL

-- name: refused_again
UPDATE fleet_parked SET tries = tries + 1, reason = %s, error = %s
WHERE stream = %s AND partition_no = %s AND entry_id = %s AND resolution IS NULL

-- name: settle_incomplete
UPDATE fleet_account_state
SET incomplete = EXISTS (
  SELECT 1 FROM fleet_parked
  WHERE fleet_parked.account_id = fleet_account_state.account_id AND fleet_parked.resolution IS NULL
)
WHERE account_id = %s
