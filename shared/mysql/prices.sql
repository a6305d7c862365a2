-- name: latest
-- Constants, so that both servers go straight to the one row; many of these make one statement.
(SELECT %s AS number, price, at, source, venue, product, instrument FROM fleet_prices FORCE INDEX (PRIMARY)
 WHERE venue = %s AND product = %s AND instrument = %s AND kind = %s AND at <= %s
 ORDER BY at DESC LIMIT 1)

-- name: between
(SELECT %s AS number, price, at, source, venue, product, instrument FROM fleet_prices FORCE INDEX (PRIMARY)
 WHERE venue = %s AND product = %s AND instrument = %s AND kind = %s AND at > %s AND at <= %s
 ORDER BY at LIMIT %s)

-- name: latest_of_pair
-- Of several instruments at one time the last by name, which is the order of the index.
(SELECT %s AS number, price, at, source, venue, product, instrument
 FROM fleet_prices FORCE INDEX (fleet_prices_assets)
 WHERE base_asset = %s AND quote_asset = %s AND kind = %s AND at <= %s
 ORDER BY at DESC, venue DESC, product DESC, instrument DESC LIMIT 1)

-- name: between_of_pair
(SELECT %s AS number, price, at, source, venue, product, instrument
 FROM fleet_prices FORCE INDEX (fleet_prices_assets)
 WHERE base_asset = %s AND quote_asset = %s AND kind = %s AND at > %s AND at <= %s
 ORDER BY at, venue, product, instrument LIMIT %s)

-- name: instruments
SELECT DISTINCT venue, product, instrument, kind FROM fleet_prices

-- name: pairs
SELECT DISTINCT base_asset, quote_asset, kind FROM fleet_prices
WHERE base_asset IS NOT NULL AND quote_asset IS NOT NULL

-- name: record
-- Of one moment an imported price stands before a synced one, that before one that came with a report; of one
-- source the greatest, but the later import, which corrects. Assignments run from left to right.
INSERT INTO fleet_prices (venue, product, instrument, kind, at, price, base_asset, quote_asset, source)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  price = CASE
    WHEN VALUES(source) = 'import' THEN VALUES(price)
    WHEN VALUES(source) = source THEN GREATEST(price, VALUES(price))
    WHEN FIELD(VALUES(source), 'observed', 'sync') > FIELD(source, 'observed', 'sync', 'import') THEN VALUES(price)
    ELSE price END,
  base_asset = COALESCE(VALUES(base_asset), base_asset),
  quote_asset = COALESCE(VALUES(quote_asset), quote_asset),
  source = IF(FIELD(VALUES(source), 'observed', 'sync', 'import') > FIELD(source, 'observed', 'sync', 'import'),
    VALUES(source), source)

-- name: newest
-- The newest price of every instrument and kind; an empty word matches everything.
SELECT p.venue, p.product, p.instrument, p.kind, p.at, p.price, p.base_asset, p.quote_asset, p.source
FROM (SELECT venue, product, instrument, kind, MAX(at) AS at
      FROM fleet_prices GROUP BY venue, product, instrument, kind) AS newest
JOIN fleet_prices AS p USING (venue, product, instrument, kind, at)
WHERE %s IN ('', p.venue) AND %s IN ('', p.instrument)
ORDER BY p.at DESC, p.venue, p.product, p.instrument, p.kind
LIMIT %s
