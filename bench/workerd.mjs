// Raw `workerd serve`: configurations, and processes pinned to the measured core.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";

const BENCH = import.meta.dirname;
export const OUT = path.join(BENCH, "out");
const WORKERD = path.join(BENCH, "../node_modules/workerd/bin/workerd");
export const MEASURED_CORE = "0";

const text = JSON.stringify;

/** KV and D1 as workerd brings them along, and the directories where they and the objects keep their data. */
function state(dir) {
  const disk = (name) => {
    fs.mkdirSync(path.join(dir, name), { recursive: true });
    return `(name = "${name}-disk", disk = (path = ${text(path.join(dir, name))}, writable = true))`;
  };
  const store = (name, className, more) => `(name = "${name}", worker = (
      modules = [(name = "${name}", bundled = "/workerd/${name}.js")], compatibilityDate = "2026-11-01",
      durableObjectNamespaces = [(className = "${className}", uniqueKey = "${name}", enableSql = true)],
      durableObjectStorage = (localDisk = "${name}-disk"), bindings = [${more}]))`;
  return {
    services: [
      ...["objects", "kv", "d1", "blobs"].map(disk),
      store("kv", "KVNamespace", `(name = "SHARD", durableObjectNamespace = "KVNamespace"), (name = "BLOBS", service = "blobs-disk")`),
      store("d1", "D1Database", `(name = "DATABASE", durableObjectNamespace = "D1Database")`),
    ],
    bindings: [
      `(name = "KV", kvNamespace = (name = "kv", props = (json = ${text('{"namespace":"bench"}')})))`,
      `(name = "DB", wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [
        (name = "fetcher", service = (name = "d1", props = (json = ${text('{"database":"bench"}')})))]))`,
    ],
  };
}

/**
 * Writes a configuration and returns the command that serves it.
 * @param {object} worker
 *   name, port · modules: [name, file], the first is the entry · vars: text bindings · dir: where KV, D1 and objects are kept
 *   (none of them without it) · objects: [binding, class] of each SQLite Durable Object · date and flags: of compatibility
 */
export function serve({ name, port, modules, vars = {}, dir, objects = [], date = "2026-11-01", flags = [] }) {
  const file = path.join(OUT, `${name}.capnp`);
  const embed = (source) => text(path.relative(OUT, path.resolve(BENCH, source)));
  const stored = dir ? state(path.resolve(OUT, dir)) : { services: [], bindings: [] };
  const bindings = [...Object.entries(vars).map(([key, value]) => `(name = "${key}", text = ${text(value)})`), ...stored.bindings];
  for (const [binding, name] of objects) bindings.push(`(name = "${binding}", durableObjectNamespace = "${name}")`);
  const classes = objects.map(([, name]) => `(className = "${name}", uniqueKey = "${name}", enableSql = true)`);
  const namespaces = classes.length === 0 ? "" : `durableObjectNamespaces = [${classes.join(", ")}],
      durableObjectStorage = (localDisk = "objects-disk"),`;
  const services = [
    `(name = "main", worker = (
      modules = [${modules.map(([as, source]) => `(name = "${as}", ${source.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${embed(source)})`).join(", ")}],
      compatibilityDate = "${date}", compatibilityFlags = [${flags.map(text).join(", ")}], ${namespaces}
      bindings = [${bindings.join(",\n        ")}]))`,
    `(name = "internet", network = (allow = ["private", "public"]))`,
    ...stored.services,
  ];
  fs.mkdirSync(OUT, { recursive: true });
  fs.writeFileSync(file, `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${services.join(",\n    ")}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
`);
  return [WORKERD, "serve", "--experimental", file];
}

/** Starts a command; its output goes to out/NAME.log. */
export function start(name, command, { core = MEASURED_CORE, env = {} } = {}) {
  const log = fs.openSync(path.join(OUT, `${name}.log`), "w");
  const child = spawn("taskset", ["-c", core, ...command], { stdio: ["ignore", log, log], env: { ...process.env, ...env } });
  fs.closeSync(log);
  child.exited = new Promise((resolve) => child.once("exit", resolve));
  return child;
}

export async function stop(child) {
  child.kill();
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await child.exited;
  clearTimeout(timer);
}

/** Waits until something listens on the port. */
export async function listening(port, child, timeoutMs = 30_000) {
  for (const end = Date.now() + timeoutMs; ;) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); }).once("error", () => resolve(false));
    });
    if (open) return;
    if (child?.exitCode != null || Date.now() > end) throw new Error(`nothing listens on port ${port}; see bench/out/*.log`);
    await new Promise((r) => setTimeout(r, 2));
  }
}
