-- name: read_orders
SELECT account_id, product, instrument, order_id, client_order_id, venue, state, state_at_ms, side,
  order_type, qty, price, stop_price, reduce_only, signal_id, strategy, reason, first_fill_ms, last_fill_ms
FROM fleet_orders FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, order_key) IN ({rows});

-- name: read_links
SELECT account_id, product, instrument, client_order_id, order_id
FROM fleet_orders FORCE INDEX (fleet_orders_client)
WHERE (account_id, product, instrument, client_order_id) IN ({rows}) AND order_id IS NOT NULL;

-- name: join_orders
-- The same join as shared/ledger/orders.py. Assignments run from left to right: state compares with the old
-- rank and time, then the time with the old rank; on a tie neither of the later ones changes anything.
INSERT INTO fleet_orders
  (account_id, product, instrument, order_key, order_id, client_order_id, venue, state, state_at_ms, side,
   order_type, qty, price, stop_price, reduce_only, signal_id, strategy, reason, first_fill_ms, last_fill_ms,
   state_rank)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  state = IF((VALUES(state_rank), VALUES(state_at_ms), VALUES(state)) > (state_rank, state_at_ms, state),
    VALUES(state), state),
  state_at_ms = IF((VALUES(state_rank), VALUES(state_at_ms)) > (state_rank, state_at_ms),
    VALUES(state_at_ms), state_at_ms),
  state_rank = GREATEST(state_rank, VALUES(state_rank)),
  client_order_id = GREATEST(COALESCE(client_order_id, VALUES(client_order_id)),
    COALESCE(VALUES(client_order_id), client_order_id)),
  venue = GREATEST(venue, VALUES(venue)),
  side = GREATEST(COALESCE(side, VALUES(side)), COALESCE(VALUES(side), side)),
  order_type = GREATEST(COALESCE(order_type, VALUES(order_type)), COALESCE(VALUES(order_type), order_type)),
  qty = GREATEST(COALESCE(qty, VALUES(qty)), COALESCE(VALUES(qty), qty)),
  price = GREATEST(COALESCE(price, VALUES(price)), COALESCE(VALUES(price), price)),
  stop_price = GREATEST(COALESCE(stop_price, VALUES(stop_price)), COALESCE(VALUES(stop_price), stop_price)),
  reduce_only = GREATEST(COALESCE(reduce_only, VALUES(reduce_only)),
    COALESCE(VALUES(reduce_only), reduce_only)),
  signal_id = GREATEST(COALESCE(signal_id, VALUES(signal_id)), COALESCE(VALUES(signal_id), signal_id)),
  strategy = GREATEST(COALESCE(strategy, VALUES(strategy)), COALESCE(VALUES(strategy), strategy)),
  reason = GREATEST(COALESCE(reason, VALUES(reason)), COALESCE(VALUES(reason), reason)),
  first_fill_ms = LEAST(COALESCE(first_fill_ms, VALUES(first_fill_ms)),
    COALESCE(VALUES(first_fill_ms), first_fill_ms)),
  last_fill_ms = GREATEST(COALESCE(last_fill_ms, VALUES(last_fill_ms)),
    COALESCE(VALUES(last_fill_ms), last_fill_ms));

-- name: remove_orders
DELETE FROM fleet_orders
WHERE (account_id, product, instrument, order_key) IN ({rows});

-- name: attribute_again
-- What an order is known to belong to has changed: so have the parts of the days in which it was filled.
UPDATE fleet_pnl_daily SET attribution_due = 1
WHERE account_id = %s AND product = %s AND instrument = %s AND day BETWEEN %s AND %s;
