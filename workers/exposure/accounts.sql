-- name: streamed
-- As workers/userstreams/store.sql counts them: an account has a stream once it was read for the first time.
SELECT venue, COUNT(*) FROM fleet_sync_accounts WHERE state = 'active' AND since_ms IS NOT NULL GROUP BY venue;
