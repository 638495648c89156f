// The Durable Object around the Rust state machine: loads rows, applies, writes rows, without an await between.
// When, what and why are decided in Rust (src/admit/ledger.rs, src/edge/object.rs); here is only how to write it down.

const SCHEMA = `
CREATE TABLE IF NOT EXISTS entry (ticket TEXT PRIMARY KEY, settled INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;`;

const WRITES = {
  entry: ["INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (w) => [w.ticket, w.settled ? 1 : 0, w.body]],
  drop_entry: ["DELETE FROM entry WHERE ticket = ?", (w) => [w.ticket]],
  node: ["INSERT OR REPLACE INTO node VALUES (?, ?)", (w) => [w.id, w.body]],
  base: ["INSERT OR REPLACE INTO base VALUES (?, ?)", (w) => [w.id, w.body]],
  key: ["INSERT OR REPLACE INTO key VALUES (?, ?)", (w) => [w.digest, w.body]],
};

export class Ledger {
  constructor(ctx, env, current) {
    this.storage = ctx.storage;
    this.sql = ctx.storage.sql;
    this.env = env;
    this.current = current;
    this.machine = null;
    this.epoch = -1;
    this.written = false;
  }

  // The state machine of this wasm instance; loaded anew after an eviction, a wasm reset, or a write that failed.
  state() {
    const { core, epoch } = this.current();
    if (this.machine === null || this.epoch !== epoch) {
      this.machine = new core.ObjectCore(this.stored(), Date.now());
      this.epoch = epoch;
    }
    return this.machine;
  }

  // An object that was only asked about a key nobody issued leaves nothing behind: no table before the first write.
  stored() {
    const all = (query) => [...this.sql.exec(query).raw()];
    this.written = all("SELECT 1 FROM sqlite_master WHERE name = 'entry'").length > 0;
    if (!this.written) return "{}";
    return JSON.stringify({
      nodes: all("SELECT body FROM node").map(([body]) => body),
      bases: all("SELECT id, body FROM base"),
      keys: all("SELECT body FROM key").map(([body]) => body),
      entries: all("SELECT ticket, settled, body FROM entry").map(([t, settled, body]) => [t, settled === 1, body]),
    });
  }

  // Runs a step of the machine and makes durable what it says, all or nothing. `effect` is "reply\nalarm\nwrites".
  step(run) {
    let effect;
    try {
      const machine = this.state();
      effect = run(machine);
      const reply = effect.slice(0, effect.indexOf("\n"));
      const rest = effect.slice(reply.length + 1);
      const alarm = rest.slice(0, rest.indexOf("\n"));
      const writes = rest.slice(alarm.length + 1);
      if (writes !== "") this.write(JSON.parse(writes));
      if (alarm !== "") this.storage.setAlarm(Number(alarm));
      return reply;
    } catch (error) {
      // What is in memory may be ahead of what is stored.
      this.machine = null;
      this.current(error);
      throw error;
    }
  }

  write(writes) {
    if (!this.written) {
      this.sql.exec(SCHEMA);
      this.written = true;
    }
    const one = (w) => {
      const [query, values] = WRITES[w.write];
      this.sql.exec(query, ...values(w));
    };
    if (writes.length === 1) one(writes[0]);
    else this.storage.transactionSync(() => writes.forEach(one));
  }

  apply(command) {
    return this.step((machine) => machine.apply(Date.now(), command, this.settled(command)));
  }

  // A request that is settled but not yet drained is known to storage alone.
  settled(command) {
    if (!command.startsWith('{"op":"find"') || !this.written) return undefined;
    return [...this.sql.exec("SELECT body FROM entry WHERE ticket = ?", JSON.parse(command).ticket).raw()][0]?.[0];
  }

  // Expires holds, then empties the outbox into D1, then sets the next alarm.
  async alarm() {
    this.step((machine) => machine.expire(Date.now()));
    await this.drain();
    this.step((machine) => machine.rest(Date.now()));
  }

  async drain() {
    for (let round = 0; round < 50 && this.state().drain_due(Date.now()); round++) {
      const size = this.state().batch_size();
      const rows = [...this.sql.exec("SELECT ticket, body FROM entry WHERE settled = 1 ORDER BY ticket LIMIT ?", size + 1).raw()];
      const more = rows.length > size;
      if (more) rows.pop();
      const batch = JSON.stringify(rows);
      try {
        const insert = this.state().insertion(batch);
        if (insert !== "") await this.env.DB.prepare(this.state().insert_statement()).bind(insert).run();
      } catch (error) {
        this.step((machine) => machine.drain_failed(Date.now(), String(error?.message ?? error)));
        return;
      }
      this.step((machine) => machine.drained(Date.now(), batch, more));
    }
  }
}
