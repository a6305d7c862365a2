-- A year of history for `accounts` accounts; a quarter of all rows in each table, then what the sink makes of them.

-- name: change_event
INSERT INTO fleet.change_event
SELECT '2026-01-01Z'::timestamptz + n * (%(days)s * INTERVAL '1 day' / %(rows)s), n, 0, 1,
       (ARRAY['fleet_positions', 'fleet_pnl_daily', 'fleet_fills', 'fleet_orders'])[abs(hashint8(n + 1)) %% 4 + 1],
       format('["%%s","linear","I%%s","net"]', n %% %(accounts)s, abs(hashint8(n)) %% %(instruments)s), 'u', false,
       'log', jsonb_build_object('account_id', (n %% %(accounts)s)::text, 'qty', (n * 7919 %% 1000003)::text),
       jsonb_build_object('account_id', (n %% %(accounts)s)::text, 'qty', (n * 7907 %% 1000003)::text),
       'ledger orders:3 1700000000000-0', '0-1-' || n, 'binlog.000001', n, 'shape'
FROM generate_series(1::bigint, %(rows)s) AS n

-- name: position_history
INSERT INTO fleet.position_history
SELECT '2026-01-01Z'::timestamptz + n * (%(days)s * INTERVAL '1 day' / %(rows)s), n, 0, n %% %(accounts)s, 'linear',
       'I' || abs(hashint8(n)) %% %(instruments)s, 'net', false, 'binance', n * 7919 %% 1000003, n * 7907 %% 1000003,
       NULL, n * 7901 %% 1000003, 'USDT', 1, 0, n, '2026-01-01Z', NULL, n
FROM generate_series(1::bigint, %(rows)s) AS n

-- name: pnl_history
INSERT INTO fleet.pnl_history
SELECT at, n, 0, n %% %(accounts)s, 'linear', 'I' || abs(hashint8(n)) %% %(instruments)s, at::date, 'USDT', false,
       n * 7919 %% 1000003, 1, 0, 0, n, n
FROM generate_series(1::bigint, %(rows)s) AS n,
     LATERAL (SELECT '2026-01-01Z'::timestamptz + n * (%(days)s * INTERVAL '1 day' / %(rows)s) AS at) AS moment

-- name: fill_history
INSERT INTO fleet.fill_history
SELECT at, n, 0, 1, at, n %% %(accounts)s, 'linear', 'I' || abs(hashint8(n)) %% %(instruments)s, n::text, 'buy',
       'binance', 'net', n::text, NULL, 1, 100, 1, 100, 0.1, 'USDT', 'USDT', 1, 'stream', 'taker', 'normal', NULL,
       NULL, NULL
FROM generate_series(1::bigint, %(rows)s) AS n,
     LATERAL (SELECT '2026-01-01Z'::timestamptz + n * (%(days)s * INTERVAL '1 day' / %(rows)s) AS at) AS moment

-- name: rollup_changes
INSERT INTO fleet.rollup_changes
SELECT date_trunc('hour', committed_at), table_name, op, count(*) FROM fleet.change_event GROUP BY 1, 2, 3

-- name: rollup_positions
INSERT INTO fleet.rollup_positions
SELECT DISTINCT ON (1, 2, 3, 4) date_trunc('hour', committed_at), account_id, product, instrument, position_side, seq,
       row_index, committed_at, deleted, qty, cost, avg_entry, realized, settle_asset
FROM fleet.position_history
ORDER BY 1, 2, 3, 4, seq DESC

-- name: rollup_pnl
INSERT INTO fleet.rollup_pnl
SELECT DISTINCT ON (1, 2, 3, 4) account_id, product, instrument, day, asset, seq, row_index, committed_at, deleted,
       realized, fees, funding, other, fills
FROM fleet.pnl_history
ORDER BY 1, 2, 3, 4, seq DESC

-- name: owners
INSERT INTO fleet.row_state
SELECT 'fleet_account_owners', format('["%%s","2026-01-01"]', n),
       jsonb_build_object('account_id', n::text, 'valid_from', '2026-01-01', 'user_id', (n / %(of_user)s)::text),
       now(), 1, n, 0, false, false
FROM generate_series(0, %(accounts)s - 1) AS n

-- name: some_keys
SELECT row_key FROM fleet.change_event WHERE table_name = 'fleet_positions' LIMIT 2000
