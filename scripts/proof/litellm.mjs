// The PyPI package litellm[proxy] as the thing under proof: the same provider, prices, budget and load.
//
// It is set up as its documentation says: virtual keys in PostgreSQL, `max_budget` on the key. It needs DATABASE_URL, an
// empty PostgreSQL database, and that Prisma's engine can be fetched, through which it talks to it. Without a database it has
// no virtual keys, and what it reserves is never settled: there is nothing to compare.
//
// Settings, each given as --litellm NAME: strict (`fail_closed_budget_enforcement`), workers=N, redis (shared counters, which
// it asks for with several workers; REDIS_SERVER names a redis-server that is not on the PATH). LITELLM_PYTHON: a Python
// that has the package.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
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
  // Its processes are in groups of their own; nobody else would end them.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => { stop(); process.exit(1); });
  try {
    if (!process.env.DATABASE_URL) throw new Error("litellm keeps its virtual keys in PostgreSQL: set DATABASE_URL to an empty database");
    const bin = python();
    const schema = execFileSync(bin, ["-c", "import importlib.util, os; print(os.path.join(os.path.dirname(importlib.util.find_spec('litellm').origin), 'proxy', 'schema.prisma'))"]).toString().trim();
    const workers = Number(settings.find((s) => s.startsWith("workers="))?.slice(8) ?? 1);
    const start = (name, command, args, env = {}) => {
      const log = fs.openSync(path.join(dir, `${name}.log`), "a");
      children.push(spawn(command, args, { cwd: dir, detached: true, stdio: ["ignore", log, log], env: { ...process.env, ...env } }));
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
        master_key: MASTER, database_url: process.env.DATABASE_URL,
        ...(settings.includes("strict") ? { fail_closed_budget_enforcement: true } : {}),
      },
    };
    fs.writeFileSync(path.join(dir, "config.yaml"), JSON.stringify(config, null, 1)); // JSON is YAML
    const port = await freePort();
    try {
      execFileSync(path.join(path.dirname(bin), "prisma"), ["generate", "--schema", schema], { env: { ...process.env, PATH: `${path.dirname(bin)}:${process.env.PATH}` }, stdio: ["ignore", "ignore", "pipe"] });
    } catch (error) {
      throw new Error(`Prisma's client could not be made, without which litellm has no database: ${String(error.stderr).trim()}`);
    }
    start("litellm", path.join(path.dirname(bin), "litellm"), ["--config", "config.yaml", "--host", "127.0.0.1", "--port", String(port), "--num_workers", String(workers), "--telemetry", "False"], {
      LITELLM_LOCAL_MODEL_COST_MAP: "True", LITELLM_MODE: "PRODUCTION", LITELLM_LOG: "ERROR", DATABASE_URL: process.env.DATABASE_URL,
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
    const admin = async (where, body) => {
      const response = await fetch(`${url}${where}`, { method: body ? "POST" : "GET", body: body && JSON.stringify(body), headers: { authorization: `Bearer ${MASTER}`, "content-type": "application/json" } });
      if (!response.ok) throw new Error(`litellm says ${response.status} to ${where}: ${await response.text()}`);
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
        const { info } = await admin(`/key/info?key=${key}`);
        if (process.env.PROOF_LOG) fs.copyFileSync(path.join(dir, "litellm.log"), process.env.PROOF_LOG);
        return [
          ["peer", `${versions}, ${workers} worker(s)${redis ? ", Redis for the counters" : ""}${settings.includes("strict") ? ", fail_closed_budget_enforcement" : ""}`],
          ["its own view of the key's spend", `$${info.spend}`],
          ["the first refusal says", over ?? "(none for want of money)"],
          ["the last refusal says", last ?? "(none for want of money)"],
        ];
      },
    };
  } catch (error) {
    stop();
    throw error;
  }
}
