-- name: answer
INSERT INTO fleet_requests (uuid, class, arguments, answer, attempts, answered_at)
VALUES (%s, %s, %s, %s, %s, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE answer = VALUES(answer), attempts = VALUES(attempts), answered_at = VALUES(answered_at)
