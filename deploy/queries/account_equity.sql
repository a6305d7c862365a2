-- The equity curve of an account in one asset: from first_at on, up to before end_at (UTC).
--
--   :account_id  Laravel's exchange account
--   :asset       USDT
--   :first_at    2026-01-01 (midnight; a time may follow)
--   :end_at      2027-01-01
--
-- cash is what has been deposited, converted and realized; unrealized is of the open positions at their
-- marks, NULL where a position had no price, and equity is then NULL, too: it is not known.
-- flows are deposits less withdrawals since the first row; take their changes out before you call a change
-- of equity a profit or a drawdown. Read: exactly the rows that are returned.

SELECT at, cash, unrealized, cash + unrealized AS equity, flows, unpriceable, oldest_price_at
FROM fleet_equity
WHERE account_id = :account_id AND asset = :asset AND at >= :first_at AND at < :end_at
ORDER BY at;
