// No input makes the gateway fall over: every answer is a 200 or a well-formed OpenAI error, and workerd's log stays clean.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { config, startGateway } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

const MUTATIONS = Number(process.env.MUTATIONS ?? 10_000);
const SEED = Number(process.env.SEED ?? 20261121);
const model = "gpt-4o-mini";
let gw, up, tenant, secret;

before(async () => {
  [gw, up] = await Promise.all([startGateway(), startUpstream()]);
  const c = config({ up1: up.url });
  c.routes = [{ name: "chat", match: { model: ["gpt-4o*", "mistral-small"] }, model: `up1/${model}`, retries: { count: 0 } }, { name: "rest", match: { task: "rest" } }];
  await gw.putConfig(c);
  tenant = await gw.tenant({ customer: { budget_usd: { total: 1_000_000 } } });
  secret = tenant.secret;
});
after(async () => { await gw?.stop(); await up?.stop(); });

const MB = 1 << 20;
const good = { model, messages: [{ role: "user", content: "hello" }] };
const call = (where, init = {}) => fetch(gw.url + where, { ...init, headers: { authorization: `Bearer ${secret}`, ...init.headers } });

/** Checks an error's form; gives the error. */
async function wellFormed(response, status, code) {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  const { error } = JSON.parse(text);
  assert.ok(typeof error.message === "string" && error.message.length > 3, text);
  assert.equal(typeof error.type, "string", text);
  assert.ok("param" in error && "code" in error, text);
  if (code) assert.equal(error.code, code, text);
  return error;
}

