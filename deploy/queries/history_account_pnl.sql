-- TimescaleDB. P&L of an account by day and asset: from first_day on, up to the day before end_day (UTC days).
--
--   :account_id  the exchange account
--   :first_day   2026-01-01
--   :end_day     2027-01-01
--
-- net = realized - fees + funding + other. Amounts of different assets do not add up.

SELECT day, asset, SUM(realized) AS realized, SUM(fees) AS fees, SUM(funding) AS funding, SUM(other) AS other,
       SUM(net) AS net, SUM(fills) AS fills
FROM fleet.pnl_daily
WHERE account_id = :account_id AND day >= :first_day AND day < :end_day
GROUP BY day, asset
ORDER BY day, asset;
