// The PyPI package litellm[proxy] as the thing under proof: the same provider, prices, budget and load.
//
// It is set up as its documentation says: virtual keys in PostgreSQL, `max_budget` on the key. PostgreSQL is an empty one of
// this run's own (postgres.mjs), or that of DATABASE_URL. Prisma's engine, through which it talks to it, is the WebAssembly
// build from npm (prisma.mjs), or the binary that PRISMA_QUERY_ENGINE_BINARY names. Without a database it has no virtual keys.
//
// Settings, each given as --litellm NAME: strict (`fail_closed_budget_enforcement`), workers=N, redis (shared counters, which
// it asks for with several workers; REDIS_SERVER names a redis-server that is not on the PATH). LITELLM_PYTHON: a Python
// of a virtual environment that has the package. PROOF_LOG: where to leave its log.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startPostgres } from "./postgres.mjs";
import { install, migrate, VERSION as PRISMA } from "./prisma.mjs";
import { MODEL, NANO } from "./provider.mjs";

export const VERSION = "1.106.2";
const ROOT = path.resolve(import.meta.dirname, "../..");
const MASTER = "sk-proof-master";

/** A Python with the pinned package: LITELLM_PYTHON, or a virtual environment made once under .tools. */
function python() {
  if (process.env.LITELLM_PYTHON) return process.env.LITELLM_PYTHON;
  const dir = path.join(ROOT, ".tools", `litellm-${VERSION}`);
  const own = path.join(dir, "bin/python");
  if (!fs.existsSync(path.join(dir, "installed"))) {
    console.log(`installing litellm[proxy] ${VERSION} into .tools`);
    execFileSync("python3", ["-m", "venv", dir], { stdio: "inherit" });
    execFileSync(own, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", `litellm[proxy]==${VERSION}`, "prisma==0.15.0"], { stdio: "inherit" });
    fs.writeFileSync(path.join(dir, "installed"), "");
  }
  return own;
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** @param {{provider: object, limit_nanousd: number, settings: string[]}} options */
export async function startLitellm({ provider, limit_nanousd, settings }) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "proof-litellm-"));
  const children = [];
  const stop = () => {
    for (const child of children) {
      try { process.kill(-child.pid, "SIGKILL"); } catch { /* gone already */ }
    }
    fs.rmSync(dir, { recursive: true, force: true });
  };
  const keepLog = () => {
    const log = path.join(dir, "litellm.log");
    if (process.env.PROOF_LOG && fs.existsSync(log)) fs.copyFileSync(log, process.env.PROOF_LOG);
  };
  // Its processes are in groups of their own; nobody else would end them.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => { stop(); process.exit(1); });
  try {
    const bin = python();
    const tools = path.join(path.dirname(path.dirname(bin)), `prisma-${PRISMA}`);
    install(tools);
    const where = (name) => execFileSync(bin, ["-c", `import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('${name}').origin))`]).toString().trim();
    const workers = Number(settings.find((s) => s.startsWith("workers="))?.slice(8) ?? 1);
    const start = (name, command, args, { env = {}, ...options } = {}) => {
      const log = fs.openSync(path.join(dir, `${name}.log`), "a");
      children.push(spawn(command, args, { cwd: dir, detached: true, stdio: ["ignore", log, log], env: { ...process.env, ...env }, ...options }));
    };
    fs.chmodSync(dir, 0o755); // PostgreSQL may be another user
    const database = process.env.DATABASE_URL
      ? { url: process.env.DATABASE_URL, version: "PostgreSQL of DATABASE_URL" }
      : startPostgres({ folder: path.join(dir, "postgres"), port: await freePort(), start });
    const engine = process.env.PRISMA_QUERY_ENGINE_BINARY ?? path.join(dir, "query-engine");
    if (!process.env.PRISMA_QUERY_ENGINE_BINARY) fs.writeFileSync(engine, `#!/bin/sh\nexec "${process.execPath}" "${path.join(import.meta.dirname, "prisma.mjs")}" "${tools}" "$@"\n`, { mode: 0o755 });
    const env = {
      PATH: `${path.dirname(bin)}:${process.env.PATH}`, DATABASE_URL: database.url,
      PRISMA_QUERY_ENGINE_BINARY: engine, PRISMA_BINARY_CACHE_DIR: tools,
      // It makes and compares tables, for which the SQL that litellm ships is run instead; the command wants the file to be there.
      PRISMA_SCHEMA_ENGINE_BINARY: process.env.PRISMA_SCHEMA_ENGINE_BINARY ?? engine, DISABLE_SCHEMA_UPDATE: "true",
    };
    const redis = settings.includes("redis") ? await freePort() : null;
    if (redis) start("redis", process.env.REDIS_SERVER ?? "redis-server", ["--port", String(redis), "--bind", "127.0.0.1", "--save", ""]);
    const entry = (name, base) => ({
      model_name: name,
      litellm_params: { model: `openai/${MODEL}`, api_base: base, api_key: "sk-none", timeout: 8, stream_timeout: 5, max_retries: 0 },
      model_info: { input_cost_per_token: NANO.input / 1e9, cache_read_input_token_cost: NANO.cached / 1e9, output_cost_per_token: NANO.output / 1e9, max_output_tokens: 16_384 },
    });
    const config = {
      model_list: [entry(MODEL, provider.urls.first), entry(`${MODEL}-second`, provider.urls.second)],
      router_settings: { num_retries: 1, fallbacks: [{ [MODEL]: [`${MODEL}-second`] }], disable_cooldowns: true },
      litellm_settings: {
        drop_params: true,
        // Redis for the counters alone: `cache` would also answer from it.
        ...(redis ? { cache: true, cache_params: { type: "redis", host: "127.0.0.1", port: redis, supported_call_types: [] } } : {}),
      },
      general_settings: {
        master_key: MASTER, database_url: database.url,
        ...(settings.includes("strict") ? { fail_closed_budget_enforcement: true } : {}),
      },
    };
    fs.writeFileSync(path.join(dir, "config.yaml"), JSON.stringify(config, null, 1)); // JSON is YAML
    const port = await freePort();
    // The engine's binary is one for this machine; the package's own schema lists five to be fetched.
    const schema = fs.readFileSync(path.join(where("litellm"), "proxy/schema.prisma"), "utf8").replace(/binaryTargets = .*/, "binaryTargets = [\"native\"]");
    fs.writeFileSync(path.join(dir, "schema.prisma"), schema);
    try {
      execFileSync(path.join(path.dirname(bin), "prisma"), ["generate", "--schema", "schema.prisma"], { cwd: dir, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] });
    } catch (error) {
      throw new Error(`Prisma's client could not be made, without which litellm has no database: ${String(error.stderr).trim()}`);
    }
    for (let tries = 0; ; tries += 1) {
      try {
        await migrate(tools, database.url, path.join(where("litellm_proxy_extras"), "migrations"));
        break;
      } catch (error) {
        if (tries > 40 || !/ECONNREFUSED|starting up/.test(`${error.code} ${error.message}`)) throw error;
        await sleep(250);
      }
    }
    start("litellm", path.join(path.dirname(bin), "litellm"), ["--config", "config.yaml", "--host", "127.0.0.1", "--port", String(port), "--num_workers", String(workers), "--telemetry", "False"], {
      env: { ...env, LITELLM_LOCAL_MODEL_COST_MAP: "True", LITELLM_MODE: "PRODUCTION", LITELLM_LOG: "ERROR" },
    });
    const url = `http://127.0.0.1:${port}`;
    for (let tries = 0; ; tries += 1) {
      const up = await fetch(`${url}/health/liveliness`).then((r) => r.ok, () => false);
      if (up) break;
      if (tries > 240 || children.some((child) => child.exitCode !== null)) throw new Error(`litellm did not start within two minutes:\n${fs.readFileSync(path.join(dir, "litellm.log"), "utf8").slice(-4_000)}`);
      await sleep(500);
    }
    // All workers, not only the first to be ready.
    await sleep(workers > 1 ? 8_000 : 1_000);
    const admin = async (to, body) => {
      const response = await fetch(`${url}${to}`, { method: body ? "POST" : "GET", body: body && JSON.stringify(body), headers: { authorization: `Bearer ${MASTER}`, "content-type": "application/json" } });
      if (!response.ok) throw new Error(`litellm says ${response.status} to ${to}: ${await response.text()}`);
      return response.json();
    };
    const { key } = await admin("/key/generate", { max_budget: limit_nanousd / 1e9, models: [MODEL, `${MODEL}-second`] });
    const versions = execFileSync(bin, ["-c", "import importlib.metadata as m, platform; print('litellm', m.version('litellm'), 'on Python', platform.python_version())"]).toString().trim();
    return {
      name: "litellm",
      place: () => ({ url, key }),
      standing: async () => null,
      stop,
      async report(run) {
        const told = run.answers.filter((a) => a.status >= 400).map((a) => a.message.slice(0, 220));
        const over = told.find((message) => /budget/i.test(message));
        const last = run.tail.findLast((a) => /budget/i.test(a.message))?.message;
        await sleep(15_000); // it writes what was spent every ten seconds
        keepLog();
        const { info } = await admin(`/key/info?key=${key}`);
        return [
          ["peer", `${versions}, ${database.version}, Prisma's engine ${process.env.PRISMA_QUERY_ENGINE_BINARY ? "a binary" : `${PRISMA} as WebAssembly`}, ${workers} worker(s)${redis ? ", Redis for the counters" : ""}${settings.includes("strict") ? ", fail_closed_budget_enforcement" : ""}`],
          ["its own view of the key's spend", `$${info.spend}`],
          ["the first refusal says", over ?? "(none for want of money)"],
          ["the last refusal says", last ?? "(none for want of money)"],
        ];
      },
    };
  } catch (error) {
    keepLog();
    stop();
    throw error;
  }
}
