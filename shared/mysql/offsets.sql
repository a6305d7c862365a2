-- name: ensure
-- Rows of a consumer's partitions; existing ones stay as they are.
INSERT INTO fleet_offsets (consumer, stream, partition_no)
VALUES (%s, %s, %s)
ON DUPLICATE KEY UPDATE partition_no = fleet_offsets.partition_no

-- name: owner_session
SELECT owner_session FROM fleet_offsets
WHERE consumer = %s AND stream = %s AND partition_no = %s

-- name: take
-- Take over: from here on every commit of an older epoch matches no row.
-- A crash is another owner that said no goodbye; one that lost its lease and came back is none.
UPDATE fleet_offsets
SET epoch = epoch + 1,
    crashes = crashes + (owner IS NOT NULL AND owner <> %s),
    suspect_tries = suspect_tries + (suspect_id IS NOT NULL AND owner IS NOT NULL AND owner <> %s),
    owner = %s,
    owner_session = CONNECTION_ID(),
    updated_at = UTC_TIMESTAMP(6)
WHERE consumer = %s AND stream = %s AND partition_no = %s

-- name: standing
SELECT stream, partition_no, epoch, halted_reason FROM fleet_offsets WHERE consumer = %s

-- name: read
SELECT last_id, last_event_id, entries_read, epoch, crashes, suspect_id, suspect_tries, handler_failures, halted_reason
FROM fleet_offsets
WHERE consumer = %s AND stream = %s AND partition_no = %s

-- name: read_locked
-- Waits for a transaction of ours whose COMMIT lost its reply, then says what became of it.
SELECT last_id, last_event_id, entries_read, epoch, crashes, suspect_id, suspect_tries, handler_failures, halted_reason
FROM fleet_offsets
WHERE consumer = %s AND stream = %s AND partition_no = %s
FOR UPDATE

-- name: advance
-- Compare-and-set on (epoch, last_id), in the transaction of the effect. Zero rows: fenced.
UPDATE fleet_offsets
SET last_id = %s,
    last_event_id = %s,
    entries_read = entries_read + %s,
    crashes = 0,
    suspect_id = NULL,
    suspect_tries = 0,
    updated_at = UTC_TIMESTAMP(6)
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s AND last_id = %s

-- name: rewind
-- Redis lost entries: read the stream again from its start; identity makes the second reading harmless.
UPDATE fleet_offsets
SET last_id = '0-0', last_event_id = NULL, entries_read = %s, updated_at = UTC_TIMESTAMP(6)
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s

-- name: recover
-- Start over under a new epoch, whoever owns it: the owner is fenced and takes over again.
UPDATE fleet_offsets
SET epoch = epoch + 1,
    owner = NULL,
    owner_session = NULL,
    last_id = '0-0',
    last_event_id = NULL,
    entries_read = %s,
    updated_at = UTC_TIMESTAMP(6)
WHERE stream = %s AND partition_no = %s

-- name: recount
-- The stream was made anew without our noticing: at its end the counter is the stream's own.
UPDATE fleet_offsets SET entries_read = %s
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s AND last_id = %s

-- name: suspect
-- Remember, before it is tried, the entry that may kill the process; a successor counts.
UPDATE fleet_offsets
SET suspect_tries = IF(suspect_id <=> %s, suspect_tries, 0), suspect_id = %s
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s

-- name: count_failure
UPDATE fleet_offsets
SET handler_failures = handler_failures + 1
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s

-- name: halt
UPDATE fleet_offsets SET halted_reason = %s
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s

-- name: resume
UPDATE fleet_offsets SET halted_reason = NULL, handler_failures = 0, suspect_id = NULL, suspect_tries = 0, crashes = 0
WHERE halted_reason IS NOT NULL

-- name: let_go
UPDATE fleet_offsets SET owner = NULL, owner_session = NULL
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s

-- name: adopt_session
-- After a reconnect: a successor must find the session that may hold our locks now.
UPDATE fleet_offsets SET owner_session = CONNECTION_ID()
WHERE consumer = %s AND stream = %s AND partition_no = %s AND epoch = %s
