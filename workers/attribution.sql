-- name: after
-- The account that was served last.
SELECT value FROM fleet_settings WHERE name = 'attributed_account';

-- name: remember
INSERT INTO fleet_settings (name, value) VALUES ('attributed_account', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6);
