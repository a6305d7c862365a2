-- name: partitions
-- Months that have a partition of their own, oldest first.
SELECT CAST(SUBSTRING(partition_name, 2) AS UNSIGNED) FROM information_schema.partitions
WHERE table_schema = DATABASE() AND table_name = 'fleet_change_log' AND partition_name LIKE 'm%%'
ORDER BY partition_ordinal_position

-- name: last_anchor
SELECT month, first_seq, last_epoch, last_seq, last_row, rows_count, hash_before, hash FROM fleet_cdc_anchors
ORDER BY month DESC LIMIT 1

-- name: anchored_rows
SELECT COALESCE(SUM(rows_count), 0) FROM fleet_cdc_anchors

-- name: add_anchor
INSERT INTO fleet_cdc_anchors (month, first_seq, last_epoch, last_seq, last_row, rows_count, hash_before, hash)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: rows_between
-- Of some months, in the order of the chain.
SELECT epoch, seq, row_index, month, committed_at, gtid, file, pos, actor, table_name, row_key, key_hash, op, derived,
       row_before, row_after, hash
FROM fleet_change_log
WHERE month > %s AND month <= %s
ORDER BY epoch, seq, row_index

-- name: forget_late
DELETE FROM fleet_change_log_late WHERE seq <= %s

-- name: forget_replayed
DELETE FROM fleet_cdc_quarantine WHERE replayed_at IS NOT NULL AND seq <= %s

-- name: forget_batches
DELETE FROM fleet_cdc_batches WHERE written_at < %s LIMIT 10000

-- name: newest_rows
-- The last ones through a seq, newest first: the primary key read backwards.
SELECT epoch, seq, row_index, month, committed_at, gtid, file, pos, actor, table_name, row_key, key_hash, op, derived,
       row_before, row_after, hash
FROM fleet_change_log
WHERE epoch = (SELECT MAX(epoch) FROM fleet_change_log) AND seq <= %s
ORDER BY epoch DESC, seq DESC, row_index DESC
LIMIT %s
