// Nothing is lost when something dies: D1 away, the object evicted or crashed, kill -9, the client gone.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { config, cost, NANO, sleep, startGateway, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up;
const model = "gpt-4o-mini";
const ONE = cost({ prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } });
// A hold lives for the total time-out of each attempt and the grace: a little over four seconds here.
const timeouts = { headers: "3s", first_token: "3s", idle: "3s", total: "3s" };

before(async () => {
  [gw, up] = await Promise.all([startGateway({ graceMs: 1000, isolates: 2 }), startUpstream()]);
  const c = config({ up1: up.url });
  c.routes = [
    { name: "estimate", match: { task: "estimate" }, model: `up1/${model}`, unreported_usage: "estimate" },
    { name: "brief", match: { task: "brief" }, model: `up1/${model}`, timeouts, retries: { count: 0 } },
    { name: "main", model: `up1/${model}`, retries: { count: 0 } },
  ];
  await gw.putConfig(c);
});
after(async () => { await gw?.stop(); await up?.stop(); });
beforeEach(async () => { up.reset(); await gw.d1("ok"); });

const brief = { headers: { "x-edgehold-metadata": '{"task":"brief"}' } };
const tenant = () => gw.tenant({ customer: { budget_usd: { total: 10 } } });
const id = (response) => response.headers.get("x-edgehold-request-id");

/** A stream of which one chunk has arrived and the next waits at the upstream's gate. */
async function halfWay(secret, options) {
  up.next({ chunks: 5, gate: true });
  const response = await gw.chat(secret, { model, stream: true, max_tokens: 50 }, options);
  const reader = response.body.getReader();
  const first = await reader.read();
  assert.ok(first.value?.length);
  return { response, reader };
}

async function toEnd(reader) {
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += Buffer.from(value).toString("utf8");
  }
}

/** The books of a customer: rows, the object's totals and its holds agree. */
async function balanced(t) {
  const rows = await gw.settledRows(t.customer, { timeout_ms: 45_000 });
  const l = await gw.ledger(t.customer);
  assert.equal(l.spent_total_nanousd, rows.reduce((s, r) => s + r.cost_nanousd, 0));
  assert.equal(new Set(rows.map((r) => `${r.request_id}/${r.attempt}`)).size, rows.length);
  return rows;
}

describe("D1 away under load", { concurrency: 1 }, () => {
  it("nobody notices, and every row arrives once when it is back", { timeout: 90_000 }, async () => {
    const t = await tenant();
    const ids = [];
    const burst = async (n) => {
      const answers = await Promise.all(Array.from({ length: n }, (_, i) => gw.chat(t.secret, { model, stream: i % 2 === 0 }, { isolate: i % 2 })));
      for (const a of answers) { assert.equal(a.status, 200); await a.text(); ids.push(id(a)); }
    };
    await burst(10);
    await gw.d1("fail");
    const failed = await gw.d1Failures();
    await burst(20);
    await waitFor("a failed drain", async () => (await gw.d1Failures()) > failed);
    const status = await fetch(`${gw.url}/v1/requests/${ids.at(-1)}`, { headers: { authorization: `Bearer ${t.secret}` } });
    assert.equal(status.status, 200, "the object answers while D1 is away");
    const body = await status.json();
    assert.deepEqual([body.state, body.rows.length, body.rows[0].cost_nanousd], ["settled", 1, ONE]);
    // The write lands, the answer is lost: the classic double count.
    await gw.d1("lost");
    await burst(10);
    await waitFor("a drain that landed unheard", async () => (await gw.sql("SELECT count(*) n FROM ledger WHERE customer_id = ?", t.customer.id))[0].n > 10, { timeout_ms: 30_000 });
    await gw.d1("ok");
    await burst(5);
    const rows = await balanced(t);
    assert.deepEqual(rows.map((r) => r.request_id).sort(), ids.sort());
    assert.ok(rows.every((r) => r.outcome === "ok" && r.cost_nanousd === ONE));
  });

  it("slow D1 makes no request slow", { timeout: 30_000 }, async () => {
    const t = await tenant();
    await (await gw.chat(t.secret, { model })).text();
    await gw.d1("slow:4000");
    // No stopwatch: ten answers in a row arrive before one slow statement could have ended.
    let drained = false;
    const slow = fetch(`${gw.url}/admin/v1/customers`, { headers: { authorization: `Bearer ${gw.adminToken}` } }).then(() => { drained = true; });
    for (let i = 0; i < 10; i += 1) await (await gw.chat(t.secret, { model })).text();
    assert.equal(drained, false);
    await gw.d1("ok");
    await slow;
    await balanced(t);
  });

  it("the object's own view needs no D1: it says how much waits, and why", { timeout: 30_000 }, async () => {
    const t = await tenant();
    await gw.d1("fail");
    await (await gw.chat(t.secret, { model })).text();
    const l = await waitFor("a failed drain", async () => {
      const view = await gw.ledger(t.customer);
      return view.last_drain_error && view;
    });
    assert.equal(l.outbox, 1);
    assert.ok(l.outbox_oldest_ms > 0);
    await gw.d1("ok");
    await balanced(t);
  });

  it("admin answers honestly: 503 with Retry-After", async () => {
    await gw.d1("fail");
    const r = await gw.adminRaw("GET", "/customers");
    await gw.d1("ok");
    assert.equal(r.status, 503, r.raw);
    assert.ok(Number(r.headers.get("retry-after")) >= 1);
  });
});

