-- TimescaleDB. The last 100 changes of one row: who changed what, before and after.
--
--   :table_name  fleet_positions
--   :row_key     ["42","linear","BTCUSDT","net"]   the key's values as compact JSON, as fleet.row_state has them

SELECT seq, row_index, committed_at, op, actor, before, after, gtid, file, pos
FROM fleet.change_event
WHERE table_name = :table_name AND row_key = :row_key
ORDER BY seq DESC, row_index DESC
LIMIT 100;
