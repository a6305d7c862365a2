-- The sink of the change stream (workers/cdc/history.py). A row of the source is known by (seq, row_index):
-- seq goes on across epochs. No hypertable here has a unique key: it would have to hold the time, and says
-- nothing then. That no row is here twice rests on cdc_offset, which moves in the transaction that writes.
-- Ids of the source are unsigned, wider than a bigint.

-- ---- how far the sink has come

CREATE TABLE fleet.cdc_offset (
  sink      text PRIMARY KEY,
  epoch     bigint,            -- NULL: the row is only there to be locked
  seq       bigint,
  chunk     integer,
  whole     boolean,
  position  jsonb,
  moved_at  timestamptz NOT NULL DEFAULT now()
);

-- Chunks of the transaction that is not whole yet, as they came.
CREATE TABLE fleet.cdc_staging (
  seq        bigint NOT NULL,
  chunk      integer NOT NULL,
  epoch      bigint NOT NULL,
  first_row  bigint NOT NULL,
  rows       bigint NOT NULL,
  names      bytea[] NOT NULL,
  contents   bytea[] NOT NULL,
  PRIMARY KEY (seq, chunk)
);

-- One row per database transaction that wrote changes: which of them came together, and when.
CREATE TABLE fleet.cdc_batch (
  written_at  timestamptz NOT NULL,
  epoch       bigint NOT NULL,
  first_seq   bigint NOT NULL,
  last_seq    bigint NOT NULL,
  rows        bigint NOT NULL
);
SELECT create_hypertable('fleet.cdc_batch', 'written_at', chunk_time_interval => INTERVAL '7 days',
  create_default_indexes => false);
CREATE INDEX cdc_batch_seq ON fleet.cdc_batch USING brin (first_seq, last_seq);

-- Rows that something here would not take; fleet.change_event has them all the same where it can.
CREATE TABLE fleet.cdc_quarantine (
  seq          bigint NOT NULL,
  row_index    bigint NOT NULL,
  epoch        bigint NOT NULL,
  chunk        integer NOT NULL,
  table_name   text NOT NULL,
  op           text NOT NULL,
  reason       text NOT NULL,
  names        bytea[] NOT NULL,
  contents     bytea[] NOT NULL,
  refused_at   timestamptz NOT NULL DEFAULT now(),
  replayed_at  timestamptz,
  PRIMARY KEY (seq, row_index)
);

-- ---- every change

-- row_key is compared by bytes. before, after: objects, column -> value; for m a list of texts.
CREATE TABLE fleet.change_event (
  committed_at  timestamptz NOT NULL,
  seq           bigint NOT NULL,
  row_index     bigint NOT NULL,
  epoch         bigint NOT NULL,
  table_name    text COLLATE "C" NOT NULL,
  row_key       text COLLATE "C" NOT NULL,
  op            text NOT NULL,
  derived       boolean NOT NULL,
  kind          text NOT NULL,
  before        jsonb,
  after         jsonb,
  actor         text NOT NULL,
  gtid          text NOT NULL,
  file          text NOT NULL,
  pos           bigint NOT NULL,
  shape         text NOT NULL
);
SELECT create_hypertable('fleet.change_event', 'committed_at', chunk_time_interval => INTERVAL '7 days',
  create_default_indexes => false);
CREATE INDEX change_event_row ON fleet.change_event (table_name, row_key, seq, row_index);
CREATE INDEX change_event_seq ON fleet.change_event USING brin (seq) WITH (pages_per_range = 32);

-- ---- the newest row of every key. fillfactor: a row that changes stays in its page, its index untouched.

CREATE TABLE fleet.row_state (
  table_name    text COLLATE "C" NOT NULL,
  row_key       text COLLATE "C" NOT NULL,
  row           jsonb,             -- NULL: deleted at this place
  committed_at  timestamptz NOT NULL,
  epoch         bigint NOT NULL,
  seq           bigint NOT NULL,
  row_index     bigint NOT NULL,
  deleted       boolean NOT NULL,
  refused       boolean NOT NULL,  -- by its typed history, which has nothing of this row therefore
  PRIMARY KEY (table_name, row_key)
) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);

