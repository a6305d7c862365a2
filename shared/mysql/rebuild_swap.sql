-- What a rebuild does under its account's lock: see rebuild_swap.py.

-- name: stale_days
-- Days of folded instruments whose fees may be others than those that were read: the live row was written since,
-- has come or gone, or says something else.
SELECT DISTINCT found.account_id, found.product, found.instrument, CAST(found.day AS CHAR)
FROM (
  SELECT l.account_id, l.product, l.instrument, l.day
  FROM fleet_pnl_daily AS l FORCE INDEX (PRIMARY)
  LEFT JOIN fleet_rebuild_pnl_daily AS s
    ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
    AND s.day = l.day AND s.asset = l.asset
  WHERE l.account_id = %s AND (l.version <> COALESCE(s.seen_version, 0) OR l.fees <> COALESCE(s.fees, 0))
  UNION
  SELECT s.account_id, s.product, s.instrument, s.day
  FROM fleet_rebuild_pnl_daily AS s FORCE INDEX (PRIMARY)
  LEFT JOIN fleet_pnl_daily AS l
    ON l.account_id = s.account_id AND l.product = s.product AND l.instrument = s.instrument
    AND l.day = s.day AND l.asset = s.asset
  WHERE s.account_id = %s AND l.account_id IS NULL AND (s.seen_version > 0 OR s.fees <> 0)
) AS found
JOIN fleet_rebuild_positions AS p
  ON p.account_id = found.account_id AND p.product = found.product AND p.instrument = found.instrument
ORDER BY 1, 2, 3, 4;

-- name: forget_fees
UPDATE fleet_rebuild_pnl_daily SET fees = 0, entries = 0
WHERE (account_id, product, instrument, day) IN ({rows});

-- name: add_cash
INSERT INTO fleet_rebuild_pnl_daily (account_id, product, instrument, day, asset, funding, other, entries)
SELECT account_id, product, instrument, DATE(at), asset, SUM(IF(kind IN %s, amount, 0)),
  SUM(IF(kind IN %s, amount, 0)), COUNT(*)
FROM fleet_cash_entries FORCE INDEX (PRIMARY)
WHERE account_id IN %s AND kind IN %s AND amount <> 0
GROUP BY 1, 2, 3, 4, 5
ON DUPLICATE KEY UPDATE funding = VALUES(funding), other = VALUES(other),
  entries = fleet_rebuild_pnl_daily.entries + VALUES(entries);

-- name: add_positions
INSERT INTO fleet_rebuild_pnl_daily (account_id, product, instrument, day, asset, realized, fills, entries)
SELECT account_id, product, instrument, day, settle_asset, SUM(realized), SUM(fills), SUM(fills)
FROM fleet_rebuild_position_days FORCE INDEX (PRIMARY)
WHERE account_id IN %s
GROUP BY 1, 2, 3, 4, 5
ON DUPLICATE KEY UPDATE realized = VALUES(realized), fills = VALUES(fills),
  entries = fleet_rebuild_pnl_daily.entries + VALUES(entries);

-- name: drop_empty
DELETE FROM fleet_rebuild_pnl_daily WHERE account_id IN ({rows}) AND entries = 0;

-- name: restate
-- Figures of closed days as they stand, where they change or go, and nothing where a row comes.
INSERT INTO fleet_restatements
  (batch, account_id, product, instrument, day, asset, version, realized, fees, funding, other, fills, cause)
SELECT %(batch)s, l.account_id, l.product, l.instrument, l.day, l.asset, l.version, l.realized, l.fees, l.funding,
  l.other, l.fills, %(cause)s
FROM fleet_pnl_daily AS l FORCE INDEX (PRIMARY)
LEFT JOIN fleet_rebuild_pnl_daily AS s
  ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
  AND s.day = l.day AND s.asset = l.asset
WHERE l.account_id IN %(accounts)s AND l.day <= %(through)s
  AND NOT (l.realized, l.fees, l.funding, l.other, l.fills) <=> (s.realized, s.fees, s.funding, s.other, s.fills)
UNION ALL
SELECT %(batch)s, s.account_id, s.product, s.instrument, s.day, s.asset, 0, 0, 0, 0, 0, 0, %(cause)s
FROM fleet_rebuild_pnl_daily AS s FORCE INDEX (PRIMARY)
LEFT JOIN fleet_pnl_daily AS l
  ON l.account_id = s.account_id AND l.product = s.product AND l.instrument = s.instrument
  AND l.day = s.day AND l.asset = s.asset
