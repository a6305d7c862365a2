-- name: due_accounts
-- Accounts with days to attribute, behind one that was served.
SELECT DISTINCT account_id
FROM fleet_pnl_daily FORCE INDEX (fleet_pnl_daily_due)
WHERE attribution_due = 1 AND account_id > %s
ORDER BY account_id
LIMIT %s;

-- name: due_days
-- Whole days, however many of their assets are due. An instrument with a fold that waits stays due.
SELECT d.product, d.instrument, d.day, (
  SELECT CAST(SUM(f.fills) AS SIGNED) FROM fleet_pnl_daily AS f FORCE INDEX (PRIMARY)
  WHERE f.account_id = d.account_id AND f.product = d.product AND f.instrument = d.instrument
    AND f.day = d.day)
FROM fleet_pnl_daily AS d FORCE INDEX (fleet_pnl_daily_due)
WHERE d.attribution_due = 1 AND d.account_id = %s
  AND NOT EXISTS (
    SELECT 1 FROM fleet_positions AS p FORCE INDEX (PRIMARY)
    WHERE p.account_id = d.account_id AND p.product = d.product AND p.instrument = d.instrument
      AND p.restating_from_ms IS NOT NULL)
GROUP BY d.account_id, d.product, d.instrument, d.day
ORDER BY d.account_id, d.product, d.instrument, d.day
LIMIT %s;

-- name: position_sides
SELECT position_side
FROM fleet_positions FORCE INDEX (PRIMARY)
WHERE account_id = %s AND product = %s AND instrument = %s
ORDER BY position_side;

-- name: fills_in_order
-- The next fills behind a place in the order and before a time; spelled as in book_positions.sql.
SELECT executed_at_ms, venue_seq, trade_id, side, venue, qty, value, fee, fee_asset, base_asset,
  settle_asset, contract_size, reported_realized, kind, order_id, client_order_id, signal_id, strategy
FROM fleet_fills FORCE INDEX (fleet_fills_fold)
WHERE account_id = %s AND product = %s AND instrument = %s AND position_side = %s
  AND executed_at_ms < %s AND executed_at_ms >= %s
  AND (executed_at_ms > %s
    OR (executed_at_ms = %s AND (venue_seq > %s
      OR (venue_seq = %s AND (trade_id_bytes > %s
        OR (trade_id_bytes = %s AND (trade_id > %s
          OR (trade_id = %s AND side > %s))))))))
ORDER BY executed_at_ms, venue_seq, trade_id_bytes, trade_id, side
LIMIT %s;

-- name: orders
SELECT order_key, client_order_id, signal_id, strategy
FROM fleet_orders FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, order_key) IN ({rows});

-- name: orders_of_clients
SELECT order_key, client_order_id, signal_id, strategy
FROM fleet_orders FORCE INDEX (fleet_orders_client)
WHERE (account_id, product, instrument, client_order_id) IN ({rows});

-- name: money_steps
SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', valid_from) DIV 1000, money_step
FROM fleet_instruments
WHERE venue = %s AND product = %s AND instrument = %s;

-- name: remove_parts
DELETE FROM fleet_pnl_attribution
WHERE (account_id, product, instrument, day) IN ({rows});

-- name: remove_rounding
DELETE FROM fleet_rounding
WHERE (account_id, product, instrument, day) IN ({rows});

-- name: add_cash
-- The daily row holds nothing else in these columns.
INSERT INTO fleet_pnl_attribution
  (account_id, product, instrument, day, asset, bucket, funding, other)
SELECT account_id, product, instrument, day, asset, 'cash', funding, other
FROM fleet_pnl_daily FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, day) IN ({rows}) AND (funding <> 0 OR other <> 0);

-- name: add_parts
INSERT INTO fleet_pnl_attribution
  (account_id, product, instrument, day, asset, bucket, strategy, signal_id, realized, fees, fills)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  realized = realized + VALUES(realized), fees = fees + VALUES(fees), fills = fills + VALUES(fills);

-- name: add_rounding
INSERT INTO fleet_rounding
  (account_id, product, instrument, day, asset, position_side, reported, computed, amount, fills)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  reported = reported + VALUES(reported), computed = computed + VALUES(computed),
  amount = amount + VALUES(amount), fills = fills + VALUES(fills);

-- name: attributed
UPDATE fleet_pnl_daily SET attribution_due = 0
WHERE (account_id, product, instrument, day) IN ({rows});

-- name: check_due
UPDATE fleet_account_state SET check_due = 1 WHERE account_id = %s;

-- name: has_diverged
SELECT EXISTS (
  SELECT 1 FROM fleet_breaks FORCE INDEX (fleet_breaks_account)
  WHERE account_id = %s AND closed_at IS NULL AND kind = %s);

-- name: untied
-- Performance book and rounding beside the cash book, by instrument, day and asset, where they differ.
-- Only for an account whose venue sends what it realized as cash entries of its own. Of spot such entries are what was
-- bought and sold, which is no P&L.
SELECT instrument, CAST(day AS CHAR), asset, SUM(performance), SUM(rounding), SUM(cash)
FROM (
  SELECT product, instrument, day, asset, realized AS performance, CAST(0 AS DECIMAL(38,18)) AS rounding,
    CAST(0 AS DECIMAL(38,18)) AS cash
  FROM fleet_pnl_daily WHERE account_id = %(account_id)s
  UNION ALL
  SELECT product, instrument, day, asset, 0, amount, 0
  FROM fleet_rounding WHERE account_id = %(account_id)s
  UNION ALL
  SELECT product, instrument, DATE(at), asset, 0, 0, amount
  FROM fleet_cash_entries WHERE account_id = %(account_id)s AND kind = 'realized'
) AS books
WHERE product <> 'spot' AND EXISTS (
  SELECT 1 FROM fleet_cash_entries AS c WHERE c.account_id = %(account_id)s AND c.kind = 'realized')
GROUP BY instrument, day, asset
HAVING SUM(performance) + SUM(rounding) <> SUM(cash)
ORDER BY day, instrument, asset;
