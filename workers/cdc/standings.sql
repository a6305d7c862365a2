-- name: at
-- Of each table the newest row at or before a seq.
SELECT s.table_name, s.shape, s.stopped
FROM fleet_cdc_shapes AS s
JOIN (SELECT table_name, MAX(seq) AS seq FROM fleet_cdc_shapes WHERE seq <= %s GROUP BY table_name) AS n
  ON n.table_name = s.table_name AND n.seq = s.seq

-- name: drop_behind
-- What is behind is read again, or an epoch counts anew there.
DELETE FROM fleet_cdc_shapes WHERE seq > %s

-- name: write
-- A log that is read again writes the same row again.
INSERT INTO fleet_cdc_shapes (table_name, seq, shape, stopped) VALUES (%s, %s, %s, %s)
ON DUPLICATE KEY UPDATE shape = VALUES(shape), stopped = VALUES(stopped)

-- name: accept
INSERT INTO fleet_cdc_accepted (table_name, accepted_by) VALUES (%s, %s)
