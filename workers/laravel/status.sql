-- name: counts
SELECT
  (SELECT COUNT(*) FROM fleet_quarantine),
  (SELECT COUNT(*) FROM fleet_dispatches WHERE pushed_at IS NULL),
  COALESCE((SELECT TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6))
    FROM fleet_dispatches WHERE pushed_at IS NULL), 0)
