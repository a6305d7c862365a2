-- TimescaleDB. How many rows of each table were created, updated and deleted, hour by hour.
--
--   :first_at  2026-11-19 00:00:00Z
--   :end_at    2026-11-26 00:00:00Z

SELECT hour, table_name,
       SUM(changes) FILTER (WHERE op = 'c') AS created, SUM(changes) FILTER (WHERE op = 'u') AS updated,
       SUM(changes) FILTER (WHERE op = 'd') AS deleted
FROM fleet.changes_hourly
WHERE hour >= :first_at AND hour < :end_at
GROUP BY hour, table_name
ORDER BY hour, table_name;
