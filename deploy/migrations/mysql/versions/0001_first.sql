-- First schema: offsets, outbox, parked events, the ledger, orders and signals.
-- Every table is ours (fleet_*). Identity text is utf8mb4_bin, which pads with spaces on both servers:
-- the decoder refuses identities that begin or end with white space, so no two of them compare equal.

CREATE TABLE fleet_settings (
  name        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  value       VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  updated_at  DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE=InnoDB;

-- One row per consumer and stream partition. It is the offset, the fence and the diary of its owner.
CREATE TABLE fleet_offsets (
  consumer          VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  stream            VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  partition_no      SMALLINT UNSIGNED NOT NULL,
  last_id           VARCHAR(41)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '0-0',
  last_event_id     VARBINARY(191) NULL,               -- `id` field of the entry at last_id, its first bytes: is it still the same entry?
  entries_read      BIGINT UNSIGNED NOT NULL DEFAULT 0, -- lag = the stream's entries-added minus this
  epoch             BIGINT UNSIGNED NOT NULL DEFAULT 0,
  owner             VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  owner_session     BIGINT UNSIGNED NULL,              -- CONNECTION_ID() of the owner: a stopped owner's open transaction is ended through it
  crashes           INT UNSIGNED NOT NULL DEFAULT 0,   -- takeovers from an owner that did not say goodbye, since the last commit
  suspect_id        VARCHAR(41)  CHARACTER SET ascii COLLATE ascii_bin NULL, -- entry being tried alone after crashes
  suspect_tries     INT UNSIGNED NOT NULL DEFAULT 0,
  handler_failures  INT UNSIGNED NOT NULL DEFAULT 0,   -- events parked for a bug of ours since the last `fleet parked resume`
  halted_reason     VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  updated_at        DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (consumer, stream, partition_no)
) ENGINE=InnoDB;

-- Events written in the caller's own transaction. sent_* and confirmed_at are the relay's.
CREATE TABLE fleet_outbox (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  stream        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  type          VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  event_key     VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  event_id      VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  ts_us         BIGINT UNSIGNED NOT NULL,
  data          MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  traceparent   VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at    DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  state         TINYINT UNSIGNED NOT NULL DEFAULT 0,   -- 0 waiting, 1 sent, 2 confirmed by the sink's own transaction
  partition_no  SMALLINT UNSIGNED NULL,
  sends         INT UNSIGNED NOT NULL DEFAULT 0,
  sent_at       DATETIME(6)  NULL,
  confirmed_at  DATETIME(6)  NULL,
  KEY fleet_outbox_state (state, id)
) ENGINE=InnoDB;

CREATE TABLE fleet_parked (
  stream        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  partition_no  SMALLINT UNSIGNED NOT NULL,
  entry_id      VARCHAR(41)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_key     VARBINARY(1024) NOT NULL,   -- bytes: a parked event may hold anything
  type          VARBINARY(1024) NOT NULL,
  event_id      VARBINARY(1024) NOT NULL,
  fields        MEDIUMBLOB NOT NULL,        -- every other field as it came, JSON with base64 where the bytes are not UTF-8
  data          LONGBLOB NOT NULL,
  account_id    BIGINT UNSIGNED NULL,       -- whose books are incomplete because of it
  identity      VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- what a later valid event must carry to supersede it
  reason        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  error         VARCHAR(2048) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  tries         INT UNSIGNED NOT NULL DEFAULT 1,
  parked_at     DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  resolution    VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NULL,     -- replayed, superseded, skipped
  resolved_reason VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  resolved_at   DATETIME(6)  NULL,
  PRIMARY KEY (stream, partition_no, entry_id),
  KEY fleet_parked_account (account_id, resolution),
  KEY fleet_parked_event (stream, partition_no, event_id(64)),
  KEY fleet_parked_open (resolution, reason)
) ENGINE=InnoDB;

CREATE TABLE fleet_account_state (
  account_id  BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  status      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
  reason      VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  since       DATETIME(6)  NULL,
  incomplete  TINYINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE=InnoDB;

CREATE TABLE fleet_fills (
  account_id       BIGINT UNSIGNED NOT NULL,
  product          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument       VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  trade_id         VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  side             VARCHAR(4)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  venue            VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side    VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_id         VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  client_order_id  VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  qty              DECIMAL(38,18) NOT NULL,   -- as the venue counts, always positive
  price            DECIMAL(38,18) NOT NULL,
  contract_size    DECIMAL(38,18) NOT NULL,
  value            DECIMAL(38,18) NOT NULL,   -- qty * price * contract_size, quantized once, half-even; positive
  fee              DECIMAL(38,18) NULL,       -- positive paid, negative rebate, NULL not known yet
  fee_asset        VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  settle_asset     VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  base_asset       VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  quote_asset      VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  executed_at      DATETIME(6)  NOT NULL,
  executed_at_ms   BIGINT UNSIGNED NOT NULL,
  venue_seq        BIGINT NOT NULL DEFAULT -1, -- -1: the venue gave none
  trade_id_bytes   SMALLINT UNSIGNED NOT NULL, -- length in bytes: numeric ids sort as numbers
  revision         INT UNSIGNED NOT NULL DEFAULT 1,
  reports          INT UNSIGNED NOT NULL DEFAULT 1,
  source           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NULL,
  liquidity        VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NULL,
  kind             VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'normal',
  reported_realized DECIMAL(38,18) NULL,      -- realized_pnl as the venue reports it
  signal_id        VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  strategy         VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  PRIMARY KEY (account_id, product, instrument, trade_id, side),
  -- the fold reads a position's fills in this order and nothing else
  KEY fleet_fills_fold (account_id, product, instrument, position_side, executed_at_ms, venue_seq, trade_id_bytes, trade_id, side)
) ENGINE=InnoDB;

CREATE TABLE fleet_fill_reports (
  account_id   BIGINT UNSIGNED NOT NULL,
  product      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument   VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  trade_id     VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  side         VARCHAR(4)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  report_hash  BINARY(16)   NOT NULL,          -- BLAKE2b-128 of data
  data         MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- verbatim
  PRIMARY KEY (account_id, product, instrument, trade_id, side, report_hash)
) ENGINE=InnoDB;

CREATE TABLE fleet_cash_entries (
  account_id  BIGINT UNSIGNED NOT NULL,
  venue_type  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  ref         VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  asset       VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  instrument  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  product     VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  venue       VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  amount      DECIMAL(38,18) NOT NULL,   -- signed, + received
  kind        VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at          DATETIME(6)  NOT NULL,
  at_ms       BIGINT UNSIGNED NOT NULL,
  report_hash BINARY(16)   NOT NULL,     -- of the report that won, see the merge rule
  data        MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (account_id, venue_type, ref, asset, instrument),
  KEY fleet_cash_entries_at (account_id, at_ms)
) ENGINE=InnoDB;

CREATE TABLE fleet_positions (
  account_id        BIGINT UNSIGNED NOT NULL,
  product           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument        VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side     VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  venue             VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  qty               DECIMAL(38,18) NOT NULL,   -- negative for a short
  cost              DECIMAL(38,18) NOT NULL,   -- negative for a short
  avg_entry         DECIMAL(38,18) NULL,       -- NULL when flat
  realized          DECIMAL(38,18) NOT NULL,   -- price only, since the first fill
  settle_asset      VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  contract_size     DECIMAL(38,18) NOT NULL,   -- of the last fill
  unknown_basis_qty DECIMAL(38,18) NOT NULL DEFAULT 0, -- spot: sold without a known purchase
  fills             BIGINT UNSIGNED NOT NULL,
  last_fill_at      DATETIME(6)  NOT NULL,
  last_ms           BIGINT UNSIGNED NOT NULL,  -- last_* : order key of the newest fill
  last_seq          BIGINT NOT NULL,
  last_trade_id     VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  last_side         VARCHAR(4)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  restating_from_ms BIGINT UNSIGNED NULL,      -- fills from here on are still to be folded again; NULL: figures are final
  restating_fills   BIGINT UNSIGNED NOT NULL DEFAULT 0, -- late fills that wait for that fold
  version           BIGINT UNSIGNED NOT NULL DEFAULT 1,
  PRIMARY KEY (account_id, product, instrument, position_side),
  KEY fleet_positions_restating (restating_from_ms)
) ENGINE=InnoDB;

-- State of a position at the end of each UTC day in which it traded: the checkpoints of the fold.
CREATE TABLE fleet_position_days (
  account_id        BIGINT UNSIGNED NOT NULL,
  product           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument        VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side     VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  day               DATE NOT NULL,
  settle_asset      VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  qty               DECIMAL(38,18) NOT NULL,
  cost              DECIMAL(38,18) NOT NULL,
  unknown_basis_qty DECIMAL(38,18) NOT NULL DEFAULT 0,
  realized          DECIMAL(38,18) NOT NULL,   -- of this day
  fills             BIGINT UNSIGNED NOT NULL,  -- of this day
  contract_size     DECIMAL(38,18) NOT NULL,   -- of the day's last fill
  PRIMARY KEY (account_id, product, instrument, position_side, day, settle_asset)
) ENGINE=InnoDB;

CREATE TABLE fleet_pnl_daily (
  account_id  BIGINT UNSIGNED NOT NULL,
  product     VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  day         DATE NOT NULL,
  asset       VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  realized    DECIMAL(38,18) NOT NULL DEFAULT 0,
  fees        DECIMAL(38,18) NOT NULL DEFAULT 0, -- positive when paid
  funding     DECIMAL(38,18) NOT NULL DEFAULT 0, -- positive when received
  other       DECIMAL(38,18) NOT NULL DEFAULT 0,
  fills       BIGINT NOT NULL DEFAULT 0,
  entries     BIGINT NOT NULL DEFAULT 0,         -- fills, fees and cash entries behind this row; the row goes when none is left
  version     BIGINT UNSIGNED NOT NULL DEFAULT 1,
  PRIMARY KEY (account_id, product, instrument, day, asset),
  KEY fleet_pnl_daily_day (day)
) ENGINE=InnoDB;

CREATE TABLE fleet_orders (
  account_id       BIGINT UNSIGNED NOT NULL,
  product          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument       VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  order_key        VARCHAR(130) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- o:order_id, or c:client_order_id while the venue's id is unknown
  order_id         VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  client_order_id  VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  venue            VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  state            VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- placed, filled, canceled, rejected
  state_rank       TINYINT UNSIGNED NOT NULL,
  state_at_ms      BIGINT UNSIGNED NOT NULL,
  side             VARCHAR(4)   CHARACTER SET ascii COLLATE ascii_bin NULL,
  order_type       VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  qty              DECIMAL(38,18) NULL,
  price            DECIMAL(38,18) NULL,
  stop_price       DECIMAL(38,18) NULL,
  reduce_only      TINYINT UNSIGNED NULL,
  signal_id        VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  strategy         VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  reason           VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  PRIMARY KEY (account_id, product, instrument, order_key),
  KEY fleet_orders_client (account_id, product, instrument, client_order_id)
) ENGINE=InnoDB;

CREATE TABLE fleet_signals (
  source          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  channel_id      VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  message_id      VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  revision        INT UNSIGNED NOT NULL,
  received_at     DATETIME(6)  NOT NULL,
  received_at_ms  BIGINT UNSIGNED NOT NULL,
  instrument      VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  side            VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NULL,
  intent          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NULL,
  stop            DECIMAL(38,18) NULL,
  leverage        DECIMAL(38,18) NULL,
  expires_at_ms   BIGINT UNSIGNED NULL,
  text            MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  report_hash     BINARY(16)   NOT NULL,
  data            MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- verbatim, with entry and targets
  PRIMARY KEY (source, channel_id, message_id, revision)
) ENGINE=InnoDB;

-- Reports that contradict one another. Opened by the ledger; reconciliation adds its own kinds later.
CREATE TABLE fleet_breaks (
  id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind        VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- fill_conflict, cash_conflict, signal_conflict
  account_id  BIGINT UNSIGNED NULL,
  identity    VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  details     MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON: field -> sorted list of the values reported
  closed_at   DATETIME(6)  NULL,
  UNIQUE KEY fleet_breaks_identity (kind, identity)
) ENGINE=InnoDB;
