-- Additive: a Worker that knows only 0001 goes on inserting rows, and they are counted all the same.

-- Of an adjustment row: the attempt whose cost it corrects, and why. Its own `attempt` begins at 1001.
ALTER TABLE ledger ADD COLUMN adjusts INTEGER;
ALTER TABLE ledger ADD COLUMN reason TEXT;
-- The tier that served the attempt, if it was not the default one: without it a cost cannot be computed again.
ALTER TABLE ledger ADD COLUMN service_tier TEXT;
-- 1: whoever inserts the row adds it to `rollup` in the same transaction. 0, the default: the trigger below does.
ALTER TABLE ledger ADD COLUMN rolled_up INTEGER NOT NULL DEFAULT 0;

-- Sums of ledger rows by hour and by UTC day. They are exactly the sums of the rows ever inserted: a row and its part in
-- here are one transaction, and a row that is there already adds nothing. See docs/ledger.md.
CREATE TABLE rollup (
  span_ms            INTEGER NOT NULL, -- 3600000 an hour, 86400000 a UTC day
  start_ms           INTEGER NOT NULL, -- ms since 1970
  customer_id        TEXT NOT NULL,
  team_id            TEXT NOT NULL,    -- '' without a team
  key_id             TEXT NOT NULL,
  route              TEXT NOT NULL,
  provider           TEXT NOT NULL,
  model              TEXT NOT NULL,
  requests           INTEGER NOT NULL, -- first attempts
  attempts           INTEGER NOT NULL, -- without adjustments
  errors             INTEGER NOT NULL, -- attempts that ended neither well nor by the client's leaving
  input_tokens       INTEGER NOT NULL,
  cache_read_tokens  INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  output_tokens      INTEGER NOT NULL,
  reasoning_tokens   INTEGER NOT NULL,
  audio_tokens       INTEGER NOT NULL,
  cost_nanousd       INTEGER NOT NULL, -- adjustments included
  PRIMARY KEY (span_ms, start_ms, customer_id, team_id, key_id, route, provider, model)
) WITHOUT ROWID;

-- How far the retention has deleted: `rows_before`, `hours_before`, ms since 1970.
CREATE TABLE ledger_meta (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO rollup
SELECT span, at_ms - at_ms % span, customer_id, COALESCE(team_id, ''), key_id, route, provider, model, SUM(attempt = 1), COUNT(*), SUM(outcome NOT IN ('ok', 'client_gone')), SUM(input_tokens), SUM(cache_read_tokens), SUM(cache_write_tokens), SUM(output_tokens), SUM(reasoning_tokens), SUM(audio_tokens), SUM(cost_nanousd)
FROM ledger CROSS JOIN (SELECT 3600000 AS span UNION ALL SELECT 86400000)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

-- One line: what splits this file into statements would cut a body in two.
CREATE TRIGGER ledger_rolls_up AFTER INSERT ON ledger WHEN NEW.rolled_up = 0 BEGIN INSERT INTO rollup SELECT span, NEW.at_ms - NEW.at_ms % span, NEW.customer_id, COALESCE(NEW.team_id, ''), NEW.key_id, NEW.route, NEW.provider, NEW.model, NEW.attempt = 1, NEW.adjusts IS NULL, NEW.adjusts IS NULL AND NEW.outcome NOT IN ('ok', 'client_gone'), NEW.input_tokens, NEW.cache_read_tokens, NEW.cache_write_tokens, NEW.output_tokens, NEW.reasoning_tokens, NEW.audio_tokens, NEW.cost_nanousd FROM (SELECT 3600000 AS span UNION ALL SELECT 86400000) WHERE true ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, attempts = attempts + excluded.attempts, errors = errors + excluded.errors, input_tokens = input_tokens + excluded.input_tokens, cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens, cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens, output_tokens = output_tokens + excluded.output_tokens, reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, audio_tokens = audio_tokens + excluded.audio_tokens, cost_nanousd = cost_nanousd + excluded.cost_nanousd; END;
