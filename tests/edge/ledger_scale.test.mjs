// The ledger under what happens at scale: rows that D1 refuses, D1 away or slow under load, sums by hour and day,
// corrections, reconciliation, retention, several databases.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { config, cost, startGateway, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up;
const model = "gpt-4o-mini";
const ONE = cost({ prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } });
const DAY = 86_400_000;

before(async () => {
  [gw, up] = await Promise.all([startGateway({ vars: { EDGEHOLD_LEDGER_RETENTION_DAYS: "30", EDGEHOLD_HOURLY_RETENTION_DAYS: "10" } }), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }, { route: { retries: { count: 0 } } }));
});
after(async () => { await gw?.stop(); await up?.stop(); });
beforeEach(async () => { up.reset(); await gw.d1("ok"); });

const tenant = (budget = 10) => gw.tenant({ customer: { budget_usd: { total: budget } } });
const id = (response) => response.headers.get("x-edgehold-request-id");

async function ask(t, n = 1, options = {}) {
  const answers = await Promise.all(Array.from({ length: n }, () => gw.chat(t.secret, { model, ...options.body }, options)));
  for (const answer of answers) { assert.equal(answer.status, 200); await answer.text(); }
  return answers.map(id);
}

const drained = (t, quarantined = 0) => waitFor("the outbox to empty", async () => {
  const l = await gw.ledger(t.customer);
  return l.held === 0 && l.outbox === 0 && l.quarantined === quarantined && l;
}, { timeout_ms: 60_000 });

const rowsOf = (t, g = gw, database = "DB") => g.sqlIn(database, "SELECT * FROM ledger WHERE customer_id = ? ORDER BY request_id, attempt", t.customer.id);

describe("a row that D1 refuses", { concurrency: 1 }, () => {
  it("is set aside, seen, charged, and goes through when it is tried again; the others do not wait", { timeout: 90_000 }, async () => {
    const t = await tenant();
    const poison = { "x-edgehold-metadata": '{"note":"poison-7"}' };
    await gw.d1("reject:poison-7");
    const good = await ask(t, 12);
    const [bad] = await ask(t, 1, { headers: poison });
    good.push(...await ask(t, 12));
    const l = await drained(t, 1);
    assert.deepEqual((await rowsOf(t)).map((r) => r.request_id).sort(), good.sort());
    assert.equal(l.spent_total_nanousd, 25 * ONE, "its money stays counted");
    assert.deepEqual(l.quarantine.map((q) => [q.request_ids, q.cost_nanousd, q.retrying]), [[[bad], ONE, false]]);
    assert.match(l.quarantine[0].error, /CHECK constraint failed/);
    const own = await (await fetch(`${gw.url}/v1/requests/${bad}`, { headers: { authorization: `Bearer ${t.secret}` } })).json();
    assert.deepEqual([own.state, own.rows.length, own.rows[0].cost_nanousd], ["settled", 1, ONE], "its owner still finds it");

    await gw.evict().catch(() => {});
    const again = await gw.admin("POST", `/customers/${t.customer.id}/ledger/quarantine/retry`);
    assert.equal(again.rows, 1);
    await waitFor("the second refusal", async () => (await gw.ledger(t.customer)).quarantine[0].retrying === false);
    assert.equal((await rowsOf(t)).length, 24);

    await gw.d1("ok");
    await gw.admin("POST", `/customers/${t.customer.id}/ledger/quarantine/retry`);
    await drained(t);
    const rows = await rowsOf(t);
    assert.equal(rows.length, 25);
    assert.equal(rows.reduce((sum, r) => sum + r.cost_nanousd, 0), (await gw.ledger(t.customer)).spent_total_nanousd);
    assert.equal((await gw.admin("POST", `/customers/${t.customer.id}/ledger/quarantine/retry`)).rows, 0);
  });

  it("a customer nobody knows has nothing to retry", async () => {
    assert.equal((await gw.adminRaw("POST", "/customers/cus_000000000000/ledger/quarantine/retry")).status, 404);
  });
});

describe("D1 under load", { concurrency: 1 }, () => {
  for (const mode of ["fail", "lost", "slow:1500"]) {
    it(`${mode} for the whole load, then back: every row once, and nothing set aside`, { timeout: 120_000 }, async () => {
      const t = await tenant();
      const [early] = await ask(t);
      await gw.d1(mode);
      const ids = [early];
      for (let i = 0; i < 12; i += 1) ids.push(...await ask(t, 20));
      if (mode !== "slow:1500") {
        const failures = await gw.d1Failures();
        await waitFor("D1 to fail", async () => (await gw.d1Failures()) > failures, { timeout_ms: 30_000 });
        await gw.d1("ok");
      }
      const l = await drained(t);
      const rows = await rowsOf(t);
      assert.deepEqual(rows.map((r) => r.request_id).sort(), ids.sort());
      assert.equal(rows.reduce((sum, r) => sum + r.cost_nanousd, 0), l.spent_total_nanousd);
      const [days] = await gw.sql("SELECT SUM(requests) requests, SUM(cost_nanousd) cost FROM rollup WHERE span_ms = ? AND customer_id = ?", DAY, t.customer.id);
      assert.deepEqual([days.requests, days.cost], [ids.length, l.spent_total_nanousd]);
    });
  }
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
