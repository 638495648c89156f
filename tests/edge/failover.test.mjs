// Failover is free before the first content, forbidden after it; every attempt is one row.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import OpenAI from "openai";
import { config, cost, NANO, SHORT, startGateway } from "./rig.mjs";
import { deadUrl, startUpstream, WORDS } from "./upstream.mjs";

let gw, first, second, client, tenant;
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "hello" }];

before(async () => {
  [gw, first, second] = await Promise.all([startGateway(), startUpstream(), startUpstream()]);
  const c = config({ up1: first.url, up2: second.url, dead: await deadUrl() });
  const timeouts = SHORT;
  c.routes = [
    { name: "dead-first", match: { task: "dead" }, model: `dead/${model}`, fallback: `up2/${model}`, timeouts, retries: { count: 0 } },
    { name: "two", unreported_usage: "estimate", match: { task: "two" }, model: `up1/${model}`, fallback: `up2/${model}`, timeouts, retries: { count: 0 } },
    { name: "retry", match: { task: "retry" }, model: `up1/${model}`, timeouts, retries: { count: 1, backoff: "50ms", backoff_max: "2s" } },
    { name: "alone", match: { task: "alone" }, model: `up1/${model}`, timeouts, retries: { count: 0 } },
    { name: "three", match: { task: "three" }, model: `dead/${model}`, fallback: [`up1/${model}`, `up2/${model}`], timeouts, retries: { count: 0 } },
  ];
  await gw.putConfig(c);
  tenant = await gw.tenant({ customer: { budget_usd: { total: 10 } } });
  client = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 0 });
});
after(async () => { await gw?.stop(); await first?.stop(); await second?.stop(); });

/** Asks by SDK; gives text, response headers and the rows. */
async function ask(task, stream, rows) {
  const { data, response } = await client.chat.completions.create({ model, messages, stream }, { headers: { "x-edgehold-metadata": JSON.stringify({ task }) } }).withResponse();
  const text = stream ? (await Array.fromAsync(data)).map((c) => c.choices[0]?.delta.content ?? "").join("") : data.choices[0].message.content;
  const id = response.headers.get("x-edgehold-request-id");
  return { text, headers: response.headers, rows: await gw.rows(id, rows) };
}

const shape = (rows) => rows.map((r) => [r.attempt, r.provider, r.outcome, r.status]);

describe("the first provider fails before content: the SDK gets the second's answer", { concurrency: 1 }, () => {
  // [what, plan, outcome, status in the row, for streams / for plain answers]
  const cases = [
    ["429 with Retry-After", { status: 429, headers: { "retry-after": "30" } }, "rate_limited", 429, [true, false]],
    ["500", { status: 500 }, "upstream_error", 500, [true, false]],
    ["503", { status: 503 }, "upstream_error", 503, [true, false]],
    ["connection cut before headers", { cut: "headers" }, "connect_error", 0, [true, false]],
    ["stall before headers", { stall: "headers" }, "timeout", 0, [true]],
    ["stall before the first token", { stall: "first" }, "timeout", 200, [true]],
    ["stall after the role, before content", { stall: "role" }, "timeout", 200, [true]],
    ["error event in a 200 stream", { error_event: true }, "upstream_error", 200, [true]],
    ["HTML instead of a stream", { raw: "<html><body>busy</body></html>" }, "upstream_error", 200, [true]],
    ["HTML in the name of JSON", { raw: "<html>busy</html>", content_type: "application/json" }, "upstream_error", 200, [false]],
    ["an empty stream", { raw: "", content_type: "text/event-stream" }, ["upstream_error", "truncated"], 200, [true]],
    ["garbage as event-stream", { raw: "\u0000\u0001 nothing\n\nlike: sse\n\n", content_type: "text/event-stream" }, ["upstream_error", "truncated"], 200, [true]],
  ];
  for (const [what, plan, outcomes, status, kinds] of cases) {
    for (const stream of kinds) {
      it(`${what} (${stream ? "stream" : "plain"})`, { timeout: 20_000 }, async () => {
        first.next(plan);
        const { text, headers, rows } = await ask("two", stream, 2);
        assert.equal(text, WORDS.join(""));
        assert.equal(headers.get("x-edgehold-provider"), "up2");
        assert.equal(headers.get("x-edgehold-attempts"), "2");
        assert.equal(second.last.headers.authorization, "Bearer sk-up2-secret", "each provider its own credential");
        assert.ok([outcomes].flat().includes(rows[0].outcome), rows[0].outcome);
        assert.deepEqual(shape(rows), [[1, "up1", rows[0].outcome, status], [2, "up2", "ok", 200]]);
        assert.equal(rows[1].cost_nanousd, cost(second.last.usage));
        // A provider that was cut off by our time-out has read the prompt and may bill it: that much is estimated.
        const input = rows[0].outcome === "timeout" ? rows[0].input_tokens * NANO.input : 0;
        assert.deepEqual([rows[0].cost_nanousd, rows[0].output_tokens], [input, 0]);
        assert.ok(rows.every((r) => r.route === "two" && r.requested_model === model));
      });
    }
  }

  for (const stream of [true, false]) {
    it(`nobody listens (${stream ? "stream" : "plain"})`, async () => {
      const { text, rows } = await ask("dead", stream, 2);
      assert.equal(text, WORDS.join(""));
      assert.deepEqual(shape(rows), [[1, "dead", "connect_error", 0], [2, "up2", "ok", 200]]);
      assert.equal(rows[0].cost_nanousd, 0);
    });
  }

  it("a chain of three ends at the third", async () => {
    first.next({ status: 500 });
    const { text, rows } = await ask("three", true, 3);
    assert.equal(text, WORDS.join(""));
    assert.deepEqual(shape(rows), [[1, "dead", "connect_error", 0], [2, "up1", "upstream_error", 500], [3, "up2", "ok", 200]]);
  });
});

