-- name: beat
-- It comes back through the log: the difference is the lag, and a log without it stands still.
-- mark: what the collector knows of itself, for whoever looks while it is gone.
INSERT INTO fleet_cdc_heartbeat (id, n, at, mark) VALUES (1, 1, UTC_TIMESTAMP(6), %s)
ON DUPLICATE KEY UPDATE n = n + 1, at = UTC_TIMESTAMP(6), mark = VALUES(mark)

-- name: told
SELECT mark, TIMESTAMPDIFF(MICROSECOND, at, UTC_TIMESTAMP(6)) FROM fleet_cdc_heartbeat WHERE id = 1

-- name: retention
SHOW GLOBAL VARIABLES WHERE variable_name IN
('binlog_expire_logs_seconds', 'expire_logs_days', 'max_binlog_total_size', 'binlog_expire_logs_auto_purge')

-- name: files
SHOW BINARY LOGS