-- ---- typed histories of the ledger. deleted: the row went, and these are its last figures.

CREATE TABLE fleet.position_history (
  committed_at       timestamptz NOT NULL,
  seq                bigint NOT NULL,
  row_index          bigint NOT NULL,
  account_id         numeric(20,0) NOT NULL,
  product            text NOT NULL,
  instrument         text NOT NULL,
  position_side      text NOT NULL,
  deleted            boolean NOT NULL,
  venue              text NOT NULL,
  qty                numeric(38,18) NOT NULL,
  cost               numeric(38,18) NOT NULL,
  avg_entry          numeric(38,18),
  realized           numeric(38,18) NOT NULL,
  settle_asset       text NOT NULL,
  contract_size      numeric(38,18) NOT NULL,
  unknown_basis_qty  numeric(38,18) NOT NULL,
  fills              numeric(20,0) NOT NULL,
  last_fill_at       timestamptz NOT NULL,
  restating_from_ms  numeric(20,0),
  version            numeric(20,0) NOT NULL
);
SELECT create_hypertable('fleet.position_history', 'committed_at', chunk_time_interval => INTERVAL '7 days',
  create_default_indexes => false);
CREATE INDEX position_history_account ON fleet.position_history
  (account_id, product, instrument, position_side, committed_at);

CREATE TABLE fleet.pnl_history (
  committed_at  timestamptz NOT NULL,
  seq           bigint NOT NULL,
  row_index     bigint NOT NULL,
  account_id    numeric(20,0) NOT NULL,
  product       text NOT NULL,
  instrument    text NOT NULL,
  day           date NOT NULL,
  asset         text NOT NULL,
  deleted       boolean NOT NULL,
  realized      numeric(38,18) NOT NULL,
  fees          numeric(38,18) NOT NULL,
  funding       numeric(38,18) NOT NULL,
  other         numeric(38,18) NOT NULL,
  fills         bigint NOT NULL,
  version       numeric(20,0) NOT NULL
);
SELECT create_hypertable('fleet.pnl_history', 'committed_at', chunk_time_interval => INTERVAL '7 days',
  create_default_indexes => false);
CREATE INDEX pnl_history_account ON fleet.pnl_history (account_id, day, product, instrument, asset);

-- Partitioned by the time of execution, which a later report may correct: rows are only added. weight 1: the fill
-- is this from here on; -1: it is no longer that. So whatever hours are looked at, the newest row of a fill in them
-- tells whether it is one of theirs, and sums of weight * amount are right.
CREATE TABLE fleet.fill_history (
  executed_at        timestamptz NOT NULL,
  seq                bigint NOT NULL,
  row_index          bigint NOT NULL,
  weight             smallint NOT NULL,
  committed_at       timestamptz NOT NULL,
  account_id         numeric(20,0) NOT NULL,
  product            text NOT NULL,
  instrument         text NOT NULL,
  trade_id           text NOT NULL,
  side               text NOT NULL,
  venue              text NOT NULL,
  position_side      text NOT NULL,
  order_id           text,
  client_order_id    text,
  qty                numeric(38,18) NOT NULL,
  price              numeric(38,18) NOT NULL,
  contract_size      numeric(38,18) NOT NULL,
  value              numeric(38,18) NOT NULL,
  fee                numeric(38,18),
  fee_asset          text,
  settle_asset       text NOT NULL,
  revision           bigint NOT NULL,
  source             text,
  liquidity          text,
  kind               text NOT NULL,
  reported_realized  numeric(38,18),
  signal_id          text,
  strategy           text
);
SELECT create_hypertable('fleet.fill_history', 'executed_at', chunk_time_interval => INTERVAL '7 days',
  create_default_indexes => false);
CREATE INDEX fill_history_instrument ON fleet.fill_history (instrument, executed_at);
CREATE INDEX fill_history_account ON fleet.fill_history (account_id, executed_at);

-- ---- roll-ups, kept by the sink in the transaction that writes the rows. They need nothing of the raw rows
-- afterwards, so retention takes none of them away, and what comes late is in them at once.

