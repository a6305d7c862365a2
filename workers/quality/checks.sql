-- Each finds how many are good, and of how many. Bounded: by an index, by a table with a row per account, or by LIMIT.

-- name: outbox_confirmed
SELECT GREATEST(n.rows_looked, w.late) - w.late, GREATEST(n.rows_looked, w.late)
FROM (
  SELECT COUNT(*) AS late
  FROM (
    SELECT 1 FROM fleet_outbox
    WHERE state < 2 AND created_at < UTC_TIMESTAMP(6) - INTERVAL 60 SECOND
    LIMIT 10000
  ) AS unconfirmed
) AS w, (
  SELECT COUNT(*) AS rows_looked
  FROM (SELECT created_at FROM fleet_outbox ORDER BY id DESC LIMIT 10000) AS newest
  WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL 60 SECOND
) AS n;

-- name: books_complete
SELECT COALESCE(SUM(incomplete = 0), 0), COUNT(*) FROM fleet_account_state;

-- name: accounts_owned
-- Owners are noted every ten minutes.
SELECT COALESCE(SUM(EXISTS (SELECT 1 FROM fleet_account_owners AS o WHERE o.account_id = a.account_id)), 0), COUNT(*)
FROM fleet_sync_accounts AS a
WHERE a.state <> 'inactive' AND a.since_ms < (UNIX_TIMESTAMP() - 1200) * 1000;

-- name: identities_hold
SELECT GREATEST(n.accounts, b.broken) - b.broken, GREATEST(n.accounts, b.broken)
FROM (SELECT COUNT(*) AS accounts FROM fleet_account_state) AS n,
  (SELECT COUNT(DISTINCT account_id) AS broken FROM fleet_breaks WHERE kind = 'identity' AND closed_at IS NULL) AS b;

-- name: accounts_reconciled
SELECT GREATEST(n.accounts, b.differing) - b.differing, GREATEST(n.accounts, b.differing)
FROM (SELECT COUNT(*) AS accounts FROM fleet_reconciliations) AS n,
  (SELECT COUNT(DISTINCT account_id) AS differing FROM fleet_breaks WHERE kind IN %s AND closed_at IS NULL) AS b;

-- name: accounts_fresh
-- Three turns of a tier. One that was never read waits since it was due.
SELECT COALESCE(SUM(COALESCE(ran_at, due_at) > UTC_TIMESTAMP(6) - INTERVAL
    CASE tier WHEN 'active' THEN %s WHEN 'idle' THEN %s ELSE %s END SECOND), 0), COUNT(*)
FROM fleet_sync_accounts
WHERE state = 'active';

-- name: accounts_once
SELECT COALESCE(SUM(IF(linked = 1, 1, 0)), 0), COALESCE(SUM(linked), 0)
FROM (
  SELECT COUNT(*) AS linked FROM fleet_sync_accounts
  WHERE state = 'active' AND venue_uid IS NOT NULL
  GROUP BY venue, venue_uid, product
) AS of_exchange;

-- name: accounts
SELECT account_id FROM fleet_account_state ORDER BY account_id;

-- name: fills_have_positions
-- By a loose scan of the fold's index: an account may have a million fills.
SELECT f.account_id, f.product, f.instrument, f.position_side, p.account_id IS NOT NULL
FROM (
  SELECT account_id, product, instrument, position_side
  FROM fleet_fills FORCE INDEX (fleet_fills_fold)
  WHERE account_id IN %s
  GROUP BY account_id, product, instrument, position_side
) AS f
LEFT JOIN fleet_positions AS p
  ON p.account_id = f.account_id AND p.product = f.product AND p.instrument = f.instrument
  AND p.position_side = f.position_side;

-- name: tables_known
SELECT COUNT(DISTINCT table_name) FROM fleet_cdc_shapes WHERE seq <= %s;

-- name: audit_seqs
-- Every transaction of the span that left a row, and whether rows of the log are among them.
SELECT epoch, seq, MAX(op IN ('c', 'u', 'd', 't') AND derived = 0)
FROM fleet_change_log
WHERE epoch = %s AND seq > %s AND seq <= %s
GROUP BY epoch, seq
ORDER BY epoch, seq;

-- name: audit_changes
SELECT seq, COUNT(*)
FROM fleet_change_log
WHERE epoch = %s AND seq > %s AND seq <= %s AND committed_at > %s AND op IN ('c', 'u', 'd') AND derived = 0
GROUP BY seq;

-- name: history_offset
SELECT epoch, seq - (NOT whole)::int FROM fleet.cdc_offset WHERE sink = %s AND epoch IS NOT NULL;

-- name: history_changes
-- The same of TimescaleDB, and how many of them are one and the same row of the source.
SELECT seq, count(*), count(*) - count(DISTINCT row_index)
FROM fleet.change_event
WHERE epoch = %s AND seq > %s AND seq <= %s AND committed_at > %s AND op IN ('c', 'u', 'd') AND NOT derived
GROUP BY seq;

-- name: store
INSERT INTO fleet_quality (check_name, good, total, detail, checked_at, error, tried_at)
VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(6), '', UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE good = VALUES(good), total = VALUES(total), detail = VALUES(detail),
  checked_at = VALUES(checked_at), error = '', tried_at = VALUES(tried_at);

-- name: store_error
INSERT INTO fleet_quality (check_name, error) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE error = VALUES(error), tried_at = UTC_TIMESTAMP(6);

-- name: forget
DELETE FROM fleet_quality WHERE check_name NOT IN %s;

-- name: stored
SELECT check_name, good, total, detail, checked_at, error,
  COALESCE(TIMESTAMPDIFF(MICROSECOND, checked_at, UTC_TIMESTAMP(6)), 0)
FROM fleet_quality;
