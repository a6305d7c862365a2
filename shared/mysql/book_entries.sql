-- Columns stand in the order of the ledger's records, the time text last.

-- name: read_cash
SELECT account_id, venue_type, ref, asset, instrument, product, venue, amount, kind, at_ms, report_hash, data,
  quote_asset, basis
FROM fleet_cash_entries FORCE INDEX (PRIMARY)
WHERE (account_id, venue_type, ref, asset, instrument) IN ({rows});

-- name: write_cash
INSERT INTO fleet_cash_entries
  (account_id, venue_type, ref, asset, instrument, product, venue, amount, kind, at_ms, report_hash, data,
   quote_asset, basis, at)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  product = VALUES(product), venue = VALUES(venue), amount = VALUES(amount), kind = VALUES(kind),
  at_ms = VALUES(at_ms), report_hash = VALUES(report_hash), data = VALUES(data),
  quote_asset = VALUES(quote_asset), basis = VALUES(basis), at = VALUES(at);

-- name: read_position_entries
SELECT account_id, product, instrument, position_side, kind, ref, venue, at_ms, qty, cost, contract_size,
  settle_asset, report_hash, data
FROM fleet_position_entries FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, position_side, kind, ref) IN ({rows});

-- name: write_position_entries
INSERT INTO fleet_position_entries
  (account_id, product, instrument, position_side, kind, ref, venue, at_ms, qty, cost, contract_size,
   settle_asset, report_hash, data, at)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), at_ms = VALUES(at_ms), qty = VALUES(qty), cost = VALUES(cost),
  contract_size = VALUES(contract_size), settle_asset = VALUES(settle_asset),
  report_hash = VALUES(report_hash), data = VALUES(data), at = VALUES(at);

-- name: remove_position_entries
DELETE FROM fleet_position_entries
WHERE (account_id, product, instrument, position_side, kind, ref) IN ({rows});

-- name: read_signals
SELECT source, channel_id, message_id, revision, received_at_ms, instrument, side, intent, stop, leverage,
  expires_at_ms, text, report_hash, data
FROM fleet_signals FORCE INDEX (PRIMARY)
WHERE (source, channel_id, message_id, revision) IN ({rows});

-- name: write_signals
INSERT INTO fleet_signals
  (source, channel_id, message_id, revision, received_at_ms, instrument, side, intent, stop, leverage,
   expires_at_ms, text, report_hash, data, received_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  received_at_ms = VALUES(received_at_ms), instrument = VALUES(instrument), side = VALUES(side),
  intent = VALUES(intent), stop = VALUES(stop), leverage = VALUES(leverage),
  expires_at_ms = VALUES(expires_at_ms), text = VALUES(text), report_hash = VALUES(report_hash),
  data = VALUES(data), received_at = VALUES(received_at);
