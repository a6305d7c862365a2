-- name: columns
SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s

-- name: seen
-- Laravel's sessions keep the server's zone, ours is in UTC: what to write into a TIMESTAMP so that
-- Laravel reads this text. A zone that the server does not know leaves it as it is.
SELECT COALESCE(CONVERT_TZ(%s, @@global.time_zone, @@session.time_zone), %s)

-- name: add_with_uuid
-- The uuid is unique: a repeat after a crash, or another worker's row, stays as it is.
INSERT INTO {table} (uuid, connection, queue, payload, exception, failed_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE uuid = {table}.uuid

-- name: add
-- Without a uuid the payload, which holds one, says which job it is; a repeat comes soon.
INSERT INTO {table} (connection, queue, payload, exception, failed_at)
SELECT %s, %s, %s, %s, %s FROM DUAL WHERE NOT EXISTS (
  SELECT 1 FROM (SELECT payload FROM {table} ORDER BY id DESC LIMIT 1000) AS newest
  WHERE newest.payload = %s COLLATE utf8mb4_bin
)

-- name: failed_since
-- No index has the time: the newest rows by id are looked through.
SELECT queue, COUNT(*)
FROM (SELECT queue, failed_at FROM {table} ORDER BY id DESC LIMIT 1000) AS newest
WHERE failed_at > %s
GROUP BY queue
