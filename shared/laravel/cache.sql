-- name: read
-- Laravel's cache in its own schema; {table} is quoted by the caller.
SELECT `key`, value FROM {table} WHERE `key` IN %s AND expiration > UNIX_TIMESTAMP()

-- name: lock
SELECT value FROM {table} WHERE `key` = %s AND expiration > UNIX_TIMESTAMP() FOR UPDATE

-- name: write
INSERT INTO {table} (`key`, value, expiration) VALUES (%s, %s, UNIX_TIMESTAMP() + %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), expiration = VALUES(expiration)

-- name: update
UPDATE {table} SET value = %s WHERE `key` = %s

-- name: remove
DELETE FROM {table} WHERE `key` IN %s
