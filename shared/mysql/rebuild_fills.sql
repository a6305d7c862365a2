-- name: next_keys
-- The fills that reports tell of, behind a place in the order of the primary key; spelled as in book_positions
-- so that both servers use the key for all of it.
SELECT DISTINCT account_id, product, instrument, trade_id, side
FROM fleet_fill_reports FORCE INDEX (PRIMARY)
WHERE account_id = %s AND (product > %s
  OR (product = %s AND (instrument > %s
    OR (instrument = %s AND (trade_id > %s
      OR (trade_id = %s AND side > %s))))))
ORDER BY account_id, product, instrument, trade_id, side
LIMIT %s;
