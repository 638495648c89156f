// Vertex AI's tokens when they cannot be had, in workerd: who waits, who is told what, what it costs, and that it ends.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { sleep, startGateway, waitFor } from "./rig.mjs";

const PEM = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });
const PRICE = { input: 1, output: 10, context_tokens: 1000, output_tokens: 500 };

/** Of each account: what whoever gives tokens does (nothing: never answers), and what is odd about its key file. */
const ACCOUNTS = {
  ok: { token: (n) => ({ json: { access_token: `token-ok-${n}`, expires_in: 3600 } }) },
  endless: { token: (n) => ({ json: { access_token: `token-endless-${n}` } }) },
  down: { uri: "http://127.0.0.1:1/token" },
  silent: {},
  refused: { token: (n, form) => ({ status: 400, json: { error: "invalid_grant", error_description: `Invalid JWT: ${form.get("assertion")}` } }) },
  broken: { token: () => ({ status: 500, json: { error: "internal_failure" } }) },
  garbage: { token: () => ({ text: "<html>token" }) },
  odd: { token: () => ({ json: { access_token: "token-odd\r\nx: y", expires_in: 3600 } }) },
  notjson: { secret: "SECRET-TEXT{" },
  notkey: { members: { private_key: "SECRET-TEXT" } },
  slow: { token: (n) => ({ json: { access_token: `token-slow-${n}`, expires_in: 3600 }, after: 400 }) },
  left: { token: (n) => ({ json: { access_token: `token-left-${n}`, expires_in: 3600 }, after: 600 }) },
  mended: { token: (n) => (n === 1 ? { status: 503, json: {} } : { json: { access_token: "token-mended", expires_in: 3600 } }) },
  withdrawn: { token: (n) => ({ json: { access_token: `token-withdrawn-${n}`, expires_in: 3600 }, after: 50 }) },
  unloved: { token: (n) => ({ json: { access_token: `token-unloved-${n}`, expires_in: 3600 } }) },
};

/** Forms asked for tokens and `authorization`s shown to the provider, by account. */
const asked = Object.fromEntries(Object.keys(ACCOUNTS).map((name) => [name, []]));
const shown = Object.fromEntries(Object.keys(ACCOUNTS).map((name) => [name, []]));
/** Tokens that the provider does not take any more. */
const dead = new Set();

const ANSWER = { candidates: [{ index: 0, content: { role: "model", parts: [{ text: "the answer" }] }, finishReason: "STOP" }], usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 4, totalTokenCount: 24 }, modelVersion: "m", responseId: "g_1" };