WHERE s.account_id IN %(accounts)s AND s.day <= %(through)s AND l.account_id IS NULL;

-- ---- Each projection in four steps: mark the shadow rows that differ, count, remove, put.

-- name: mark_positions
UPDATE fleet_rebuild_positions AS s
LEFT JOIN fleet_positions AS l
  ON l.account_id = s.account_id AND l.product = s.product AND l.instrument = s.instrument
  AND l.position_side = s.position_side
SET s.differs = 1
WHERE s.account_id IN %(accounts)s AND NOT
  (l.venue, l.qty, l.cost, l.avg_entry, l.realized, l.settle_asset, l.contract_size, l.unknown_basis_qty, l.fills,
   l.last_fill_at, l.last_ms, l.last_seq, l.last_trade_id, l.last_side, l.restating_from_ms, l.restating_fills)
  <=>
  (s.venue, s.qty, s.cost, s.avg_entry, s.realized, s.settle_asset, s.contract_size, s.unknown_basis_qty, s.fills,
   s.last_fill_at, s.last_ms, s.last_seq, s.last_trade_id, s.last_side, s.restating_from_ms, s.restating_fills);

-- name: count_positions
SELECT account_id, COUNT(*)
FROM (
  SELECT account_id FROM fleet_rebuild_positions WHERE account_id IN %(accounts)s AND differs
  UNION ALL
  SELECT l.account_id
  FROM fleet_positions AS l FORCE INDEX (PRIMARY)
  LEFT JOIN fleet_rebuild_positions AS s
    ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
    AND s.position_side = l.position_side
  WHERE l.account_id IN %(accounts)s AND s.account_id IS NULL
) AS wrong
GROUP BY account_id;

-- name: remove_positions
DELETE l FROM fleet_positions AS l
LEFT JOIN fleet_rebuild_positions AS s
  ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
  AND s.position_side = l.position_side
WHERE l.account_id IN %(accounts)s AND s.account_id IS NULL;

-- name: put_positions
-- Assignments run from left to right: both versions are the one after this.
INSERT INTO fleet_positions
  (account_id, product, instrument, position_side, venue, qty, cost, avg_entry, realized, settle_asset, contract_size,
   unknown_basis_qty, fills, last_fill_at, last_ms, last_seq, last_trade_id, last_side, refolded_version)
SELECT account_id, product, instrument, position_side, venue, qty, cost, avg_entry, realized, settle_asset,
  contract_size, unknown_basis_qty, fills, last_fill_at, last_ms, last_seq, last_trade_id, last_side, 1
FROM fleet_rebuild_positions AS s
WHERE account_id IN %(accounts)s AND differs
ON DUPLICATE KEY UPDATE
  refolded_version = fleet_positions.version + 1, version = fleet_positions.version + 1,
  venue = VALUES(venue), qty = VALUES(qty), cost = VALUES(cost), avg_entry = VALUES(avg_entry),
  realized = VALUES(realized), settle_asset = VALUES(settle_asset), contract_size = VALUES(contract_size),
  unknown_basis_qty = VALUES(unknown_basis_qty), fills = VALUES(fills), last_fill_at = VALUES(last_fill_at),
  last_ms = VALUES(last_ms), last_seq = VALUES(last_seq), last_trade_id = VALUES(last_trade_id),
  last_side = VALUES(last_side), restating_from_ms = NULL, restating_fills = 0;

-- name: mark_position_days
UPDATE fleet_rebuild_position_days AS s
LEFT JOIN fleet_position_days AS l
  ON l.account_id = s.account_id AND l.product = s.product AND l.instrument = s.instrument
  AND l.position_side = s.position_side AND l.day = s.day AND l.settle_asset = s.settle_asset
SET s.differs = 1
WHERE s.account_id IN %(accounts)s AND NOT
  (l.qty, l.cost, l.unknown_basis_qty, l.realized, l.fills, l.contract_size)
  <=> (s.qty, s.cost, s.unknown_basis_qty, s.realized, s.fills, s.contract_size);

-- name: count_position_days
SELECT account_id, COUNT(*)
FROM (
  SELECT account_id FROM fleet_rebuild_position_days WHERE account_id IN %(accounts)s AND differs
  UNION ALL
  SELECT l.account_id
  FROM fleet_position_days AS l FORCE INDEX (PRIMARY)
  LEFT JOIN fleet_rebuild_position_days AS s
    ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
    AND s.position_side = l.position_side AND s.day = l.day AND s.settle_asset = l.settle_asset
  WHERE l.account_id IN %(accounts)s AND s.account_id IS NULL
) AS wrong
GROUP BY account_id;

