-- name: add
INSERT INTO fleet_quarantine (token, queue, reason, payload) VALUES (%s, %s, %s, %s)
ON DUPLICATE KEY UPDATE token = fleet_quarantine.token

-- name: list
SELECT token, queue, reason, payload, quarantined_at FROM fleet_quarantine ORDER BY quarantined_at LIMIT %s

-- name: one
SELECT token, queue, reason, payload, quarantined_at FROM fleet_quarantine WHERE token = %s

-- name: remove
DELETE FROM fleet_quarantine WHERE token = %s
