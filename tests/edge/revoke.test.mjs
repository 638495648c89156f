// Revoke, block, and a lowered limit, while hundreds of requests a second go through two isolates.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { config, cost, sleep, startGateway } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

// How long after the admin's answer a request may still be admitted: the life of a lease, here a short one.
const LEASE_MS = 1_500;
// A clock's tick, and what is on its way inside the machine.
const MARGIN_MS = LEASE_MS > 0 ? 500 : 0;
const ONE = cost({ prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } });
const model = "gpt-4o-mini";

let gw, up;
before(async () => {
  [gw, up] = await Promise.all([startGateway({ isolates: 2, vars: { EDGEHOLD_LEASE_MS: LEASE_MS } }), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }, { route: { retries: { count: 0 } } }));
});
after(async () => { await gw?.stop(); await up?.stop(); });

/**
 * Keeps 24 requests of a key under way over both isolates, does `change` in the middle of it, and goes on for a lease more.
 * @returns {Promise<{t0: number, before: object[], late: object[], refused: object[]}>} t0: when the admin had its answer;
 *   `late`: those admitted though they were sent more than a lease after t0
 */
async function underLoad(t, change, during = async () => {}) {
  const answers = [];
  let going = true;
  const client = async (_, n) => {
    for (let i = n; going; i += 1) {
      const sent_ms = performance.now();
      const response = await gw.chat(t.secret, { model, stream: i % 3 === 0, max_tokens: 20 }, { isolate: i % 2 });
      const text = await response.text();
      answers.push({ sent_ms, ended_ms: performance.now(), isolate: i % 2, status: response.status, code: response.ok ? "" : JSON.parse(text).error.code, text });
      // A refusal costs next to nothing; asking on as fast as possible would only starve the others.
      if (!response.ok) await sleep(10);
    }
  };
  const crowd = Array.from({ length: 24 }, client);
  while (answers.length < 200) await sleep(5);
  await change();
  const t0 = performance.now();
  await during();
  await sleep(LEASE_MS + MARGIN_MS + 500);
  going = false;
  await Promise.all(crowd);
  const ended = t0 + LEASE_MS + MARGIN_MS;
  return {
    t0,
    before: answers.filter((a) => a.ended_ms < t0),
    late: answers.filter((a) => a.status === 200 && a.sent_ms > ended),
    refused: answers.filter((a) => a.sent_ms > ended && a.status !== 200),
  };
}

/** Load went through both isolates before, and after the change both refuse, for the reason named. */
function stopped(run, status, code, t) {
  for (const isolate of [0, 1]) {
    assert.ok(run.before.filter((a) => a.isolate === isolate && a.status === 200).length > 20, `isolate ${isolate} served too little before`);
    assert.ok(run.refused.some((a) => a.isolate === isolate), `isolate ${isolate} was asked nothing afterwards`);
  }
  t.diagnostic(`${run.before.length} answers before, ${run.refused.length} refusals after`);
  assert.deepEqual(run.late.map((a) => Math.round(a.sent_ms - run.t0)), [], "admitted, sent so many ms after the admin's answer");
  assert.deepEqual([...new Set(run.refused.map((a) => `${a.status} ${a.code}`))], [`${status} ${code}`]);
}

describe("while requests pour in over two isolates", { concurrency: 1 }, () => {
  const rich = () => gw.tenant({ customer: { budget_usd: { total: 100 } }, team: {}, key: { budget_usd: { total: 50 } } });

  it("a revoked key stops", { timeout: 60_000 }, async (test) => {
    const t = await rich();
    stopped(await underLoad(t, () => gw.admin("DELETE", `/keys/${t.key.id}`)), 401, "key_blocked", test);
  });

  it("a blocked key stops, and its sister does not", { timeout: 60_000 }, async (test) => {
    const t = await rich();
    const sister = await gw.admin("POST", "/keys", { customer_id: t.customer.id });
    const served = [];
    const run = await underLoad(t, () => gw.admin("PATCH", `/keys/${t.key.id}`, { blocked: true }), async () => {
      for (const isolate of [0, 1]) served.push((await gw.chat(sister.key, { model }, { isolate })).status);
    });
    stopped(run, 401, "key_blocked", test);
    assert.deepEqual(served, [200, 200]);
  });

  for (const [level, where] of [["team", "teams"], ["customer", "customers"]]) {
    it(`a blocked ${level} stops its keys, and says which level`, { timeout: 60_000 }, async (test) => {
      const t = await rich();
      const run = await underLoad(t, () => gw.admin("PATCH", `/${where}/${t[level].id}`, { blocked: true }));
      stopped(run, 401, "key_blocked", test);
      assert.ok(run.refused.every((a) => a.text.includes(level)), run.refused[0].text);
    });
  }

  it("a limit lowered below what is spent stops it, and names the budget", { timeout: 60_000 }, async (test) => {
    const t = await rich();
    const run = await underLoad(t, () => gw.admin("PATCH", `/keys/${t.key.id}`, { budget_usd: { total: "0.000001" } }));
    stopped(run, 402, "insufficient_budget", test);
    const { limit } = JSON.parse(run.refused[0].text).error;
    assert.deepEqual([limit.level, limit.kind, limit.window, limit.limit_nanousd], ["key", "budget", "total", 1_000]);
  });

  it("a limit lowered to a little more than is spent is used up to it, and never beyond", { timeout: 60_000 }, async (test) => {
    const t = await rich();
    let limit_nanousd;
    const run = await underLoad(t, async () => {
      const [now] = (await gw.keyStatus(t.secret)).limits;
      // What is spent and held now, leases included, and room for some hundred requests.
      limit_nanousd = now.spent_nanousd + now.held_nanousd + now.leased_nanousd + 100 * ONE;
      await gw.admin("PATCH", `/keys/${t.key.id}`, { budget_usd: { total: (limit_nanousd / 1e9).toFixed(9) } });
    }, async () => {
      while ((await gw.chat(t.secret, { model, max_tokens: 20 })).status === 200);
    });
    const rows = await gw.settledRows(t.customer);
    const spent = rows.reduce((sum, row) => sum + row.cost_nanousd, 0);
    test.diagnostic(`limit ${limit_nanousd}, spent ${spent}, ${rows.length} rows`);
    assert.ok(spent <= limit_nanousd, `spent ${spent} of ${limit_nanousd}`);
    assert.ok(spent > limit_nanousd - 100 * ONE, "nothing of the rest was used");
    assert.ok(run.refused.length > 0 && run.refused.every((a) => a.code === "insufficient_budget"));
  });

  it("a lowered rate binds at once, and is named", { timeout: 60_000 }, async (test) => {
    const t = await rich();
    const run = await underLoad(t, () => gw.admin("PATCH", `/keys/${t.key.id}`, { rate_limit: { rpm: 1 } }));
    stopped(run, 429, "rate_limit_exceeded", test);
    assert.equal(JSON.parse(run.refused[0].text).error.limit.limit, 1);
  });
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
