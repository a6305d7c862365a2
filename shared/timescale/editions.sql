-- name: edition
-- Not pg_proc: functions that the Apache edition refuses when they are called stand there as well.
SELECT extversion, current_setting('timescaledb.license', true)
FROM pg_extension
WHERE extname = 'timescaledb'

-- name: compressed
SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'fleet' AND is_compressed

-- name: compress_changes
ALTER TABLE fleet.change_event SET (timescaledb.compress, timescaledb.compress_segmentby = 'table_name',
  timescaledb.compress_orderby = 'row_key, seq, row_index')

-- name: compress_positions
ALTER TABLE fleet.position_history SET (timescaledb.compress, timescaledb.compress_segmentby = 'account_id',
  timescaledb.compress_orderby = 'committed_at, seq, row_index')

-- name: compress_pnl
ALTER TABLE fleet.pnl_history SET (timescaledb.compress, timescaledb.compress_segmentby = 'account_id',
  timescaledb.compress_orderby = 'day, seq, row_index')

-- name: compress_fills
ALTER TABLE fleet.fill_history SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument',
  timescaledb.compress_orderby = 'executed_at, seq, row_index')

-- name: compress_later
-- Rows that come late into a compressed chunk are taken, slower: so not the newest ones.
SELECT add_compression_policy(%s::regclass, compress_after => %s::interval, if_not_exists => true)

-- name: keep
SELECT fleet.keep_history(%s, %s)

-- name: forget
SELECT fleet.forget_changes(%s, %s)

-- name: tables
SELECT DISTINCT table_name FROM fleet.rollup_changes
