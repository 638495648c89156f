// The built gateway in real workerd, with what a test needs around it: D1 that can be broken, objects that can be
// evicted, a process that can be killed and started again on the same disk.
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const BUILD = process.env.EDGEHOLD_BUILD_DIR ?? path.resolve(import.meta.dirname, "../../build");
export { sleep };

/** Polls until `check` gives something truthy. For what has no event to wait for; says what it waited for. */
export async function waitFor(what, check, { timeout_ms = 15_000, every_ms = 50 } = {}) {
  const end = Date.now() + timeout_ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeout_ms} ms in vain for ${what}`);
    await sleep(every_ms);
  }
}

/** An admin answer that was not 2xx. */
export class AdminError extends Error {
  constructor(status, body) {
    super(`admin answered ${status}: ${JSON.stringify(body)}`);
    Object.assign(this, { status, body });
  }
}

/**
 * Starts a gateway. Options: isolates (1), vars, crossings (count them), graceMs (hold grace), build (another build's
 * directory, or one for each isolate), migrations, ledgers (D1 databases besides DB), ai (a fake of Workers AI: its URL).
 */
export async function startGateway(options = {}) {
  const gateway = new Gateway(options);
  await gateway.start();
  return gateway;
}

class Gateway {
  constructor({ isolates = 1, vars = {}, crossings = false, graceMs, ledgers = 0, ai, build = BUILD, migrations = process.env.EDGEHOLD_MIGRATIONS }) {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "edgehold-test-"));
    this.adminToken = `admin-${randomBytes(12).toString("hex")}`;
    this.logFile = path.join(this.dir, "log");
    this.options = {
      dir: this.dir,
      build,
      ...(migrations ? { migrations } : {}),
      ports: Array(isolates).fill(0),
      crossings,
      ledgers,
      ai,
      vars: { ADMIN_TOKEN: this.adminToken, EDGEHOLD_LEASE_MS: 2_000, UP_KEY: "sk-up-secret", UP2_KEY: "sk-up2-secret", ...(graceMs ? { EDGEHOLD_HOLD_GRACE_MS: graceMs } : {}), ...vars },
    };
    this.waiting = new Map();
  }

  get url() { return this.urls[0]; }

  async start() {
    const log = fs.openSync(this.logFile, "a");
    this.host = fork(path.join(import.meta.dirname, "host.mjs"), [JSON.stringify(this.options)], { detached: true, stdio: ["ignore", log, log, "ipc"] });
    fs.closeSync(log);
    await new Promise((resolve, reject) => {
      this.host.once("exit", (code) => reject(new Error(`the gateway did not start (exit ${code}):\n${this.log()}`)));
      this.host.on("message", (m) => {
        if (m.ready) return resolve();
        const { resolve: done, reject: fail } = this.waiting.get(m.id) ?? {};
        this.waiting.delete(m.id);
        m.error ? fail?.(new Error(m.error)) : done?.(m.value);
      });
    });
    this.urls = await this.#host("urls");
    // The kept ports make a restart invisible to clients.
    this.options.ports = this.urls.map((u) => Number(new URL(u).port));
  }

  #host(verb, args) {
    const id = randomBytes(6).toString("hex");
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.host.send({ id, verb, args });
    });
  }

  /** kill -9 of workerd and its owner. Nothing in them gets to run again. */
  async kill() {
    const gone = new Promise((done) => this.host.once("exit", done));
    process.kill(-this.host.pid, "SIGKILL");
    await gone;
    for (const { reject } of this.waiting.values()) reject(new Error("gateway killed"));
    this.waiting.clear();
  }

  async stop() {
    const gone = new Promise((done) => this.host.once("exit", done));
    this.#host("stop").catch(() => {});
    await Promise.race([gone, sleep(5_000, null, { ref: false })]);
    if (this.host.exitCode === null && this.host.signalCode === null) await this.kill();
    if (!process.env.KEEP_STATE) fs.rmSync(this.dir, { recursive: true, force: true });
  }

  /** Everything workerd and Miniflare printed. */
  log() { return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, "utf8") : ""; }

  /** Lines that only a wasm panic or reset writes. */
  panics() {
    return this.log().split("\n").filter((l) => /panicked at|RuntimeError|unreachable executed|previous Wasm instance|BorrowMutError|memory access out of bounds/i.test(l));
  }

  /** Rows of a query against the real D1, also while the gateway's view of it is broken. */
  sql(text, ...values) { return this.sqlIn("DB", text, ...values); }

  /** The same, against the database of a binding. */
  sqlIn(database, text, ...values) { return this.#host("sql", { database, text, values }); }

  /** Runs the scheduled handler, as the cron trigger does, and waits for its end. */
  scheduled() { return this.#host("scheduled"); }

  /** ok · fail · lost · slow:MS · reject:TEXT, in every isolate. */
  async d1(mode) { for (const url of this.urls) await fetch(`${url}/__rig/d1/${encodeURIComponent(mode)}`); }

  /** How many statements failed by order of `d1`, in the isolate of the objects. */
  async d1Failures() { return (await fetch(`${this.url}/__rig/d1-failures`)).json(); }

  /** Drops the objects from memory, as an idle eviction does. */
  async evict() {
    for (const id of await this.#host("objects")) {
      // One that is not in memory needs no eviction.
      await this.#host("evict", { id }).catch((error) => { if (!/not currently running/.test(error.message)) throw error; });
    }
  }

  /** Breaks the objects off, as a crash of theirs does: requests under way in them fail. */
  async abortObjects() { for (const id of await this.#host("objects")) await fetch(`${this.url}/__rig/abort/${id}`); }

  /** Of each isolate: {id, served: client requests, objects: Durable Objects constructed in it}. */
  isolates() { return Promise.all(this.urls.map(async (url) => (await fetch(`${url}/__rig/isolate`)).json())); }

  /** What was said between Workers and objects since the last call: [{at_ms, command, reply}], JSON texts. */
  async wire() { return (await fetch(`${this.url}/__rig/wire`)).json(); }

  /** The tables of the only object, row by row. */
  async stored() {
    const ids = await this.#host("objects");
    if (ids.length !== 1) throw new Error(`there are ${ids.length} objects`);
    return (await fetch(`${this.url}/__rig/stored/${ids[0]}`)).json();
  }

  /** Every KV entry: {key: text}. */
  kvAll() { return this.#host("kvAll"); }

  /** Breaks the records of idempotency keys off, likewise. */
  async abortRecords() { for (const id of await this.#host("records")) await fetch(`${this.url}/__rig/abort-record/${id}`); }

  /** Whether an isolate no longer tells the records of idempotency keys anything, as if it had died. */
  async silent(isolate, on) { await fetch(`${this.urls[isolate]}/__rig/silent/${on ? "on" : "off"}`); }

  /** The records of idempotency keys that there are. */
  records() { return this.#host("records"); }

  kvKeys() { return this.#host("kv"); }
  async crossings(isolate = 0) { return (await fetch(`${this.urls[isolate]}/__rig/crossings`)).json(); }
  /** Bytes of wasm memory, with the option `crossings`. */
  async memory(isolate = 0) { return (await fetch(`${this.urls[isolate]}/__rig/memory`)).json(); }
  async resetCrossings(isolate = 0) { await fetch(`${this.urls[isolate]}/__rig/reset-crossings`); }

  /** One admin call; whatever the status. */
  async adminRaw(method, where, body, { token = this.adminToken, headers = {} } = {}) {
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const r = await fetch(`${this.url}/admin/v1${where}`, { method, body: text, headers: { authorization: `Bearer ${token}`, ...(text ? { "content-type": "application/json" } : {}), ...headers } });
    const raw = await r.text();
    let parsed = null;
    try { parsed = raw ? JSON.parse(raw) : null; } catch { /* judged by the caller */ }
    return { status: r.status, body: parsed, raw, headers: r.headers };
  }

  async admin(method, where, body) {
    const r = await this.adminRaw(method, where, body);
    if (r.status >= 300) throw new AdminError(r.status, r.body ?? r.raw);
    return r.body;
  }

  putConfig(config) { return this.admin("PUT", "/config", config); }

  /** A customer with a key (and a team if asked for): {customer, team, key, secret}. */
  async tenant({ customer = {}, team, key = {} } = {}) {
    const c = await this.admin("POST", "/customers", { name: `c-${randomBytes(4).toString("hex")}`, ...customer });
    const t = team && (await this.admin("POST", "/teams", { customer_id: c.id, name: "team", ...team }));
    const k = await this.admin("POST", "/keys", { customer_id: c.id, ...(t ? { team_id: t.id } : {}), ...key });
    return { customer: c, team: t, key: k, secret: k.key };
  }

  /** One chat call with fetch; the answer is the Response itself. */
  chat(secret, body, { headers = {}, isolate = 0, signal } = {}) {
    return fetch(`${this.urls[isolate]}/v1/chat/completions`, {
      method: "POST",
      signal,
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", ...headers },
      body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify({ messages: [{ role: "user", content: "hello" }], ...body }),
    });
  }

  async keyStatus(secret) {
    return (await fetch(`${this.url}/v1/key`, { headers: { authorization: `Bearer ${secret}` } })).json();
  }

  /** The customer's object's own view. */
  ledger(customer) { return this.admin("GET", `/customers/${customer.id}/ledger`); }

  /** Ledger rows of a request once D1 has at least `n` of them, in order of attempt. */
  rows(requestId, n = 1, options) {
    return waitFor(`${n} ledger row(s) of ${requestId}`, async () => {
      const rows = await this.sql("SELECT * FROM ledger WHERE request_id = ? ORDER BY attempt", requestId);
      return rows.length >= n && rows;
    }, options);
  }

  /** All rows of a customer, once its object holds nothing and has handed over everything. */
  async settledRows(customer, options) {
    await waitFor("the object to settle and drain", async () => {
      const l = await this.ledger(customer);
      return l.held === 0 && l.outbox === 0 && l.leases === 0;
    }, options);
    return this.sql("SELECT * FROM ledger WHERE customer_id = ? ORDER BY at_ms, request_id, attempt", customer.id);
  }
}

/** A configuration with providers up1 (and up2) on the fake upstreams, every model priced alike, and one route. */
export function config(upstreams, { route = {}, routes, models = ["gpt-4o-mini"], extra = {} } = {}) {
  const names = Object.keys(upstreams);
  const prices = {};
  for (const name of names) for (const model of models) prices[`${name}/${model}`] = { ...PRICE };
  return {
    providers: Object.fromEntries(names.map((name, i) => [name, { kind: "openai-compatible", base_url: `${upstreams[name]}/v1`, api_key: `secret://${i ? "UP2_KEY" : "UP_KEY"}` }])),
    prices,
    // The last route has no model: it serves what the caller names, and a name that nobody knows is a 404.
    routes: routes ?? [{ name: "main", model: `${names[0]}/${models[0]}`, ...route }, ...(route.match ? [{ name: "rest" }] : [])],
    ...extra,
  };
}

/** Dollars per million tokens, and what that is in nano-dollars per token. */
export const PRICE = { input: 0.15, cached_input: 0.075, output: 0.6 };
export const NANO = { input: 150, cached: 75, output: 600 };

/** What `usage` costs at PRICE, in nano-dollars. */
export function cost(usage) {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return (usage.prompt_tokens - cached) * NANO.input + cached * NANO.cached + usage.completion_tokens * NANO.output;
}

/** Short time-outs, so that a test of one takes a second. */
export const SHORT = { headers: "1500ms", first_token: "1s", idle: "1s", total: "8s" };

/** SSE events of a text, as `data` strings. */
export function sseData(text) {
  return text.split(/\r?\n\r?\n/).filter((e) => e.startsWith("data:")).map((e) => e.slice(5).trim());
}
