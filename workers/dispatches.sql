-- name: add
INSERT INTO fleet_dispatches (uuid, queue, class, payload, delay_seconds) VALUES (%s, %s, %s, %s, %s)

-- name: queues
SELECT DISTINCT queue FROM fleet_dispatches WHERE pushed_at IS NULL

-- name: claim
-- Rows of a queue that wait, oldest first; rows another relay is pushing are passed over.
SELECT id, uuid, queue, class, payload, delay_seconds
FROM fleet_dispatches
WHERE pushed_at IS NULL AND queue = %s
ORDER BY id
LIMIT %s
FOR UPDATE SKIP LOCKED

-- name: mark_pushed
UPDATE fleet_dispatches SET pushed_at = UTC_TIMESTAMP(6) WHERE id IN %s
