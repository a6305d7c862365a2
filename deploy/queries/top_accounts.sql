-- The accounts that made most on a UTC day in one asset, the best first.
--
--   :day    2026-07-21
--   :asset  USDT
--
-- total sums net over the account's instruments, that is realized - fees + funding + other; unrealized P&L
-- is not in it. For the worst accounts turn the order around. Read: the day's part of the index
-- fleet_pnl_daily_top, which holds the amounts, and no row.

SELECT account_id, SUM(net) AS total
FROM fleet_pnl_daily
WHERE day = :day AND asset = :asset
GROUP BY account_id
ORDER BY total DESC, account_id
LIMIT 20;
