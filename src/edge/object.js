// The Durable Object around the Rust state machine: loads rows, applies, writes rows, without an await between.
// When, what and why are decided in Rust (src/admit/ledger.rs, src/edge/object.rs); here is only how to write it down.
import { database, ledgerDatabases } from "./databases.js";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, settled INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS node (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late (ticket TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS adjusted (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;`;

const WRITES = {
  held: "INSERT OR REPLACE INTO entry VALUES (?, 0, ?)",
  // A request of a lease can end before anybody heard of it: then there is nothing to update.
  settled: "INSERT INTO entry VALUES (?, 1, ?) ON CONFLICT (number) DO UPDATE SET settled = 1, body = excluded.body",
  outbox: "INSERT OR REPLACE INTO entry VALUES (?, 1, ?)",
  quarantine: "INSERT OR REPLACE INTO quarantine VALUES (?, ?)",
  release: "DELETE FROM quarantine WHERE number = ?1 AND ?2 = ''",
  adjusted: "INSERT OR REPLACE INTO adjusted VALUES (?, ?)",
  forget: "DELETE FROM adjusted WHERE id = ?1 AND ?2 = ''",
  meta: "INSERT OR REPLACE INTO meta VALUES (?, ?)",
  drop: "DELETE FROM entry WHERE number IN (SELECT value FROM json_each(?))",
  node: "INSERT OR REPLACE INTO node VALUES (?, ?)",
  base: "INSERT OR REPLACE INTO base VALUES (?, ?)",
  key: "INSERT OR REPLACE INTO key VALUES (?, ?)",
  lease: "INSERT OR REPLACE INTO lease VALUES (?, ?)",
  late: "INSERT OR REPLACE INTO late VALUES (?, ?)",
  event: "INSERT OR IGNORE INTO event VALUES (?, ?)",
};
// Both take a list of ids.
const FORGET = ["DELETE FROM node WHERE id IN (SELECT value FROM json_each(?))", "DELETE FROM base WHERE id IN (SELECT value FROM json_each(?))"];
// Events that go to D1 at once.
const EVENTS = 200;
// A write without a body deletes.
const DELETES = { lease: "DELETE FROM lease WHERE id = ?", late: "DELETE FROM late WHERE ticket = ?" };

/** A value bound in D1 can have two megabytes, and a character up to three bytes. */
const BATCH_LENGTH = 600_000;
const ENCODER = new TextEncoder();
/** What is written under a number; everything else has a name. */
const NUMBERED = new Set(["held", "settled", "outbox", "quarantine", "release"]);

export class Ledger {
  constructor(ctx, env, current) {
    this.storage = ctx.storage;
    this.sql = ctx.storage.sql;
    this.env = env;
    this.current = current;
    this.machine = null;
    this.epoch = -1;
    this.written = false;
    this.queue = [];
  }

  // The state machine of this wasm instance; loaded anew after an eviction, a wasm reset, or a write that failed.
  state() {
    const { core, epoch } = this.current();
    if (this.machine === null || this.epoch !== epoch) {
      this.machine = new core.ObjectCore(this.stored(), Date.now(), ledgerDatabases(this.env));
      this.epoch = epoch;
    }
    return this.machine;
  }

  // An object that was only asked about a key nobody issued leaves nothing behind: no table before the first write.
  stored() {
    const all = (query) => [...this.sql.exec(query).raw()];
    this.written = all("SELECT 1 FROM sqlite_master WHERE name = 'entry'").length > 0;
    if (!this.written) return "{}";
    // An object of an older version lacks what came later.
    this.sql.exec(SCHEMA);
    return JSON.stringify({
      quarantine: all("SELECT number, body FROM quarantine"),
      adjusted: all("SELECT id, body FROM adjusted"),
      database: all("SELECT value FROM meta WHERE name = 'database'")[0]?.[0],
      nodes: all("SELECT body FROM node").map(([body]) => body),
      bases: all("SELECT id, body FROM base"),
      keys: all("SELECT body FROM key").map(([body]) => body),
      leases: all("SELECT body FROM lease").map(([body]) => body),
      late: all("SELECT ticket, body FROM late"),
      entries: all("SELECT number, settled, body FROM entry").map(([number, settled, body]) => [number, settled === 1, body]),
    });
  }

  // Runs a step of the machine and makes durable what it says, all or nothing: lines of reply, alarm, and writes.
  step(run) {
    try {
      const lines = run(this.state()).split("\n");
      if (lines.length > 2) this.write(lines.slice(2));
      if (lines[1] !== "") this.storage.setAlarm(Number(lines[1]));
      return lines[0];
    } catch (error) {
      // What is in memory may be ahead of what is stored.
      this.machine = null;
      this.current(error);
      throw error;
    }
  }

  write(lines) {
    if (!this.written) {
      this.sql.exec(SCHEMA);
      this.written = true;
    }
    const one = (line) => {
      const [what, name, body] = line.split("\t");
      if (what === "forget") for (const statement of FORGET) this.sql.exec(statement, body);
      else if (what === "drop") this.sql.exec(WRITES.drop, body);
      else if (body === "" && DELETES[what] !== undefined) this.sql.exec(DELETES[what], name);
      else this.sql.exec(WRITES[what], NUMBERED.has(what) ? Number(name) : name, body);
    };
    if (lines.length === 1 && !lines[0].startsWith("forget")) one(lines[0]);
    else this.storage.transactionSync(() => lines.forEach(one));
  }

  // Commands that arrive together are applied in one turn, so that they share one commit: the commit costs more than all the
  // rest of a command.
  enqueue(command) {
    return new Promise((resolve, reject) => {
      this.queue.push({ command, resolve, reject });
      if (this.queue.length === 1) setTimeout(() => this.flush(), 0);
    });
  }

  flush() {
    const queue = this.queue;
    this.queue = [];
    for (const { command, resolve, reject } of queue) {
      try {
        resolve(this.apply(command));
      } catch (error) {
        reject(error);
      }
    }
  }

  apply(command) {
    return this.step((machine) => machine.apply(Date.now(), ENCODER.encode(command), this.settled(command)));
  }

  // What is settled but not yet drained is known to storage alone: of a `find` the request, of an `audit` what may be under
  // way to D1.
  settled(command) {
    if (!this.written) return undefined;
    if (command === '"audit"') {
      const bodies = this.sql.exec("SELECT body FROM entry WHERE settled = 1 ORDER BY number LIMIT ?", this.machine.audited_rows()).raw();
      return JSON.stringify([...bodies].map(([body]) => body));
    }
    if (!command.startsWith('{"find"')) return undefined;
    const query = `SELECT body FROM entry WHERE settled = 1
      AND EXISTS (SELECT 1 FROM json_each(entry.body, '$.rows') WHERE value->>'request_id' = ?)`;
    return [...this.sql.exec(query, JSON.parse(command).find.ticket).raw()][0]?.[0];
  }

  // Expires holds, then empties the outbox into D1, then sets the next alarm.
  async alarm() {
    this.step((machine) => machine.expire(Date.now()));
    await this.drain();
    await this.drainEvents();
    this.step((machine) => machine.rest(Date.now()));
  }

  async drain() {
    for (let round = 0; round < 50 && this.state().drain_due(Date.now()); round++) {
      this.step((machine) => machine.begin_drain());
      const { batch, more } = this.batch();
      try {
        await this.insert(batch);
      } catch (error) {
        const takesOthers = await this.run(this.state().probe()).then(() => true, () => false);
        this.step((machine) => machine.drain_failed(Date.now(), String(error?.message ?? error), takesOthers));
        continue;
      }
      this.step((machine) => machine.drained(Date.now(), more));
    }
  }

  // Thresholds that were passed: deleted here when D1 has them, and by their ids each is there once.
  async drainEvents() {
    if (!this.written) return;
    for (let round = 0; round < 20; round++) {
      const rows = [...this.sql.exec("SELECT id, body FROM event LIMIT ?", EVENTS).raw()];
      if (rows.length === 0) return;
      try {
        const events = `[${rows.map(([, body]) => body).join(",")}]`;
        await this.env.DB.prepare(this.state().event_statement()).bind(events).run();
      } catch {
        this.step((machine) => machine.events_failed(Date.now()));
        return;
      }
      this.sql.exec("DELETE FROM event WHERE id IN (SELECT value FROM json_each(?))", JSON.stringify(rows.map(([id]) => id)));
      this.step((machine) => machine.events_drained());
    }
  }

  // What is to be drained next: a row that D1 refused before and the operator wants tried again, or the oldest ones.
  batch() {
    const again = this.state().retrying();
    if (again !== undefined) return { batch: again, more: false };
    const size = this.state().batch_size();
    const lines = [];
    let length = 0;
    for (const [number, body] of this.sql.exec("SELECT number, body FROM entry WHERE settled = 1 ORDER BY number LIMIT ?", size + 1).raw()) {
      length += body.length;
      if (lines.length === size || (length > BATCH_LENGTH && lines.length > 0)) return { batch: lines.join("\n"), more: true };
      lines.push(`${number}\t${body}`);
    }
    return { batch: lines.join("\n"), more: false };
  }

  async insert(batch) {
    const rows = this.state().rows(ENCODER.encode(batch));
    if (rows === "") return;
    const db = database(this.env, this.state().database());
    await db.batch(JSON.parse(this.state().insertion()).map((sql) => db.prepare(sql).bind(rows)));
  }

  // One transaction in D1; `statements` is JSON: [[sql, [parameters…]], …].
  async run(statements) {
    const list = JSON.parse(statements);
    if (list.length === 0) return;
    const db = database(this.env, this.state().database());
    await db.batch(list.map(([sql, values]) => db.prepare(sql).bind(...values)));
  }
}