CREATE TABLE fleet.rollup_changes (
  hour        timestamptz NOT NULL,
  table_name  text COLLATE "C" NOT NULL,
  op          text NOT NULL,
  changes     bigint NOT NULL,
  PRIMARY KEY (table_name, hour, op)
) WITH (fillfactor = 50);

CREATE TABLE fleet.rollup_positions (
  hour           timestamptz NOT NULL,
  account_id     numeric(20,0) NOT NULL,
  product        text NOT NULL,
  instrument     text NOT NULL,
  position_side  text NOT NULL,
  seq            bigint NOT NULL,
  row_index      bigint NOT NULL,
  committed_at   timestamptz NOT NULL,
  deleted        boolean NOT NULL,
  qty            numeric(38,18) NOT NULL,
  cost           numeric(38,18) NOT NULL,
  avg_entry      numeric(38,18),
  realized       numeric(38,18) NOT NULL,
  settle_asset   text NOT NULL,
  PRIMARY KEY (account_id, hour, product, instrument, position_side)
) WITH (fillfactor = 75);

CREATE TABLE fleet.rollup_pnl (
  account_id    numeric(20,0) NOT NULL,
  product       text NOT NULL,
  instrument    text NOT NULL,
  day           date NOT NULL,
  asset         text NOT NULL,
  seq           bigint NOT NULL,
  row_index     bigint NOT NULL,
  committed_at  timestamptz NOT NULL,
  deleted       boolean NOT NULL,
  realized      numeric(38,18) NOT NULL,
  fees          numeric(38,18) NOT NULL,
  funding       numeric(38,18) NOT NULL,
  other         numeric(38,18) NOT NULL,
  fills         bigint NOT NULL,
  PRIMARY KEY (account_id, day, product, instrument, asset)
) WITH (fillfactor = 75);

-- fee_asset '': the settle asset. fee_unknown: fills whose fee no report has told yet.
CREATE TABLE fleet.rollup_trading (
  hour          timestamptz NOT NULL,
  account_id    numeric(20,0) NOT NULL,
  venue         text NOT NULL,
  product       text NOT NULL,
  instrument    text NOT NULL,
  side          text NOT NULL,
  settle_asset  text NOT NULL,
  fee_asset     text NOT NULL,
  fills         bigint NOT NULL,
  qty           numeric NOT NULL,
  value         numeric NOT NULL,
  fees          numeric NOT NULL,
  fee_unknown   bigint NOT NULL,
  PRIMARY KEY (account_id, hour, venue, product, instrument, side, settle_asset, fee_asset)
) WITH (fillfactor = 75);
CREATE INDEX rollup_trading_hour ON fleet.rollup_trading (hour);

-- ---- what dashboards read. These names and columns stay, whatever stands behind them.

CREATE VIEW fleet.changes_hourly AS
SELECT hour, table_name, op, changes FROM fleet.rollup_changes;

CREATE VIEW fleet.position_hourly AS
SELECT hour, account_id, product, instrument, position_side, qty, cost, avg_entry, realized, settle_asset,
       committed_at, seq
FROM fleet.rollup_positions
WHERE NOT deleted;

CREATE VIEW fleet.pnl_daily AS
SELECT account_id, product, instrument, day, asset, realized, fees, funding, other,
       realized - fees + funding + other AS net, fills, committed_at, seq
FROM fleet.rollup_pnl
WHERE NOT deleted;

CREATE VIEW fleet.trading_hourly AS
SELECT hour, account_id, venue, product, instrument, side, settle_asset,
       COALESCE(NULLIF(fee_asset, ''), settle_asset) AS fee_asset,
       SUM(fills)::bigint AS fills, SUM(qty) AS qty, SUM(value) AS value, SUM(fees) AS fees,
       SUM(fee_unknown)::bigint AS fee_unknown
FROM fleet.rollup_trading
GROUP BY hour, account_id, venue, product, instrument, side, settle_asset,
         COALESCE(NULLIF(fee_asset, ''), settle_asset)
HAVING SUM(fills) <> 0;

