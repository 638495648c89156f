// Runs the edge tests: `node tests/edge/run.mjs [file filter…] [-t name pattern]`.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const here = import.meta.dirname;
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  // Miniflare needs a newer Node than many machines have; the npm package `node` brings one.
  const bundled = path.resolve(here, "../../node_modules/.bin/node");
  if (process.env.EDGEHOLD_NODE || !fs.existsSync(bundled)) throw new Error(`Node 22.12 or newer is needed, this is ${process.version}`);
  const again = spawnSync(bundled, process.argv.slice(1), { stdio: "inherit", env: { ...process.env, EDGEHOLD_NODE: "1" } });
  process.exit(again.status ?? 1);
}

const args = process.argv.slice(2);
const t = args.indexOf("-t");
const [, pattern] = t < 0 ? [] : args.splice(t, 2);
const files = fs.readdirSync(here).filter((f) => f.endsWith(".test.mjs") && (!args.length || args.some((a) => f.includes(path.basename(a, ".test.mjs"))))).sort();
if (!files.length) throw new Error(`no test file matches ${args.join(" ")}`);

// Two files at a time: each has a workerd of its own. The longest start first.
const LONGEST_FIRST = ["broken_streams", "durability", "bad_input", "kill", "failover", "revoke", "budget", "burst"];
const rank = (f) => { const i = LONGEST_FIRST.indexOf(f.split(".")[0]); return i < 0 ? LONGEST_FIRST.length : i; };
files.sort((a, b) => rank(a) - rank(b));

const stream = run({ files: files.map((f) => path.join(here, f)), concurrency: 2, timeout: 300_000, ...(pattern ? { testNamePatterns: [pattern] } : {}) });
stream.on("test:fail", () => { process.exitCode = 1; });
stream.compose(spec).pipe(process.stdout);
