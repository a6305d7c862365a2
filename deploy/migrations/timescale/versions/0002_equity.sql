-- Rows of fleet_equity (MySQL). Account ids are unsigned there, wider than a bigint.
CREATE TABLE fleet.equity (
  account_id      numeric(20,0) NOT NULL,
  asset           text NOT NULL,
  at              timestamptz NOT NULL,
  cash            numeric(38,18) NOT NULL,
  unrealized      numeric(38,18),
  flows           numeric(38,18),
  unpriceable     bigint NOT NULL,
  oldest_price_at timestamptz,
  written_at      timestamptz NOT NULL,
  PRIMARY KEY (account_id, asset, at)
);

SELECT create_hypertable('fleet.equity', 'at', chunk_time_interval => INTERVAL '7 days');

-- The last row of fleet_equity that is in fleet.equity, in the order they were written there. It moves in the
-- transaction that writes the rows.
CREATE TABLE fleet.equity_offset (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  written_at timestamptz NOT NULL,
  account_id numeric(20,0) NOT NULL,
  asset      text NOT NULL,
  at         timestamptz NOT NULL
);
