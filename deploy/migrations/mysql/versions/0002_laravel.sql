-- Laravel's queues: what its jobs asked of us, payloads that no worker can run, jobs on their way to PHP.

CREATE TABLE fleet_requests (
  uuid         VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, -- of the job's payload
  class        VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  arguments    MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON, in the PHP names
  answer       MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,     -- JSON
  attempts     INT UNSIGNED NOT NULL,
  created_at   DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  answered_at  DATETIME(6)  NULL,
  KEY fleet_requests_created (created_at)
) ENGINE=InnoDB;

CREATE TABLE fleet_quarantine (
  token          VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  queue          VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  reason         VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  payload        LONGBLOB     NOT NULL,  -- byte for byte as it was pushed
  quarantined_at DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  KEY fleet_quarantine_at (quarantined_at)
) ENGINE=InnoDB;

-- The outbox of jobs towards Laravel: written in the caller's transaction, pushed by the relay.
CREATE TABLE fleet_dispatches (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  uuid          CHAR(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  queue         VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  class         VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  payload       MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  delay_seconds INT UNSIGNED NOT NULL DEFAULT 0,
  created_at    DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  pushed_at     DATETIME(6)  NULL,
  UNIQUE KEY fleet_dispatches_uuid (uuid),
  KEY fleet_dispatches_waiting (pushed_at, queue, id)
) ENGINE=InnoDB;
