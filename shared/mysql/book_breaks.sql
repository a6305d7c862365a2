-- name: read
SELECT identity, details FROM fleet_breaks WHERE (kind, identity) IN ({rows});

-- name: open
-- A closed break opens again only when there is something new in it.
INSERT INTO fleet_breaks (kind, account_id, identity, details)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  closed_at = IF(details = VALUES(details), closed_at, NULL),
  details = VALUES(details);
