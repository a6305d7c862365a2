-- A row in every table that a model of the package reads.

INSERT INTO fleet_fills (account_id, product, instrument, trade_id, side, venue, position_side, qty, price, contract_size, value, settle_asset, executed_at, executed_at_ms, trade_id_bytes)
VALUES (7, 'linear', 'BTCUSDT', 't1', 'buy', 'desk', 'net', '0.1', '12345678901234567890.000000000000000001', 1, 1, 'USDT', '2026-01-01 12:00:00.123456', 1, 2),
  (7, 'linear', 'BTCUSDT', 't2', 'buy', 'desk', 'net', 2, 3, 1, 6, 'USDT', '2026-01-01 12:00:01', 2, 2);

INSERT INTO fleet_cash_entries (account_id, venue_type, ref, asset, venue, amount, kind, at, at_ms, report_hash, data)
VALUES (7, 'F', 'r1', 'USDT', 'desk', '-0.5', 'funding', '2026-01-01 00:00:00', 1, '', '{}');

INSERT INTO fleet_positions (account_id, product, instrument, position_side, venue, qty, cost, realized, settle_asset, contract_size, fills, last_fill_at, last_ms, last_seq, last_trade_id, last_side)
VALUES (7, 'linear', 'BTCUSDT', 'net', 'desk', '-2', '-5', 0, 'USDT', 1, 2, '2026-01-01', 1, 1, 't2', 'buy');

INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, realized, fills)
VALUES (7, 'linear', 'BTCUSDT', '2026-01-01', 'USDT', '1.5', 2),
  (7, 'linear', 'BTCUSDT', '2026-01-03', 'USDT', '2.5', 1);

INSERT INTO fleet_orders (account_id, product, instrument, order_key, venue, state, state_rank, state_at_ms, reduce_only)
VALUES (7, 'linear', 'BTCUSDT', 'o:1', 'desk', 'placed', 1, 5, 1);

INSERT INTO fleet_signals (source, channel_id, message_id, revision, received_at, received_at_ms, text, report_hash, data)
VALUES ('api', 'c', 'm', 0, '2026-01-01', 1, 'x', '', '{}');

INSERT INTO fleet_parked (stream, partition_no, entry_id, event_key, type, event_id, fields, data, account_id, reason, error)
VALUES ('orders', 3, '1-0', '7', 'x', 'e', '{}', '{', 7, 'invalid_json', 'no JSON');

INSERT INTO fleet_account_state (account_id, incomplete)
VALUES (7, 1);

INSERT INTO fleet_closed_days (day, closed_at, grace_seconds, accounts)
VALUES ('2026-01-01', '2026-01-02 00:10:00.5', 600, 1);

INSERT INTO fleet_restatements (batch, account_id, product, instrument, day, asset, version, realized, fees, funding, other, fills, cause, restated_at)
VALUES ('b', 7, 'linear', 'BTCUSDT', '2026-01-01', 'USDT', 3, '1.25', '0.1', 0, 0, 1, '{"identities":["[\\"fill\\",7]"],"more":2}', '2026-01-05 12:00:00');

INSERT INTO fleet_breaks (kind, account_id, identity, details, cause, expected, actual, opened_at, closed_at)
VALUES ('position', 7, 'i1', '{"qty":["1","2"]}', 'unknown', '1', '2', '2026-01-05 12:00:00', NULL),
  ('position', 7, 'i2', '{}', NULL, NULL, NULL, '2026-01-05 12:00:00', '2026-01-06 00:00:00');

INSERT INTO fleet_pnl_attribution (account_id, product, instrument, day, asset, bucket, strategy, signal_id, realized, fills)
VALUES (7, 'linear', 'BTCUSDT', '2026-01-01', 'USDT', 'signal', 'breakout', '991', '1.75', 1),
  (7, 'linear', 'BTCUSDT', '2026-01-01', 'USDT', 'manual', '', '', '-0.25', 1);

INSERT INTO fleet_equity (account_id, asset, at, cash, unrealized, flows, unpriceable, oldest_price_at)
VALUES (7, 'USDT', '2026-01-02 00:00:00', '1001.5', '-3.5', '1000', 0, '2026-01-01 23:59:00'),
  (7, 'USDT', '2026-01-03 00:00:00', '1001.5', NULL, '1000', 1, NULL);

INSERT INTO fleet_account_owners (account_id, valid_from, user_id, source)
VALUES (7, '2026-01-01', 70, 'laravel'), (7, '2026-02-01', 71, 'operator');

INSERT INTO {laravel}.exchange_accounts (id, user_id, venue, product, api_key, api_secret)
VALUES (7, 70, 'desk', 'linear', '', '');
