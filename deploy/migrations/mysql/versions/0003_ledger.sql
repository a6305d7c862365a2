-- The ledger: what moves a position beside fills, closed days and their restatements, attribution, prices,
-- what exchanges report, and the shadow rows of a rebuild. Only additions: version 0002 runs beside it.

-- ---- what moves a position beside fills

CREATE TABLE fleet_position_entries (
  account_id     BIGINT UNSIGNED NOT NULL,
  product        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument     VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side  VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind           VARCHAR(4)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- open: the state is this from then on; in, out: a spot holding moved
  ref            VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- the source's own id
  venue          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at             DATETIME(6)  NOT NULL,
  at_ms          BIGINT UNSIGNED NOT NULL,
  qty            DECIMAL(38,18) NOT NULL,   -- open: signed; in, out: positive
  cost           DECIMAL(38,18) NOT NULL,   -- open: signed; in: the declared basis; out: 0, it leaves at average cost
  contract_size  DECIMAL(38,18) NOT NULL,
  settle_asset   VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  report_hash    BINARY(16)   NOT NULL,     -- of the report that stands
  data           MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (account_id, product, instrument, position_side, kind, ref),
  KEY fleet_position_entries_fold (account_id, product, instrument, position_side, at_ms)
) ENGINE=InnoDB;

-- What a movement of a spot instrument's base asset says of the holding; NULL: nothing, or not known.
ALTER TABLE fleet_cash_entries
  ADD COLUMN quote_asset VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  ADD COLUMN basis       DECIMAL(38,18) NULL;

-- ---- days

CREATE TABLE fleet_closed_days (
  day            DATE NOT NULL PRIMARY KEY,
  closed_at      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  grace_seconds  INT UNSIGNED NOT NULL,
  accounts       INT UNSIGNED NOT NULL
) ENGINE=InnoDB;

-- Where days are closed already, they stay so.
INSERT INTO fleet_settings (name, value)
SELECT 'closed_through', value FROM fleet_settings AS before_rows WHERE name = 'day_closed'
ON DUPLICATE KEY UPDATE value = fleet_settings.value;

-- Figures of a closed day as they stood before something late changed them. version 0: there was no row.
CREATE TABLE fleet_restatements (
  id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batch       CHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- rows of one transaction; Laravel is told once per account and batch
  account_id  BIGINT UNSIGNED NOT NULL,
  product     VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  day         DATE NOT NULL,
  asset       VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version     BIGINT UNSIGNED NOT NULL,
  realized    DECIMAL(38,18) NOT NULL,
  fees        DECIMAL(38,18) NOT NULL,
  funding     DECIMAL(38,18) NOT NULL,
  other       DECIMAL(38,18) NOT NULL,
  fills       BIGINT NOT NULL,
  cause       MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON: identities of what came late
  restated_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  announced_at DATETIME(6) NULL,
  KEY fleet_restatements_account (account_id, day),
  KEY fleet_restatements_batch (account_id, batch),
  KEY fleet_restatements_announced (announced_at, id)
) ENGINE=InnoDB;

-- ---- P&L by what caused it. The parts of an account, instrument, day and asset sum to its row in
-- fleet_pnl_daily; `attribution_due` there marks rows whose parts are older than they are.

CREATE TABLE fleet_pnl_attribution (
  account_id     BIGINT UNSIGNED NOT NULL,
  product        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument     VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  day            DATE NOT NULL,
  asset          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  bucket         VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- signal, strategy, order, manual, cash
  strategy       VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  signal_id      VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  realized       DECIMAL(38,18) NOT NULL DEFAULT 0,
  fees           DECIMAL(38,18) NOT NULL DEFAULT 0,
  funding        DECIMAL(38,18) NOT NULL DEFAULT 0,
  other          DECIMAL(38,18) NOT NULL DEFAULT 0,
  fills          BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (account_id, product, instrument, day, asset, bucket, strategy, signal_id),
  KEY fleet_pnl_attribution_signal (signal_id, day),
  KEY fleet_pnl_attribution_strategy (strategy, day)
) ENGINE=InnoDB;

