// The entry module of the tests: the built gateway behind an `env` whose D1 can be made to fail.
// Control paths start with /__rig; everything else goes to the gateway untouched.
import { counts, resetCounts, trapNext } from "./crossings.js";
import gateway, { CustomerLedger as Built } from "./index.js";

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

const wrapped = new WeakMap();
function wrap(env) {
  if (!wrapped.has(env)) {
    const databases = Object.entries(env).filter(([name]) => name === "DB" || name.startsWith("LEDGER_DB_"));
    wrapped.set(env, { ...env, ...Object.fromEntries(databases.map(([name, inner]) => [name, new D1Database(inner)])) });
  }
  return wrapped.get(env);
}

export class CustomerLedger extends Built {
  constructor(ctx, env) {
    super(ctx, wrap(env));
    this.rigCtx = ctx;
  }
  fetch(request) {
    if (new URL(request.url).pathname === "/__rig/abort") this.rigCtx.abort("aborted by the test rig");
    return super.fetch(request);
  }
}

export default {
  ...gateway,
  scheduled(event, env, ctx) { return gateway.scheduled(event, wrap(env), ctx); },
  async fetch(request, env, ctx) {
    const at = request.url.indexOf("/__rig/");
    if (at < 0) return gateway.fetch(request, wrap(env), ctx);
    const [verb, value] = request.url.slice(at + 7).split("/");
    if (verb === "d1") mode = decodeURIComponent(value);
    if (verb === "d1-failures") return Response.json(failures);
    if (verb === "crossings") return Response.json(counts());
    if (verb === "reset-crossings") resetCounts();
    if (verb === "trap") trapNext(value);
    if (verb === "abort") {
      const stub = env.LEDGER.get(env.LEDGER.idFromString(value));
      await stub.fetch("https://object/__rig/abort").catch(() => {});
    }
    return new Response("ok");
  },
};