-- name: remove_position_days
DELETE l FROM fleet_position_days AS l
LEFT JOIN fleet_rebuild_position_days AS s
  ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
  AND s.position_side = l.position_side AND s.day = l.day AND s.settle_asset = l.settle_asset
WHERE l.account_id IN %(accounts)s AND s.account_id IS NULL;

-- name: put_position_days
INSERT INTO fleet_position_days
  (account_id, product, instrument, position_side, day, settle_asset, qty, cost, unknown_basis_qty, realized, fills,
   contract_size)
SELECT account_id, product, instrument, position_side, day, settle_asset, qty, cost, unknown_basis_qty, realized,
  fills, contract_size
FROM fleet_rebuild_position_days AS s
WHERE account_id IN %(accounts)s AND differs
ON DUPLICATE KEY UPDATE
  qty = VALUES(qty), cost = VALUES(cost), unknown_basis_qty = VALUES(unknown_basis_qty),
  realized = VALUES(realized), fills = VALUES(fills), contract_size = VALUES(contract_size);

-- name: mark_pnl_daily
UPDATE fleet_rebuild_pnl_daily AS s
LEFT JOIN fleet_pnl_daily AS l
  ON l.account_id = s.account_id AND l.product = s.product AND l.instrument = s.instrument
  AND l.day = s.day AND l.asset = s.asset
SET s.differs = 1
WHERE s.account_id IN %(accounts)s AND NOT
  (l.realized, l.fees, l.funding, l.other, l.fills, l.entries)
  <=> (s.realized, s.fees, s.funding, s.other, s.fills, s.entries);

-- name: count_pnl_daily
SELECT account_id, COUNT(*)
FROM (
  SELECT account_id FROM fleet_rebuild_pnl_daily WHERE account_id IN %(accounts)s AND differs
  UNION ALL
  SELECT l.account_id
  FROM fleet_pnl_daily AS l FORCE INDEX (PRIMARY)
  LEFT JOIN fleet_rebuild_pnl_daily AS s
    ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
    AND s.day = l.day AND s.asset = l.asset
  WHERE l.account_id IN %(accounts)s AND s.account_id IS NULL
) AS wrong
GROUP BY account_id;

-- name: remove_pnl_daily
DELETE l FROM fleet_pnl_daily AS l
LEFT JOIN fleet_rebuild_pnl_daily AS s
  ON s.account_id = l.account_id AND s.product = l.product AND s.instrument = l.instrument
  AND s.day = l.day AND s.asset = l.asset
WHERE l.account_id IN %(accounts)s AND s.account_id IS NULL;

-- name: put_pnl_daily
INSERT INTO fleet_pnl_daily
  (account_id, product, instrument, day, asset, realized, fees, funding, other, fills, entries)
SELECT account_id, product, instrument, day, asset, realized, fees, funding, other, fills, entries
FROM fleet_rebuild_pnl_daily AS s
WHERE account_id IN %(accounts)s AND differs
ON DUPLICATE KEY UPDATE
  realized = VALUES(realized), fees = VALUES(fees), funding = VALUES(funding), other = VALUES(other),
  fills = VALUES(fills), entries = VALUES(entries), attribution_due = 1, version = fleet_pnl_daily.version + 1;

-- ---- Parts of the daily rows

-- name: attribute_again
-- A position's day may change where the sums of its instrument's day do not.
UPDATE fleet_pnl_daily AS d
JOIN fleet_rebuild_position_days AS s
  ON s.account_id = d.account_id AND s.product = d.product AND s.instrument = d.instrument AND s.day = d.day
SET d.attribution_due = 1
WHERE s.account_id IN %(accounts)s AND s.differs AND d.attribution_due = 0;

-- name: remove_parts
DELETE a FROM fleet_pnl_attribution AS a
LEFT JOIN fleet_pnl_daily AS l
  ON l.account_id = a.account_id AND l.product = a.product AND l.instrument = a.instrument
  AND l.day = a.day AND l.asset = a.asset
WHERE a.account_id IN %(accounts)s AND l.account_id IS NULL;

-- name: remove_rounding
DELETE r FROM fleet_rounding AS r
LEFT JOIN fleet_pnl_daily AS l
  ON l.account_id = r.account_id AND l.product = r.product AND l.instrument = r.instrument
  AND l.day = r.day AND l.asset = r.asset
WHERE r.account_id IN %(accounts)s AND l.account_id IS NULL;
