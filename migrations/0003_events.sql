-- What the operator may want to be told of: thresholds of limits that were passed. Each is here once: its id names node, limit,
-- window, amount and per cent.
CREATE TABLE events (
  id              TEXT PRIMARY KEY,
  at_ms           INTEGER NOT NULL,    -- ms since 1970
  customer_id     TEXT NOT NULL,
  node_id         TEXT NOT NULL,       -- customer, team, key, or an end user of one of them
  level           TEXT NOT NULL,       -- customer | team | key | user
  kind            TEXT NOT NULL,       -- threshold
  unit            TEXT NOT NULL,       -- usd (10^-9 USD) | requests | tokens | input_tokens | output_tokens
  window          TEXT NOT NULL,
  models          TEXT,                -- JSON array of patterns
  window_start_ms INTEGER NOT NULL,
  percent         INTEGER NOT NULL,
  amount          INTEGER NOT NULL,    -- the limit
  used            INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_by_time ON events (at_ms);
