// A whole gateway on this machine: the built wasm in workerd, with D1, KV and the objects kept in one directory.
// Used by `make dev` and by the tests in tests/edge.
import fs from "node:fs";
import path from "node:path";
import { Miniflare, Log, LogLevel } from "miniflare";

const ROOT = path.resolve(import.meta.dirname, "..");

/**
 * Starts the gateway and applies the migrations.
 * @param {object} options
 *   dir: where state is kept · ports: one per isolate, 0 takes a free one · vars: text bindings ·
 *   modules: further ES modules by name · main: which of them is the entry (the built one if absent) ·
 *   build: directory of the built Worker, or one for each isolate; the first isolate's has the objects ·
 *   ai: URL of a proxy for remote bindings, which the binding AI then asks
 * @returns {Promise<{mf: Miniflare, urls: string[], db: object, stop: () => Promise<void>}>}
 *   ledgers: how many D1 databases LEDGER_DB_0… hold ledgers (none: DB does)
 */
export async function startLocal({ dir, ports = [0], vars = {}, ledgers = 0, ai, modules = {}, main = "index.js", build = path.join(ROOT, "build"), migrations = path.join(ROOT, "migrations") }) {
  const bundles = new Map();
  const bundle = (from) => {
    if (!bundles.has(from)) {
      const contents = {
        "index.js": { type: "esm", contents: fs.readFileSync(path.join(from, "index.js"), "utf8") },
        "index_bg.wasm": { type: "wasm", contents: fs.readFileSync(path.join(from, "index_bg.wasm")) },
      };
      for (const [name, source] of Object.entries(modules)) contents[name] = { type: "esm", contents: source };
      bundles.set(from, contents);
    }
    return bundles.get(from);
  };
  const env = {
    DB: { type: "d1", id: "ledger" },
    KV: { type: "kv", id: "config" },
    LEDGER: { type: "durable-object", worker: "edgehold", exportName: "CustomerLedger" },
    ANSWERS: { type: "durable-object", worker: "edgehold", exportName: "AnswerRecord" },
  };
  if (ai) env.AI = { type: "ai", dev: { remote: true } };
  const ledgerNames = Array.from({ length: ledgers }, (_, i) => `LEDGER_DB_${i}`);
  for (const name of ledgerNames) env[name] = { type: "d1", id: name };
  for (const [name, value] of Object.entries(vars)) env[name] = { type: "text", value: String(value) };
  const mf = new Miniflare({
    cf: false,
    log: new Log(LogLevel.WARN),
    logRequests: false,
    resourcePersistencePath: path.join(dir, "state"),
    resourceTmpPath: path.join(dir, "run"),
    // Every worker is an isolate of its own; all share the first one's objects. The sockets are workerd's own:
    // Miniflare's front door would stand between client and gateway, and hide how streams and disconnects behave.
    workers: ports.map((port, i) => ({
      config: {
        name: i ? `edgehold-${i + 1}` : "edgehold",
        compatibilityDate: "2026-11-01",
        env,
        ...(i ? {} : { exports: { CustomerLedger: { type: "durable-object", storage: "sqlite" }, AnswerRecord: { type: "durable-object", storage: "sqlite" } } }),
        manifest: { mainModule: main, modules: bundle(Array.isArray(build) ? build[i] : build) },
      },
      dev: { ...(ai ? { remoteProxyConnectionString: new URL(ai) } : {}), unsafeDirectSockets: [{ host: "127.0.0.1", port }], unsafeRegisterWorker: false },
    })),
  });
  try {
    await mf.ready;
    const urls = await Promise.all(ports.map((_, i) => mf.unsafeGetDirectURL(i ? `edgehold-${i + 1}` : "edgehold")));
    const db = await mf.getD1Database("DB", "edgehold");
    for (const name of ["DB", ...ledgerNames]) await migrate(await mf.getD1Database(name, "edgehold"), migrations);
    return { mf, db, urls: urls.map((u) => u.href.replace(/\/$/, "")), stop: () => mf.dispose() };
  } catch (error) {
    await mf.dispose().catch(() => {});
    throw error;
  }
}

/** Applies what is not applied yet, in wrangler's own book-keeping table, so that both can work on one database. */
async function migrate(db, dir) {
  await db.prepare("CREATE TABLE IF NOT EXISTS d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)").run();
  const done = new Set((await db.prepare("SELECT name FROM d1_migrations").all()).results.map((r) => r.name));
  for (const name of fs.readdirSync(dir).filter((f) => f.endsWith(".sql")).sort()) {
    if (done.has(name)) continue;
    const text = fs.readFileSync(path.join(dir, name), "utf8").replace(/^\s*--.*$/gm, "");
    const statements = text.split(/;\s*$/m).map((s) => s.trim()).filter(Boolean);
    await db.batch([...statements.map((s) => db.prepare(s)), db.prepare("INSERT INTO d1_migrations(name) VALUES (?)").bind(name)]);
  }
}