describe("keys", () => {
  const cases = ["", "Bearer", "Bearer ", "Bearer eh_", "Bearer eh_x", "Bearer sk-something", "Bearer eh_" + "a".repeat(5000), "Basic dXNlcjpwdw==", "Bearer eh_ü", "Bearer " + "\u00ff".repeat(40)];
  for (const authorization of cases) {
    it(`«${authorization.slice(0, 24)}» is a 401`, async () => {
      const r = await gw.chat("", good, { headers: { authorization } });
      await wellFormed(r, 401, "invalid_api_key");
      assert.ok(r.headers.get("x-edgehold-request-id"));
    });
  }

  it("one changed character of a real key is a 401, wherever it is", async () => {
    for (let i = 3; i < secret.length; i += 5) {
      const other = secret.slice(0, i) + (secret[i] === "a" ? "b" : "a") + secret.slice(i + 1);
      await wellFormed(await gw.chat(other, good), 401, "invalid_api_key");
    }
  });

  it("is taken from each of the four headers", async () => {
    const body = JSON.stringify(good);
    for (const headers of [{ authorization: `Bearer ${secret}` }, { "x-api-key": secret }, { "api-key": secret }, { "x-goog-api-key": secret }]) {
      const r = await fetch(`${gw.url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
      assert.equal(r.status, 200, JSON.stringify(headers));
      await r.text();
      for (const name of ["x-api-key", "api-key", "x-goog-api-key"]) assert.equal(up.last.headers[name], undefined, "the virtual key went to the provider");
    }
  });

  it("the admin token is no virtual key, and the reverse", async () => {
    await wellFormed(await gw.chat(gw.adminToken, good), 401);
    assert.equal((await gw.adminRaw("GET", "/keys", undefined, { token: secret })).status, 401);
  });
});

/** Sends the beginning of a request and no more; gives the answer that comes all the same. */
function begin(bytes, headers) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${gw.url}/v1/chat/completions`, { method: "POST", agent: false, headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", ...headers } }, (response) => {
      const parts = [];
      response.on("data", (d) => parts.push(d)).on("end", () => {
        resolve({ status: response.statusCode, body: Buffer.concat(parts).toString("utf8") });
        request.destroy();
      }).on("error", reject);
    });
    request.on("error", reject);
    request.flushHeaders();
    for (let i = 0; i < bytes.length; i += MB) request.write(bytes.subarray(i, i + MB));
  });
}

describe("bodies", () => {
  const text = (t) => ({ method: "POST", headers: { "content-type": "application/json" }, body: t });
  const bad = [
    ["nothing", "", "invalid_json"], ["not JSON", "hello", "invalid_json"], ["half of JSON", '{"model": "gpt', "invalid_json"], ["two values", "{} {}", "invalid_json"],
    ["a list", "[]", null], ["null", "null", null], ["a number", "7", null], ["no model", { messages: good.messages }, "missing_required_parameter"], ["no messages", { model }, "missing_required_parameter"],
    ["model a number", { ...good, model: 3 }, "invalid_type"], ["model null", { ...good, model: null }, null], ["messages a string", { ...good, messages: "hi" }, "invalid_type"], ["no message in messages", { ...good, messages: [] }, null],
    ["stream a string", { ...good, stream: "yes" }, "invalid_type"], ["max_tokens a string", { ...good, max_tokens: "5" }, "invalid_type"], ["max_tokens below 0", { ...good, max_tokens: -5 }, null],
    ["max_tokens half", { ...good, max_tokens: 1.5 }, null], ["n 0", { ...good, n: 0 }, null],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), "invalid_json"], ["nested 100,000 deep", `{"model":"${model}","messages":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, null],
  ];
  for (const [what, body, code] of bad) {
    it(`${what} is a 400`, async () => {
      const sent = up.requests.length;
      await wellFormed(await call("/v1/chat/completions", text(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body))), 400, code);
      assert.equal(up.requests.length, sent, "it was sent on");
    });
  }

  it("a model without a route, or that nobody knows, is a 404", async () => {
    await wellFormed(await gw.chat(secret, { ...good, model: "no-such" }), 404, "route_not_found");
    await wellFormed(await gw.chat(secret, { ...good, model: "no-such" }, { headers: { "x-edgehold-metadata": '{"task":"rest"}' } }), 404, "model_not_found");
  });

  it("19 MiB are served; more than 20 are a 413, also when their length is not announced", { timeout: 60_000 }, async () => {
    const of = (mb) => JSON.stringify({ ...good, messages: [{ role: "user", content: "x".repeat(mb * MB) }] });
    const r = await call("/v1/chat/completions", text(of(19)));
    assert.equal(r.status, 200);
    await r.text();
    assert.equal(up.last.raw.length > 19 * MB, true);
    // Announced: refused by the length alone. Not announced: by the first byte too many.
    for (const [bytes, headers] of [[Buffer.alloc(0), { "content-length": 21 * MB }], [Buffer.alloc(20 * MB + 1, "x"), {}]]) {
      const { status, body } = await begin(bytes, headers);
      assert.deepEqual([status, JSON.parse(body).error.code], [413, "request_too_large"]);
    }
    up.requests.length = 0;
  });

  it("unknown members are passed on untouched", async () => {
    const r = await gw.chat(secret, { ...good, x_new_thing: { deep: [1, 2.5, "ü", null] }, temperature: 0.1 });
    assert.equal(r.status, 200);
    assert.deepEqual([up.last.body.x_new_thing, up.last.body.temperature], [{ deep: [1, 2.5, "ü", null] }, 0.1]);
    await r.text();
  });

  it("a body that never comes to its end harms nobody", async () => {
    const request = http.request(`${gw.url}/v1/chat/completions`, { method: "POST", headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", "content-length": "1000" } });
    request.on("error", () => {});
    request.write('{"model":');
    await new Promise((done) => setTimeout(done, 100));
    request.destroy();
    assert.equal((await gw.chat(secret, good)).status, 200);
  });
});

describe("x-edgehold-metadata", () => {
  for (const value of ["{", "[]", '"x"', "7", '{"a":{}}', '{"a":[1]}', "x".repeat(60_000), `{"a":"${"y".repeat(60_000)}"}`]) {
    it(`«${value.slice(0, 16)}» is a 400 or is let through, never a fault`, async () => {
      const r = await gw.chat(secret, good, { headers: { "x-edgehold-metadata": value } });
      if (r.status === 200) await r.text();
      else await wellFormed(r, 400);
    });
  }
});

describe("paths and methods", () => {
  const cases = [
    ["GET", "/nowhere", 404], ["GET", "/v1", 404], ["POST", "/v1/nope", 404], ["GET", "/v1/chat/completions", 405], ["DELETE", "/v1/models", 405], ["PUT", "/v1/chat/completions", 405],
    ["GET", "/v1/chat/completions/..%2f..%2fadmin", 404], ["GET", "/v1/%00", 404], ["GET", "/v1/%ff%fe", 404], ["GET", "/v1/requests/unknown", 404], ["GET", "/v1/requests/", 404],
    ["GET", `/v1/requests/${"x".repeat(5000)}`, 404], ["GET", "/v1/requests/%F0%9F%98%80", 404],
  ];
  for (const [method, where, status] of cases) {
    it(`${method} ${where.slice(0, 40)} is a ${status}`, async () => {
      await wellFormed(await call(where, { method }), status, status === 405 ? "method_not_allowed" : null);
    });
  }

  it("healthz needs no key", async () => assert.equal((await (await fetch(`${gw.url}/healthz`)).json()).status, "ok"));

  it("another customer's request is not there", async () => {
    const r = await gw.chat(secret, good);
    await r.text();
    const id = r.headers.get("x-edgehold-request-id");
    assert.equal((await call(`/v1/requests/${id}`)).status, 200);
    const stranger = await gw.tenant();
    const theirs = await fetch(`${gw.url}/v1/requests/${id}`, { headers: { authorization: `Bearer ${stranger.secret}` } });
    await wellFormed(theirs, 404);
  });
});

describe(`${MUTATIONS} mutations of real clients' requests (seed ${SEED})`, () => {
  /** A small generator: the same mutations on every machine. */
  function random(seed) {
    let a = seed >>> 0;
    return () => {
      a = (a + 0x6d2b79f5) | 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  const WEIRD = [null, true, false, 0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 9007199254740993, 4294967296, "", " ", "0", "true", "null", "\u0000", "\ud800", "🌍", "gpt-4o", "assistant", "tool", "a".repeat(10_000), [], {}, [[]], [null], { a: {} }, { type: "text" }, { type: "image_url", image_url: { url: "data:," } }, { type: "text", text: 5 }];
  // Numbers and texts that JSON.stringify cannot write.
  const RAW = ["1e999", "-1e999", "123456789012345678901234567890", "-0", '"\\ud800"', '"\\u0000"', "[".repeat(300) + "]".repeat(300), '{"a":1,"a":2}', "1E+2"];
  const KEYS = ["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools", "tool_choice", "response_format", "metadata", "temperature", "stop", "logit_bias", "user", "functions", "prediction", "service_tier", "include_usage", "role", "content", "tool_calls", "__proto__", ""];

  function mutate(text, rnd) {
    const pick = (list) => list[Math.floor(rnd() * list.length)];
    const body = JSON.parse(text);
    const places = [];
    (function walk(node) {
      if (node === null || typeof node !== "object") return;
      for (const key of Object.keys(node)) { places.push([node, key]); walk(node[key]); }
    })(body);
    const raw = [];
    const edits = 1 + Math.floor(rnd() * 3);
    for (let i = 0; i < edits; i += 1) {
      const [node, key] = pick(places);
      const what = rnd();
      if (what < 0.3) node[key] = pick(WEIRD);
      else if (what < 0.4) { node[key] = `\u0001raw${raw.length}\u0001`; raw.push(pick(RAW)); }
      else if (what < 0.55) Array.isArray(node) ? node.splice(Number(key), 1) : delete node[key];
      else if (what < 0.7) body[pick(KEYS)] = pick(WEIRD);
      else if (what < 0.8) node[key] = [node[key]];
      else if (what < 0.9) node[pick(KEYS)] = node[key];
    }
    let out = JSON.stringify(body).replace(/"\\u0001raw(\d+)\\u0001"/g, (_, n) => raw[Number(n)]);
    if (rnd() < 0.35) {
      const bytes = Buffer.from(out);
      const at = Math.floor(rnd() * bytes.length);
      const how = Math.floor(rnd() * 5);
      if (how === 0) return bytes.subarray(0, at);
      if (how === 1) { bytes[at] = Math.floor(rnd() * 256); return bytes; }
      if (how === 2) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
      if (how === 3) return Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(["{", "}", "[", "]", '"', ",", ":", "\\", "\n", "\u0000", "1", "-"])), bytes.subarray(at)]);
      out = pick([" ", "\ufeff", "\n\n", ""]) + out + pick(["", " ", "\n", "x", "\u0000"]);
    }
    return Buffer.from(out);
  }

  it("are each answered with 200 or a well-formed error, and nothing broken is sent on", { timeout: 240_000 }, async (t) => {
    const lines = fs.readFileSync(path.join(import.meta.dirname, "../fixtures/clients/chat_requests.jsonl"), "utf8").trim().split("\n").map((l) => JSON.parse(l));
    const rnd = random(SEED);
    up.reset();
    up.plan(model, { text: ["ok "] });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
    const statuses = {};
    const send = ({ headers, body }) => new Promise((resolve, reject) => {
      const h = Object.fromEntries(Object.entries(headers).filter(([k]) => !["authorization", "accept-encoding", "content-length", "host", "connection"].includes(k)));
      const request = http.request(`${gw.url}/v1/chat/completions`, { method: "POST", agent, headers: { ...h, authorization: `Bearer ${secret}`, "content-length": body.length } }, (response) => {
        const parts = [];
        response.on("data", (d) => parts.push(d)).on("end", () => resolve({ status: response.statusCode, type: response.headers["content-type"] ?? "", text: Buffer.concat(parts).toString("utf8") })).on("error", reject);
      });
      request.on("error", reject).end(body);
    });
    const problems = [];
    const judge = (body, { status, type, text }) => {
      statuses[status] = (statuses[status] ?? 0) + 1;
      const complain = (why) => { problems.push(`${why}: ${body.subarray(0, 400).toString("utf8")}\n  → ${status} ${text.slice(0, 300)}`); };
      if (status === 200) {
        if (type.startsWith("text/event-stream") ? !text.endsWith("data: [DONE]\n\n") : !JSON.parse(text).choices) complain("a 200 without an answer");
        return;
      }
      if (status >= 500) return complain("a fault of ours");
      try {
        const { error } = JSON.parse(text);
        if (typeof error.message !== "string" || typeof error.type !== "string" || !("param" in error) || !("code" in error)) complain("not OpenAI's form");
      } catch { complain("not JSON"); }
    };
    let left = MUTATIONS;
    const worker = async () => {
      while (left > 0 && problems.length < 10) {
        left -= 1;
        const line = lines[Math.floor(rnd() * lines.length)];
        const body = mutate(JSON.stringify(line.body), rnd);
        try { judge(body, await send({ headers: line.headers, body })); } catch (error) { problems.push(`${error}: ${body.subarray(0, 400)}`); }
        // The record of what arrived, judged and forgotten: ten thousand of them are not needed.
        for (const r of up.requests.splice(0)) if (!r.body || typeof r.body !== "object" || r.body.model !== model || !Array.isArray(r.body.messages)) problems.push(`sent on broken: ${r.raw.subarray(0, 300)}`);
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
    agent.destroy();
    t.diagnostic(`statuses: ${JSON.stringify(statuses)}`);
    assert.deepEqual(problems, []);
    assert.ok(statuses[200] > MUTATIONS / 20 && statuses[400] > MUTATIONS / 20, "the mutations are too tame or too wild to say anything");
  });

  it("left no panic, and the books balance", { timeout: 60_000 }, async () => {
    assert.deepEqual(gw.panics(), []);
    const rows = await gw.settledRows(tenant.customer, { timeout_ms: 45_000, every_ms: 500 });
    assert.equal((await gw.ledger(tenant.customer)).spent_total_nanousd, rows.reduce((s, r) => s + r.cost_nanousd, 0));
  });
});
