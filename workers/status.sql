-- name: partitions
SELECT o.consumer, o.stream, o.partition_no, o.owner, o.epoch, o.last_id, o.entries_read,
  o.halted_reason, COALESCE(p.parked, 0)
FROM fleet_offsets o
LEFT JOIN (
  SELECT stream, partition_no, COUNT(*) AS parked
  FROM fleet_parked
  WHERE resolution IS NULL
  GROUP BY stream, partition_no
) p ON p.stream = o.stream AND p.partition_no = o.partition_no
ORDER BY o.consumer, o.stream, o.partition_no

-- name: parked
SELECT reason, COUNT(*) FROM fleet_parked WHERE resolution IS NULL GROUP BY reason

-- name: outbox
-- Rows that wait, rows that were sent and are not confirmed, and the age of the oldest in microseconds.
SELECT COALESCE(SUM(state = 0), 0), COALESCE(SUM(state = 1), 0),
  COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)), 0)
FROM fleet_outbox
WHERE state < 2

-- name: restating
-- Positions whose late fills are still to be folded.
SELECT COUNT(*) FROM fleet_positions WHERE restating_from_ms IS NOT NULL

-- name: breaks
SELECT kind, COUNT(*) FROM fleet_breaks WHERE closed_at IS NULL GROUP BY kind ORDER BY kind
