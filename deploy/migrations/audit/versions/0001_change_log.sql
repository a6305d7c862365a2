-- Every change of a captured row, in the order of the source's log. Rows are only ever inserted; whole months are
-- dropped behind an anchor. hash = SHA-256 of the hash before and this row's text (shared/mysql/change_log_rows.py).
-- A column that cuts partitions must stand in every unique key: month is committed_at's, but never goes back, so that
-- a month is one piece of the chain.
CREATE TABLE fleet_change_log (
  epoch        INT UNSIGNED    NOT NULL,
  seq          BIGINT UNSIGNED NOT NULL,
  row_index    INT UNSIGNED    NOT NULL,
  month        INT UNSIGNED    NOT NULL, -- 202611
  table_name   VARCHAR(64)   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- '' where an epoch begins
  key_hash     BINARY(16)      NOT NULL, -- the first half of SHA-256 of row_key
  row_key      TEXT          CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON list of the key's values; [] where it is about the table
  op           CHAR(1)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- c u d r t m
  derived      TINYINT UNSIGNED NOT NULL, -- 1: not in the log itself
  row_before   LONGTEXT      CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON, {column: value}
  row_after    LONGTEXT      CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  committed_at DATETIME(6)     NOT NULL,
  gtid         VARCHAR(255)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  file         VARCHAR(255)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  pos          BIGINT UNSIGNED NOT NULL,
  actor        VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  hash         BINARY(32)      NOT NULL,
  PRIMARY KEY (epoch, seq, row_index, month),
  KEY fleet_change_log_key (table_name, key_hash, seq)
) ENGINE=InnoDB
PARTITION BY RANGE (month) (PARTITION later VALUES LESS THAN MAXVALUE);

-- Rows that the log refused at first and took when they were replayed: their hash stands in the log.
CREATE TABLE fleet_change_log_late (
  epoch        INT UNSIGNED    NOT NULL,
  seq          BIGINT UNSIGNED NOT NULL,
  row_index    INT UNSIGNED    NOT NULL,
  row_before   LONGTEXT      CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  row_after    LONGTEXT      CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  replayed_at  DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (epoch, seq, row_index)
) ENGINE=InnoDB;

-- Where months were dropped, the chain goes on from here.
CREATE TABLE fleet_cdc_anchors (
  month        INT UNSIGNED    NOT NULL PRIMARY KEY, -- the last one that was dropped
  first_seq    BIGINT UNSIGNED NOT NULL,
  last_epoch   INT UNSIGNED    NOT NULL,
  last_seq     BIGINT UNSIGNED NOT NULL,
  last_row     INT UNSIGNED    NOT NULL,
  rows_count   BIGINT UNSIGNED NOT NULL,
  hash_before  BINARY(32)      NOT NULL,
  hash         BINARY(32)      NOT NULL, -- of the last row
  anchored_at  DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE=InnoDB;

-- What the sink has; moves in the transaction that writes the rows.
CREATE TABLE fleet_cdc_offset (
  sink         VARCHAR(32)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  epoch        INT UNSIGNED    NOT NULL DEFAULT 0, -- 0: nothing yet
  seq          BIGINT UNSIGNED NOT NULL DEFAULT 0,
  chunk        INT UNSIGNED    NOT NULL DEFAULT 0,
  whole        TINYINT UNSIGNED NOT NULL DEFAULT 1,
  position     TEXT          CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- of the source, JSON
  month        INT UNSIGNED    NOT NULL DEFAULT 0,
  hash         BINARY(32)      NOT NULL, -- of the last row
  rows_count   BIGINT UNSIGNED NOT NULL DEFAULT 0, -- ever written
  updated_at   DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE=InnoDB;

-- Chunks of a transaction that is not whole yet, as the stream had them.
CREATE TABLE fleet_cdc_staged (
  seq          BIGINT UNSIGNED NOT NULL,
  chunk        INT UNSIGNED    NOT NULL,
  epoch        INT UNSIGNED    NOT NULL,
  first_row    INT UNSIGNED    NOT NULL,
  rows_count   INT UNSIGNED    NOT NULL,
  header       LONGBLOB        NOT NULL,
  encoding     CHAR(1)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- the payload's field: p or z
  payload      LONGBLOB        NOT NULL,
  PRIMARY KEY (seq, chunk)
) ENGINE=InnoDB;

-- Rows that the sink would not take, whole. A large one is in several parts.
CREATE TABLE fleet_cdc_quarantine (
  epoch        INT UNSIGNED    NOT NULL,
  seq          BIGINT UNSIGNED NOT NULL,
  row_index    INT UNSIGNED    NOT NULL,
  part         INT UNSIGNED    NOT NULL,
  table_name   VARCHAR(255)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  op           CHAR(1)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason       VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  header       LONGBLOB        NOT NULL,
  encoding     CHAR(1)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload      LONGBLOB        NOT NULL,
  refused_at   DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  replayed_at  DATETIME(6)     NULL,
  PRIMARY KEY (epoch, seq, row_index, part),
  KEY fleet_cdc_quarantine_open (replayed_at, seq)
) ENGINE=InnoDB;

-- What was written together, for `fleet cdc explain`.
CREATE TABLE fleet_cdc_batches (
  last_seq     BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  epoch        INT UNSIGNED    NOT NULL,
  first_seq    BIGINT UNSIGNED NOT NULL,
  rows_count   INT UNSIGNED    NOT NULL,
  written_at   DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  KEY fleet_cdc_batches_written (written_at)
) ENGINE=InnoDB;
