-- name: positions
-- All sides of the instruments that traded in a span of days.
SELECT account_id, product, instrument, position_side
FROM fleet_positions
WHERE account_id = %s AND (product, instrument) IN
  (SELECT product, instrument FROM fleet_position_days WHERE account_id = %s AND day BETWEEN %s AND %s)
ORDER BY product, instrument, position_side;

-- name: last_flat
-- The last day before another at whose end the position was flat, whatever it traded in that day.
SELECT day
FROM fleet_position_days FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s AND day < %s
GROUP BY day
HAVING COUNT(*) = 1 AND MAX(qty) = 0 AND MIN(qty) = 0
ORDER BY day DESC
LIMIT 1;

-- name: funding
SELECT at_ms, asset, amount
FROM fleet_cash_entries FORCE INDEX (fleet_cash_entries_at)
WHERE account_id = %s AND at_ms < %s AND kind = 'funding' AND product = %s AND instrument = %s
ORDER BY at_ms;
