-- Exact differences: the server adds DECIMALs, and refuses (1264) what does not fit.

-- name: closed_through
-- The lock lets other batches in, and a close wait.
SELECT value FROM fleet_settings WHERE name = 'closed_through' LOCK IN SHARE MODE;

-- name: figures
SELECT account_id, product, instrument, CAST(day AS CHAR), asset, version, realized, fees, funding, other, fills
FROM fleet_pnl_daily FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, day, asset) IN ({rows});

-- name: restate
INSERT INTO fleet_restatements
  (batch, account_id, product, instrument, day, asset, version, realized, fees, funding, other, fills, cause)
VALUES {rows};

-- name: add
INSERT INTO fleet_pnl_daily
  (account_id, product, instrument, day, asset, realized, fees, funding, other, fills, entries)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  realized = realized + VALUES(realized),
  fees = fees + VALUES(fees),
  funding = funding + VALUES(funding),
  other = other + VALUES(other),
  fills = fills + VALUES(fills),
  entries = entries + VALUES(entries),
  attribution_due = 1,
  version = version + 1;

-- name: remove_empty
-- A row without entries still stands while a fold waits that will take its realized P&L away.
DELETE FROM fleet_pnl_daily
WHERE (account_id, product, instrument, day, asset) IN ({rows})
  AND entries = 0 AND realized = 0;

-- name: remove_parts
DELETE FROM fleet_pnl_attribution
WHERE (account_id, product, instrument, day, asset) IN ({rows})
  AND NOT EXISTS (
    SELECT 1 FROM fleet_pnl_daily AS d
    WHERE d.account_id = fleet_pnl_attribution.account_id AND d.product = fleet_pnl_attribution.product
      AND d.instrument = fleet_pnl_attribution.instrument AND d.day = fleet_pnl_attribution.day
      AND d.asset = fleet_pnl_attribution.asset);

-- name: remove_rounding
DELETE FROM fleet_rounding
WHERE (account_id, product, instrument, day, asset) IN ({rows})
  AND NOT EXISTS (
    SELECT 1 FROM fleet_pnl_daily AS d
    WHERE d.account_id = fleet_rounding.account_id AND d.product = fleet_rounding.product
      AND d.instrument = fleet_rounding.instrument AND d.day = fleet_rounding.day
      AND d.asset = fleet_rounding.asset);

-- name: attribute_again
UPDATE fleet_pnl_daily SET attribution_due = 1
WHERE (account_id, product, instrument, day) IN ({rows});
