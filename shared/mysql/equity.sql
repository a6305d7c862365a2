-- name: positions
SELECT account_id, product, instrument, position_side, venue, qty, cost, unknown_basis_qty, settle_asset,
  contract_size, last_ms
FROM fleet_positions
WHERE account_id IN %s
ORDER BY account_id, product, instrument, position_side;

-- name: bases
-- The base asset of spot instruments, as any fill of theirs says, or else any entry: a deposit and a
-- withdrawal are of the asset itself.
SELECT p.account_id, p.instrument, COALESCE(
  (SELECT f.base_asset FROM fleet_fills AS f
   WHERE f.account_id = p.account_id AND f.product = p.product AND f.instrument = p.instrument
   LIMIT 1),
  (SELECT JSON_UNQUOTE(JSON_EXTRACT(e.data, IF(e.kind = 'open', '$.base_asset', '$.asset')))
   FROM fleet_position_entries AS e
   WHERE e.account_id = p.account_id AND e.product = p.product AND e.instrument = p.instrument
   LIMIT 1)) AS base_asset
FROM fleet_positions AS p
WHERE p.account_id IN %s AND p.product = 'spot';

-- name: pnl
-- P&L per asset and day of a span; days before it, behind it, and beside the day of the first wallets are
-- summed, under the first of each: a sum over days cuts at no other place. Of spot by instrument, because a
-- fee in its base asset is part of its cost.
SELECT p.account_id, p.asset, MIN(p.day), IF(p.product = 'spot', p.instrument, '') AS spot_instrument,
  SUM(p.realized + p.funding + p.other), SUM(p.fees)
FROM fleet_pnl_daily AS p
LEFT JOIN (
  SELECT account_id, asset, DATE '1970-01-01' + INTERVAL (MAX(first_ms) + 1) DIV 86400000 DAY AS day
  FROM (SELECT account_id, asset, product, MIN(watermark_ms) AS first_ms
        FROM fleet_observed_balances WHERE account_id IN %(accounts)s
        GROUP BY account_id, asset, product) AS first
  GROUP BY account_id, asset
) AS w USING (account_id, asset)
WHERE p.account_id IN %(accounts)s
GROUP BY p.account_id, p.asset, spot_instrument, p.day < %(first)s, p.day > %(last)s,
  IF(p.day BETWEEN %(first)s AND %(last)s, p.day, NULL), p.day < w.day, p.day = w.day;

-- name: flows
SELECT account_id, at_ms, asset, amount
FROM fleet_cash_entries
WHERE account_id IN %s AND kind IN %s;

-- name: cash_between
SELECT asset, amount
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %s AND at_ms >= %s AND at_ms < %s AND kind IN %s;

-- name: last_cash
SELECT account_id, MAX(at_ms) FROM fleet_cash_entries WHERE account_id IN %s GROUP BY account_id;

-- name: first_wallets
-- What each wallet held when it was first seen.
SELECT b.account_id, b.asset, b.watermark_ms, b.wallet
FROM fleet_observed_balances AS b
JOIN (SELECT account_id, asset, product, MIN(watermark_ms) AS watermark_ms
      FROM fleet_observed_balances WHERE account_id IN %s GROUP BY account_id, asset, product) AS first
  USING (account_id, asset, product, watermark_ms);

-- name: entry_days
SELECT DISTINCT account_id, product, instrument, position_side, at_ms DIV 86400000
FROM fleet_position_entries
WHERE account_id IN %s;

-- name: unknown_basis
-- Days at whose end something had been sold without a known basis.
SELECT account_id, product, instrument, position_side, day, unknown_basis_qty
FROM fleet_position_days
WHERE account_id IN %s AND product = 'spot' AND unknown_basis_qty > 0
ORDER BY account_id, product, instrument, position_side, day;

-- name: days
-- The ends of a position's days from the last one before a day on.
SELECT day, settle_asset, qty, cost, unknown_basis_qty, contract_size
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day <= %s
  AND day >= (SELECT COALESCE(MAX(day), DATE '1970-01-01') FROM fleet_position_days
    WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day < %s)
ORDER BY day;
