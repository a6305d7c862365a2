-- name: parked
SELECT stream, reason, COUNT(*) FROM fleet_parked WHERE resolution IS NULL GROUP BY stream, reason;

-- name: outbox_oldest
-- Of those that wait for the relay: the others wait for the sink, and lag tells of them.
SELECT COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)), 0) FROM fleet_outbox WHERE state = 0;

-- name: unreconciled
-- Accounts whose books differ from what their exchange reports.
SELECT COUNT(DISTINCT account_id) FROM fleet_breaks WHERE closed_at IS NULL AND kind IN %s;

-- name: incomplete
SELECT COUNT(*) FROM fleet_account_state WHERE incomplete = 1;

-- name: dispatches
SELECT COUNT(*), COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)), 0)
FROM fleet_dispatches WHERE pushed_at IS NULL;
