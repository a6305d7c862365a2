-- name: make_offset
-- The start: before everything.
INSERT INTO fleet.equity_offset (written_at, account_id, asset, at)
VALUES ('1970-01-01 00:00:00Z', 0, '', '1970-01-01 00:00:00Z')
ON CONFLICT DO NOTHING

-- name: lock_offset
-- Where the rows are gone and the offset is not, it means nothing any more.
SELECT written_at, account_id, asset, at, EXISTS (SELECT 1 FROM fleet.equity)
FROM fleet.equity_offset
FOR UPDATE

-- name: offset
SELECT written_at, account_id, asset, at FROM fleet.equity_offset

-- name: write
INSERT INTO fleet.equity
  (account_id, asset, at, cash, unrealized, flows, unpriceable, oldest_price_at, written_at)
SELECT * FROM unnest(
  %s::numeric[], %s::text[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[], %s::bigint[],
  %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (account_id, asset, at) DO UPDATE SET
  cash = excluded.cash, unrealized = excluded.unrealized, flows = excluded.flows,
  unpriceable = excluded.unpriceable, oldest_price_at = excluded.oldest_price_at,
  written_at = excluded.written_at

-- name: move_offset
UPDATE fleet.equity_offset SET written_at = %s, account_id = %s, asset = %s, at = %s
