-- A table as of a seq, from the audit log; parameters in the order in which they stand.

-- name: audit_rows
-- The newest change of each of some keys, in the order of their hashes. A key may have several in one transaction:
-- the last one counts. What was replayed later stands in the place of its hash.
SELECT l.key_hash, l.seq, l.op, l.row_key, COALESCE(t.row_after, l.row_after)
FROM (
  SELECT key_hash, MAX(seq) AS seq
  FROM fleet_change_log
  WHERE table_name = %s AND key_hash > %s AND seq <= %s
  GROUP BY key_hash
  ORDER BY key_hash
  LIMIT %s
) AS newest
JOIN fleet_change_log AS l
  ON l.table_name = %s AND l.key_hash = newest.key_hash AND l.seq = newest.seq
LEFT JOIN fleet_change_log_late AS t
  ON t.epoch = l.epoch AND t.seq = l.seq AND t.row_index = l.row_index
ORDER BY l.key_hash, l.row_index

-- name: audit_messages
SELECT seq, op, row_after FROM fleet_change_log
WHERE table_name = %s AND key_hash = %s AND op IN ('t', 'm') AND seq <= %s
ORDER BY seq, row_index

-- name: audit_seq_at
-- The last transaction committed by then. month: that of the moment; months never go back.
SELECT seq FROM fleet_change_log
WHERE month <= %s AND committed_at <= %s
ORDER BY epoch DESC, seq DESC
LIMIT 1

-- name: audit_last_seq
SELECT MAX(seq) FROM fleet_change_log

-- name: history_rows
SELECT DISTINCT ON (row_key) row_key, op, seq, after
FROM fleet.change_event
WHERE table_name = %s AND seq <= %s AND op NOT IN ('t', 'm')
ORDER BY row_key DESC, seq DESC, row_index DESC

-- name: history_messages
SELECT seq, op, after FROM fleet.change_event
WHERE table_name = %s AND seq <= %s AND op IN ('t', 'm')
ORDER BY seq, row_index

-- name: history_seq_at
SELECT max(seq) FROM fleet.change_event WHERE committed_at <= %s

-- name: history_last_seq
SELECT max(seq) FROM fleet.change_event
