-- name: offsets
-- Of every consumer: the slowest one decides what may be trimmed.
SELECT stream, partition_no, last_id FROM fleet_offsets WHERE stream IN %s

-- name: progress
SELECT stream, partition_no, last_id, entries_read FROM fleet_offsets WHERE consumer = %s

-- name: prune_dispatches
DELETE FROM fleet_dispatches WHERE pushed_at < UTC_TIMESTAMP(6) - INTERVAL %s DAY ORDER BY pushed_at LIMIT %s

-- name: prune_contexts
-- What counts is their place in the log.
DELETE FROM fleet_change_context WHERE at < UTC_TIMESTAMP(6) - INTERVAL %s DAY ORDER BY at LIMIT %s

-- name: prune_requests
DELETE FROM fleet_requests WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL %s DAY ORDER BY created_at LIMIT %s
