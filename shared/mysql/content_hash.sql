-- A line per row. {table}: the projection, or its shadow. The separator stands in no name; `-` in no amount.

-- name: positions
SELECT account_id, CONCAT_WS('\t', product, instrument, position_side, venue, qty, cost, COALESCE(avg_entry, '-'),
  realized, settle_asset, contract_size, unknown_basis_qty, fills, last_fill_at, last_ms, last_seq, last_trade_id,
  last_side, COALESCE(restating_from_ms, '-'), restating_fills)
FROM {table} FORCE INDEX (PRIMARY)
WHERE account_id IN %s
ORDER BY account_id, product, instrument, position_side;

-- name: position_days
SELECT account_id, CONCAT_WS('\t', product, instrument, position_side, day, settle_asset, qty, cost,
  unknown_basis_qty, realized, fills, contract_size)
FROM {table} FORCE INDEX (PRIMARY)
WHERE account_id IN %s
ORDER BY account_id, product, instrument, position_side, day, settle_asset;

-- name: pnl_daily
SELECT account_id, CONCAT_WS('\t', product, instrument, day, asset, realized, fees, funding, other, fills, entries)
FROM {table} FORCE INDEX (PRIMARY)
WHERE account_id IN %s
ORDER BY account_id, product, instrument, day, asset;