describe("retries of one provider", { concurrency: 1 }, () => {
  it("a 500 is tried again once, and both attempts are rows", async () => {
    first.next({ status: 500 });
    const { text, rows } = await ask("retry", false, 2);
    assert.equal(text, WORDS.join(""));
    assert.deepEqual(shape(rows), [[1, "up1", "upstream_error", 500], [2, "up1", "ok", 200]]);
  });

  it("Retry-After within backoff_max is waited for", async () => {
    let early = true;
    first.next({ status: 429, headers: { "retry-after": "1" } }, () => { early = Date.now() - asked < 990; return {}; });
    const asked = Date.now();
    const { rows } = await ask("retry", false, 2);
    assert.equal(early, false, "the second attempt came before Retry-After was over");
    assert.deepEqual(shape(rows), [[1, "up1", "rate_limited", 429], [2, "up1", "ok", 200]]);
  });

  it("Retry-After beyond backoff_max is not waited for: the 429 goes to the client with it", async () => {
    const before = first.requests.length;
    first.next({ status: 429, headers: { "retry-after": "77" } });
    await assert.rejects(ask("retry", false, 1), (e) => {
      assert.ok(e instanceof OpenAI.RateLimitError, String(e));
      assert.equal(e.headers.get("retry-after"), "77");
      return true;
    });
    assert.equal(first.requests.length, before + 1);
  });

  for (const status of [400, 413, 422]) {
    it(`a ${status} is neither retried nor sent elsewhere, and passed on as it was`, async () => {
      const [a, b] = [first.requests.length, second.requests.length];
      const body = { error: { message: `no ${status}`, type: "invalid_request_error", param: "messages", code: "x" } };
      first.next({ status, body });
      const r = await gw.chat(tenant.secret, { model }, { headers: { "x-edgehold-metadata": '{"task":"two"}' } });
      assert.equal(r.status, status);
      assert.deepEqual(await r.json(), body);
      assert.deepEqual([first.requests.length, second.requests.length], [a + 1, b]);
      const rows = await gw.rows(r.headers.get("x-edgehold-request-id"));
      assert.deepEqual(shape(rows), [[1, "up1", "refused_by_provider", status]]);
      assert.equal(rows[0].cost_nanousd, 0);
    });
  }
});

describe("every provider failed", { concurrency: 1 }, () => {
  const meta = (task) => ({ headers: { "x-edgehold-metadata": JSON.stringify({ task }) } });
  const error = async (r) => (await r.json()).error;

  it("500: 502 upstream_error, a row for each attempt, nothing charged", async () => {
    first.next({ status: 500 });
    second.next({ status: 500 });
    const r = await gw.chat(tenant.secret, { model }, meta("two"));
    assert.equal(r.status, 502);
    assert.equal((await error(r)).code, "upstream_error");
    const rows = await gw.rows(r.headers.get("x-edgehold-request-id"), 2);
    assert.deepEqual(shape(rows), [[1, "up1", "upstream_error", 500], [2, "up2", "upstream_error", 500]]);
    assert.ok(rows.every((row) => row.cost_nanousd === 0));
  });

  it("time-out: 504 upstream_timeout", { timeout: 20_000 }, async () => {
    first.next({ stall: "first" });
    const r = await gw.chat(tenant.secret, { model, stream: true }, meta("alone"));
    assert.equal(r.status, 504);
    assert.equal((await error(r)).code, "upstream_timeout");
    assert.equal(await first.last.gone, true, "the stalled connection was left open");
  });

  it("429 without a fallback: 429 with the provider's Retry-After", async () => {
    first.next({ status: 429, headers: { "retry-after": "7" } });
    const r = await gw.chat(tenant.secret, { model }, meta("alone"));
    assert.equal(r.status, 429);
    assert.equal(r.headers.get("retry-after"), "7");
    assert.ok((await error(r)).message);
  });

  it("the provider's credential never shows in an error", async () => {
    first.next({ status: 500, body: { error: { message: "bad key sk-up-secret", type: "x", param: null, code: null } } });
    const r = await gw.chat(tenant.secret, { model }, meta("alone"));
    const rows = await gw.rows(r.headers.get("x-edgehold-request-id"));
    assert.ok(!(await r.text()).includes("sk-up-secret"));
    assert.ok(!JSON.stringify(rows).includes("sk-up-secret"));
  });

  it("the money held for all of it was given back", async () => {
    const rows = await gw.settledRows(tenant.customer);
    const l = await gw.ledger(tenant.customer);
    assert.equal(l.spent_total_nanousd, rows.reduce((sum, r) => sum + r.cost_nanousd, 0));
  });
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
