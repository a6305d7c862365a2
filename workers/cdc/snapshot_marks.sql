-- Rows of fleet_cdc_heartbeat beside the one that says: alive.

-- name: write
INSERT INTO fleet_cdc_heartbeat (id, n, at, mark) VALUES (%s, 1, UTC_TIMESTAMP(6), %s)
ON DUPLICATE KEY UPDATE n = n + 1, at = UTC_TIMESTAMP(6), mark = VALUES(mark)

-- name: read
SELECT id, mark FROM fleet_cdc_heartbeat WHERE id > 1 AND mark IS NOT NULL

-- name: tables
SELECT table_schema, table_name
FROM information_schema.tables
WHERE table_schema IN (%s, %s) AND table_type = 'BASE TABLE'
ORDER BY table_name

-- name: row_bytes
SELECT COALESCE(avg_row_length, 0)
FROM information_schema.tables
WHERE table_schema = %s AND table_name = %s
