-- name: waiting
-- The first row of every account and batch that waits, oldest first. It stands for all of them: they
-- came in one transaction. Read without a lock, so that a batch is seen whole or not at all.
SELECT id
FROM fleet_restatements AS head
WHERE announced_at IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM fleet_restatements AS earlier
    WHERE earlier.account_id = head.account_id AND earlier.batch = head.batch AND earlier.id < head.id
  )
ORDER BY id
LIMIT %s

-- name: claim
-- Those of them that no other announcer has in hand, or has told since.
SELECT account_id, batch
FROM fleet_restatements FORCE INDEX (PRIMARY)
WHERE id IN %s AND announced_at IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED

-- name: days
SELECT DISTINCT day FROM fleet_restatements WHERE account_id = %s AND batch = %s ORDER BY day LIMIT %s

-- name: causes
SELECT cause FROM fleet_restatements
WHERE account_id = %s AND batch = %s
GROUP BY cause ORDER BY MIN(id) LIMIT %s

-- name: mark
UPDATE fleet_restatements SET announced_at = UTC_TIMESTAMP(6) WHERE account_id = %s AND batch = %s