-- What the venue reported as realized, less what the fold computed: the account that ties the two books.
CREATE TABLE fleet_rounding (
  account_id     BIGINT UNSIGNED NOT NULL,
  product        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument     VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side  VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  day            DATE NOT NULL,
  asset          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  reported       DECIMAL(38,18) NOT NULL,   -- sum over the fills that came with a figure of the venue
  computed       DECIMAL(38,18) NOT NULL,   -- of the same fills
  amount         DECIMAL(38,18) NOT NULL,   -- reported - computed
  fills          BIGINT NOT NULL,           -- that came with one
  PRIMARY KEY (account_id, product, instrument, day, asset, position_side)
) ENGINE=InnoDB;

ALTER TABLE fleet_pnl_daily
  ADD COLUMN attribution_due TINYINT UNSIGNED NOT NULL DEFAULT 1,
  ADD KEY fleet_pnl_daily_due (attribution_due, account_id),
  -- A column and not an expression of queries: with it the best accounts of a day come from an index of half
  -- the width, and from nothing else.
  ADD COLUMN net DECIMAL(38,18) GENERATED ALWAYS AS (realized - fees + funding + other) STORED,
  ADD KEY fleet_pnl_daily_top (day, asset, account_id, net),
  DROP KEY fleet_pnl_daily_day;

-- Between these an order's fills were executed: the days to attribute again when more is known of the order.
ALTER TABLE fleet_orders
  ADD COLUMN first_fill_ms BIGINT UNSIGNED NULL,
  ADD COLUMN last_fill_ms  BIGINT UNSIGNED NULL;

-- 1: something of the account has changed since its identities were checked.
ALTER TABLE fleet_account_state
  ADD COLUMN check_due TINYINT UNSIGNED NOT NULL DEFAULT 1,
  ADD KEY fleet_account_state_check (check_due, account_id);

-- What a strategy and a signal made; what belongs to none stands in rows of its own bucket, so that the
-- sum over all rows of a day and asset is the whole.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_pnl_by_strategy AS
SELECT day, asset, IF(strategy <> '', 'strategy', bucket) AS bucket, strategy,
       SUM(realized) AS realized, SUM(fees) AS fees, SUM(funding) AS funding, SUM(other) AS other,
       CAST(SUM(fills) AS SIGNED) AS fills
FROM fleet_pnl_attribution
GROUP BY day, asset, IF(strategy <> '', 'strategy', bucket), strategy;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW fleet_pnl_by_signal AS
SELECT day, asset, bucket, signal_id,
       SUM(realized) AS realized, SUM(fees) AS fees, SUM(funding) AS funding, SUM(other) AS other,
       CAST(SUM(fills) AS SIGNED) AS fills
FROM fleet_pnl_attribution
GROUP BY day, asset, bucket, signal_id;

-- A rebuild that started at some version knows whether anything but newer fills has changed since.
ALTER TABLE fleet_positions
  ADD COLUMN refolded_version BIGINT UNSIGNED NOT NULL DEFAULT 0,
  -- the newest may be an entry, whose ref is longer than any trade id
  MODIFY COLUMN last_trade_id VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL;

-- ---- dated facts

CREATE TABLE fleet_instruments (
  venue          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  product        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument     VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  valid_from     DATETIME(6)  NOT NULL,
  contract_size  DECIMAL(38,18) NOT NULL,
  base_asset     VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  quote_asset    VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  settle_asset   VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  price_step     DECIMAL(38,18) NULL,
  qty_step       DECIMAL(38,18) NULL,
  money_step     DECIMAL(38,18) NULL,       -- the last decimal of the venue's own amounts: the bound of a reported realized P&L
  renamed_to     VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- from valid_from on it trades under this name; its own: only the size changed
  ratio          DECIMAL(38,18) NULL,       -- so many of renamed_to are one of it
  PRIMARY KEY (venue, product, instrument, valid_from)
) ENGINE=InnoDB;

