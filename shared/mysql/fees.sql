-- name: in_other_assets
SELECT product, instrument, trade_id, side, executed_at_ms, price, fee, fee_asset, settle_asset, base_asset
FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND executed_at_ms >= %s AND executed_at_ms < %s AND fee <> 0 AND fee_asset <> settle_asset
ORDER BY executed_at_ms, venue_seq, trade_id_bytes, trade_id, side;

-- name: traded
-- Positions that traded in a span of days.
SELECT DISTINCT account_id, product, instrument, position_side
FROM fleet_position_days
WHERE account_id = %s AND day BETWEEN %s AND %s;
