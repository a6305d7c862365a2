-- Dated facts: a row holds from its valid_from on, until the next one of the same thing. Columns stand in
-- the order of the records.

-- name: set_instrument
INSERT INTO fleet_instruments
  (venue, product, instrument, valid_from, contract_size, base_asset, quote_asset, settle_asset, price_step,
   qty_step, money_step, renamed_to, ratio)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE
  contract_size = VALUES(contract_size), base_asset = VALUES(base_asset), quote_asset = VALUES(quote_asset),
  settle_asset = VALUES(settle_asset), price_step = VALUES(price_step), qty_step = VALUES(qty_step),
  money_step = VALUES(money_step), renamed_to = VALUES(renamed_to), ratio = VALUES(ratio);

-- name: instruments
SELECT venue, product, instrument, valid_from, contract_size, base_asset, quote_asset, settle_asset, price_step,
  qty_step, money_step, renamed_to, ratio
FROM fleet_instruments
WHERE (%(venue)s IS NULL OR venue = %(venue)s) AND (%(product)s IS NULL OR product = %(product)s)
  AND (%(instrument)s IS NULL OR instrument = %(instrument)s)
ORDER BY venue, product, instrument, valid_from;

-- name: instrument_at
SELECT venue, product, instrument, valid_from, contract_size, base_asset, quote_asset, settle_asset, price_step,
  qty_step, money_step, renamed_to, ratio
FROM fleet_instruments
WHERE venue = %s AND product = %s AND instrument = %s AND valid_from <= %s
ORDER BY valid_from DESC
LIMIT 1;

-- name: set_mode
INSERT INTO fleet_position_modes (account_id, product, instrument, valid_from, mode, source)
VALUES (%s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE mode = VALUES(mode), source = VALUES(source);

-- name: modes
SELECT account_id, product, instrument, valid_from, mode, source
FROM fleet_position_modes
WHERE %(account)s IS NULL OR account_id = %(account)s
ORDER BY account_id, product, instrument, valid_from;

-- name: set_owner
INSERT INTO fleet_account_owners (account_id, valid_from, user_id, source)
VALUES (%s, %s, %s, %s)
ON DUPLICATE KEY UPDATE user_id = VALUES(user_id), source = VALUES(source);

-- name: owners
SELECT account_id, valid_from, user_id, source
FROM fleet_account_owners
WHERE (%(account)s IS NULL OR account_id = %(account)s)
  AND (%(user)s IS NULL OR account_id IN
    (SELECT account_id FROM (SELECT account_id FROM fleet_account_owners WHERE user_id = %(user)s) AS theirs))
ORDER BY account_id, valid_from;

-- name: note_owners
-- Laravel's user of each account, where it is another than the last one known: of an account without an owner
-- from the beginning, else from a day on. A row of that day which is wrong by now is replaced.
INSERT INTO fleet_account_owners (account_id, valid_from, user_id, source)
SELECT s.id, IF(o.account_id IS NULL, DATE '1970-01-01', %(day)s), s.user_id, 'laravel'
FROM fleet_account_sources AS s
LEFT JOIN fleet_account_owners AS o ON o.account_id = s.id AND o.valid_from =
  (SELECT MAX(l.valid_from) FROM fleet_account_owners AS l
   WHERE l.account_id = s.id AND l.valid_from <= %(day)s)
WHERE s.user_id IS NOT NULL AND (o.account_id IS NULL OR o.user_id <> s.user_id)
ON DUPLICATE KEY UPDATE user_id = VALUES(user_id), source = VALUES(source);
