-- The newest of what an operator must look at, a few of each kind.

-- name: parked
-- By entry id, which begins with the time: the index holds it, whatever waits.
SELECT p.stream, p.partition_no, p.entry_id, p.type, p.reason, p.error, p.parked_at
FROM (
  SELECT stream, partition_no, entry_id
  FROM fleet_parked
  WHERE resolution IS NULL
  ORDER BY entry_id DESC
  LIMIT %s
) newest
JOIN fleet_parked p ON p.stream = newest.stream AND p.partition_no = newest.partition_no
  AND p.entry_id = newest.entry_id
ORDER BY p.entry_id DESC

-- name: halted
SELECT stream, partition_no, halted_reason, updated_at
FROM fleet_offsets
WHERE halted_reason IS NOT NULL
ORDER BY updated_at DESC
LIMIT %s

-- name: breaks
SELECT id, kind, account_id, cause, opened_at
FROM fleet_breaks
WHERE closed_at IS NULL
ORDER BY id DESC
LIMIT %s

-- name: payloads
SELECT queue, token, reason, quarantined_at
FROM fleet_quarantine
ORDER BY quarantined_at DESC
LIMIT %s

-- name: refused
-- In the schema of the audit log.
SELECT seq, row_index, table_name, reason, refused_at
FROM fleet_cdc_quarantine
WHERE replayed_at IS NULL AND part = 0
ORDER BY epoch DESC, seq DESC, row_index DESC
LIMIT %s

-- name: streams_down
SELECT a.account_id, a.venue, g.cause, g.opened_at
FROM fleet_stream_gaps g
JOIN fleet_sync_accounts a ON a.account_id = g.account_id
WHERE g.closed_at IS NULL AND g.until_ms IS NULL AND a.state = 'active'
ORDER BY g.id DESC
LIMIT %s
