// What is measured: name → { argv, port, url, headers, env }. Every target listens on a port of its own.
import fs from "node:fs";
import path from "node:path";
import { bundlePortkey, PORTKEY_SERVER, portkeyHeaders } from "./portkey.mjs";
import { listening, OUT, serve, start, stop } from "./workerd.mjs";

const ROOT = path.resolve(import.meta.dirname, "..");
const ADMIN_TOKEN = "bench-admin-token";
export const MOCK_PORT = 9100;
const UPSTREAM = `http://127.0.0.1:${MOCK_PORT}/v1`;
export const GATEWAY_FILES = { js: path.join(process.env.EDGEHOLD_BUILD_DIR ?? path.join(ROOT, "build"), "index.js"), wasm: path.join(process.env.EDGEHOLD_BUILD_DIR ?? path.join(ROOT, "build"), "index_bg.wasm") };

const CONFIG = `
providers:
  bench: { kind: openai-compatible, base_url: "${UPSTREAM}", api_key: "secret://BENCH_KEY" }
routes:
  - { name: all, model: bench/gpt-4o-mini }
prices:
  bench/gpt-4o-mini: { input: 0.15, output: 0.60 }
`;

// The same requests, answered by a provider of another format.
const TRANSLATED = `
providers:
  bench: { kind: anthropic, base_url: "${UPSTREAM}", api_key: "secret://BENCH_KEY" }
routes:
  - { name: all, model: bench/claude-sonnet-4-5 }
`;

const target = (port, argv, more = {}) => ({ argv, port, url: `http://127.0.0.1:${port}/v1/chat/completions`, headers: [], env: {}, ...more });

const anchor = (mode, port) => async () => target(port, serve({
  name: `js-${mode}`, port, modules: [["anchor.js", "workers/anchor.js"]], vars: { MODE: mode, UPSTREAM: `${UPSTREAM}/chat/completions` },
}));

/** The built gateway with a configuration, a customer and a key, made through its admin API on an empty database. */
const gateway = (name, port, vars = {}, extraModules = [], config = CONFIG) => async () => {
  const dir = path.join("state", name);
  fs.rmSync(path.join(OUT, dir), { recursive: true, force: true });
  await migrate(name, port, dir);
  const argv = serve({
    name, port, dir,
    modules: [...extraModules, ["index.js", GATEWAY_FILES.js], ["./index_bg.wasm", GATEWAY_FILES.wasm]],
    vars: { ADMIN_TOKEN, BENCH_KEY: "sk-upstream", ...vars },
    objects: [["LEDGER", "CustomerLedger"], ["ANSWERS", "AnswerRecord"]],
  });
  const child = start(name, argv);
  try {
    await listening(port, child);
    const key = await makeKey(port, config);
    return target(port, argv, { headers: [`authorization: Bearer ${key}`] });
  } finally {
    await stop(child);
  }
};

async function migrate(name, port, dir) {
  const migrations = path.join(ROOT, "migrations");
  const child = start(`${name}-migrate`, serve({ name: `${name}-migrate`, port, dir, modules: [["migrate.js", "workers/migrate.js"]] }));
  try {
    await listening(port, child);
    for (const file of fs.readdirSync(migrations).filter((f) => f.endsWith(".sql")).sort()) {
      const text = fs.readFileSync(path.join(migrations, file), "utf8").replace(/^\s*--.*$/gm, "");
      const statements = text.split(/;\s*$/m).map((s) => s.trim()).filter(Boolean);
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: JSON.stringify(statements) });
      if (!answer.ok) throw new Error(`migrations/${file}: ${await answer.text()}`);
    }
  } finally {
    await stop(child);
  }
}

async function makeKey(port, config) {
  const admin = async (method, where, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}/admin/v1${where}`, {
      method, headers: { authorization: `Bearer ${ADMIN_TOKEN}` }, body: typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${where} answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  };
  await admin("PUT", "/config", config);
  const customer = await admin("POST", "/customers", { name: "bench" });
  // Limits that are checked and never reached.
  const limits = { budget_usd: { total: 1_000_000 }, rate_limit: { rpm: 100_000_000 } };
  return (await admin("POST", "/keys", { customer_id: customer.id, name: "bench", ...limits })).key;
}

export const TARGETS = {
  "js-pass": anchor("pass", 9201),
  "js-parse": anchor("parse", 9202),
  // The gateway's use of the platform in plain JS: what of its time is the platform's.
  "js-state": async () => target(9210, serve({
    name: "js-state", port: 9210, dir: path.join("state", "js-state"), objects: [["LEDGER", "Counter"]],
    modules: [["anchor.js", "workers/anchor.js"]], vars: { MODE: "state", UPSTREAM: `${UPSTREAM}/chat/completions` },
  }), { jsonOnly: true }),
  edgehold: gateway("edgehold", 9203),
  // OpenAI in, Anthropic out.
  "edgehold-translated": gateway("edgehold-translated", 9211, {}, [], TRANSLATED),
  "edgehold-no-admission": gateway("edgehold-no-admission", 9204, { EDGEHOLD_ADMISSION: "off" }),
  // Its wrangler.toml asks for this date and flag.
  "portkey-workerd": async () => target(9205, serve({
    name: "portkey-workerd", port: 9205, modules: [["portkey.js", await bundlePortkey()]], date: "2024-12-05", flags: ["nodejs_compat"],
    vars: { ENVIRONMENT: "dev", CUSTOM_HEADERS_TO_IGNORE: "[]" },
  }), { headers: portkeyHeaders(UPSTREAM) }),
  "portkey-node": async () => target(9206, ["node", PORTKEY_SERVER, "--port=9206", "--headless"], {
    headers: portkeyHeaders(UPSTREAM), env: { NODE_ENV: "production" },
  }),
};

/** Measured only when `--only` names them. */
export const MORE_TARGETS = { "js-meter": anchor("meter", 9207), "js-loop": anchor("loop", 9208) };

/** The gateway once more, with counters at its boundaries. */
export const countingGateway = gateway("edgehold-counting", 9209, {}, [
  ["counting.js", "workers/counting.js"], ["./tally.js", "workers/tally.js"],
]);
