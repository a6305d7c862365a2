-- A user's P&L by day and asset: from first_day on, up to the day before end_day (UTC days).
--
--   :user_id    Laravel's user
--   :first_day  2026-01-01
--   :end_day    2027-01-01
--
-- realized is price only, fees are positive when paid, funding is positive when received; other is
-- rebates, bonuses, liquidation fees, insurance and interest. Amounts of different assets do not add up.
-- A day belongs to the user whose account it was on that day. Read: the daily rows of the user's accounts.
-- Write the user's number into the statement itself: as a placeholder of a prepared statement MariaDB would
-- read everybody's rows. Our driver does so, and so does PnlByUser::forUser() of the Laravel package.

SELECT day, asset, realized, fees, funding, other,
       realized - fees + funding + other AS net, fills
FROM fleet_pnl_by_user
WHERE user_id = :user_id AND day >= :first_day AND day < :end_day
ORDER BY day, asset;
