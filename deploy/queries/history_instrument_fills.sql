-- TimescaleDB. Fills of an instrument in a span, as they stand now.
--
--   :instrument  BTCUSDT, the venue's own symbol
--   :first_at    2026-11-26 00:00:00Z
--   :end_at      2026-11-27 00:00:00Z

SELECT executed_at, account_id, venue, trade_id, side, qty, price, value, fee, fee_asset, liquidity
FROM fleet.fills
WHERE instrument = :instrument AND executed_at >= :first_at AND executed_at < :end_at
ORDER BY executed_at, account_id, trade_id;
