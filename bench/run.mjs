// One run: alternating rounds over targets that all stay up, then cold starts, counts and sizes. Called by run.sh.
import { execFile } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { parseArgs, promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { listening, OUT, start, stop } from "./workerd.mjs";
import { countingGateway, GATEWAY_FILES, MOCK_PORT, MORE_TARGETS, TARGETS } from "./targets.mjs";

const BIN = path.join(import.meta.dirname, "target/release");
const BASE = "js-pass";
const LOADS = [
  { key: "json", name: "JSON", stream: false, delayUs: 0, connections: [1, 16, 64], seconds: 0.5 },
  { key: "burst", name: "stream of 100 events, no pause", stream: true, delayUs: 0, connections: [1, 16], seconds: 0.6 },
  { key: "paced", name: "stream of 100 events, 10 ms apart", stream: true, delayUs: 10_000, connections: [1, 64], seconds: 1.2 },
];
const RATIOS = ["rps", "p50_us", "p99_us", "ttfb_us", "cpu_us"];

const { values: options } = parseArgs({ options: { quick: { type: "boolean" }, rounds: { type: "string" }, only: { type: "string" }, loads: { type: "string" }, levels: { type: "string" } } });
// --loads json,burst,paced and --levels 1,16 narrow a run while something is being tuned.
const wanted = options.loads?.split(",");
const levelsWanted = options.levels?.split(",").map(Number);
const rounds = Number(options.rounds ?? (options.quick ? 2 : 9));
const coldRounds = options.quick ? 3 : 7;
const all = { ...TARGETS, ...MORE_TARGETS };
const names = options.only?.split(",") ?? Object.keys(TARGETS);
for (const name of names) if (!all[name]) throw new Error(`no target "${name}"; there are ${Object.keys(all).join(", ")}`);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a number from 1");

const say = (line) => process.stderr.write(`bench: ${line}\n`);
const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const mock = (where) => fetch(`http://127.0.0.1:${MOCK_PORT}${where}`, { method: "POST" }).then((answer) => answer.json());

async function load({ url, headers, child }, { connections, seconds, stream, requests }) {
  const more = [...headers.flatMap((h) => ["-H", h]), ...(stream ? ["-s"] : []), ...(child ? ["-p", child.pid] : []), ...(requests ? ["-n", requests] : [])];
  const { stdout } = await promisify(execFile)(path.join(BIN, "load"), [url, "-c", connections, "-d", seconds, ...more].map(String));
  return JSON.parse(stdout);
}

/** Why a target's answers are not worth measuring, or null. A gateway that holds a stream back looks fast without a pause. */
async function fault(target, stream) {
  await mock(`/__set?delay_us=${stream ? 2000 : 0}`);
  const { n, errors, error, events, ttfb_us: ttfbUs, p50_us: totalUs } = await load(target, { connections: 1, seconds: 5, requests: 2, stream });
  await mock("/__set?delay_us=0");
  if (errors || n !== 2) return error;
  if (!stream) return null;
  // A translated stream begins with an event that names the role.
  if (events !== 103 && events !== 104) return `${events} events instead of 103`;
  return ttfbUs > totalUs / 2 ? "the first byte is held back" : null;
}

/** Every round visits every target at every load, starting with another target each time. */
async function measure(targets) {
  const rows = new Map();
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`);
    for (const { key, name, stream, delayUs, connections: levels, seconds } of LOADS) {
      if (wanted && !wanted.includes(key)) continue;
      await mock(`/__set?delay_us=${delayUs}`);
      for (const connections of levels) {
        if (levelsWanted && !levelsWanted.includes(connections)) continue;
        for (let i = 0; i < targets.length; i++) {
          const target = targets[(i + round) % targets.length];
          if (target.broken[stream]) continue;
          const result = await load(target, { connections, seconds, stream });
          if (result.errors) say(`${target.name}, ${name}, c=${connections}: ${result.errors} errors: ${result.error}`);
          const id = JSON.stringify([name, connections, target.name]);
          rows.set(id, [...(rows.get(id) ?? []), { round, ...result }]);
        }
      }
    }
  }
  await mock("/__set?delay_us=0");
  return [...rows].map(([id, results]) => {
    const [load, connections, target] = JSON.parse(id);
    const base = rows.get(JSON.stringify([load, connections, BASE]));
    const row = { load, connections, target, errors: results.reduce((sum, r) => sum + r.errors, 0), results };
    for (const field of [...RATIOS, "rss_mib", "events"]) row[field] = median(results.map((r) => r[field]));
    // Medians of each round's ratio: the machine's moods move both sides of it.
    for (const field of base ? RATIOS : []) row[`x_${field}`] = median(results.map((r, i) => r[field] / base[i][field]));
    return row;
  });
}

/** Milliseconds from the spawn to the first 200. */
async function coldStart(target) {
  const body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}';
  const head = ["POST /v1/chat/completions HTTP/1.1", "host: bench", "content-type: application/json", ...target.headers, `content-length: ${body.length}`, "connection: close", "", ""];
  const attempt = () => new Promise((resolve) => {
    let received = "";
    const socket = net.connect(target.port, "127.0.0.1", () => socket.write(head.join("\r\n") + body));
    socket.on("data", (data) => { received += data; socket.destroy(); }).on("error", () => {}).on("close", () => resolve(received.startsWith("HTTP/1.1 200")));
  });
  const from = performance.now();
  const child = start(`${target.name}-cold`, target.argv, { env: target.env });
  try {
    while (!(await attempt())) {
      if (performance.now() - from > 30_000 || child.exitCode != null) throw new Error(`${target.name} never answered 200`);
      await new Promise((r) => setTimeout(r, 1));
    }
    return performance.now() - from;
  } finally {
    await stop(child);
  }
}

async function coldStarts(targets) {
  const times = Object.fromEntries(targets.map(({ name }) => [name, []]));
  for (let round = 0; round < coldRounds; round++) for (const target of targets) times[target.name].push(await coldStart(target));
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, median(ms)]));
}

/** What one request crosses and writes, averaged over warm requests: free of the machine's noise. */
async function counts() {
  const target = await countingGateway();
  const child = start("edgehold-counting", target.argv);
  const read = () => fetch(new URL("/__counts", target.url)).then((answer) => answer.json());
  const settled = () => new Promise((r) => setTimeout(r, 3000));
  try {
    await listening(target.port, child);
    await load(target, { connections: 1, seconds: 30, requests: 50, stream: false });
    const result = {};
    for (const [name, stream, requests] of [["JSON", false, 500], ["stream", true, 100]]) {
      await settled();
      const before = await read();
      const { n } = await load(target, { connections: 1, seconds: 60, requests, stream });
      await settled();
      const after = await read();
      result[name] = Object.fromEntries(Object.keys(after).map((key) => [key, (after[key] - before[key]) / n]));
    }
    return result;
  } finally {
    await stop(child);
  }
}

const sizes = () => Object.fromEntries(Object.entries(GATEWAY_FILES).map(([kind, file]) => {
  const bytes = fs.readFileSync(file);
  return [kind, { bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length }];
}));

function report({ notice, rows, broken, cold, size, perRequest }) {
  const lines = notice ? [`**${notice}**`, ""] : [];
  const table = (head, body) => lines.push(`| ${head.join(" | ")} |`, `|${" --- |".repeat(head.length)}`, ...body.map((cells) => `| ${cells.join(" | ")} |`), "");
  const us = (value) => (value >= 10_000 ? `${(value / 1000).toFixed(0)} ms` : value >= 1000 ? `${(value / 1000).toFixed(1)} ms` : `${value.toFixed(0)} µs`);
  const times = (row, field, text) => (row[`x_${field}`] === undefined ? text : `${text} (${row[`x_${field}`].toFixed(2)})`);
  lines.push(`In parentheses: ratio to ${BASE}, the median of ${rounds} rounds' ratios. CPU is the gateway's, all of its threads, per request.`, "");
  for (const { name, connections } of LOADS) {
    lines.push(`### ${name}`, "");
    table(["target", "c", "requests/s", "p50", "p99", "first byte p50", "CPU", "RSS MiB", "errors"], connections.flatMap((c) =>
      rows.filter((row) => row.load === name && row.connections === c).map((row) => [
        row.target, c, times(row, "rps", row.rps.toFixed(0)), times(row, "p50_us", us(row.p50_us)), times(row, "p99_us", us(row.p99_us)),
        times(row, "ttfb_us", us(row.ttfb_us)), times(row, "cpu_us", us(row.cpu_us)), row.rss_mib.toFixed(0), row.errors])));
  }
  for (const { target, what, error } of broken) lines.push(`Not measured: ${target}, ${what}: ${error}`, "");
  if (cold) {
    lines.push("### Cold start: spawn to first 200", "");
    table(["target", "ms"], Object.entries(cold).map(([name, ms]) => [name, ms.toFixed(0)]));
  }
  if (size) {
    lines.push("### Size", "");
    table(["file", "bytes", "gzip"], Object.entries(size).map(([kind, { bytes, gzip }]) => [kind, bytes, gzip]));
  }
  if (perRequest) {
    const columns = Object.keys(perRequest.JSON);
    lines.push("### Per request, counted", "");
    table(["", ...columns], Object.entries(perRequest).map(([name, values]) => [name, ...columns.map((column) => values[column].toFixed(2))]));
  }
  return lines.join("\n");
}

