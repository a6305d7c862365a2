-- name: offsets
-- Of every consumer: the slowest one decides what may be trimmed.
SELECT stream, partition_no, last_id FROM fleet_offsets WHERE stream IN %s

-- name: progress
SELECT stream, partition_no, last_id, entries_read FROM fleet_offsets WHERE consumer = %s
