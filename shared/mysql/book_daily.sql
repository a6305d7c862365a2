-- Exact differences: the server adds DECIMALs, and refuses (1264) what does not fit.

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
  version = version + 1;

-- name: remove_empty
-- A row without entries still stands while a fold waits that will take its realized P&L away.
DELETE FROM fleet_pnl_daily
WHERE (account_id, product, instrument, day, asset) IN ({rows})
  AND entries = 0 AND realized = 0;
