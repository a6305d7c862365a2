-- name: generation
-- Which Redis the outbox was last sent to.
SELECT value FROM fleet_settings WHERE name = 'redis_generation'

-- name: ensure_generation
INSERT INTO fleet_settings (name, value) VALUES ('redis_generation', '')
ON DUPLICATE KEY UPDATE name = fleet_settings.name

-- name: lock_generation
SELECT value FROM fleet_settings WHERE name = 'redis_generation' FOR UPDATE

-- name: set_generation
UPDATE fleet_settings SET value = %s, updated_at = UTC_TIMESTAMP(6) WHERE name = 'redis_generation'

-- name: end_when_silent
SET SESSION wait_timeout = %s

-- name: offset
SELECT last_id FROM fleet_offsets WHERE consumer = %s AND stream = %s AND partition_no = %s

-- name: young
-- Rows sent after this moment may simply be on their way.
SELECT UTC_TIMESTAMP(6) - INTERVAL %s SECOND

-- name: delivered_before
-- The sink has read past what was sent before the first unread entry, less the skew of two clocks.
SELECT LEAST(
  UTC_TIMESTAMP(6) - INTERVAL %s SECOND,
  FROM_UNIXTIME(%s / 1000) - INTERVAL %s SECOND
)