let server, url, gw;
before(async () => {
  server = http.createServer(async (req, res) => {
    const parts = [];
    for await (const part of req) parts.push(part);
    const [, what, name, ...rest] = req.url.split("/");
    if (what === "token") {
      const form = new URLSearchParams(Buffer.concat(parts).toString());
      asked[name].push(form);
      const said = ACCOUNTS[name].token?.(asked[name].length, form);
      if (said === undefined) return;
      await sleep(said.after ?? 0);
      return res.writeHead(said.status ?? 200, { "content-type": "application/json" }).end(said.text ?? JSON.stringify(said.json));
    }
    const authorization = req.headers.authorization ?? "";
    shown[name].push(authorization);
    if (!authorization.startsWith(`Bearer token-${name}`) || dead.has(authorization.slice(7)) || name === "unloved") {
      return res.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify({ error: { code: 401, status: "UNAUTHENTICATED", message: `No: ${authorization}` } }));
    }
    if (rest.at(-1).includes("stream")) return res.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${JSON.stringify(ANSWER)}\r\n\r\n`);
    res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(ANSWER));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${server.address().port}`;
  const names = Object.keys(ACCOUNTS);
  const file = (name) => ACCOUNTS[name].secret ?? JSON.stringify({ type: "service_account", client_email: `${name}@p.iam.gserviceaccount.com`, private_key: PEM, token_uri: ACCOUNTS[name].uri ?? `${url}/token/${name}`, ...ACCOUNTS[name].members });
  gw = await startGateway({ vars: Object.fromEntries(names.map((name) => [`ACCOUNT_${name.toUpperCase()}`, file(name)])) });
  await gw.putConfig({
    providers: Object.fromEntries(names.map((name) => [name, { kind: "vertex", base_url: `${url}/api/${name}`, project: "p", api_key: `secret://ACCOUNT_${name.toUpperCase()}` }])),
    prices: Object.fromEntries(names.map((name) => [`${name}/m`, PRICE])),
    models: Object.fromEntries(names.map((name) => [`${name}-then-ok`, [`${name}/m`, "ok/m"]])),
    routes: [
      { name: "short", match: { headers: { "x-short": "yes" } }, retries: { count: 0 }, timeouts: { headers: "300ms", total: "2s" } },
      { name: "hurried", match: { headers: { "x-short": "very" } }, retries: { count: 0 }, timeouts: { headers: "300ms", total: "300ms" } },
      { name: "asked", retries: { count: 0 } },
    ],
  });
});
after(async () => {
  await gw?.stop();
  server?.closeAllConnections();
  server?.close();
});

/** One call in a client's dialect: {status, text, body (if JSON), id}. */
async function ask(client, tenant, model, { stream = false, headers = {}, signal } = {}) {
  const [where, body] = {
    chat: ["/v1/chat/completions", { model, stream, messages: [{ role: "user", content: "hello" }] }],
    messages: ["/v1/messages", { model, stream, max_tokens: 50, messages: [{ role: "user", content: "hello" }] }],
    generate: [`/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`, { contents: [{ role: "user", parts: [{ text: "hello" }] }] }],
  }[client];
  const r = await fetch(gw.url + where, { method: "POST", signal, body: JSON.stringify(body), headers: { authorization: `Bearer ${tenant.secret}`, "content-type": "application/json", ...headers } });
  const text = await r.text();
  let json = null;
  try { json = JSON.parse(text); } catch { /* a stream */ }
  return { status: r.status, text, body: json, id: r.headers.get("x-edgehold-request-id") };
}

/** Of each dialect: the error's code and message. */
const ERROR = {
  chat: ({ error }) => [error.code, error.message],
  messages: ({ type, error }) => [(assert.equal(type, "error"), error.code), error.message],
  generate: ({ error }) => [error.details[0].reason, error.message],
};

/** Nothing of the secrets is told to a client or written down. */
function silent(...texts) {
  for (const text of texts) {
    assert.doesNotMatch(text, /SECRET-TEXT|BEGIN PRIVATE KEY|token-[a-z]+-\d|eyJ[A-Za-z0-9_-]{10,}/);
    assert.ok(!text.includes(PEM.slice(40, 80)), "key material");
  }
}

describe("no token", { concurrency: 4 }, () => {
  for (const [name, status, outcome, said] of [
    ["down", 502, "connect_error", /no access token from 127\.0\.0\.1:1: /],
    ["silent", 504, "timeout", /not there in time/],
    ["refused", 503, "connect_error", /status 400: invalid_grant, Invalid JWT: \[redacted\]/],
    ["broken", 502, "connect_error", /status 500: internal_failure/],
    ["garbage", 502, "connect_error", /status 200, no JSON/],
    ["odd", 502, "connect_error", /status 200$/],
    ["notjson", 503, "connect_error", /not a service account's key file/],
    ["notkey", 503, "connect_error", /not a PKCS #8 RSA key/],
  ]) {
    for (const client of Object.keys(ERROR)) {
      for (const stream of [false, true]) {
        it(`(${name}) ends a ${stream ? "streamed" : "plain"} call of ${client} with ${status} and no cost, or at the next provider`, async () => {
          const tenant = await gw.tenant({ customer: { budget_usd: { total: 100 } } });
          const headers = { "x-short": "yes" };
          const alone = await ask(client, tenant, `${name}/m`, { stream, headers: { "x-short": "very" } });
          assert.equal(alone.status, status, alone.text);
          const [code, message] = ERROR[client](alone.body);
          assert.equal(code, { 502: "upstream_error", 503: "provider_not_configured", 504: "upstream_timeout" }[status]);
          assert.match(message, new RegExp(`'${name}'`));
          // A plain call's time is that of all its attempts together.
          const then = !stream && name === "silent" ? null : await ask(client, tenant, `${name}-then-ok`, { stream, headers });
          if (then) assert.equal(then.status, 200, then.text);
          if (then) assert.match(then.text, /the answer/);
          const rows = await gw.settledRows(tenant.customer);
          assert.deepEqual(rows.map((row) => row.outcome), then ? [outcome, outcome, "ok"] : [outcome]);
          for (const row of rows.filter((row) => row.outcome !== "ok")) {
            assert.deepEqual([row.cost_nanousd, row.usage_estimated, row.input_tokens, row.status], [0, 0, 0, 0]);
            assert.match(row.error, said);
          }
          silent(alone.text, then?.text ?? "", JSON.stringify(rows));
          assert.deepEqual(shown[name], [], "the provider was asked");
        });
      }
    }
  }
});

it("a token that does not say when it ends is used for an hour", async () => {
  const tenant = await gw.tenant();
  for (let n = 0; n < 3; n++) assert.equal((await ask("chat", tenant, "endless/m")).status, 200);
  assert.deepEqual([asked.endless.length, shown.endless], [1, Array(3).fill("Bearer token-endless-1")]);
});

it("those who come at the same time wait for one exchange", async () => {
  const tenant = await gw.tenant();
  const all = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(["chat", "messages", "generate"][n % 3], tenant, "slow/m", { stream: n % 2 === 0 })));
  assert.deepEqual(all.map(({ status }) => status), Array(20).fill(200));
  assert.equal(asked.slow.length, 1);
});

it("the exchange goes on when the request that began it is over, and the others are served by it", async () => {
  const tenant = await gw.tenant();
  const gone = new AbortController();
  const first = ask("chat", tenant, "left/m", { headers: { "x-short": "very" }, signal: gone.signal });
  await waitFor("the exchange to begin", () => asked.left.length === 1, { every_ms: 5 });
  const others = [1, 2, 3].map((n) => ask("chat", tenant, "left/m", { stream: n === 1 }));
  const { status } = await first;
  assert.equal(status, 504, "it had 300 ms");
  assert.deepEqual((await Promise.all(others)).map(({ status }) => status), [200, 200, 200]);
  assert.equal(asked.left.length, 1);
});

it("a failure is not remembered", async () => {
  const tenant = await gw.tenant();
  assert.equal((await ask("chat", tenant, "mended/m")).status, 502);
  assert.equal((await ask("chat", tenant, "mended/m")).status, 200);
});

it("a token that the provider does not take any more is replaced once for all who have it, and their calls are made again", async () => {
  const tenant = await gw.tenant();
  assert.equal((await ask("chat", tenant, "withdrawn/m")).status, 200);
  dead.add("token-withdrawn-1");
  const all = await Promise.all(Array.from({ length: 6 }, (_, n) => ask("generate", tenant, "withdrawn/m", { stream: n % 2 === 0 })));
  for (const { status, text } of all) assert.deepEqual([status, /the answer/.test(text)], [200, true], text);
  assert.equal(asked.withdrawn.length, 2);
  const rows = await gw.settledRows(tenant.customer);
  assert.deepEqual(rows.map((row) => [row.attempt, row.outcome]), Array(7).fill([1, "ok"]));
});

it("a provider that takes no token at all is told apart: 502, one more token, and not one for each call", async () => {
  const tenant = await gw.tenant();
  for (let n = 0; n < 4; n++) {
    const got = await ask("chat", tenant, "unloved/m");
    assert.deepEqual([got.status, got.body.error.code], [502, "upstream_refused"]);
    silent(got.text);
  }
  assert.equal(asked.unloved.length, 2);
  assert.equal(shown.unloved.length, 5, "the call is made again only with another token");
  const rows = await gw.settledRows(tenant.customer);
  for (const row of rows) assert.deepEqual([row.outcome, row.status, row.cost_nanousd], ["refused_by_provider", 401, 0]);
  silent(JSON.stringify(rows));
});

it("wrote no secret into the log, and left no panic behind", () => {
  silent(gw.log());
  assert.match(gw.log(), /provider refused has no credential: .*invalid_grant/);
  assert.deepEqual(gw.panics(), []);
});