describe("the outbox never falls asleep", { concurrency: 1 }, () => {
  it("a request right behind a drain is drained as well, many times over", { timeout: 60_000 }, async () => {
    await Promise.all(Array.from({ length: 12 }, async () => {
      const t = await tenant();
      for (let i = 0; i < 5; i += 1) {
        const r = await gw.chat(t.secret, { model });
        await r.text();
        await gw.rows(id(r), 1, { every_ms: 5 });
      }
    }));
  });

  it("requests that come while a slow drain is under way are drained without further traffic", { timeout: 60_000 }, async () => {
    const t = await tenant();
    await gw.d1("slow:250");
    let sent = 0;
    for (; sent < 40; sent += 1) {
      await (await gw.chat(t.secret, { model })).text();
      await sleep(40);
    }
    assert.equal((await balanced(t)).length, sent);
  });

  it("requests at the very moment of a drain, and those after, are drained too", { timeout: 60_000 }, async () => {
    await gw.d1("slow:20");
    await Promise.all(Array.from({ length: 25 }, async (_, n) => {
      const t = await tenant();
      for (let i = 1; i <= 5; i += 1) {
        await (await gw.chat(t.secret, { model })).text();
        await sleep(990 + n); // a drain begins a second after the settlement
        await (await gw.chat(t.secret, { model })).text();
        await waitFor("the outbox to be empty", async () => (await gw.ledger(t.customer)).outbox === 0, { timeout_ms: 8_000 });
      }
    }));
  });
});

describe("the object goes away between hold and settle", { concurrency: 1 }, () => {
  it("evicted: the row is settled at its true cost", { timeout: 40_000 }, async () => {
    const t = await tenant();
    const { response, reader } = await halfWay(t.secret);
    await gw.evict().catch(() => {}); // an object with work under way may refuse, as in production
    const l = await gw.ledger(t.customer);
    assert.equal(l.held, 1, "the hold did not survive");
    up.release(Infinity);
    assert.match(await toEnd(reader), /\[DONE\]/);
    const [row] = await gw.rows(id(response));
    assert.deepEqual([row.outcome, row.output_tokens, row.usage_estimated], ["ok", 5, 0]);
    await balanced(t);
  });

  it("crashed: one row, and the hold does not stay", { timeout: 40_000 }, async () => {
    const t = await tenant();
    const { response, reader } = await halfWay(t.secret, brief);
    await gw.abortObjects();
    up.release(Infinity);
    await toEnd(reader).catch(() => {});
    const rows = await balanced(t);
    assert.deepEqual(rows.map((r) => r.request_id), [id(response)]);
    assert.ok(["ok", "unsettled", "truncated"].includes(rows[0].outcome), rows[0].outcome);
    assert.ok(rows[0].cost_nanousd > 0);
  });
});

