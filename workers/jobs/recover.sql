-- name: left
-- What is still on its way into the books; it changes as long as anything moves.
SELECT
  (SELECT COUNT(*) FROM fleet_outbox WHERE state < 2),
  (SELECT COALESCE(SUM(restating_from_ms), 0) FROM fleet_positions WHERE restating_from_ms IS NOT NULL)

-- name: now
SELECT UTC_TIMESTAMP(6)

-- name: fence
-- Whoever is still at an account with what the lost database said must not write: versions count up again after a
-- restore, and one of them could fit.
UPDATE fleet_sync_accounts SET version = version + 1000000, claimed_until = NULL

-- name: unread
-- Accounts that their exchanges have not answered everything since.
SELECT COUNT(*) FROM fleet_sync_accounts WHERE state = 'active' AND (ran_at IS NULL OR ran_at < %s)
