-- name: settle
-- The first start stores the number; later ones leave it as it is.
INSERT INTO fleet_settings (name, value) VALUES ('partitions', %s)
ON DUPLICATE KEY UPDATE name = fleet_settings.name

-- name: settled
SELECT value FROM fleet_settings WHERE name = 'partitions'
