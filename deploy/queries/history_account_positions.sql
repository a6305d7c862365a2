-- TimescaleDB. Every version of an account's positions, as the fleet wrote them, by the time of their commit.
--
--   :account_id  the exchange account
--   :first_at    2026-11-01 00:00:00Z
--   :end_at      2026-12-01 00:00:00Z
--
-- On MariaDB commits are told to the second: seq and row_index say the order.

SELECT committed_at, seq, row_index, product, instrument, position_side, qty, cost, avg_entry, realized, deleted
FROM fleet.position_history
WHERE account_id = :account_id AND committed_at >= :first_at AND committed_at < :end_at
ORDER BY seq, row_index;
