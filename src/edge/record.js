// The Durable Object of one idempotency key: the bytes of an answer in memory while it comes, on disk when it is over.
// Whose the call is, what is kept and for how long is decided in Rust (src/idempotency/record.rs).

/** Row 0 is the call, as Rust wrote it; the others are the answer's bytes in order. */
const SCHEMA = "CREATE TABLE record (number INTEGER PRIMARY KEY, body NOT NULL)";
/** A value of the database holds 2 MB at most. */
const PART_BYTES = 1 << 20;
/** Whoever waits is answered after this at the latest, and asks again. */
const WAIT_MS = 10_000;
const EMPTY = new Uint8Array(0);

export class Answer {
  constructor(ctx, current) {
    this.storage = ctx.storage;
    this.sql = ctx.storage.sql;
    this.current = current;
    this.machine = null;
    this.epoch = -1;
    this.parts = [];
    this.written = false;
    this.waiting = new Set();
  }

  // The state machine of this wasm instance; loaded anew after an eviction, a wasm reset, or a write that failed.
  state() {
    const { core, epoch } = this.current();
    if (this.machine === null || this.epoch !== epoch) {
      const all = (query) => [...this.sql.exec(query).raw()];
      // No table before the first claim, and none after what was stored has gone.
      this.written = all("SELECT 1 FROM sqlite_master WHERE name = 'record'").length > 0;
      const [call = [], ...parts] = this.written ? all("SELECT body FROM record ORDER BY number") : [];
      this.machine = new core.RecordCore(call[0], Date.now());
      this.epoch = epoch;
      this.parts = parts.map(([bytes]) => new Uint8Array(bytes));
    }
    return this.machine;
  }

  step(run) {
    try {
      return run(this.state());
    } catch (error) {
      // What is in memory may be ahead of what is stored.
      this.machine = null;
      this.current(error);
      throw error;
    }
  }

  write(what, body) {
    if (what === "clear") return void this.clear();
    // All of an answer or nothing of it.
    this.storage.transactionSync(() => {
      if (!this.written) this.sql.exec(SCHEMA);
      else this.sql.exec("DELETE FROM record");
      this.sql.exec("INSERT INTO record VALUES (0, ?)", body);
      const whole = what === "keep" ? this.from(0) : EMPTY;
      for (let at = 0; at < whole.length; at += PART_BYTES) this.sql.exec("INSERT INTO record VALUES (?, ?)", at + 1, whole.slice(at, at + PART_BYTES).buffer);
    });
    this.written = true;
    if (what === "claim") this.storage.setAlarm(this.machine.expires_at());
  }

  clear() {
    this.written = false;
    return this.storage.deleteAll();
  }

  from(start) {
    const tail = [];
    let size = this.parts.reduce((sum, part) => sum + part.length, 0);
    const whole = new Uint8Array(Math.max(0, size - start));
    for (let i = this.parts.length - 1; i >= 0 && size > start; i--) {
      const part = this.parts[i];
      size -= part.length;
      const skip = Math.max(0, start - size);
      tail.push([skip > 0 ? part.subarray(skip) : part, Math.max(0, size - start)]);
    }
    for (const [part, at] of tail) whole.set(part, at);
    return whole;
  }

  // Until something is told, or the owner's lease is over.
  change(until) {
    const lease = this.step((machine) => machine.lease_left_ms(Date.now()));
    const ms = Math.max(1, Math.min(until - Date.now(), lease));
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.waiting.add(wake);
    });
  }

  wake() {
    for (const wake of [...this.waiting]) wake();
  }

  async claim(claim) {
    const until = Date.now() + WAIT_MS;
    for (let waited; ; ) {
      const [reply] = this.step((machine) => {
        const lines = machine.claim(Date.now(), claim, waited).split("\n");
        if (lines[2] !== "") {
          this.parts = [];
          this.write(lines[2], lines[3]);
        }
        return lines;
      });
      const { wait, answer } = reply.startsWith("{") ? JSON.parse(reply) : {};
      if (answer !== undefined) return { reply, head: this.machine.head(), ...this.progress(answer.of, 0) };
      if (wait === undefined || Date.now() >= until) return { reply };
      waited = wait.of;
      await this.change(until);
    }
  }

  put(message, bytes) {
    const reply = this.step((machine) => {
      const [reply, skip, what, body] = machine.put(Date.now(), message, bytes.length, this.waiting.size > 0).split("\n");
      if (Number(skip) < bytes.length) this.parts.push(bytes.subarray(Number(skip)));
      if (what !== "") this.write(what, body);
      return reply;
    });
    this.wake();
    return reply;
  }

  progress(of, from) {
    const state = this.step((machine) => machine.read(Date.now(), JSON.stringify({ of, from })));
    return { of, state, bytes: state === "wait" ? EMPTY : this.from(from) };
  }

  async read(of, from) {
    const until = Date.now() + WAIT_MS;
    for (;;) {
      const found = this.progress(of, from);
      if (found.state !== "wait" || Date.now() >= until) return found;
      await this.change(until);
    }
  }

  alarm() {
    const next = this.step((machine) => machine.expire(Date.now()));
    if (next > 0) return this.storage.setAlarm(next);
    this.parts = [];
    return this.clear();
  }
}