describe("kill -9", { concurrency: 1 }, () => {
  it("between hold and settle: exactly one row, unsettled, charged at the bound", { timeout: 60_000 }, async () => {
    const t = await tenant();
    const { response, reader } = await halfWay(t.secret, brief);
    const [limit] = (await gw.keyStatus(t.secret)).limits;
    assert.ok(limit.held_nanousd >= 50 * NANO.output, "nothing is held while the stream runs");
    await gw.kill();
    await toEnd(reader).catch(() => {});
    await gw.start();
    const rows = await gw.rows(id(response), 1, { timeout_ms: 20_000 });
    assert.deepEqual(rows.map((r) => [r.attempt, r.outcome, r.cost_nanousd, r.customer_id]), [[1, "unsettled", limit.held_nanousd, t.customer.id]]);
    assert.deepEqual((await balanced(t)).length, 1);
    assert.equal((await gw.keyStatus(t.secret)).limits[0].spent_nanousd, limit.held_nanousd);
  });

  it("after settle, before D1 has it: the row arrives", { timeout: 60_000 }, async () => {
    const t = await tenant();
    await gw.d1("fail");
    const ids = [];
    for (let i = 0; i < 5; i += 1) { const r = await gw.chat(t.secret, { model }); await r.text(); ids.push(id(r)); }
    // What an isolate has not reported yet dies with it, and is charged with its lease; here it has.
    await waitFor("the settlements", async () => (await gw.keyStatus(t.secret)).limits.every((l) => l.held_nanousd === 0 && l.leased_nanousd === 0));
    await gw.kill();
    await gw.start();
    const rows = await balanced(t);
    assert.deepEqual(rows.map((r) => r.request_id).sort(), ids.sort());
    assert.ok(rows.every((r) => r.outcome === "ok" && r.cost_nanousd === ONE));
  });

  it("everything the admin wrote is still there", async () => {
    const t = await tenant();
    await gw.kill();
    await gw.start();
    assert.equal((await gw.chat(t.secret, { model })).status, 200);
    assert.ok((await gw.admin("GET", "/config")).version >= 1);
  });
});

describe("the client leaves in mid-stream", { concurrency: 1 }, () => {
  const kinds = [["with include_usage", { body: { stream_options: { include_usage: true } } }], ["without include_usage", {}], ["on a route with unreported_usage: estimate", { estimate: true }]];
  for (const [kind, over] of kinds) {
    it(`${kind}: the provider's connection is closed, the row says client_gone and what was used`, { timeout: 30_000 }, async () => {
      const t = await tenant();
      up.next({ chunks: 400, delay_ms: 25 });
      const response = await gw.chat(t.secret, { model, stream: true, max_tokens: 1000, ...over.body }, over.estimate ? { headers: { "x-edgehold-metadata": '{"task":"estimate"}' } } : {});
      const record = up.last;
      const reader = response.body.getReader();
      await waitFor("ten chunks", async () => { await reader.read(); return record.sent >= 10; }, { every_ms: 0 });
      await reader.cancel();
      assert.equal(await record.gone, true);
      assert.ok(record.sent < 400, "read to the end though nobody listens");
      const [row] = await gw.rows(id(response));
      assert.equal(row.outcome, "client_gone");
      assert.equal(row.usage_estimated, 1);
      assert.ok(row.output_tokens > 0 && row.input_tokens > 0, JSON.stringify(row));
      // What the provider did not report costs what it can have been at most; where the route says so, an estimate.
      const [least, most] = over.estimate ? [row.output_tokens * NANO.output, 1000 * NANO.output] : [1000 * NANO.output, 2000 * NANO.output];
      assert.ok(row.cost_nanousd >= least && row.cost_nanousd < most, JSON.stringify(row));
      await balanced(t);
    });
  }

  it("before the first byte: one row, nothing held", { timeout: 40_000 }, async () => {
    const t = await tenant();
    up.next({ stall: "headers" });
    const leave = new AbortController();
    const asked = gw.chat(t.secret, { model, stream: true, max_tokens: 50 }, { ...brief, signal: leave.signal }).catch(() => {});
    await waitFor("the upstream to be asked", () => up.last);
    leave.abort();
    await asked;
    const rows = await balanced(t);
    assert.equal(rows.length, 1);
    assert.ok(["client_gone", "timeout", "unsettled"].includes(rows[0].outcome), rows[0].outcome);
  });
});

it("left no panic behind", async () => {
  await sleep(200);
  assert.deepEqual(gw.panics(), []);
});
