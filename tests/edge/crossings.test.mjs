// How often a request crosses between JS and wasm: what costs on this platform, and a number without noise.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, it } from "node:test";
import { config, startGateway, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

const JSON_MAX = 24;
const N = 20;
let gw, up, secret;
const model = "gpt-4o-mini";
before(async () => {
  // The objects live in the first worker's isolate; requests go to the second, so the counts are the Worker's own.
  [gw, up] = await Promise.all([startGateway({ isolates: 2, crossings: true }), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }));
  ({ secret } = await gw.tenant({ customer: { budget_usd: { total: 100 } }, key: { rate_limit: { rpm: 1000 } } }));
});
after(async () => { await gw?.stop(); await up?.stop(); });

/** Crossings of the Worker and of the object for each of `n` like requests, after warming. */
async function each(body, n = N, headers = () => ({})) {
  const once = async () => {
    const r = await gw.chat(secret, { model, ...body }, { isolate: 1, headers: headers() });
    assert.equal(r.status, 200);
    await r.text();
  };
  const quiet = () => waitFor("the settlements", async () => (await gw.keyStatus(secret)).limits.every((l) => !l.held_nanousd));
  for (let i = 0; i < 5; i += 1) await once();
  await quiet();
  await gw.resetCrossings(0);
  await gw.resetCrossings(1);
  for (let i = 0; i < n; i += 1) await once();
  await quiet();
  const [object, worker] = await Promise.all([gw.crossings(0), gw.crossings(1)]);
  assert.ok(worker.total > 0, "nothing was counted: does the bundle still instantiate with WebAssembly.Instance?");
  return { worker: worker.total / n, object: object.total / n, names: worker };
}

it(`a JSON request crosses at most ${JSON_MAX} times`, async (t) => {
  const { worker, object, names } = await each({});
  t.diagnostic(`${worker.toFixed(1)} crossings for each JSON request (in the object, its status calls included: ${object.toFixed(1)})`);
  assert.ok(worker <= JSON_MAX, `${worker}: ${JSON.stringify(names, null, 1)}`);
});

it("an idempotency key costs who sends one, and nobody else", async (t) => {
  const without = await each({});
  assert.deepEqual(await gw.records(), [], "no record is touched without the header");
  const keyed = await each({}, N, () => ({ "idempotency-key": randomUUID() }));
  t.diagnostic(`${without.worker.toFixed(1)} crossings without a key, ${keyed.worker.toFixed(1)} with one`);
  assert.ok(without.worker <= JSON_MAX && keyed.worker <= JSON_MAX + 6, `${without.worker}, ${keyed.worker}`);
  assert.equal((await gw.records()).length, N + 5);
});

/** Crossings for each further chunk of a stream. */
async function perChunk(t, over) {
  const totals = [];
  for (const chunks of [10, 410]) {
    up.plan(model, { chunks });
    totals.push((await each({ stream: true, ...over }, 5)).worker);
  }
  t.diagnostic(`${totals[0].toFixed(1)} crossings for a stream of 10 chunks, ${totals[1].toFixed(1)} for one of 410`);
  return (totals[1] - totals[0]) / 400;
}

it("a chunk that is passed on untouched never crosses", async (t) => {
  const n = await perChunk(t, { stream_options: { include_usage: true } });
  // Not quite zero: how many reads it takes to see the first content is the network's.
  assert.ok(Math.abs(n) < 0.05, String(n));
});

// Who did not ask for usage gets a stream from which the usage is taken out: one call in for each read, with its
// bytes in and out.
it("a chunk that is filtered crosses at most three times", async (t) => {
  const n = await perChunk(t, {});
  assert.ok(n < 3.1, String(n));
});

it("a translated stream is written once for each read of the provider's", async (t) => {
  up.plan(model, { chunks: 60, delay_ms: 5 });
  await gw.resetCrossings(1);
  const response = await fetch(`${gw.urls[1]}/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": secret, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model, max_tokens: 100, stream: true, messages: [{ role: "user", content: "hello" }] }),
  });
  assert.equal(response.status, 200);
  assert.match(await response.text(), /event: message_stop/);
  const { streams: { reads, writes } } = await gw.crossings(1);
  t.diagnostic(`${reads} reads, ${writes} writes`);
  assert.ok(reads > 30, "the chunks came together: nothing is shown");
  assert.ok(writes > 30 && writes <= reads, `${writes} writes for ${reads} reads`);
});
