-- What the checks of the data found last (workers/quality): good of total. Rows of checks that are gone are removed.
CREATE TABLE fleet_quality (
  check_name  VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  good        BIGINT UNSIGNED NULL,     -- NULL: it never could be looked
  total       BIGINT UNSIGNED NULL,
  detail      VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '', -- which are not good
  checked_at  DATETIME(6)  NULL,        -- when that was found
  error       VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '', -- why the last try found nothing
  tried_at    DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE=InnoDB;
