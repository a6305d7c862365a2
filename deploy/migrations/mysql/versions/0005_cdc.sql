-- Written by the collector, read by it in the log: 1 tells each second that it is alive, the others are of snapshots
-- (workers/cdc/snapshot_marks.py).
CREATE TABLE fleet_cdc_heartbeat (
  id          TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  n           BIGINT UNSIGNED NOT NULL,
  at          DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  mark        MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL -- JSON
) ENGINE=InnoDB;

-- Captured tables as their rows were from a transaction on. Written before that transaction is appended to the stream,
-- so that what was stopped stays so when Redis is lost; the newest row at or before a seq holds.
CREATE TABLE fleet_cdc_shapes (
  table_name  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  seq         BIGINT UNSIGNED NOT NULL,
  shape       MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON of columns, types and key; NULL: the next one is taken as it comes
  stopped     TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- why rows are left out; NULL: they are not
  written_at  DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (table_name, seq)
) ENGINE=InnoDB;

-- A row stands in the log where somebody accepted the new shape of a table that was stopped.
CREATE TABLE fleet_cdc_accepted (
  id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  table_name  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  accepted_by VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  accepted_at DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE=InnoDB;

-- Who is behind a transaction: a row in it, by Fleet::actor() of Laravel. Its log is what counts; rows are pruned.
CREATE TABLE fleet_change_context (
  id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  actor       VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- user:42, job:App\Jobs\CloseMonth
  request_id  VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  at          DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  KEY fleet_change_context_old (at)
) ENGINE=InnoDB;
