-- Accounts that are asked for at their exchanges. One row per row of fleet_account_sources.
CREATE TABLE fleet_sync_accounts (
  account_id     BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  venue          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  product        VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- as Laravel says it
  egress         VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- a name of FLEET_EGRESS
  state          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active', -- active, suspended, inactive
  tier           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active', -- active, idle, dormant
  keys_hash      VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NULL, -- of the encrypted columns: a rotated key shows
  venue_uid      VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- the exchange's own id: linked twice shows
  since_ms       BIGINT UNSIGNED NULL,  -- the history is known from here on; what was held then is an opening
  moved_ms       BIGINT UNSIGNED NULL,  -- the newest fill or cash row found
  told_hash      VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NULL, -- of the snapshots that were told last
  told_ms        BIGINT UNSIGNED NULL,  -- and their watermark
  due_at         DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  claimed_until  DATETIME(6)  NULL,     -- a task has it in hand; past: the task was lost
  ran_at         DATETIME(6)  NULL,     -- the last run that answered every question
  permissions_at DATETIME(6)  NULL,     -- what the key may do was asked then
  failures       INT UNSIGNED NOT NULL DEFAULT 0, -- in a row
  error          VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  version        INT UNSIGNED NOT NULL DEFAULT 0, -- a run commits only over the version it read
  KEY fleet_sync_accounts_due (state, venue, egress, due_at),
  KEY fleet_sync_accounts_claimed (venue, egress, claimed_until),
  KEY fleet_sync_accounts_uid (venue, venue_uid)
) ENGINE=InnoDB;

-- Where each kind of question goes on. place, and the outbox rows of what was found, commit together.
CREATE TABLE fleet_syncs (
  account_id     BIGINT UNSIGNED NOT NULL,
  kind           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- positions, balances, cash, fills, orders
  place          MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON, the reading's own
  due_at         DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  ran_at         DATETIME(6)  NULL,
  found_through_ms    BIGINT UNSIGNED NULL, -- everything up to here was found and recorded
  complete_through_ms BIGINT UNSIGNED NULL, -- and is in the books
  outbox_first   BIGINT UNSIGNED NULL,  -- rows that are not known to be in the books yet
  outbox_last    BIGINT UNSIGNED NULL,
  PRIMARY KEY (account_id, kind),
  KEY fleet_syncs_unconfirmed (outbox_first)
) ENGINE=InnoDB;

-- Spans in which a user stream told nothing, or may have missed something. An account has one at most that has not
-- ended.
CREATE TABLE fleet_stream_gaps (
  id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id  BIGINT UNSIGNED NOT NULL,
  cause       VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- started, disconnected, silent, expired, renewed, missed, unread, unrecorded, stopped
  from_ms     BIGINT UNSIGNED NOT NULL,
  until_ms    BIGINT UNSIGNED NULL,     -- from here on it tells everything again; NULL: it is down
  opened_at   DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  closed_at   DATETIME(6)  NULL,        -- a sync has read past its end, and its rows are in the books
  KEY fleet_stream_gaps_open (closed_at, account_id)
) ENGINE=InnoDB;
