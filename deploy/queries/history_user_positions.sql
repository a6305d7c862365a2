-- TimescaleDB. Positions of a user's accounts, hour by hour: as they stood at the end of each hour in which they
-- changed.
--
--   :user_id   Laravel's user
--   :first_at  2026-11-01 00:00:00Z
--   :end_at    2026-12-01 00:00:00Z
--
-- qty and cost are negative for a short; cost, avg_entry and realized are in the settle asset. An hour is left out
-- where nothing of the position was written. Whose an account is, is asked of today.

SELECT h.account_id, h.product, h.instrument, h.position_side, h.hour, h.qty, h.cost, h.avg_entry, h.realized,
       h.settle_asset
FROM (
  SELECT DISTINCT ON (account_id) account_id, user_id
  FROM fleet.account_owners
  ORDER BY account_id, valid_from DESC
) AS o
JOIN fleet.position_hourly AS h ON h.account_id = o.account_id
WHERE o.user_id = :user_id AND h.hour >= :first_at AND h.hour < :end_at
ORDER BY h.account_id, h.product, h.instrument, h.position_side, h.hour;
