-- Shadow rows: see rebuild_shadow.py. {rows} are keys where a statement ends in IN ({rows}).

-- name: claim
INSERT INTO fleet_rebuilds (account_id, token) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE token = VALUES(token), started_at = UTC_TIMESTAMP(6);

-- name: holder
SELECT token FROM fleet_rebuilds WHERE account_id = %s FOR UPDATE;

-- name: clear_claims
DELETE FROM fleet_rebuilds WHERE account_id IN ({rows});

-- name: clear_positions
DELETE FROM fleet_rebuild_positions WHERE account_id IN ({rows});

-- name: clear_position_days
DELETE FROM fleet_rebuild_position_days WHERE account_id IN ({rows});

-- name: clear_pnl_daily
DELETE FROM fleet_rebuild_pnl_daily WHERE account_id IN ({rows});

-- name: drop_positions
DELETE FROM fleet_rebuild_positions WHERE (account_id, product, instrument) IN ({rows});

-- name: drop_position_days
DELETE FROM fleet_rebuild_position_days WHERE (account_id, product, instrument) IN ({rows});

-- name: drop_pnl_daily
DELETE FROM fleet_rebuild_pnl_daily WHERE (account_id, product, instrument) IN ({rows});

-- name: position_keys
-- Every position that a fill or an entry belongs to.
SELECT DISTINCT account_id, product, instrument, position_side
FROM fleet_fills FORCE INDEX (fleet_fills_fold) WHERE account_id = %s
UNION
SELECT DISTINCT account_id, product, instrument, position_side
FROM fleet_position_entries FORCE INDEX (PRIMARY) WHERE account_id = %s
ORDER BY account_id, product, instrument, position_side;

-- name: versions
SELECT account_id, product, instrument, position_side, version, refolded_version
FROM fleet_positions FORCE INDEX (PRIMARY) WHERE account_id = %s;

-- name: open
INSERT INTO fleet_rebuild_positions (account_id, product, instrument, position_side, seen_version)
VALUES {rows};

-- name: open_days
-- Only what version a row had before its fees are read.
INSERT INTO fleet_rebuild_pnl_daily (account_id, product, instrument, day, asset, seen_version)
SELECT account_id, product, instrument, day, asset, version
FROM fleet_pnl_daily FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s;

-- name: read
-- In the order of book_positions' own query.
SELECT account_id, product, instrument, position_side, venue, qty, cost, unknown_basis_qty, realized,
  settle_asset, contract_size, fills, last_ms, last_seq, last_trade_id, last_side,
  restating_from_ms, restating_fills, seen_version, complete
FROM fleet_rebuild_positions FORCE INDEX (PRIMARY)
WHERE account_id = %s
ORDER BY account_id, product, instrument, position_side;

-- name: write_positions
INSERT INTO fleet_rebuild_positions
  (account_id, product, instrument, position_side, venue, qty, cost, unknown_basis_qty, realized,
   settle_asset, contract_size, fills, avg_entry, last_fill_at, last_ms, last_seq, last_trade_id, last_side,
   restating_from_ms, restating_fills, seen_version, complete)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), qty = VALUES(qty), cost = VALUES(cost),
  unknown_basis_qty = VALUES(unknown_basis_qty), realized = VALUES(realized),
  settle_asset = VALUES(settle_asset), contract_size = VALUES(contract_size), fills = VALUES(fills),
  avg_entry = VALUES(avg_entry), last_fill_at = VALUES(last_fill_at), last_ms = VALUES(last_ms),
  last_seq = VALUES(last_seq), last_trade_id = VALUES(last_trade_id), last_side = VALUES(last_side),
  complete = VALUES(complete);

-- name: write_days
-- The fold only goes forward: a day's end moves on, its sums grow.
INSERT INTO fleet_rebuild_position_days
  (account_id, product, instrument, position_side, day, settle_asset, qty, cost, unknown_basis_qty,
   realized, fills, contract_size)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  qty = VALUES(qty), cost = VALUES(cost), unknown_basis_qty = VALUES(unknown_basis_qty),
  realized = realized + VALUES(realized), fills = fills + VALUES(fills),
  contract_size = VALUES(contract_size);

-- name: account_fills
-- Everything of an account that a fold reads, and where it belongs; for accounts that are read at once. By the primary
-- key and sorted by the reader: the fold's index would look every row up, which takes twice as long.
SELECT executed_at_ms, venue_seq, trade_id, side, venue, qty, value, fee, fee_asset, base_asset,
  settle_asset, contract_size, account_id, product, instrument, position_side, trade_id_bytes
FROM fleet_fills FORCE INDEX (PRIMARY)
WHERE account_id = %s;

-- name: account_entries
SELECT account_id, product, instrument, position_side, kind, ref, venue, at_ms, qty, cost, contract_size,
  settle_asset
FROM fleet_position_entries FORCE INDEX (PRIMARY)
WHERE account_id IN ({rows});

-- name: write_fees
INSERT INTO fleet_rebuild_pnl_daily (account_id, product, instrument, day, asset, fees, entries)
VALUES {rows};

-- name: instrument_fees
-- What build_accounts does with fills that are read anyway. The rule of a fee's row is that of book_daily: its own
-- asset's, or the settle asset's. No index is forced: a few days are read by the fold's, a whole instrument by the
-- primary one.
INSERT INTO fleet_rebuild_pnl_daily (account_id, product, instrument, day, asset, fees, entries)
SELECT account_id, product, instrument, DATE(executed_at), COALESCE(NULLIF(fee_asset, ''), settle_asset),
  SUM(fee), COUNT(*)
FROM fleet_fills
WHERE fee <> 0 AND account_id = %s AND product = %s AND instrument = %s AND position_side IN %s
  AND executed_at_ms >= %s AND executed_at_ms < %s
GROUP BY 1, 2, 3, 4, 5
ON DUPLICATE KEY UPDATE fees = fleet_rebuild_pnl_daily.fees + VALUES(fees),
  entries = fleet_rebuild_pnl_daily.entries + VALUES(entries);
