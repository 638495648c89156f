// `make dev`: the built gateway on 127.0.0.1, with a demo customer, team and key. State is kept in .dev/ between runs.
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { startLocal } from "./local.mjs";

const ROOT = path.resolve(import.meta.dirname, "..");
const DEV = process.env.EDGEHOLD_DEV_DIR ?? path.join(ROOT, ".dev");
const NOTES = path.join(DEV, "dev.json");
const port = Number(process.env.PORT ?? 8787);

/** Ends with a message for a person, not with a stack. */
function giveUp(message) {
  console.error(`\n  ${message}\n`);
  process.exit(1);
}

function taken(p) {
  return new Promise((resolve) => {
    const probe = net.createServer().once("error", (e) => resolve(e.code)).once("listening", () => probe.close(() => resolve(null)));
    probe.listen(p, "127.0.0.1");
  });
}

if (!Number.isInteger(port) || port < 1 || port > 65535) giveUp(`PORT is "${process.env.PORT}"; it must be a number from 1 to 65535.`);
for (const file of ["index.js", "index_bg.wasm"]) {
  if (!fs.existsSync(path.join(ROOT, "build", file))) giveUp(`build/${file} is missing. Run: make build`);
}
fs.mkdirSync(DEV, { recursive: true });
let notes = {};
try { notes = JSON.parse(fs.readFileSync(NOTES, "utf8")); } catch { /* the first run, or a damaged file: made anew */ }
// Two workerds on one directory would damage it.
const other = notes.base_url && (await fetch(`${notes.base_url}/healthz`, { signal: AbortSignal.timeout(1000) }).then((r) => r.json(), () => null));
if (other?.service === "edgehold") giveUp(`Already up at ${notes.base_url}, with the state of this checkout. Stop that first (\`lsof -i :${new URL(notes.base_url).port}\` finds it).`);
const busy = await taken(port);
if (busy) giveUp(busy === "EADDRINUSE" ? `Port ${port} is taken, perhaps by another \`make dev\`. Stop that, or choose another: PORT=8788 make dev` : `Cannot listen on 127.0.0.1:${port}: ${busy}`);

notes = { ...notes, base_url: `http://127.0.0.1:${port}`, admin_token: notes.admin_token ?? `dev-${randomBytes(18).toString("base64url")}` };
const save = () => fs.writeFileSync(NOTES, `${JSON.stringify(notes, null, 2)}\n`, { mode: 0o600 });
save();

// Provider keys of the environment become the Worker's secrets, as `wrangler secret put` would make them.
const secrets = Object.fromEntries(Object.entries(process.env).filter(([name, value]) => /^[A-Z0-9_]+_API_KEY$/.test(name) && value));
const local = await startLocal({ dir: DEV, ports: [port], vars: { ...secrets, ADMIN_TOKEN: notes.admin_token } }).catch((error) => giveUp(`The gateway did not start: ${error?.message ?? error}`));

async function admin(method, where, body) {
  const response = await fetch(`${notes.base_url}/admin/v1${where}`, {
    method,
    headers: { authorization: `Bearer ${notes.admin_token}` },
    body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${where} answered ${response.status}: ${text}`);
  return JSON.parse(text);
}

let stopping = false;
async function stop(code = 0) {
  if (stopping) return;
  stopping = true;
  await local.stop().catch(() => {});
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM"]) {
  // Miniflare's own handler would end the process before workerd is told to stop.
  process.removeAllListeners(signal);
  process.on(signal, () => stop());
}

try {
  // The demo configuration is loaded once, and again when it changed; a configuration of your own stays.
  const example = `examples/${secrets.OPENAI_API_KEY ? "demo-openai" : "demo"}.yaml`;
  const demo = fs.readFileSync(path.join(ROOT, example), "utf8");
  const current = await admin("GET", "/config").catch(() => null);
  const digest = (text) => createHash("sha256").update(text).digest("hex");
  const ours = !current?.version || !current.text || digest(current.text) === notes.demo_config;
  if (ours) {
    if (current?.text !== demo) await admin("PUT", "/config", demo);
    notes.demo_config = digest(demo);
  }

  const works = notes.demo_key && (await fetch(`${notes.base_url}/v1/key`, { headers: { authorization: `Bearer ${notes.demo_key}` } })).ok;
  if (!works) {
    const customer = await admin("POST", "/customers", { name: "demo", budget_usd: { month: 5 }, rate_limit: { rpm: 600 } });
    const team = await admin("POST", "/teams", { customer_id: customer.id, name: "demo-team" });
    const key = await admin("POST", "/keys", { customer_id: customer.id, team_id: team.id, name: "demo", default_max_tokens: 1000 });
    notes = { ...notes, demo_key: key.key, demo_customer: customer.id };
  }
  save();

  const model = secrets.OPENAI_API_KEY ? "gpt-4o-mini" : "demo-model";
  const { base_url, demo_key, admin_token } = notes;
  const ask = (more) => `curl ${more ? "-N " : ""}${base_url}/v1/chat/completions -H 'authorization: Bearer ${demo_key}' -H 'content-type: application/json' \\\n      -d '{"model":"${model}",${more}"messages":[{"role":"user","content":"hello"}]}'`;
  console.log(`
  Edgehold is up at ${base_url}   (OpenAI base URL: ${base_url}/v1)
  demo key     ${demo_key}
  config       ${ours ? example : "your own, as you left it"}${secrets.OPENAI_API_KEY ? ", with the OpenAI key of your environment" : ""}

  ask:
    ${ask("")}
  streamed:
    ${ask('"stream":true,')}
  what the key may still spend, and what was used:
    curl ${base_url}/v1/key -H 'authorization: Bearer ${demo_key}'
    curl '${base_url}/admin/v1/usage?group_by=customer,model' -H 'authorization: Bearer ${admin_token}'

  For scripts: .dev/dev.json. Stop with Ctrl-C; state stays in .dev/ (remove it to start afresh).
`);
} catch (error) {
  console.error(`\n  The gateway runs, but the demo could not be set up: ${error.message}\n`);
  await stop(1);
}