CREATE TABLE fleet_position_modes (
  account_id  BIGINT UNSIGNED NOT NULL,
  product     VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument  VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '', -- '': all of the product
  valid_from  DATETIME(6)  NOT NULL,
  mode        VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- netting, hedge
  source      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (account_id, product, instrument, valid_from)
) ENGINE=InnoDB;

CREATE TABLE fleet_account_owners (
  account_id  BIGINT UNSIGNED NOT NULL,
  valid_from  DATE NOT NULL,               -- the UTC day from which its P&L is this user's
  user_id     BIGINT UNSIGNED NOT NULL,
  source      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- laravel, operator
  PRIMARY KEY (account_id, valid_from),
  KEY fleet_account_owners_user (user_id)
) ENGINE=InnoDB;

-- ---- prices and equity

CREATE TABLE fleet_prices (
  venue        VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  product      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument   VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  kind         VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- mark, index, last
  at           DATETIME(6)  NOT NULL,
  price        DECIMAL(38,18) NOT NULL,
  base_asset   VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- both known: it converts amounts, one base costs `price` quote
  quote_asset  VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  source       VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'observed', -- observed, sync, import
  PRIMARY KEY (venue, product, instrument, kind, at),
  KEY fleet_prices_assets (base_asset, quote_asset, kind, at)
) ENGINE=InnoDB;

CREATE TABLE fleet_equity (
  account_id   BIGINT UNSIGNED NOT NULL,
  asset        VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at           DATETIME(6)  NOT NULL,
  cash         DECIMAL(38,18) NOT NULL,     -- opening balance, flows and P&L that is realized; spot holdings at cost
  unrealized   DECIMAL(38,18) NULL,         -- NULL: a position could not be priced
  flows        DECIMAL(38,18) NULL,         -- net, from outside, since the first of them; NULL: one cannot be valued
  unpriceable  INT UNSIGNED NOT NULL DEFAULT 0, -- positions without a price
  oldest_price_at DATETIME(6) NULL,
  written_at   DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)), -- rises from one transaction to the next: copies follow it
  PRIMARY KEY (account_id, asset, at),
  KEY fleet_equity_written (written_at)
) ENGINE=InnoDB;

-- ---- what exchanges report, each with a watermark: everything up to that time is in it

CREATE TABLE fleet_observed_positions (
  account_id     BIGINT UNSIGNED NOT NULL,
  product        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument     VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side  VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  watermark      DATETIME(6)  NOT NULL,
  watermark_ms   BIGINT UNSIGNED NOT NULL,
  venue          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  qty            DECIMAL(38,18) NOT NULL,   -- negative for a short; 0: flat
  entry_price    DECIMAL(38,18) NULL,
  mark_price     DECIMAL(38,18) NULL,
  contract_size  DECIMAL(38,18) NULL,
  settle_asset   VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  report_hash    BINARY(16)   NOT NULL,
  data           MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (account_id, product, instrument, position_side, watermark_ms)
) ENGINE=InnoDB;

CREATE TABLE fleet_observed_balances (
  account_id     BIGINT UNSIGNED NOT NULL,
  asset          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  product        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- the wallet of one product, '': one for all
  watermark      DATETIME(6)  NOT NULL,
  watermark_ms   BIGINT UNSIGNED NOT NULL,
  venue          VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  wallet         DECIMAL(38,18) NOT NULL,   -- without unrealized P&L
  report_hash    BINARY(16)   NOT NULL,
  data           MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (account_id, asset, product, watermark_ms)
) ENGINE=InnoDB;

