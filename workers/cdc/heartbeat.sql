-- name: beat
-- It comes back through the log: the difference is the lag, and a log without it stands still.
INSERT INTO fleet_cdc_heartbeat (id, n, at) VALUES (1, 1, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE n = n + 1, at = UTC_TIMESTAMP(6)

-- name: retention
SHOW GLOBAL VARIABLES WHERE variable_name IN
('binlog_expire_logs_seconds', 'expire_logs_days', 'max_binlog_total_size', 'binlog_expire_logs_auto_purge')

-- name: files
SHOW BINARY LOGS
