-- name: history
SELECT epoch, seq, row_index, op, derived, before, after, committed_at, gtid, file, pos, actor
FROM fleet.change_event
WHERE table_name = %s AND row_key = %s AND op NOT IN ('t', 'm')
ORDER BY seq, row_index

-- name: batch_of
SELECT first_seq, last_seq, rows, written_at FROM fleet.cdc_batch
WHERE first_seq <= %s AND last_seq >= %s
ORDER BY last_seq
LIMIT 1
