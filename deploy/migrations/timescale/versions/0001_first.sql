-- The schema fleet itself is made before the first migration: the version table stands in it.

-- Which edition runs: `timescale` (columnstore, continuous aggregates, policies) or `apache` (our own
-- roll-ups and retention). Later views on top hide the difference.
CREATE VIEW fleet.edition AS
SELECT extversion AS version, current_setting('timescaledb.license') AS license
FROM pg_catalog.pg_extension
WHERE extname = 'timescaledb';
