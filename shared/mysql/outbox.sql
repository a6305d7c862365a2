-- name: record
INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data)
VALUES {rows}

-- name: on_their_way
-- Of these event ids, those that no sink has confirmed yet.
SELECT event_id FROM fleet_outbox WHERE state < 2 AND event_id IN ({rows})

-- name: claim
-- Rows that wait, oldest first; rows another relay is claiming are passed over.
SELECT id, stream, type, event_key, event_id, ts_us, data, traceparent
FROM fleet_outbox
WHERE state = 0
ORDER BY id
LIMIT %s
FOR UPDATE SKIP LOCKED

-- name: mark_sent
UPDATE fleet_outbox
SET state = 1, sends = sends + 1, sent_at = UTC_TIMESTAMP(6), partition_no = CRC32(event_key) %% %s
WHERE id IN %s AND state = 0

-- name: mark_waiting
UPDATE fleet_outbox SET state = 0 WHERE id IN %s AND state = 1

-- name: confirmable
-- A row the relay holds at this moment is left out; it is sent once more and confirmed then.
SELECT id, event_id FROM fleet_outbox
WHERE id IN %s AND state <> 2
FOR UPDATE SKIP LOCKED

-- name: confirm
UPDATE fleet_outbox SET state = 2, confirmed_at = UTC_TIMESTAMP(6) WHERE id IN %s

-- name: resend_all
-- Redis lost data: whatever no sink has confirmed goes out again.
UPDATE fleet_outbox SET state = 0 WHERE state = 1

-- name: end_of_page
-- The last id of the next so many rows.
SELECT MAX(id) FROM (SELECT id FROM fleet_outbox WHERE id > %s ORDER BY id LIMIT %s) page

-- name: send_again
UPDATE fleet_outbox SET state = 0 WHERE id > %s AND id <= %s AND state <> 0

-- name: resend_stream
UPDATE fleet_outbox SET state = 0 WHERE state = 1 AND stream = %s AND partition_no = %s

-- name: unconfirmed
-- Partitions with rows that were sent more than some seconds ago and are not confirmed.
SELECT stream, partition_no, COUNT(*), UNIX_TIMESTAMP(MIN(sent_at))
FROM fleet_outbox
WHERE state = 1 AND sent_at < UTC_TIMESTAMP(6) - INTERVAL %s SECOND
GROUP BY stream, partition_no

-- name: undelivered
-- Found without a lock: an UPDATE by these columns would hold rows that a sink is confirming.
SELECT id FROM fleet_outbox
WHERE state = 1 AND stream = %s AND partition_no = %s AND sent_at < %s
ORDER BY id
LIMIT %s

-- name: prune
DELETE FROM fleet_outbox
WHERE state = 2 AND confirmed_at < UTC_TIMESTAMP(6) - INTERVAL %s SECOND
ORDER BY id
LIMIT %s
