-- Columns stand in the order of the ledger's records, the time text last.

-- name: read_positions
SELECT account_id, product, instrument, position_side, watermark_ms, venue, qty, entry_price, mark_price,
  contract_size, settle_asset, report_hash, data
FROM fleet_observed_positions FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, position_side, watermark_ms) IN ({rows});

-- name: write_positions
INSERT INTO fleet_observed_positions
  (account_id, product, instrument, position_side, watermark_ms, venue, qty, entry_price, mark_price,
   contract_size, settle_asset, report_hash, data, watermark)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), qty = VALUES(qty), entry_price = VALUES(entry_price),
  mark_price = VALUES(mark_price), contract_size = VALUES(contract_size),
  settle_asset = VALUES(settle_asset), report_hash = VALUES(report_hash), data = VALUES(data);

-- name: read_balances
SELECT account_id, asset, product, watermark_ms, venue, wallet, report_hash, data
FROM fleet_observed_balances FORCE INDEX (PRIMARY)
WHERE (account_id, asset, product, watermark_ms) IN ({rows});

-- name: write_balances
INSERT INTO fleet_observed_balances
  (account_id, asset, product, watermark_ms, venue, wallet, report_hash, data, watermark)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  venue = VALUES(venue), wallet = VALUES(wallet), report_hash = VALUES(report_hash), data = VALUES(data);

-- name: due
-- A report came: `fleet reconcile` is to compare the account again.
INSERT INTO fleet_reconciliations (account_id) VALUES {rows}
ON DUPLICATE KEY UPDATE due = 1;
