-- name: standing_fills
-- Fills of these keys (a JSON array) that stand in the typed history.
SELECT row_key, row
FROM fleet.row_state
WHERE table_name = %s AND row_key = ANY (ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)))
  AND NOT deleted AND NOT refused

-- name: older_rows
-- What a table still holds from before a place, newest image each.
SELECT row_key, row, refused
FROM fleet.row_state
WHERE table_name = %s AND (seq, row_index) < (%s, %s) AND NOT deleted
ORDER BY row_key

-- name: place_of
SELECT seq, row_index, refused FROM fleet.row_state WHERE table_name = %s AND row_key = %s

-- name: event_there
SELECT EXISTS (
  SELECT 1 FROM fleet.change_event
  WHERE table_name = %s AND row_key = %s AND seq = %s AND row_index = %s
)

-- name: incoming_state
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_row_state (LIKE fleet.row_state) ON COMMIT DELETE ROWS

-- name: incoming_changes
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_rollup_changes (LIKE fleet.rollup_changes) ON COMMIT DELETE ROWS

-- name: incoming_positions
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_rollup_positions (LIKE fleet.rollup_positions)
ON COMMIT DELETE ROWS

-- name: incoming_pnl
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_rollup_pnl (LIKE fleet.rollup_pnl) ON COMMIT DELETE ROWS

-- name: incoming_trading
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_rollup_trading (LIKE fleet.rollup_trading) ON COMMIT DELETE ROWS

-- name: merge_row_state
INSERT INTO fleet.row_state AS known
  (table_name, row_key, row, committed_at, epoch, seq, row_index, deleted, refused)
SELECT table_name, row_key, row, committed_at, epoch, seq, row_index, deleted, refused
FROM incoming_row_state
ON CONFLICT (table_name, row_key) DO UPDATE SET
  row = excluded.row, committed_at = excluded.committed_at, epoch = excluded.epoch, seq = excluded.seq,
  row_index = excluded.row_index, deleted = excluded.deleted, refused = excluded.refused
WHERE (known.seq, known.row_index) < (excluded.seq, excluded.row_index)
   OR (known.refused AND (known.seq, known.row_index) = (excluded.seq, excluded.row_index))

-- name: merge_rollup_changes
INSERT INTO fleet.rollup_changes AS known (hour, table_name, op, changes)
SELECT hour, table_name, op, changes FROM incoming_rollup_changes
ON CONFLICT (table_name, hour, op) DO UPDATE SET changes = known.changes + excluded.changes

-- name: merge_rollup_positions
INSERT INTO fleet.rollup_positions AS known
  (hour, account_id, product, instrument, position_side, seq, row_index, committed_at, deleted, qty, cost, avg_entry,
   realized, settle_asset)
SELECT hour, account_id, product, instrument, position_side, seq, row_index, committed_at, deleted, qty, cost,
       avg_entry, realized, settle_asset
FROM incoming_rollup_positions
ON CONFLICT (account_id, hour, product, instrument, position_side) DO UPDATE SET
  seq = excluded.seq, row_index = excluded.row_index, committed_at = excluded.committed_at,
  deleted = excluded.deleted, qty = excluded.qty, cost = excluded.cost, avg_entry = excluded.avg_entry,
  realized = excluded.realized, settle_asset = excluded.settle_asset
WHERE (known.seq, known.row_index) < (excluded.seq, excluded.row_index)

-- name: merge_rollup_pnl
INSERT INTO fleet.rollup_pnl AS known
  (account_id, product, instrument, day, asset, seq, row_index, committed_at, deleted, realized, fees, funding, other,
   fills)
SELECT account_id, product, instrument, day, asset, seq, row_index, committed_at, deleted, realized, fees, funding,
       other, fills
FROM incoming_rollup_pnl
ON CONFLICT (account_id, day, product, instrument, asset) DO UPDATE SET
  seq = excluded.seq, row_index = excluded.row_index, committed_at = excluded.committed_at,
  deleted = excluded.deleted, realized = excluded.realized, fees = excluded.fees, funding = excluded.funding,
  other = excluded.other, fills = excluded.fills
WHERE (known.seq, known.row_index) < (excluded.seq, excluded.row_index)

-- name: merge_rollup_trading
INSERT INTO fleet.rollup_trading AS known
  (hour, account_id, venue, product, instrument, side, settle_asset, fee_asset, fills, qty, value, fees, fee_unknown)
SELECT hour, account_id, venue, product, instrument, side, settle_asset, fee_asset, fills, qty, value, fees,
       fee_unknown
FROM incoming_rollup_trading
ON CONFLICT (account_id, hour, venue, product, instrument, side, settle_asset, fee_asset) DO UPDATE SET
  fills = known.fills + excluded.fills, qty = known.qty + excluded.qty, value = known.value + excluded.value,
  fees = known.fees + excluded.fees, fee_unknown = known.fee_unknown + excluded.fee_unknown