-- Fills as they stand. A condition on executed_at and on instrument or account reaches the index; that a fill is
-- decided by its newest row holds within any span of executed_at.
CREATE VIEW fleet.fills AS
SELECT * FROM (
  SELECT DISTINCT ON (executed_at, instrument, account_id, product, trade_id, side)
         executed_at, account_id, venue, product, instrument, trade_id, side, position_side, order_id,
         client_order_id, qty, price, contract_size, value, fee, fee_asset, settle_asset, revision, source,
         liquidity, kind, reported_realized, signal_id, strategy, committed_at, seq, weight
  FROM fleet.fill_history
  ORDER BY executed_at, instrument, account_id, product, trade_id, side, seq DESC, row_index DESC, weight DESC
) AS newest
WHERE weight = 1;

-- Positions as they stand, and whose an account is from which day on.
CREATE VIEW fleet.account_owners AS
SELECT (row->>'account_id')::numeric(20,0) AS account_id, (row->>'valid_from')::date AS valid_from,
       (row->>'user_id')::numeric(20,0) AS user_id
FROM fleet.row_state
WHERE table_name = 'fleet_account_owners' AND NOT deleted;

-- ---- retention. Dropping chunks takes the owner of a hypertable, which no role of the fleet is.

-- How long a history is kept; NULL: for good. Whole chunks go, and only those wholly older. Community edition: as a
-- policy of the extension; Apache edition: now. Returns the chunks dropped here.
CREATE FUNCTION fleet.keep_history(history text, keep interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS '
DECLARE
  ours    text := (SELECT quote_ident(nspname) FROM pg_namespace WHERE oid =
                    (SELECT extnamespace FROM pg_extension WHERE extname = ''timescaledb''));
  kept    text;
  dropped bigint := 0;
BEGIN
  IF history NOT IN (''change_event'', ''position_history'', ''pnl_history'', ''fill_history'', ''cdc_batch'') THEN
    RAISE EXCEPTION ''fleet.% is no history'', history;
  END IF;
  IF keep < INTERVAL ''1 day'' THEN
    RAISE EXCEPTION ''% is less than a day'', keep;
  END IF;
  IF current_setting(''timescaledb.license'', true) = ''timescale'' THEN
    SELECT config->>''drop_after'' INTO kept FROM timescaledb_information.jobs
    WHERE proc_name = ''policy_retention'' AND hypertable_schema = ''fleet'' AND hypertable_name = history;
    IF kept::interval IS DISTINCT FROM keep THEN
      EXECUTE format(''SELECT %s.remove_retention_policy(%L, if_exists => true)'', ours, ''fleet.'' || history);
      IF keep IS NOT NULL THEN
        EXECUTE format(''SELECT %s.add_retention_policy(%L, drop_after => %L::interval)'', ours,
                       ''fleet.'' || history, keep);
      END IF;
    END IF;
  ELSIF keep IS NOT NULL THEN
    EXECUTE format(''SELECT count(*) FROM %s.drop_chunks(%L, older_than => now() - %L::interval)'', ours,
                   ''fleet.'' || history, keep) INTO dropped;
  END IF;
  RETURN dropped;
END';

-- Events of one table that are older, in whole chunks; the chunks hold those of other tables too.
CREATE FUNCTION fleet.forget_changes(of_table text, keep interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS '
DECLARE
  up_to   timestamptz := (
    SELECT max(range_end) FROM timescaledb_information.chunks
    WHERE hypertable_schema = ''fleet'' AND hypertable_name = ''change_event'' AND range_end <= now() - keep);
  deleted bigint;
BEGIN
  IF current_setting(''timescaledb.license'', true) = ''timescale'' THEN
    PERFORM set_config(''timescaledb.max_tuples_decompressed_per_dml_transaction'', ''0'', true);
  END IF;
  DELETE FROM fleet.change_event WHERE table_name = of_table AND committed_at < up_to;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN deleted;
END';

REVOKE EXECUTE ON FUNCTION fleet.keep_history(text, interval) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION fleet.forget_changes(text, interval) FROM PUBLIC;
