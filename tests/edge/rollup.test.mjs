// The sums by hour and day are the sums of the rows, whatever happens on the way: the built object and its own
// object.js over two SQLite databases in this process, with answers of D1 lost, rows refused, and the object killed
// anywhere between two of its waits. Hundreds of lives in a second, which workerd could not give.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, it } from "node:test";

const ROOT = path.resolve(import.meta.dirname, "../..");
const PKG = path.join(process.env.EDGEHOLD_BUILD_DIR ?? path.join(ROOT, "build"), "pkg");
const core = await import(path.join(PKG, "edgehold.js"));
core.initSync({ module: new WebAssembly.Module(fs.readFileSync(path.join(PKG, "edgehold_bg.wasm"))) });
const { Ledger } = await import(path.join(ROOT, "src/edge/object.js"));

const HOUR = 3_600_000;
const DAY = 86_400_000;
const MIGRATIONS = fs.readdirSync(path.join(ROOT, "migrations")).sort().map((name) => fs.readFileSync(path.join(ROOT, "migrations", name), "utf8"));
const FIGURES = ["requests", "attempts", "errors", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_tokens", "cost_nanousd"];

/** Numbers that look random and are the same in every run. */
function dice(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

class Killed extends Error {}

/** One customer's object and its D1, with a clock and faults of the test's own. */
class World {
  constructor(seed, bound = []) {
    this.bound = bound;
    this.roll = dice(seed);
    this.now = 1_700_000_000_000 + this.roll(HOUR * 3);
    this.d1 = new DatabaseSync(":memory:");
    for (const text of MIGRATIONS) this.d1.exec(text);
    this.disk = new DatabaseSync(":memory:");
    this.mode = () => "ok";
    this.alarmAt = null;
    this.number = 0;
    this.born = 0;
    this.begin();
  }

  /** A fresh object over what the last one stored. */
  begin() {
    const born = (this.born += 1);
    const alive = () => { if (born !== this.born) throw new Killed(); };
    const sql = {
      exec: (query, ...values) => {
        alive();
        if (values.length === 0 && !/^SELECT/.test(query.trim())) { this.disk.exec(query); return { raw: () => [] }; }
        const statement = this.disk.prepare(query);
        const rows = statement.columns().length > 0 ? statement.all(...values).map((row) => Object.values(row)) : (statement.run(...values), []);
        return { raw: () => rows };
      },
    };
    const storage = {
      sql,
      setAlarm: (at) => { alive(); this.alarmAt = at; },
      transactionSync: (work) => {
        alive();
        this.disk.exec("BEGIN");
        try { work(); this.disk.exec("COMMIT"); } catch (error) { this.disk.exec("ROLLBACK"); throw error; }
      },
    };
    const world = this;
    class Statement {
      constructor(text, values = []) { this.text = text; this.values = values; }
      bind(...values) { return new Statement(this.text, values); }
    }
    const DB = {
      prepare: (text) => new Statement(text),
      async batch(list) {
        await null;
        const mode = world.mode(list);
        if (mode === "fail") throw new Error("D1_ERROR: Network connection lost.");
        if (mode === "killed before") world.begin();
        if (mode === "killed before") throw new Killed();
        if (mode === "refuse") throw new Error("D1_ERROR: CHECK constraint failed: SQLITE_CONSTRAINT");
        world.d1.exec("BEGIN");
        try {
          for (const { text, values } of list) world.d1.prepare(text).run(...values);
        } catch (error) {
          world.d1.exec("ROLLBACK");
          throw error;
        }
        world.d1.exec("COMMIT");
        if (mode === "lost") throw new Error("D1_ERROR: Network connection lost.");
        if (mode === "killed after") { world.begin(); throw new Killed(); }
        return [];
      },
    };
    this.object = new Ledger({ storage }, { DB, ...Object.fromEntries(this.bound.map((name) => [name, { prepare: DB.prepare, batch: () => assert.fail(`written to ${name}`) }])) }, () => ({ core, epoch: 1 }));
  }

  command(command) {
    const clock = Date.now;
    Date.now = () => this.now;
    try { return JSON.parse(this.object.apply(JSON.stringify(command))); } finally { Date.now = clock; }
  }

  async alarm() {
    const clock = Date.now;
    Date.now = () => this.now;
    try {
      await this.object.alarm();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // The runtime runs the alarm again.
      this.alarmAt = this.now + 2_000;
    } finally { Date.now = clock; }
  }

  publish() {
    const nodes = [{ id: "cus_a", level: "customer", revision: 1 }, { id: "team_a", level: "team", revision: 1 }];
    for (const key of ["key_a", "key_b"]) nodes.push({ id: key, level: "key", revision: 1, ...(key === "key_a" ? { team: "team_a" } : {}) });
    assert.equal(this.command({ publish: { nodes, keys: [] } }), "published");
  }

  row(ticket, key, attempt, over = {}) {
    return {
      request_id: ticket, attempt, at_ms: this.now, customer_id: "cus_a", ...(key === "key_a" ? { team_id: "team_a" } : {}), key_id: key,
      route: `r${this.roll(2)}`, requested_model: "m", provider: `p${this.roll(2)}`, model: `m${this.roll(3)}`,
      outcome: ["ok", "client_gone", "timeout", "unsettled"][this.roll(4)], price_version: "v",
      input_tokens: this.roll(50), cache_read_tokens: this.roll(9), cache_write_tokens: this.roll(3), output_tokens: this.roll(40), reasoning_tokens: this.roll(5), audio_tokens: this.roll(2),
      cost_nanousd: this.roll(1000), ...over,
    };
  }

  request() {
    const ticket = `req_${String(this.number++).padStart(6, "0")}`;
    const key = this.roll(3) ? "key_a" : "key_b";
    const { held } = this.command({ hold: { ticket, key, bound: 5_000, tokens: 100, ttl_ms: 60_000, unsettled: this.row(ticket, key, 1, { outcome: "unsettled", cost_nanousd: 0 }) } });
    assert.ok(held);
    if (this.roll(12) === 0) return; // nobody settles it
    const rows = Array.from({ length: 1 + this.roll(3) }, (_, i) => this.row(ticket, key, i + 1));
    const cost = rows.reduce((sum, r) => sum + r.cost_nanousd, 0);
    this.command({ settle: { ticket, cost, tokens: 1, rows } });
  }

  adjust() {
    const ticket = `req_${String(this.roll(this.number + 1)).padStart(6, "0")}`;
    const row = this.row(ticket, "key_a", 1001 + this.roll(2), { adjusts: 1, outcome: "adjustment", reason: "r", cost_nanousd: this.roll(200) - 100, at_ms: this.now - this.roll(40) * HOUR });
    for (const name of FIGURES.filter((n) => n.endsWith("_tokens"))) delete row[name];
    this.command({ adjust: { adjustment_id: `${ticket}/${row.attempt}`, key: "key_a", at: row.at_ms, rows: [row], cost: row.cost_nanousd } });
  }

  /** What an older Worker does, which knows no sums. */
  insertAsBefore() {
    const row = { status: 0, streamed: 0, usage_estimated: 0, duration_ms: 1, ...this.row(`req_old${this.number++}`, "key_b", 1) };
    const names = Object.keys(row);
    for (let i = 0; i < 2; i += 1) this.d1.prepare(`INSERT OR IGNORE INTO ledger (${names}) VALUES (${names.map(() => "?")})`).run(...Object.values(row));
  }

  /** The sums as they must be: made from the rows, here, not in SQL. */
  wanted() {
    const sums = new Map();
    for (const r of this.d1.prepare("SELECT * FROM ledger").all()) {
      for (const span of [HOUR, DAY]) {
        const name = JSON.stringify([span, r.at_ms - (r.at_ms % span), r.customer_id, r.team_id ?? "", r.key_id, r.route, r.provider, r.model]);
        const sum = sums.get(name) ?? Object.fromEntries(FIGURES.map((f) => [f, 0]));
        const real = r.adjusts === null;
        sum.requests += r.attempt === 1;
        sum.attempts += real;
        sum.errors += real && !["ok", "client_gone"].includes(r.outcome);
        for (const f of FIGURES.slice(3)) sum[f] += r[f];
        sums.set(name, sum);
      }
    }
    return sums;
  }

  found() {
    const rows = this.d1.prepare("SELECT * FROM rollup").all();
    return new Map(rows.map((r) => [JSON.stringify([r.span_ms, r.start_ms, r.customer_id, r.team_id, r.key_id, r.route, r.provider, r.model]), Object.fromEntries(FIGURES.map((f) => [f, r[f]]))]));
  }

  check(what) {
    const sorted = (map) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(sorted(this.found()), sorted(this.wanted()), what);
  }
}

describe("roll-ups", () => {
  it("are the sums of the rows after every step, through lost answers, refusals, kills and repetitions", { timeout: 240_000 }, async () => {
    const seen = new Set();
    let aside = 0;
    for (let seed = 1; seed <= 90; seed += 1) {
      const w = new World(seed * 7919);
      w.publish();
      let old = 0;
      // Every third life has calm weather but for the rows that are refused: else none is refused three times in a row.
      const weather = seed % 3 === 0 ? ["refuse"] : ["ok", "ok", "fail", "lost", "killed before", "killed after", "refuse"];
      for (let step = 0; step < 40; step += 1) {
        const what = w.roll(10);
        if (what < 5) for (let n = w.roll(12); n >= 0; n -= 1) w.request();
        else if (what === 5) w.adjust();
        else if (what === 6) { w.insertAsBefore(); old += 1; }
        else if (what === 7 && w.roll(3) === 0) w.command("retry_quarantine");
        else {
          w.now += w.roll(4) ? w.roll(5_000) : w.roll(5 * HOUR);
          w.mode = (list) => {
            // The probe has other parameters; a refusal is of certain rows, again and again.
            const rows = String(list[0].values[0]);
            const mode = weather[w.roll(weather.length)];
            seen.add(mode);
            if (mode === "refuse") return /req_00000[37]|req_00001[0-9]/.test(rows) ? "refuse" : "ok";
            return mode;
          };
          for (let n = seed % 3 === 0 ? 6 : 1; n > 0; n -= 1) { await w.alarm(); w.now += 1_000; }
        }
        aside += w.command("inspect").inspection.quarantined;
        w.check(`seed ${seed}, step ${step}`);
      }
      w.mode = () => "ok";
      for (let n = 0; n < 60; n += 1) {
        w.command("retry_quarantine");
        w.now += 130_000;
        await w.alarm();
      }
      w.check(`seed ${seed}, at the end`);
      const { inspection } = w.command("inspect");
      assert.deepEqual([inspection.outbox, inspection.held, inspection.quarantined], [0, 0, 0], `seed ${seed}`);
      const own = w.d1.prepare("SELECT COALESCE(SUM(cost_nanousd), 0) cost FROM ledger WHERE request_id NOT LIKE 'req_old%'").get();
      assert.equal(own.cost, inspection.spent_total_nanousd, `seed ${seed}: D1 has what the object counts`);
      assert.ok(w.d1.prepare("SELECT count(*) n FROM ledger").get().n >= old);
    }
    assert.ok(aside > 0, "rows were set aside on the way");
    assert.deepEqual([...seen].sort(), ["fail", "killed after", "killed before", "lost", "ok", "refuse"]);
  });

  it("cost what docs/ledger.md says, in rows written", async () => {
    for (const [batch, batches, models, object, d1] of [[1, 20, 1, 6.1, 3], [20, 10, 2, 3.16, 1.2], [200, 5, 3, 3.02, 1.03], [200, 5, 20, 3.02, 1.2]]) {
      const w = new World(1);
      w.publish();
      const total = (db) => db.prepare("SELECT total_changes() n").get().n;
      const [object0, d10] = [total(w.disk), total(w.d1)];
      for (let b = 0; b < batches; b += 1) {
        for (let n = 0; n < batch; n += 1) {
          const ticket = `req_${String(w.number++).padStart(6, "0")}`;
          const row = w.row(ticket, "key_a", 1, { route: "r", provider: "p", model: `m${n % models}` });
          w.command({ hold: { ticket, key: "key_a", bound: 5_000, tokens: 100, ttl_ms: 600_000, unsettled: row } });
          w.command({ settle: { ticket, cost: row.cost_nanousd, tokens: 1, rows: [row] } });
        }
        w.now += 1_500;
        await w.alarm();
      }
      w.check();
      const requests = batch * batches;
      // SQLite counts an index entry with its row: none of these tables has one.
      assert.ok((total(w.disk) - object0) / requests <= object, `object: ${(total(w.disk) - object0) / requests} at ${batch} in each batch`);
      assert.ok((total(w.d1) - d10) / requests <= d1, `D1: ${(total(w.d1) - d10) / requests} at ${batch} in each batch`);
    }
    const indexes = new World(1).d1.prepare("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('ledger', 'rollup') AND sql IS NOT NULL").all();
    assert.deepEqual(indexes, []);
  });

  it("of an object that an older version wrote go on in the database it has always used", async () => {
    const w = new World(1, ["LEDGER_DB_0", "LEDGER_DB_1"]);
    w.disk.exec(`CREATE TABLE entry (number INTEGER PRIMARY KEY, settled INTEGER NOT NULL, body TEXT NOT NULL);
      CREATE TABLE node (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID; CREATE TABLE base (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE key (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;`);
    const put = (table, ...values) => w.disk.prepare(`INSERT INTO ${table} VALUES (${values.map(() => "?")})`).run(...values);
    for (const [id, level] of [["cus_a", "customer"], ["key_b", "key"]]) put("node", id, JSON.stringify({ id, level, revision: 1 }));
    for (const id of ["cus_a", "key_b"]) put("base", id, JSON.stringify({ total: { start: 0, spent: 100 } }));
    const rows = [w.row("req_000001", "key_b", 1, { cost_nanousd: 7 })];
    put("entry", 5, 1, JSON.stringify({ ticket: "req_000001", at: w.now, expires_at: w.now, chain: ["key_b", "cus_a"], bound: 9, tokens: 1, cost: 7, used: 1, rows }));
    w.begin();
    assert.deepEqual(w.command("inspect").inspection.outbox, 1);
    await w.alarm();
    const { inspection } = w.command("inspect");
    assert.deepEqual([inspection.outbox, inspection.spent_total_nanousd, inspection.database], [0, 107, "DB"]);
    w.check();
    w.begin();
    assert.equal(w.command("inspect").inspection.database, "DB");
  });

  it("of a batch that is one row of the object lose only the request that D1 refuses", async () => {
    const w = new World(1);
    w.publish();
    const entry = (n) => ({ ticket: `req_00000${n}`, at: w.now, expires_at: w.now, chain: ["key_b", "cus_a"], bound: 9, tokens: 1, cost: n, used: 1, rows: [w.row(`req_00000${n}`, "key_b", 1, { cost_nanousd: n })] });
    w.disk.prepare("INSERT INTO entry VALUES (1, 1, ?)").run(JSON.stringify({ batch: [1, 2, 3, 4, 5].map(entry) }));
    w.begin();
    assert.equal(w.command("inspect").inspection.spent_total_nanousd, 15);
    w.mode = (list) => (String(list[0].values[0]).includes("req_000004") ? "refuse" : "ok");
    for (let n = 0; n < 6; n += 1) { await w.alarm(); w.now += 1_500; }
    const { inspection } = w.command("inspect");
    assert.deepEqual([inspection.outbox, inspection.quarantined, inspection.spent_total_nanousd], [0, 1, 15]);
    assert.deepEqual(inspection.quarantine[0].request_ids, ["req_000004"]);
    assert.deepEqual(w.d1.prepare("SELECT request_id FROM ledger ORDER BY 1").all().map((r) => r.request_id), [1, 2, 3, 5].map((n) => `req_00000${n}`));
    w.check();
  });

  it("of rows from before are made when the migration runs, and no row of the probe stays", async () => {
    const d1 = new DatabaseSync(":memory:");
    d1.exec(MIGRATIONS[0]);
    const insert = "INSERT OR IGNORE INTO ledger VALUES (?, ?, ?, 'c', NULL, 'k', 'r', 'm', 'p', 'm', ?, 200, 0, 1, 0, 0, 2, 0, 0, 0, NULL, 5, 'v', 1, 2, NULL, NULL, NULL)";
    d1.prepare(insert).run("a", 1, 3 * HOUR + 1, "timeout");
    d1.prepare(insert).run("a", 2, 3 * HOUR + 1, "ok");
    for (const text of MIGRATIONS.slice(1)) d1.exec(text);
    const sums = () => d1.prepare("SELECT span_ms, start_ms, requests, attempts, errors, cost_nanousd FROM rollup").all().map((row) => Object.values(row));
    const before = [[HOUR, 3 * HOUR, 1, 2, 1, 10], [DAY, 0, 1, 2, 1, 10]];
    assert.deepEqual(sums(), before);
    const object = new core.ObjectCore("{}", 0, 0);
    for (const [text, values] of JSON.parse(object.probe())) d1.prepare(text).run(...values);
    assert.deepEqual(sums(), before);
    assert.equal(d1.prepare("SELECT count(*) n FROM ledger").get().n, 2);
  });
});
