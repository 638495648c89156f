// A trap in wasm leaves the instance unusable: everybody in it is told, streams under way go on, the next request is served by a
// fresh instance, and what was held becomes rows.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { config, SHORT, sleep, startGateway, sseData, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up, secret, customer;
before(async () => {
  [gw, up] = await Promise.all([startGateway({ isolates: 2, crossings: true, graceMs: 1000 }), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }, { route: { timeouts: { ...SHORT, total: "4s" } } }));
  ({ secret, customer } = await gw.tenant({ customer: { budget_usd: { total: 100 } } }));
});
after(async () => { await gw?.stop(); await up?.stop(); });

// The objects live in isolate 0; the Workers' requests go to isolate 1.
const ask = (over = {}) => gw.chat(secret, { model: "gpt-4o-mini", ...over }, { isolate: 1 });
const trap = (isolate, name) => fetch(`${gw.urls[isolate]}/__rig/trap/${name}`);

it("a trap in the Worker: those in the instance get a 500, streams go on, the next request is served", async () => {
  assert.equal((await ask()).status, 200);
  up.next({ chunks: 4, gate: true }, { chunks: 4, gate: true });
  const untouched = await ask({ stream: true, stream_options: { include_usage: true } });
  const filtered = await ask({ stream: true });
  const texts = Promise.all([untouched.text(), filtered.text()]);

  // Until the object has heard of them they are part of their lease, which ends as one row.
  await waitFor("the object to hold both", async () => (await gw.ledger(customer)).held === 2);
  await trap(1, "start");
  const trapped = await ask();
  assert.equal(trapped.status, 500);
  assert.equal((await trapped.json()).error.code, "internal_error");
  assert.equal((await ask()).status, 200, "a fresh instance serves");

  for (let i = 0; i < 6; i += 1) {
    up.release();
    await sleep(30);
  }
  for (const text of await texts) {
    assert.equal(sseData(text).at(-1), "[DONE]", "the stream came to its end");
    assert.equal(sseData(text).filter((d) => d.includes('"content":"') && !d.includes('"content":""')).length, 4);
  }
  // Whoever waited for the two streams is gone with the old instance: their holds expire.
  for (const response of [untouched, filtered]) {
    const id = response.headers.get("x-edgehold-request-id");
    const rows = await gw.rows(id);
    assert.deepEqual(rows.map((row) => row.outcome), ["unsettled"]);
  }
});

it("a trap in the object: the command is made again, on what is stored", async () => {
  const spent = async () => (await gw.keyStatus(secret)).limits[0].spent_nanousd;
  const before = await spent();
  await trap(0, "objectcore_apply");
  assert.equal((await ask()).status, 200);
  await waitFor("the settlement", async () => (await spent()) > before && !(await gw.keyStatus(secret)).limits[0].held_nanousd);
  const ledger = await waitFor("all rows", async () => {
    const rows = await gw.sql("SELECT SUM(cost_nanousd) AS sum FROM ledger WHERE customer_id = ?", customer.id);
    return rows[0].sum === (await spent()) && rows[0].sum;
  });
  assert.equal(ledger, await spent(), "the ledger is the object's total");
});

const keyed = (key, over = {}, isolate = 1) => gw.chat(secret, { model: "gpt-4o-mini", ...over }, { isolate, headers: { "idempotency-key": key } });

it("a trap in the Worker frees its idempotency keys: who waits makes the call anew, who reads along is told", async () => {
  let go;
  up.next({ until: new Promise((done) => { go = done; }) }, { chunks: 4, gate: true });
  const before = up.requests.length;
  const owner = keyed("plain");
  await waitFor("the call", () => up.requests.length === before + 1);
  const waiting = keyed("plain", {}, 0);
  const streaming = await keyed("streamed", { stream: true });
  const along = await keyed("streamed", { stream: true }, 0);
  assert.equal(along.headers.get("x-edgehold-idempotent-replay"), "attached");
  await sleep(200);

  await trap(1, "start");
  assert.equal((await ask()).status, 500);
  assert.equal((await owner).status, 500);
  const made = await waiting;
  assert.equal(made.status, 200);
  assert.equal(made.headers.get("x-edgehold-idempotent-replay"), null);
  const events = sseData(await along.text());
  assert.equal(JSON.parse(events.at(-1)).error.code, "stream_abandoned");
  up.release(4);
  assert.equal(sseData(await streaming.text()).at(-1), "[DONE]", "the stream itself came to its end");
  go();
});

it("a trap in a record: it is told again", async () => {
  const before = up.requests.length;
  await trap(0, "recordcore_put");
  const first = await keyed("told again", { stream: true });
  const text = await first.text();
  const again = await waitFor("a stored answer", async () => {
    const answer = await keyed("told again", { stream: true });
    const body = await answer.text();
    return answer.headers.get("x-edgehold-idempotent-replay") === "stored" && body;
  });
  assert.equal(again, text);
  assert.equal(up.requests.length, before + 1);
});
