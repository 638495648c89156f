-- Customers, teams and keys: one tree, one table. `body` holds limits, metadata, expiry and, of a key, its SHA-256 digest.
CREATE TABLE nodes (
  id          TEXT PRIMARY KEY,
  level       TEXT NOT NULL,          -- customer | team | key
  customer_id TEXT NOT NULL,
  team_id     TEXT,
  name        TEXT NOT NULL,
  body        TEXT NOT NULL,          -- JSON
  revision    INTEGER NOT NULL,       -- grows with every change
  created_at  INTEGER NOT NULL        -- ms since 1970
) WITHOUT ROWID;
CREATE INDEX nodes_by_customer ON nodes (customer_id, level);

-- Configurations as they were put, never changed. The highest version is in force.
CREATE TABLE configs (
  version    INTEGER PRIMARY KEY,
  text       TEXT NOT NULL,
  created_at INTEGER NOT NULL         -- ms since 1970
);

-- One row for each provider attempt, written once, never edited. The id begins with the time, so the primary key answers
-- time ranges, and no other index has to be paid for with every row.
CREATE TABLE ledger (
  request_id         TEXT NOT NULL,
  attempt            INTEGER NOT NULL, -- from 1
  at_ms              INTEGER NOT NULL, -- when the request was admitted, ms since 1970
  customer_id        TEXT NOT NULL,
  team_id            TEXT,
  key_id             TEXT NOT NULL,
  route              TEXT NOT NULL,
  requested_model    TEXT NOT NULL,
  provider           TEXT NOT NULL,
  model              TEXT NOT NULL,
  outcome            TEXT NOT NULL,    -- ok | client_gone | truncated | upstream_error | timeout | rate_limited | …
  status             INTEGER NOT NULL, -- the provider's HTTP status, 0 without an answer
  streamed           INTEGER NOT NULL,
  input_tokens       INTEGER NOT NULL, -- disjoint classes: their sum is the provider's total
  cache_read_tokens  INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  output_tokens      INTEGER NOT NULL,
  reasoning_tokens   INTEGER NOT NULL,
  audio_tokens       INTEGER NOT NULL,
  usage_estimated    INTEGER NOT NULL, -- 1: the provider reported none
  usage_json         TEXT,             -- as the provider reported it
  cost_nanousd       INTEGER NOT NULL, -- 10^-9 USD
  price_version      TEXT NOT NULL,
  first_byte_ms      INTEGER,
  duration_ms        INTEGER NOT NULL,
  upstream_id        TEXT,
  metadata           TEXT,             -- JSON object of texts
  error              TEXT,
  PRIMARY KEY (request_id, attempt)
) WITHOUT ROWID;
