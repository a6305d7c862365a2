-- name: audit_marks
SELECT epoch, seq, row_after FROM fleet_change_log
WHERE table_name = 'fleet_cdc_heartbeat' AND key_hash = %s AND op = 'm'
ORDER BY seq DESC
LIMIT 50

-- name: audit_between
-- What changed between two seqs of one epoch.
SELECT row_key, op, row_after FROM fleet_change_log
WHERE epoch = %s AND seq > %s AND seq < %s AND table_name = %s AND op NOT IN ('t', 'm')
ORDER BY seq, row_index

-- name: audit_seqs
-- Every transaction that left a row, and whether rows of the log are among them.
SELECT epoch, seq, MAX(op IN ('c', 'u', 'd', 't') AND derived = 0)
FROM fleet_change_log WHERE seq <= %s GROUP BY epoch, seq ORDER BY epoch, seq

-- name: audit_dropped
SELECT COALESCE(MAX(last_seq), 0) FROM fleet_cdc_anchors

-- name: state_rows
-- Every key with the place of its newest change, in the sink's own snapshot.
SELECT row_key, seq, deleted, row FROM fleet.row_state WHERE table_name = %s

-- name: state_before
-- What some keys were after a transaction, of those that have changed since.
SELECT DISTINCT ON (row_key) row_key, op, seq, after
FROM fleet.change_event
WHERE table_name = %s AND row_key = ANY(%s) AND seq <= %s AND op NOT IN ('t', 'm')
ORDER BY row_key, seq DESC, row_index DESC

-- name: events_between
SELECT row_key, op, after FROM fleet.change_event
WHERE table_name = %s AND seq > %s AND seq < %s AND op NOT IN ('t', 'm')
ORDER BY seq, row_index

-- name: event_seqs
SELECT epoch, seq, bool_or(op IN ('c', 'u', 'd', 't') AND NOT derived)
FROM fleet.change_event WHERE seq <= %s GROUP BY epoch, seq ORDER BY epoch, seq
