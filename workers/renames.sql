-- name: candidates
-- Positions of an instrument that are open, or that may have been at a moment.
SELECT account_id, product, instrument, position_side
FROM fleet_positions
WHERE venue = %s AND product = %s AND instrument = %s
  AND (qty <> 0 OR restating_from_ms IS NOT NULL OR last_ms >= %s)
ORDER BY account_id, position_side;

-- name: carried
SELECT account_id, product, instrument, position_side
FROM fleet_position_entries FORCE INDEX (PRIMARY)
WHERE (account_id, product, instrument, position_side, kind, ref) IN ({rows});
