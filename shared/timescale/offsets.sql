-- name: make
INSERT INTO fleet.cdc_offset (sink) VALUES (%s) ON CONFLICT DO NOTHING

-- name: lock
SELECT epoch, seq, chunk, whole, position FROM fleet.cdc_offset WHERE sink = %s FOR UPDATE

-- name: read
SELECT epoch, seq, chunk, whole, position FROM fleet.cdc_offset WHERE sink = %s AND epoch IS NOT NULL

-- name: move
UPDATE fleet.cdc_offset
SET epoch = %s, seq = %s, chunk = %s, whole = %s, position = %s::jsonb, moved_at = now()
WHERE sink = %s

-- name: note_batch
INSERT INTO fleet.cdc_batch (written_at, epoch, first_seq, last_seq, rows) VALUES (now(), %s, %s, %s, %s)

-- name: stage
INSERT INTO fleet.cdc_staging (epoch, seq, chunk, first_row, rows, names, contents)
VALUES (%s, %s, %s, %s, %s, %s, %s)

-- name: staged_rows
SELECT COALESCE(SUM(rows), 0)::bigint FROM fleet.cdc_staging

-- name: staged
SELECT epoch, seq, chunk, first_row, rows, names, contents
FROM fleet.cdc_staging
WHERE (seq, chunk) > (%s, %s)
ORDER BY seq, chunk
LIMIT %s

-- name: unstage
DELETE FROM fleet.cdc_staging

-- name: quarantine
INSERT INTO fleet.cdc_quarantine (epoch, seq, chunk, row_index, table_name, op, reason, names, contents)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (seq, row_index) DO NOTHING

-- name: quarantined
SELECT epoch, seq, chunk, row_index, 1, names, contents, table_name, op, reason, refused_at
FROM fleet.cdc_quarantine
WHERE (seq, row_index) > (%s, %s) AND seq <= %s AND replayed_at IS NULL
ORDER BY seq, row_index
LIMIT 1

-- name: replayed
UPDATE fleet.cdc_quarantine SET replayed_at = now() WHERE seq = %s AND row_index = %s

-- name: quarantine_count
SELECT count(*) FROM fleet.cdc_quarantine WHERE replayed_at IS NULL