-- Accounts with a report; due: one came since the account was compared with its books.
CREATE TABLE fleet_reconciliations (
  account_id     BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  due            TINYINT UNSIGNED NOT NULL DEFAULT 1,
  reconciled_at  DATETIME(6) NULL,
  KEY fleet_reconciliations_due (due, reconciled_at)
) ENGINE=InnoDB;

ALTER TABLE fleet_breaks
  ADD COLUMN opened_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  ADD COLUMN cause VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN expected DECIMAL(38,18) NULL,
  ADD COLUMN actual DECIMAL(38,18) NULL,
  ADD KEY fleet_breaks_account (account_id, closed_at);

-- ---- shadow rows of a rebuild (shared/mysql/rebuild.py). Nobody else reads them; they go when the rebuild ends.

-- `token` belongs to the run whose shadow rows these are: another run takes it, clears them, and the first one stops.
CREATE TABLE fleet_rebuilds (
  account_id  BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  token       CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  started_at  DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE=InnoDB;

-- As fleet_positions. A row is first opened, without figures, then folded on in committed steps.
CREATE TABLE fleet_rebuild_positions (
  account_id        BIGINT UNSIGNED NOT NULL,
  product           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument        VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position_side     VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  venue             VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  qty               DECIMAL(38,18) NOT NULL DEFAULT 0,
  cost              DECIMAL(38,18) NOT NULL DEFAULT 0,
  avg_entry         DECIMAL(38,18) NULL,
  realized          DECIMAL(38,18) NOT NULL DEFAULT 0,
  settle_asset      VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  contract_size     DECIMAL(38,18) NOT NULL DEFAULT 0,
  unknown_basis_qty DECIMAL(38,18) NOT NULL DEFAULT 0,
  fills             BIGINT UNSIGNED NOT NULL DEFAULT 0,
  last_fill_at      DATETIME(6)  NULL,
  last_ms           BIGINT UNSIGNED NOT NULL DEFAULT 0,
  last_seq          BIGINT NOT NULL DEFAULT -9223372036854775808, -- last_*: where the fold stands; before the first fill
  last_trade_id     VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  last_side         VARCHAR(4)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  restating_from_ms BIGINT UNSIGNED NULL,      -- a rebuilt position waits for nothing
  restating_fills   BIGINT UNSIGNED NOT NULL DEFAULT 0,
  seen_version      BIGINT UNSIGNED NOT NULL DEFAULT 0, -- of the live row, before the first fill was read; 0: there was none
  complete          TINYINT UNSIGNED NOT NULL DEFAULT 0,
  differs           TINYINT UNSIGNED NOT NULL DEFAULT 0, -- from the live row, as the swap finds it
  PRIMARY KEY (account_id, product, instrument, position_side)
) ENGINE=InnoDB;

CREATE TABLE fleet_rebuild_position_days LIKE fleet_position_days;
ALTER TABLE fleet_rebuild_position_days
  ADD COLUMN differs TINYINT UNSIGNED NOT NULL DEFAULT 0;

-- As fleet_pnl_daily.
CREATE TABLE fleet_rebuild_pnl_daily (
  account_id   BIGINT UNSIGNED NOT NULL,
  product      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instrument   VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  day          DATE NOT NULL,
  asset        VARCHAR(32)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  realized     DECIMAL(38,18) NOT NULL DEFAULT 0,
  fees         DECIMAL(38,18) NOT NULL DEFAULT 0,
  funding      DECIMAL(38,18) NOT NULL DEFAULT 0,
  other        DECIMAL(38,18) NOT NULL DEFAULT 0,
  fills        BIGINT NOT NULL DEFAULT 0,
  entries      BIGINT NOT NULL DEFAULT 0,
  seen_version BIGINT UNSIGNED NOT NULL DEFAULT 0, -- of the live row, before its fees were read; 0: there was none
  differs      TINYINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (account_id, product, instrument, day, asset)
) ENGINE=InnoDB;
