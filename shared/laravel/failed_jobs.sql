-- name: columns
SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s

-- name: add_with_uuid
-- The uuid is unique: a repeat after a crash changes nothing.
INSERT INTO {table} (uuid, connection, queue, payload, exception, failed_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE exception = VALUES(exception), failed_at = VALUES(failed_at)

-- name: add
INSERT INTO {table} (connection, queue, payload, exception, failed_at) VALUES (%s, %s, %s, %s, %s)

-- name: remove
DELETE FROM {table} WHERE uuid = %s
