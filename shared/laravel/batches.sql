-- name: cancelled
SELECT cancelled_at IS NOT NULL FROM {table} WHERE id = %s
