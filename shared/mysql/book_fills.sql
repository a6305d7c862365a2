-- name: read_reports
SELECT account_id, product, instrument, trade_id, side, report_hash
FROM fleet_fill_reports FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, trade_id, side) IN ({rows});

-- name: read_report_data
SELECT account_id, product, instrument, trade_id, side, data
FROM fleet_fill_reports FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, trade_id, side) IN ({rows});

-- name: write_reports
INSERT INTO fleet_fill_reports (account_id, product, instrument, trade_id, side, report_hash, data)
VALUES {rows};

-- name: read_fills
-- In the order of the ledger's Fill.
SELECT account_id, product, instrument, trade_id, side, venue, position_side, order_id, client_order_id,
  qty, price, contract_size, value, fee, fee_asset, settle_asset, base_asset, quote_asset, executed_at_ms,
  venue_seq, trade_id_bytes, revision, reports, source, liquidity, kind, reported_realized, signal_id, strategy
FROM fleet_fills FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, trade_id, side) IN ({rows});

-- name: write_fills
INSERT INTO fleet_fills
  (account_id, product, instrument, trade_id, side, venue, position_side, order_id, client_order_id,
   qty, price, contract_size, value, fee, fee_asset, settle_asset, base_asset, quote_asset, executed_at_ms,
   venue_seq, trade_id_bytes, revision, reports, source, liquidity, kind, reported_realized, signal_id,
   strategy, executed_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), position_side = VALUES(position_side), order_id = VALUES(order_id),
  client_order_id = VALUES(client_order_id), qty = VALUES(qty), price = VALUES(price),
  contract_size = VALUES(contract_size), value = VALUES(value), fee = VALUES(fee),
  fee_asset = VALUES(fee_asset), settle_asset = VALUES(settle_asset), base_asset = VALUES(base_asset),
  quote_asset = VALUES(quote_asset), executed_at_ms = VALUES(executed_at_ms), venue_seq = VALUES(venue_seq),
  trade_id_bytes = VALUES(trade_id_bytes), revision = VALUES(revision), reports = VALUES(reports),
  source = VALUES(source), liquidity = VALUES(liquidity), kind = VALUES(kind),
  reported_realized = VALUES(reported_realized), signal_id = VALUES(signal_id),
  strategy = VALUES(strategy), executed_at = VALUES(executed_at);
