-- The checks give product, instrument, position side, day, asset, expected, actual.

-- name: next_accounts
-- Those with changes first; what is left of the bound goes to the others in turn, behind the last.
(SELECT account_id, check_due FROM fleet_account_state FORCE INDEX (fleet_account_state_check)
 WHERE check_due = 1 ORDER BY account_id LIMIT %(limit)s)
UNION ALL
(SELECT account_id, check_due FROM fleet_account_state FORCE INDEX (fleet_account_state_check)
 WHERE check_due = 0 AND account_id > %(after)s ORDER BY account_id LIMIT %(limit)s)
LIMIT %(limit)s;

-- name: lock
SELECT account_id FROM fleet_account_state FORCE INDEX (PRIMARY)
WHERE account_id = %(account_id)s FOR UPDATE SKIP LOCKED;

-- name: checked
UPDATE fleet_account_state SET check_due = %(due)s WHERE account_id = %(account_id)s;

-- name: after
SELECT value FROM fleet_settings WHERE name = 'identities_checked';

-- name: remember
INSERT INTO fleet_settings (name, value) VALUES ('identities_checked', %s)
ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = UTC_TIMESTAMP(6);

-- name: flat_positions
SELECT product, instrument, position_side, settle_asset, DATE(last_fill_at)
FROM fleet_positions FORCE INDEX (PRIMARY)
WHERE account_id = %(account_id)s AND product IN ('linear', 'inverse') AND qty = 0
  AND restating_from_ms IS NULL
ORDER BY product, instrument, position_side;

-- name: flat_before
-- The last day before this one at whose end the position was flat, too.
SELECT day
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day < %s
GROUP BY day
HAVING COUNT(*) = 1 AND MAX(qty) = 0 AND MIN(qty) = 0
ORDER BY day DESC
LIMIT 1;

-- name: realized_since
SELECT COALESCE(SUM(realized), 0), COALESCE(SUM(fills), 0)
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day >= %s;

-- name: opened_since
SELECT EXISTS (
  SELECT 1 FROM fleet_position_entries FORCE INDEX (fleet_position_entries_fold)
  WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND kind = 'open'
    AND at_ms >= %s);

-- name: traded_since
-- Signed, + bought.
SELECT COALESCE(SUM(IF(side = 'buy', value, -value)), 0)
FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND executed_at_ms >= %s;

-- name: position_days
-- A position's realized P&L is the sum of its days, waiting fold or not.
SELECT product, instrument, position_side, '' AS day, '' AS asset, SUM(of_days), SUM(of_position)
FROM (
  SELECT product, instrument, position_side, realized AS of_position,
    CAST(0 AS DECIMAL(38,18)) AS of_days
  FROM fleet_positions WHERE account_id = %(account_id)s
  UNION ALL
  SELECT product, instrument, position_side, 0, realized
  FROM fleet_position_days WHERE account_id = %(account_id)s
) AS books
GROUP BY product, instrument, position_side
HAVING SUM(of_days) <> SUM(of_position)
ORDER BY product, instrument, position_side
LIMIT %(limit)s;

-- name: daily_realized
-- A daily row's realized P&L is the sum over the position sides. Fills are counted when they come, but folded
-- later where a fold waits.
SELECT product, instrument, '' AS position_side, CAST(day AS CHAR), asset, SUM(of_positions), SUM(of_daily)
FROM (
  SELECT product, instrument, day, asset, realized AS of_daily,
    CAST(0 AS DECIMAL(38,18)) AS of_positions
  FROM fleet_pnl_daily WHERE account_id = %(account_id)s
  UNION ALL
  SELECT product, instrument, day, settle_asset, 0, realized
  FROM fleet_position_days WHERE account_id = %(account_id)s
) AS books
GROUP BY product, instrument, day, asset
HAVING SUM(of_positions) <> SUM(of_daily)
ORDER BY product, instrument, day, asset
LIMIT %(limit)s;

-- name: daily_fills
SELECT product, instrument, '' AS position_side, CAST(day AS CHAR), asset, SUM(of_positions), SUM(of_daily)
FROM (
  SELECT product, instrument, day, asset, fills AS of_daily, 0 AS of_positions
  FROM fleet_pnl_daily WHERE account_id = %(account_id)s
  UNION ALL
  SELECT product, instrument, day, settle_asset, 0, CAST(fills AS SIGNED)
  FROM fleet_position_days WHERE account_id = %(account_id)s
) AS books
WHERE NOT EXISTS (
  SELECT 1 FROM fleet_positions AS p
  WHERE p.account_id = %(account_id)s AND p.product = books.product AND p.instrument = books.instrument
    AND p.restating_from_ms IS NOT NULL)
GROUP BY product, instrument, day, asset
HAVING SUM(of_positions) <> SUM(of_daily)
ORDER BY product, instrument, day, asset
LIMIT %(limit)s;

-- name: negative_holding
SELECT product, instrument, position_side, '' AS day, '' AS asset, CAST(0 AS DECIMAL(38,18)), qty
FROM fleet_positions
WHERE account_id = %(account_id)s AND product = 'spot' AND qty < 0
ORDER BY product, instrument, position_side
LIMIT %(limit)s;

-- name: attribution
-- The parts of a row sum to it, column by column, unless they are due. Product, instrument, day, asset, then
-- the columns of the row, then those of its parts.
SELECT product, instrument, CAST(day AS CHAR), asset,
  SUM(realized), SUM(fees), SUM(funding), SUM(other), SUM(fills),
  SUM(p_realized), SUM(p_fees), SUM(p_funding), SUM(p_other), SUM(p_fills)
FROM (
  SELECT product, instrument, day, asset, attribution_due AS due, realized, fees, funding, other, fills,
    CAST(0 AS DECIMAL(38,18)) AS p_realized, CAST(0 AS DECIMAL(38,18)) AS p_fees,
    CAST(0 AS DECIMAL(38,18)) AS p_funding, CAST(0 AS DECIMAL(38,18)) AS p_other, 0 AS p_fills
  FROM fleet_pnl_daily WHERE account_id = %(account_id)s
  UNION ALL
  SELECT product, instrument, day, asset, 0, 0, 0, 0, 0, 0, realized, fees, funding, other, fills
  FROM fleet_pnl_attribution WHERE account_id = %(account_id)s
) AS books
GROUP BY product, instrument, day, asset
HAVING MAX(due) = 0 AND (
  SUM(realized) <> SUM(p_realized) OR SUM(fees) <> SUM(p_fees) OR SUM(funding) <> SUM(p_funding)
  OR SUM(other) <> SUM(p_other) OR SUM(fills) <> SUM(p_fills))
ORDER BY product, instrument, day, asset
LIMIT %(limit)s;
