// Where the CPU goes: `node bench/profile.mjs [target] [seconds] [--stream]`, after bench/run.sh has built what it needs.
// Samples the isolate through workerd's inspector under 16 connections; native work outside the isolate is not seen.
import { spawn } from "node:child_process";
import path from "node:path";
import { MORE_TARGETS, MOCK_PORT, TARGETS } from "./targets.mjs";
import { listening, start, stop } from "./workerd.mjs";

const [name = "edgehold", seconds = "4", mode] = process.argv.slice(2);
const INSPECTOR = 9377;
const bin = (file) => path.join(import.meta.dirname, "target/release", file);
const mock = spawn(bin("mock"), [String(MOCK_PORT)], { stdio: "ignore" });
const target = await { ...TARGETS, ...MORE_TARGETS }[name]();
const serve = target.argv.indexOf("serve");
const child = start(`${name}-profile`, target.argv.toSpliced(serve + 1, 0, `--inspector-addr=127.0.0.1:${INSPECTOR}`), { env: target.env });
await listening(target.port, child);
const load = spawn(bin("load"), [target.url, "-c", "16", "-d", String(Number(seconds) + 3), ...target.headers.flatMap((h) => ["-H", h]), ...(mode === "--stream" ? ["-s"] : [])], { stdio: "ignore" });

const pages = await (await fetch(`http://127.0.0.1:${INSPECTOR}/json`)).json();
const page = pages.find((p) => p.title.includes("main")) ?? pages[0];
const socket = new WebSocket(page.webSocketDebuggerUrl);
await new Promise((resolve) => { socket.onopen = resolve; });
const waiting = new Map();
let last = 0;
socket.onmessage = ({ data }) => { const answer = JSON.parse(data); waiting.get(answer.id)?.(answer.result); };
const call = (method, params = {}) => new Promise((resolve) => { waiting.set(++last, resolve); socket.send(JSON.stringify({ id: last, method, params })); });
await call("Profiler.enable");
await call("Profiler.setSamplingInterval", { interval: 200 });
await new Promise((resolve) => setTimeout(resolve, 1500));
await call("Profiler.start");
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
const { profile } = await call("Profiler.stop");
load.kill();
await stop(child);
mock.kill();

const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
const self = new Map();
let total = 0;
profile.samples.forEach((sample, i) => {
  const { functionName, url, lineNumber } = nodes.get(sample).callFrame;
  const where = url.startsWith("wasm") ? "wasm" : url ? `${url.split("/").at(-1)}:${lineNumber + 1}` : "native";
  const key = `${functionName || "(anonymous)"}  ${where}`;
  self.set(key, (self.get(key) ?? 0) + profile.timeDeltas[i]);
  total += profile.timeDeltas[i];
});
for (const [key, time] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 45)) console.log(`${((time / total) * 100).toFixed(1).padStart(5)} %  ${key}`);
process.exit(0);
