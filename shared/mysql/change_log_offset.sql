-- name: lock
SELECT epoch, seq, chunk, whole, position, month, hash, rows_count FROM fleet_cdc_offset WHERE sink = %s FOR UPDATE

-- name: read
SELECT epoch, seq, chunk, whole, position, month, hash, rows_count FROM fleet_cdc_offset WHERE sink = %s

-- name: make
INSERT INTO fleet_cdc_offset (sink, hash) VALUES (%s, %s) ON DUPLICATE KEY UPDATE sink = fleet_cdc_offset.sink

-- name: move
UPDATE fleet_cdc_offset
SET epoch = %s, seq = %s, chunk = %s, whole = %s, position = %s, month = %s, hash = %s, rows_count = %s,
    updated_at = UTC_TIMESTAMP(6)
WHERE sink = %s

-- name: note_batch
INSERT INTO fleet_cdc_batches (last_seq, epoch, first_seq, rows_count) VALUES (%s, %s, %s, %s)

-- name: stage
INSERT INTO fleet_cdc_staged (seq, chunk, epoch, first_row, rows_count, header, encoding, payload)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: staged_rows
SELECT COALESCE(MAX(first_row + rows_count), 0) FROM fleet_cdc_staged

-- name: staged
SELECT epoch, seq, chunk, first_row, rows_count, header, encoding, payload FROM fleet_cdc_staged
WHERE chunk > %s ORDER BY chunk LIMIT %s

-- name: unstage
DELETE FROM fleet_cdc_staged

-- name: quarantine
INSERT INTO fleet_cdc_quarantine
  (epoch, seq, row_index, part, table_name, op, reason, header, encoding, payload)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: quarantined
SELECT epoch, seq, row_index, table_name, op, reason, header, encoding, refused_at FROM fleet_cdc_quarantine
WHERE replayed_at IS NULL AND part = 0 AND seq BETWEEN %s AND %s
ORDER BY epoch, seq, row_index

-- name: quarantined_payload
SELECT payload FROM fleet_cdc_quarantine WHERE epoch = %s AND seq = %s AND row_index = %s ORDER BY part

-- name: replayed
UPDATE fleet_cdc_quarantine SET replayed_at = UTC_TIMESTAMP(6)
WHERE epoch = %s AND seq = %s AND row_index = %s AND replayed_at IS NULL

-- name: quarantine_count
SELECT COUNT(*) FROM fleet_cdc_quarantine WHERE replayed_at IS NULL AND part = 0

-- name: end_when_silent
SET SESSION wait_timeout = %s

-- name: packet_most
SELECT @@max_allowed_packet
