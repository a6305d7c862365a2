-- Accounts; then their positions; then their wallets.

-- name: account
SELECT incomplete FROM fleet_account_state WHERE account_id = %s;

-- name: reconciled
UPDATE fleet_reconciliations SET due = 0, reconciled_at = UTC_TIMESTAMP(6) WHERE account_id = %s;

-- name: reporting
-- Accounts that have a report.
SELECT account_id FROM fleet_reconciliations ORDER BY account_id;

-- name: waiting
-- Accounts with a report since their last reconciliation, those first that wait longest.
SELECT account_id FROM fleet_reconciliations WHERE due = 1 ORDER BY reconciled_at, account_id LIMIT %s;

-- name: differing
-- Accounts with an open break: what came since may have cured it.
SELECT DISTINCT account_id FROM fleet_breaks WHERE kind IN %s AND closed_at IS NULL ORDER BY account_id LIMIT %s;

-- name: reported_positions
-- A loose scan of the index, as long as it stays so simple: an account has a hundred reports a day of each.
SELECT product, instrument, position_side
FROM fleet_observed_positions
WHERE account_id = %s
GROUP BY account_id, product, instrument, position_side;

-- name: newest_position
-- The newest report of a position, up to a time.
SELECT account_id, product, instrument, position_side, watermark_ms, venue, qty, entry_price, mark_price,
  contract_size, settle_asset, report_hash, data
FROM fleet_observed_positions
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND watermark_ms <= %s
ORDER BY watermark_ms DESC
LIMIT 1;

-- name: openings
-- The newest opening of each position.
SELECT product, instrument, position_side, MAX(at_ms)
FROM fleet_position_entries
WHERE account_id = %s AND kind = 'open'
GROUP BY product, instrument, position_side;

-- name: positions
SELECT product, instrument, position_side FROM fleet_positions WHERE account_id = %s;

-- name: first_report
SELECT watermark_ms, qty FROM fleet_observed_positions
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
ORDER BY watermark_ms
LIMIT 1;

-- name: earlier_reports
SELECT watermark_ms, qty FROM fleet_observed_positions
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND watermark_ms < %s
ORDER BY watermark_ms DESC
LIMIT %s;

-- name: fill_between
-- The first fill of a position in a span: from, and below.
SELECT executed_at_ms, trade_id FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND executed_at_ms >= %s AND executed_at_ms < %s
ORDER BY executed_at_ms
LIMIT 1;

-- name: spot_assets
SELECT base_asset, quote_asset FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
ORDER BY executed_at_ms DESC
LIMIT 1;

-- name: wallets
-- Also a loose scan.
SELECT asset, product, MIN(watermark_ms), MAX(watermark_ms)
FROM fleet_observed_balances
WHERE account_id = %s
GROUP BY account_id, asset, product;

-- name: wallet_before
SELECT watermark_ms FROM fleet_observed_balances
WHERE account_id = %s AND asset = %s AND product = %s AND watermark_ms <= %s
ORDER BY watermark_ms DESC
LIMIT 1;

-- name: wallet_since
SELECT watermark_ms, wallet, data
FROM fleet_observed_balances
WHERE account_id = %s AND asset = %s AND product = %s AND watermark_ms >= %s
ORDER BY watermark_ms;

-- name: venue_rows
-- Which of its own figures the venue sends, by asset and product.
SELECT DISTINCT asset, product, kind
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %s AND at_ms > %s AND at_ms <= %s AND kind IN ('realized', 'commission');

-- name: cash
SELECT at_ms, asset, product, amount
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %s AND at_ms > %s AND at_ms <= %s
ORDER BY at_ms;


-- name: reported_span
SELECT MIN(watermark_ms), MAX(watermark_ms) FROM fleet_observed_balances WHERE account_id = %s;

-- name: spot_rows
-- What the venue's own rows of spot trades moved.
SELECT instrument, asset, SUM(amount)
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %s AND at_ms > %s AND at_ms <= %s
  AND kind = 'realized' AND product = 'spot' AND instrument <> ''
GROUP BY instrument, asset;

-- name: spot_fills
-- What fills of one instrument moved of its base asset, and how many there are.
SELECT base_asset, SUM(IF(side = 'buy', qty, -qty)), COUNT(*)
FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND executed_at_ms > %s AND executed_at_ms <= %s
GROUP BY base_asset;
