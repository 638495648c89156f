// The entry module of the tests: the built gateway behind an `env` whose D1 can be made to fail.
// Control paths start with /__rig; everything else goes to the gateway untouched.
import { counts, memoryBytes, resetCounts, trapNext } from "./crossings.js";
import { DurableObject } from "cloudflare:workers";
import * as built from "./index.js";

const { default: gateway, CustomerLedger: Built } = built;
// A former version, in tests of two side by side, has no records.
const BuiltRecord = built.AnswerRecord ?? DurableObject;

// ok · fail (rejects) · lost (does the work, then rejects: the answer was lost, the write was not) · slow:MS ·
// reject:TEXT (refuses what has a parameter that holds TEXT, as a constraint would)
let mode = "ok";
let failures = 0;

async function through(work, values = []) {
  const now = mode;
  if (now.startsWith("slow:")) await new Promise((done) => setTimeout(done, Number(now.slice(5))));
  const lost = () => { failures += 1; return new Error("D1_ERROR: Network connection lost."); };
  if (now === "fail") throw lost();
  if (now.startsWith("reject:") && values.some((value) => String(value).includes(now.slice(7)))) {
    failures += 1;
    throw new Error("D1_ERROR: CHECK constraint failed: SQLITE_CONSTRAINT");
  }
  const result = await work();
  if (now === "lost") throw lost();
  return result;
}

class D1PreparedStatement {
  constructor(inner, values = []) { this.inner = inner; this.values = values; }
  bind(...values) { return new D1PreparedStatement(this.inner.bind(...values), values); }
  first(...a) { return through(() => this.inner.first(...a), this.values); }
  run(...a) { return through(() => this.inner.run(...a), this.values); }
  all(...a) { return through(() => this.inner.all(...a), this.values); }
  raw(...a) { return through(() => this.inner.raw(...a), this.values); }
}

// Fails when a statement runs, never in `prepare`: that is where D1 itself fails.
class D1Database {
  constructor(inner) { this.inner = inner; }
  prepare(sql) { return new D1PreparedStatement(this.inner.prepare(sql)); }
  batch(list) { return through(() => this.inner.batch(list.map((s) => s.inner)), list.flatMap((s) => s.values)); }
  exec(sql) { return through(() => this.inner.exec(sql)); }
  withSession() { return this; }
}

// Which isolate this is, and what it did: a proof of several isolates needs several, and one object.
const isolate = { id: null, served: 0, objects: 0 };
// Records hear nothing more from this isolate, as if it had died in the middle of its calls.
let silent = false;
function records(inner) {
  return {
    idFromName: (name) => inner.idFromName(name),
    get(id) {
      const stub = inner.get(id);
      return { claim: (text) => stub.claim(text), read: (of, from) => stub.read(of, from), put: (text, bytes) => (silent ? scheduler.wait(20_000) : stub.put(text, bytes)) };
    },
  };
}

const wrapped = new WeakMap();
function wrap(env) {
  if (!wrapped.has(env)) {
    const databases = Object.entries(env).filter(([name]) => name === "DB" || name.startsWith("LEDGER_DB_"));
    wrapped.set(env, { ...env, ...Object.fromEntries(databases.map(([name, inner]) => [name, new D1Database(inner)])), ANSWERS: records(env.ANSWERS) });
  }
  return wrapped.get(env);
}

// What Workers and objects said to one another, once somebody wants to know.
let wire = null;

export class CustomerLedger extends Built {
  constructor(ctx, env) {
    super(ctx, wrap(env));
    this.rigCtx = ctx;
    isolate.objects += 1;
  }
  async apply(command) {
    const reply = await super.apply(command);
    wire?.push({ at_ms: Date.now(), command, reply });
    return reply;
  }
  async applyAll(commands) {
    const replies = await super.applyAll(commands);
    commands.forEach((command, i) => wire?.push({ at_ms: Date.now(), command, reply: replies[i] }));
    return replies;
  }
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/__rig/abort") this.rigCtx.abort("aborted by the test rig");
    if (pathname === "/__rig/stored") {
      const all = (table) => [...this.rigCtx.storage.sql.exec(`SELECT * FROM ${table}`)];
      const tables = all("sqlite_master").filter((t) => t.type === "table" && !/^(_|sqlite_)/.test(t.name));
      return Response.json(Object.fromEntries(tables.map((t) => [t.name, all(t.name)])));
    }
    return super.fetch(request);
  }
}

export class AnswerRecord extends BuiltRecord {
  constructor(ctx, env) {
    super(ctx, env);
    this.rigCtx = ctx;
  }
  fetch() { this.rigCtx.abort("aborted by the test rig"); }
}

export default {
  ...gateway,
  scheduled(event, env, ctx) { return gateway.scheduled(event, wrap(env), ctx); },
  async fetch(request, env, ctx) {
    const at = request.url.indexOf("/__rig/");
    if (at < 0) {
      isolate.served += 1;
      return gateway.fetch(request, wrap(env), ctx);
    }
    const [verb, value] = request.url.slice(at + 7).split("/");
    if (verb === "d1") mode = decodeURIComponent(value);
    if (verb === "d1-failures") return Response.json(failures);
    if (verb === "crossings") return Response.json(counts());
    if (verb === "memory") return Response.json(memoryBytes());
    if (verb === "reset-crossings") resetCounts();
    if (verb === "trap") trapNext(value);
    if (verb === "wire") {
      const said = wire ?? [];
      wire = [];
      return Response.json(said);
    }
    if (verb === "stored") return env.LEDGER.get(env.LEDGER.idFromString(value)).fetch("https://object/__rig/stored");
    if (verb === "isolate") {
      isolate.id ??= crypto.randomUUID();
      return Response.json(isolate);
    }
    if (verb === "silent") silent = value === "on";
    if (verb === "abort") {
      const stub = env.LEDGER.get(env.LEDGER.idFromString(value));
      await stub.fetch("https://object/__rig/abort").catch(() => {});
    }
    if (verb === "abort-record") {
      await env.ANSWERS.get(env.ANSWERS.idFromString(value)).fetch("https://object/__rig/abort").catch(() => {});
    }
    return new Response("ok");
  },
};
