-- name: read
SELECT account_id, product, instrument, position_side, venue, qty, cost, unknown_basis_qty, realized,
  settle_asset, contract_size, fills, last_ms, last_seq, last_trade_id, last_side,
  restating_from_ms, restating_fills
FROM fleet_positions FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, position_side) IN ({rows});

-- name: write
INSERT INTO fleet_positions
  (account_id, product, instrument, position_side, venue, qty, cost, unknown_basis_qty, realized,
   settle_asset, contract_size, fills, avg_entry, last_fill_at, last_ms, last_seq, last_trade_id, last_side,
   restating_from_ms, restating_fills)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), qty = VALUES(qty), cost = VALUES(cost),
  unknown_basis_qty = VALUES(unknown_basis_qty), realized = VALUES(realized),
  settle_asset = VALUES(settle_asset), contract_size = VALUES(contract_size), fills = VALUES(fills),
  avg_entry = VALUES(avg_entry), last_fill_at = VALUES(last_fill_at), last_ms = VALUES(last_ms),
  last_seq = VALUES(last_seq), last_trade_id = VALUES(last_trade_id), last_side = VALUES(last_side),
  restating_from_ms = VALUES(restating_from_ms), restating_fills = VALUES(restating_fills),
  version = version + 1;

-- name: write_refolded
-- Assignments run from left to right: the version of the refold is the one that the row gets.
INSERT INTO fleet_positions
  (account_id, product, instrument, position_side, venue, qty, cost, unknown_basis_qty, realized,
   settle_asset, contract_size, fills, avg_entry, last_fill_at, last_ms, last_seq, last_trade_id, last_side,
   restating_from_ms, restating_fills)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), qty = VALUES(qty), cost = VALUES(cost),
  unknown_basis_qty = VALUES(unknown_basis_qty), realized = VALUES(realized),
  settle_asset = VALUES(settle_asset), contract_size = VALUES(contract_size), fills = VALUES(fills),
  avg_entry = VALUES(avg_entry), last_fill_at = VALUES(last_fill_at), last_ms = VALUES(last_ms),
  last_seq = VALUES(last_seq), last_trade_id = VALUES(last_trade_id), last_side = VALUES(last_side),
  restating_from_ms = VALUES(restating_from_ms), restating_fills = VALUES(restating_fills),
  refolded_version = version + 1, version = version + 1;

-- name: remove
DELETE FROM fleet_positions
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s;

-- name: add_days
-- The fold went forward: the day's end moves on, its sums grow.
INSERT INTO fleet_position_days
  (account_id, product, instrument, position_side, day, settle_asset, qty, cost, unknown_basis_qty,
   realized, fills, contract_size)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  qty = VALUES(qty), cost = VALUES(cost), unknown_basis_qty = VALUES(unknown_basis_qty),
  realized = realized + VALUES(realized), fills = fills + VALUES(fills),
  contract_size = VALUES(contract_size);

-- name: set_days
-- The day was folded again from its first fill.
INSERT INTO fleet_position_days
  (account_id, product, instrument, position_side, day, settle_asset, qty, cost, unknown_basis_qty,
   realized, fills, contract_size)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  qty = VALUES(qty), cost = VALUES(cost), unknown_basis_qty = VALUES(unknown_basis_qty),
  realized = VALUES(realized), fills = VALUES(fills), contract_size = VALUES(contract_size);

-- name: remove_days
DELETE FROM fleet_position_days
WHERE (account_id, product, instrument, position_side, day, settle_asset) IN ({rows});

-- name: read_days
SELECT day, settle_asset, qty, cost, unknown_basis_qty, realized, fills, contract_size
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day >= %s
ORDER BY day, settle_asset;

-- name: days_before
SELECT day, qty, cost, unknown_basis_qty
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day < %s
ORDER BY day DESC, settle_asset DESC
LIMIT %s;

-- name: fills_from_day
SELECT COALESCE(SUM(fills), 0)
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day >= %s;

-- name: fills_in_order
-- The next fills behind a place in the order. The bound on executed_at_ms gives the index its range; the
-- rest is (executed_at_ms, venue_seq, trade_id_bytes, trade_id, side) > (...), spelled so that both servers
-- use the index for it too, however many fills share one millisecond.
SELECT executed_at_ms, venue_seq, trade_id, side, venue, qty, value, fee, fee_asset, base_asset,
  settle_asset, contract_size
FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND executed_at_ms >= %s
  AND (executed_at_ms > %s
    OR (executed_at_ms = %s AND (venue_seq > %s
      OR (venue_seq = %s AND (trade_id_bytes > %s
        OR (trade_id_bytes = %s AND (trade_id > %s
          OR (trade_id = %s AND side > %s))))))))
ORDER BY executed_at_ms, venue_seq, trade_id_bytes, trade_id, side
LIMIT %s;

-- name: entries
SELECT kind, ref, venue, at_ms, qty, cost, contract_size, settle_asset
FROM fleet_position_entries FORCE INDEX (fleet_position_entries_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND at_ms >= %s;

-- name: newest_fill
SELECT executed_at_ms, venue_seq, trade_id, side, venue, qty, value, fee, fee_asset, base_asset,
  settle_asset, contract_size
FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
ORDER BY executed_at_ms DESC, venue_seq DESC, trade_id_bytes DESC, trade_id DESC, side DESC
LIMIT 1;

-- name: restating
-- Positions that wait for a fold, those first whose wait reaches back furthest. Without idle time only those
-- where a quarter of the fills wait: see `due`. None wait where a fold met an overflow.
-- Of the accounts only a share: the crc32 of their decimal text, as streams are partitioned.
SELECT account_id, product, instrument, position_side, fills, restating_fills
FROM fleet_positions FORCE INDEX (fleet_positions_restating)
WHERE restating_from_ms IS NOT NULL AND restating_fills > 0
  AND (%s OR 4 * restating_fills >= fills + restating_fills)
  AND MOD(CRC32(account_id), %s) IN %s
ORDER BY restating_from_ms
LIMIT %s;
