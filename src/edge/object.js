// The Durable Object around the Rust state machine: loads rows, applies, writes rows, without an await between.
// When, what and why are decided in Rust (src/admit/ledger.rs, src/edge/object.rs); here is only how to write it down.
import { database, ledgerDatabases } from "./databases.js";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, settled INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS node (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS adjusted (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;`;

const WRITES = {
  held: "INSERT OR REPLACE INTO entry VALUES (?, 0, ?)",
  settled: "UPDATE entry SET settled = 1, body = ?2 WHERE number = ?1",
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
};

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
    this.complete = false;
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

  // An object that was only asked about a key nobody issued leaves nothing behind: no table before the first write. One
  // that an older version wrote lacks the later tables until its next write.
  stored() {
    const all = (query) => [...this.sql.exec(query).raw()];
    const tables = all("SELECT name FROM sqlite_master WHERE type = 'table'").map(([name]) => name);
    this.written = tables.includes("entry");
    this.complete = tables.includes("meta");
    if (!this.written) return "{}";
    return JSON.stringify({
      ...(this.complete && {
        quarantine: all("SELECT number, body FROM quarantine"),
        adjusted: all("SELECT id, body FROM adjusted"),
        database: all("SELECT value FROM meta WHERE name = 'database'")[0]?.[0],
      }),
      nodes: all("SELECT body FROM node").map(([body]) => body),
      bases: all("SELECT id, body FROM base"),
      keys: all("SELECT body FROM key").map(([body]) => body),
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
    if (!this.complete) {
      this.sql.exec(SCHEMA);
      this.written = this.complete = true;
    }
    const one = (line) => {
      const [what, name, body] = line.split("\t");
      if (what === "drop") this.sql.exec(WRITES.drop, body);
      else this.sql.exec(WRITES[what], NUMBERED.has(what) ? Number(name) : name, body);
    };
    if (lines.length === 1) one(lines[0]);
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
    return this.step((machine) => machine.apply(Date.now(), command, this.settled(command)));
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
    return [...this.sql.exec("SELECT body FROM entry WHERE settled = 1 AND body->>'ticket' = ?", JSON.parse(command).find.ticket).raw()][0]?.[0];
  }

  // Expires holds, then empties the outbox into D1, then sets the next alarm.
  async alarm() {
    this.step((machine) => machine.expire(Date.now()));
    await this.drain();
    this.step((machine) => machine.rest(Date.now()));
  }

  async drain() {
    for (let round = 0; round < 50 && this.state().drain_due(Date.now()); round++) {
      this.step((machine) => machine.begin_drain());
      const { batch, more } = this.batch();
      try {
        await this.run(this.state().insertion(batch));
      } catch (error) {
        const takesOthers = await this.run(this.state().probe()).then(() => true, () => false);
        this.step((machine) => machine.drain_failed(Date.now(), String(error?.message ?? error), batch, takesOthers));
        continue;
      }
      this.step((machine) => machine.drained(Date.now(), batch, more));
    }
  }

  // What is to be drained next: a row that D1 refused before and the operator wants tried again, or the oldest ones.
  batch() {
    const again = this.state().retrying();
    if (again !== undefined) return { batch: again, more: false };
    const size = this.state().batch_size();
    const rows = [...this.sql.exec("SELECT number, body FROM entry WHERE settled = 1 ORDER BY number LIMIT ?", size + 1).raw()];
    const more = rows.length > size;
    if (more) rows.pop();
    return { batch: JSON.stringify(rows), more };
  }

  // One transaction in D1; `statements` is JSON: [[sql, [parameters…]], …].
  async run(statements) {
    const list = JSON.parse(statements);
    if (list.length === 0) return;
    const db = database(this.env, this.state().database());
    await db.batch(list.map(([sql, values]) => db.prepare(sql).bind(...values)));
  }
}
