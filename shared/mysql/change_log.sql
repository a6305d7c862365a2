-- name: append
-- Rows follow, as literals.
INSERT INTO fleet_change_log
  (epoch, seq, row_index, month, table_name, key_hash, row_key, op, derived, row_before, row_after, committed_at, gtid,
   file, pos, actor, hash)
VALUES

-- name: append_late
INSERT INTO fleet_change_log_late (epoch, seq, row_index, row_before, row_after) VALUES (%s, %s, %s, %s, %s)

-- name: keys
-- Keys of a table in the order of their hashes, each with its last change.
SELECT key_hash, MAX(seq) FROM fleet_change_log
WHERE table_name = %s AND key_hash > %s
GROUP BY key_hash
ORDER BY key_hash
LIMIT %s

-- name: messages
-- Messages about a table: truncated, dropped, a snapshot.
SELECT seq, op, row_after FROM fleet_change_log
WHERE table_name = %s AND key_hash = %s AND op IN ('t', 'm')
ORDER BY seq, row_index

-- name: last_change
SELECT op, row_key, row_after FROM fleet_change_log
WHERE table_name = %s AND key_hash = %s AND seq = %s
ORDER BY row_index DESC
LIMIT 1

-- name: history
-- One row's changes; what was replayed later in the place of its hash.
SELECT l.epoch, l.seq, l.row_index, l.op, l.derived, COALESCE(t.row_before, l.row_before) AS row_before,
       COALESCE(t.row_after, l.row_after) AS row_after, l.committed_at, l.gtid, l.file, l.pos, l.actor
FROM fleet_change_log AS l
LEFT JOIN fleet_change_log_late AS t ON t.epoch = l.epoch AND t.seq = l.seq AND t.row_index = l.row_index
WHERE l.table_name = %s AND l.key_hash = %s AND l.row_key = %s
ORDER BY l.seq, l.row_index

-- name: batch_of
-- The batch that wrote a transaction, where the diary still has it.
SELECT epoch, first_seq, last_seq, rows_count, written_at FROM fleet_cdc_batches
WHERE last_seq >= %s ORDER BY last_seq LIMIT 1
