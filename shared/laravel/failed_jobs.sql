-- name: columns
SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s

-- name: add_with_uuid
-- The uuid is unique: a repeat after a crash changes nothing.
INSERT INTO {table} (uuid, connection, queue, payload, exception, failed_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE exception = VALUES(exception), failed_at = VALUES(failed_at)

-- name: add
-- Without a uuid the payload, which holds one, says which job it is; a repeat comes soon.
INSERT INTO {table} (connection, queue, payload, exception, failed_at)
SELECT %s, %s, %s, %s, %s FROM DUAL WHERE NOT EXISTS (
  SELECT 1 FROM (SELECT payload FROM {table} ORDER BY id DESC LIMIT 1000) AS newest
  WHERE newest.payload = %s COLLATE utf8mb4_bin
)

-- name: remove
DELETE FROM {table} WHERE payload = %s COLLATE utf8mb4_bin ORDER BY id DESC LIMIT 1

-- name: remove_by_uuid
DELETE FROM {table} WHERE uuid = %s
