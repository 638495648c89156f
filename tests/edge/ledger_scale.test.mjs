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

/** A row as an older Worker inserts it: long ago, if need be. */
async function insertRow(g, over, database = "DB") {
  const at_ms = over.at_ms ?? Date.now();
  const row = {
    request_id: requestId(at_ms), attempt: 1, at_ms, customer_id: "cus_x", team_id: null, key_id: "key_x", route: "r", requested_model: "m", provider: "up1", model,
    outcome: "ok", status: 200, streamed: 0, input_tokens: 8, cache_read_tokens: 3, cache_write_tokens: 0, output_tokens: 7, reasoning_tokens: 0, audio_tokens: 0,
    usage_estimated: 0, usage_json: null, cost_nanousd: ONE, price_version: "v", first_byte_ms: 1, duration_ms: 2, upstream_id: null, metadata: null, error: null, ...over,
  };
  const names = Object.keys(row);
  await g.sqlIn(database, `INSERT OR IGNORE INTO ledger (${names}) VALUES (${names.map(() => "?")})`, ...Object.values(row));
  return row;
}

let serial = 0;
function requestId(at_ms) {
  const base32 = (value, length) => {
    let text = "";
    for (let n = BigInt(value), i = 0; i < length; i += 1, n >>= 5n) text = "0123456789abcdefghjkmnpqrstvwxyz"[Number(n & 31n)] + text;
    return text;
  };
  return `req_${base32(at_ms - 5, 10)}${base32((serial += 1), 16)}`;
}

describe("usage", { concurrency: 1 }, () => {
  it("from the sums is what the rows add up to, for every group, filter and range", { timeout: 60_000 }, async () => {
    const t = await tenant();
    const c = t.customer.id;
    const now = Date.now();
    const rows = [];
    for (let i = 0; i < 90; i += 1) {
      const at_ms = now - ((i * 7_654_321) % (9 * DAY));
      const request_id = requestId(at_ms);
      const over = { request_id, at_ms, customer_id: c, team_id: i % 3 ? `team_${i % 3}` : null, key_id: `key_${i % 2}`, route: `r${i % 2}`, provider: `p${i % 3}`, model: `m${i % 4}`, cost_nanousd: 1 + i, audio_tokens: i % 2, reasoning_tokens: i % 5 };
      rows.push(await insertRow(gw, { ...over, outcome: i % 4 ? "ok" : "timeout" }));
      if (i % 4 === 0) rows.push(await insertRow(gw, { ...over, attempt: 2, provider: `p${(i + 1) % 3}` }));
    }
    const ids = await ask(t, 3);
    await drained(t);
    rows.push(...(await rowsOf(t)).filter((r) => ids.includes(r.request_id)));
    const iso = (ms) => new Date(ms).toISOString();
    const of = {
      customer: (r) => r.customer_id, team: (r) => r.team_id, key: (r) => r.key_id, model: (r) => r.model, provider: (r) => r.provider, route: (r) => r.route, outcome: (r) => r.outcome,
      month: (r) => iso(r.at_ms).slice(0, 7), day: (r) => iso(r.at_ms).slice(0, 10), hour: (r) => `${iso(r.at_ms).slice(0, 13)}:00:00Z`,
    };
    const sum = (list, outcome) => ({
      requests: outcome ? new Set(list.map((r) => r.request_id)).size : list.filter((r) => r.attempt === 1).length,
      attempts: list.length,
      errors: list.filter((r) => !["ok", "client_gone"].includes(r.outcome)).length,
      input_tokens: list.reduce((s, r) => s + r.input_tokens + r.cache_read_tokens + r.cache_write_tokens, 0),
      output_tokens: list.reduce((s, r) => s + r.output_tokens + r.reasoning_tokens, 0),
      cache_read_tokens: list.reduce((s, r) => s + r.cache_read_tokens, 0),
      cache_write_tokens: 0,
      reasoning_tokens: list.reduce((s, r) => s + r.reasoning_tokens, 0),
      audio_tokens: list.reduce((s, r) => s + r.audio_tokens, 0),
      cost_nanousd: list.reduce((s, r) => s + r.cost_nanousd, 0),
    });
    const ranges = [["", 0, Infinity], [`&from=${iso(now - 5 * DAY - 1234)}&to=${iso(now - DAY + 777)}`, now - 5 * DAY - 1234, now - DAY + 777], [`&from=${iso(now - 1_000_000)}`, now - 1_000_000, Infinity]];
    const groups = ["", "customer", "team", "key", "model", "provider", "route", "outcome", "month", "day", "hour", "day,provider,model", "team,outcome", "hour,key"];
    for (const [range, from, to] of ranges) {
      for (const group of groups) {
        for (const [filter, keep] of [["", () => true], ["&provider=p1", (r) => r.provider === "p1"], ["&outcome=ok", (r) => r.outcome === "ok"], ["&team_id=team_1&route=r1", (r) => r.team_id === "team_1" && r.route === "r1"]]) {
          const u = await gw.admin("GET", `/usage?customer_id=${c}&group_by=${group}${range}${filter}`);
          const chosen = rows.filter((r) => r.at_ms >= from && r.at_ms < to && keep(r));
          const names = group ? group.split(",") : [];
          const outcome = names.includes("outcome") || filter.includes("outcome");
          const cells = new Map(names.length ? [] : [["[]", []]]);
          for (const r of chosen) {
            const name = JSON.stringify(names.map((n) => of[n](r)));
            cells.set(name, [...(cells.get(name) ?? []), r]);
          }
          const strip = ({ cost_usd, ...figures }) => figures;
          const found = new Map(u.rows.map((row) => {
            const figures = strip(row);
            const name = JSON.stringify(names.map((n) => figures[n]));
            for (const n of names) delete figures[n];
            return [name, figures];
          }));
          const what = `${group} ${range} ${filter}`;
          const sorted = (map) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
          assert.deepEqual(sorted(found), sorted(new Map([...cells].map(([name, list]) => [name, sum(list, outcome)]))), what);
          assert.deepEqual(strip(u.total), sum(chosen, outcome), what);
        }
      }
    }
    // They really come from the sums: with the rows gone the answer by day stays.
    const before = await gw.admin("GET", `/usage?customer_id=${c}&group_by=day`);
    await gw.sql("DELETE FROM ledger WHERE customer_id = ?", c);
    const after = await gw.admin("GET", `/usage?customer_id=${c}&group_by=day`);
    assert.deepEqual(after.rows, before.rows);
    assert.equal((await gw.admin("GET", `/usage?customer_id=${c}&group_by=outcome`)).rows.length, 0);
  });
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