const built = Object.values(GATEWAY_FILES).every((file) => fs.existsSync(file));
if (!built) say("no build/index.js: the gateway is left out (make build)");
const notice = built && fs.readFileSync(path.join(path.dirname(GATEWAY_FILES.js), ".esbuild"), "utf8").startsWith("dev ") ? "The gateway is a dev build, not optimised: its rows say little. Run: make build" : null;
if (notice) say(notice);
fs.mkdirSync(OUT, { recursive: true });
const provider = start("mock", [path.join(BIN, "mock"), String(MOCK_PORT)], { core: "1" });
const running = [];
try {
  await listening(MOCK_PORT, provider);
  const targets = [], broken = [];
  for (const name of names.filter((n) => built || !n.startsWith("edgehold"))) targets.push({ name, broken: {}, ...(await all[name]()) });
  for (const target of targets) {
    target.child = start(target.name, target.argv, { env: target.env });
    running.push(target.child);
    await listening(target.port, target.child);
    target.broken[true] = target.jsonOnly;
    for (const stream of target.jsonOnly ? [false] : [false, true]) {
      await load(target, { connections: 16, seconds: options.quick ? 0.5 : 1.5, stream });
      const wrong = await fault(target, stream);
      if (!wrong) continue;
      target.broken[stream] = true;
      broken.push({ target: target.name, what: stream ? "streams" : "JSON", error: wrong });
      say(`${target.name}, ${stream ? "streams" : "JSON"}: ${wrong}`);
    }
  }
  const rows = await measure(targets);
  await Promise.all(running.splice(0).map(stop));
  say("cold starts");
  const cold = await coldStarts(targets.filter((target) => !target.broken[false]));
  const withGateway = targets.some(({ name }) => name === "edgehold");
  if (withGateway) say("counts per request");
  const result = { notice, rounds, rows, broken, cold, size: withGateway ? sizes() : null, perRequest: withGateway ? await counts() : null };
  fs.writeFileSync(path.join(OUT, "results.json"), JSON.stringify(result, null, 1));
  console.log(report(result));
} finally {
  await Promise.all([...running, provider].map(stop));
}
