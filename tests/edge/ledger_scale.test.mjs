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
    // Days, hours on both sides, rows at both ends.
    const wide = [now - 25 * DAY - 1234, now - 3_600_000 * 3 - 99];
    const u = await gw.admin("GET", `/usage?customer_id=${c}&group_by=key&from=${iso(wide[0])}&to=${iso(wide[1])}`);
    assert.equal(u.total.attempts, rows.filter((r) => r.at_ms >= wide[0] && r.at_ms < wide[1]).length);
    // They really come from the sums: with the rows gone the answer by day stays.
    const before = await gw.admin("GET", `/usage?customer_id=${c}&group_by=day`);
    await gw.sql("DELETE FROM ledger WHERE customer_id = ?", c);
    const after = await gw.admin("GET", `/usage?customer_id=${c}&group_by=day`);
    assert.deepEqual(after.rows, before.rows);
    assert.equal((await gw.admin("GET", `/usage?customer_id=${c}&group_by=outcome`)).rows.length, 0);
  });
});

const reconcile = (t, g = gw) => g.admin("GET", `/customers/${t.customer.id}/reconcile`);
const iso = (ms) => new Date(ms).toISOString();

describe("re-rating", { concurrency: 1 }, () => {
  const priced = (input) => {
    const c = config({ up1: up.url }, { route: { retries: { count: 0 } } });
    c.prices[`up1/${model}`] = { ...c.prices[`up1/${model}`], input };
    return gw.putConfig(c);
  };

  it("after a price was mended adjusts each row once, in the ledger, the sums and the object", { timeout: 90_000 }, async () => {
    const t = await tenant();
    const ids = await ask(t, 6);
    await drained(t);
    const old = await insertRow(gw, { customer_id: t.customer.id, key_id: t.key.id, outcome: "unsettled", at_ms: Date.now() - 1000 });
    const range = { customer_id: t.customer.id, from: iso(Date.now() - DAY), to: iso(Date.now() + DAY) };
    const same = await gw.admin("POST", "/ledger/rerate", range);
    assert.deepEqual([same.scanned, same.adjusted, same.difference_nanousd, same.not_computable], [7, 0, 0, { unsettled: 1 }], "at the same prices nothing changes");

    await priced(0.1);
    // 8 uncached input tokens at 100 instead of 150 nano-dollars.
    const less = -8 * 50;
    const dry = await gw.admin("POST", "/ledger/rerate", { ...range, dry_run: true });
    assert.deepEqual([dry.dry_run, dry.adjusted, dry.difference_nanousd], [true, 6, 6 * less]);
    assert.equal((await gw.ledger(t.customer)).spent_total_nanousd, 6 * ONE);

    await gw.d1("slow:800");
    const first = await gw.admin("POST", "/ledger/rerate", { ...range, reason: "price of 21 November" });
    assert.deepEqual([first.adjusted, first.by_model], [6, [{ provider: "up1", model, adjusted: 6, difference_nanousd: 6 * less }]]);
    assert.equal((await gw.ledger(t.customer)).spent_total_nanousd, 6 * (ONE + less), "budgets know at once");
    // Again before the first has reached D1, and after.
    await gw.admin("POST", "/ledger/rerate", range);
    await gw.evict().catch(() => {});
    await gw.admin("POST", "/ledger/rerate", range);
    await gw.d1("ok");
    await drained(t);
    const third = await gw.admin("POST", "/ledger/rerate", range);
    assert.deepEqual([third.adjusted, third.difference_nanousd], [0, 0]);
    assert.equal((await gw.ledger(t.customer)).spent_total_nanousd, 6 * (ONE + less));

    const rows = (await rowsOf(t)).filter((r) => r.request_id !== old.request_id);
    assert.equal(rows.length, 12);
    for (const request of ids) {
      const [attempt, adjustment] = rows.filter((r) => r.request_id === request);
      assert.deepEqual([attempt.attempt, attempt.cost_nanousd, attempt.adjusts], [1, ONE, null], "the row itself is not edited");
      assert.deepEqual([adjustment.attempt, adjustment.cost_nanousd, adjustment.adjusts, adjustment.outcome, adjustment.input_tokens], [1001, less, 1, "adjustment", 0]);
      assert.equal(adjustment.reason, "price of 21 November");
      assert.equal(adjustment.at_ms, attempt.at_ms);
    }
    const u = await gw.admin("GET", `/usage?customer_id=${t.customer.id}&key_id=${t.key.id}`);
    assert.deepEqual([u.total.requests, u.total.attempts, u.total.errors, u.total.cost_nanousd], [7, 7, 1, 6 * (ONE + less) + ONE]);

    // And back: the sum of the row and its adjustments is what is compared.
    await priced(0.15);
    const back = await gw.admin("POST", "/ledger/rerate", range);
    assert.deepEqual([back.adjusted, back.difference_nanousd], [6, -6 * less]);
    await drained(t);
    assert.equal((await gw.ledger(t.customer)).spent_total_nanousd, 6 * ONE);
    const second = (await rowsOf(t)).filter((r) => r.request_id === ids[0]);
    assert.deepEqual(second.map((r) => r.attempt), [1, 1001, 1002]);
    assert.equal((await gw.admin("POST", "/ledger/rerate", { ...range, provider: "nobody" })).scanned, 0);
  });

  it("goes on where a long one stopped", { timeout: 60_000 }, async () => {
    const t = await tenant();
    const at_ms = Date.now() - 3 * DAY;
    // 5,500 rows in statements of a hundred; all cost a nano-dollar too much.
    for (let done = 0; done < 5_500; done += 500) {
      const list = JSON.stringify(Array.from({ length: 500 }, () => requestId(at_ms)));
      await gw.sql(`INSERT INTO ledger SELECT value, 1, ?2, ?3, NULL, ?4, 'r', 'm', 'up1', '${model}', 'ok', 200, 0, 8, 3, 0, 7, 0, 0, 0, NULL, ?5, 'v', 1, 2, NULL, NULL, NULL, NULL, NULL, NULL, 0 FROM json_each(?1)`, list, at_ms, t.customer.id, t.key.id, ONE + 1);
    }
    const range = { customer_id: t.customer.id, from: iso(at_ms - 1000), to: iso(at_ms + 1000) };
    const one = await gw.admin("POST", "/ledger/rerate", range);
    assert.deepEqual([one.scanned, one.adjusted, typeof one.next], [5_000, 5_000, "string"]);
    const two = await gw.admin("POST", "/ledger/rerate", { ...range, after: one.next });
    assert.deepEqual([two.scanned, two.adjusted, two.next], [500, 500, null]);
    await drained(t);
    const [sum] = await gw.sql("SELECT COUNT(*) n, SUM(cost_nanousd) cost FROM ledger WHERE customer_id = ?", t.customer.id);
    assert.deepEqual([sum.n, sum.cost], [11_000, 5_500 * ONE]);
  });

  for (const [what, body] of [["no range", {}], ["a range backwards", { from: "2026-02-01", to: "2026-01-01" }], ["a member nobody knows", { from: "2026-01-01", to: "2026-02-01", x: 1 }], ["a cursor of nobody's", { from: "2026-01-01", to: "2026-02-01", after: "x" }]]) {
    it(`with ${what} is a 400`, async () => assert.equal((await gw.adminRaw("POST", "/ledger/rerate", body)).status, 400));
  }
});

describe("reconciliation", { concurrency: 1 }, () => {
  it("balances while requests come and rows drain, are lost, or are refused", { timeout: 90_000 }, async () => {
    const t = await tenant();
    let answers = 0;
    const steps = ["ok", "slow:300", "lost", "ok", "reject:note-9", "ok", "slow:50"];
    for (const mode of steps) {
      await gw.d1(mode);
      const load = ask(t, 15, { headers: { "x-edgehold-metadata": `{"note":"note-${answers % 10}"}` } });
      for (let i = 0; i < 4; i += 1) {
        // With D1 failing the comparison cannot be made, and says so; with it there it must hold.
        const r = await gw.adminRaw("GET", `/customers/${t.customer.id}/reconcile`);
        if (r.status === 200) { answers += 1; assert.equal(r.body.balanced, true, `${mode}: ${r.raw}`); }
        else assert.ok(r.status === 409 || (r.status === 503 && mode === "lost"), `${r.status} ${r.raw}`);
      }
      await load;
    }
    await gw.d1("ok");
    assert.ok(answers >= 10, `only ${answers} answers`);
    await waitFor("the outbox to empty", async () => (await gw.ledger(t.customer)).outbox === 0, { timeout_ms: 30_000 });
    const end = await reconcile(t);
    assert.equal(end.balanced, true, JSON.stringify(end));
    assert.equal(end.spent_nanousd, steps.length * 15 * ONE);
  });

  it("counts what is set aside", { timeout: 60_000 }, async () => {
    const t = await tenant();
    await gw.d1("reject:poison-8");
    await ask(t, 3);
    await ask(t, 1, { headers: { "x-edgehold-metadata": '{"note":"poison-8"}' } });
    await drained(t, 1);
    const r = await reconcile(t);
    assert.equal(r.balanced, true, JSON.stringify(r));
    assert.deepEqual([r.spent_nanousd, r.in_d1_nanousd, r.keys[0].quarantined_nanousd], [4 * ONE, 3 * ONE, ONE]);
  });

  it("tells what is missing, doubled or changed, with figures", { timeout: 60_000 }, async () => {
    const t = await tenant();
    const [first, second] = await ask(t, 4);
    await drained(t);
    assert.deepEqual((await reconcile(t)).differences, []);
    await gw.sql("DELETE FROM ledger WHERE request_id = ?", first);
    const gone = await reconcile(t);
    assert.equal(gone.balanced, false);
    assert.deepEqual(gone.differences.map((d) => [d.key_id, d.between, d.difference_nanousd ?? d.difference_attempts]), [[t.key.id, "rows_and_daily_sums", -ONE], [t.key.id, "rows_and_daily_sums", -1]]);
    const row = await insertRow(gw, { customer_id: t.customer.id, key_id: t.key.id });
    const foreign = await reconcile(t);
    assert.ok(foreign.differences.some((d) => d.between === "object_and_daily_sums" && d.difference_nanousd === -ONE), JSON.stringify(foreign));
    await gw.sql("DELETE FROM ledger WHERE request_id = ?", row.request_id);
    await gw.sql("UPDATE ledger SET cost_nanousd = cost_nanousd + 5 WHERE request_id = ?", second);
    assert.ok((await reconcile(t)).differences.some((d) => d.between === "rows_and_daily_sums"));
  });

  it("of a customer nobody knows is a 404", async () => {
    assert.equal((await gw.adminRaw("GET", "/customers/cus_000000000000/reconcile")).status, 404);
  });
});

describe("retention", { concurrency: 1 }, () => {
  it("deletes old rows and hours, keeps days, and the books still balance", { timeout: 90_000 }, async () => {
    const t = await tenant();
    await ask(t, 3);
    await drained(t);
    const old = [];
    for (const days of [1, 9, 12, 29, 31, 45, 400]) {
      old.push(await insertRow(gw, { customer_id: t.customer.id, key_id: t.key.id, at_ms: Date.now() - days * DAY }));
    }
    // The object never heard of these: only rows and sums are compared.
    const inD1 = async () => (await reconcile(t)).differences.filter((d) => d.between !== "object_and_daily_sums");
    const usage = (query) => gw.admin("GET", `/usage?customer_id=${t.customer.id}&${query}&from=2020-01-01`);
    const before = await usage("group_by=day");
    assert.deepEqual(await inD1(), []);
    for (let run = 0; run < 2; run += 1) {
      assert.equal(await gw.scheduled(), "ok");
      const rows = await rowsOf(t);
      assert.deepEqual(rows.map((r) => r.request_id).filter((r) => old.some((o) => o.request_id === r)).sort(), old.slice(0, 4).map((r) => r.request_id).sort());
      assert.equal(rows.length, 7);
      const [hours] = await gw.sql("SELECT SUM(requests) n FROM rollup WHERE customer_id = ? AND span_ms = 3600000", t.customer.id);
      assert.equal(hours.n, 5, "hours of the last ten days: three requests and two old rows");
      assert.deepEqual((await usage("group_by=day")).rows, before.rows, "days are kept");
      assert.equal((await usage("group_by=hour")).total.requests, 7, "an hour whose sum is gone is made from its rows");
      assert.deepEqual(await inD1(), []);
    }
    // Days at both ends of which hours are missing: those come from rows.
    const from = Date.now() - 29 * DAY - 3_600_000 * 5;
    assert.equal((await gw.admin("GET", `/usage?customer_id=${t.customer.id}&group_by=key&from=${iso(from)}&to=${iso(Date.now() - DAY / 2)}`)).total.requests, 4);
    // A row that comes late, of a day long gone.
    await insertRow(gw, { customer_id: t.customer.id, key_id: t.key.id, at_ms: Date.now() - 50 * DAY });
    assert.deepEqual(await inD1(), []);
    assert.equal((await usage("group_by=day")).total.requests, before.total.requests + 1);
  });

  it("of many rows goes in chunks, and on in the next run", { timeout: 90_000 }, async () => {
    const at_ms = Date.now() - 60 * DAY;
    const list = JSON.stringify(Array.from({ length: 5_000 }, () => requestId(at_ms)));
    await gw.sql(`INSERT INTO ledger SELECT value, 1, ?2, 'cus_many', NULL, 'key_many', 'r', 'm', 'p', 'm', 'ok', 200, 0, 1, 0, 0, 1, 0, 0, 0, NULL, 1, 'v', 1, 2, NULL, NULL, NULL, NULL, NULL, NULL, 0 FROM json_each(?1)`, list, at_ms);
    assert.equal(await gw.scheduled(), "ok");
    assert.equal((await gw.sql("SELECT COUNT(*) n FROM ledger WHERE customer_id = 'cus_many'"))[0].n, 0);
    assert.equal((await gw.admin("GET", "/usage?customer_id=cus_many&from=2020-01-01&group_by=month")).total.requests, 5_000);
  });

  it("survives D1's absence", async () => {
    await gw.d1("fail");
    assert.equal(await gw.scheduled(), "ok");
    assert.match(gw.log(), /retention: DB: /);
    await gw.d1("ok");
  });
});

describe("several databases", { concurrency: 1 }, () => {
  let many;
  before(async () => {
    many = await startGateway({ ledgers: 2, vars: { EDGEHOLD_LEDGER_RETENTION_DAYS: "30" } });
    await many.putConfig(config({ up1: up.url }, { route: { retries: { count: 0 } } }));
  });
  after(() => many?.stop());

  const homeOf = async (t) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(t.customer.id)));
    const hash = digest.slice(0, 8).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return `LEDGER_DB_${hash % 2n}`;
  };

  it("hold each customer's rows and sums in one of them; reports merge them", { timeout: 120_000 }, async () => {
    const tenants = [];
    // Until both homes are taken.
    while (tenants.length < 3 || new Set(await Promise.all(tenants.map(homeOf))).size < 2) {
      tenants.push(await many.tenant({ customer: { budget_usd: { total: 10 } } }));
    }
    for (const [i, t] of tenants.entries()) {
      for (let n = 0; n <= i; n += 1) await (await many.chat(t.secret, { model })).text();
    }
    for (const [i, t] of tenants.entries()) {
      await waitFor("the outbox to empty", async () => { const l = await many.ledger(t.customer); return l.outbox === 0 && l.held === 0; });
      const home = await homeOf(t);
      assert.equal((await many.ledger(t.customer)).database, home);
      for (const database of ["DB", "LEDGER_DB_0", "LEDGER_DB_1"]) {
        const there = database === home;
        assert.equal((await rowsOf(t, many, database)).length, there ? i + 1 : 0, database);
        const [sum] = await many.sqlIn(database, "SELECT COALESCE(SUM(requests), 0) n FROM rollup WHERE customer_id = ? AND span_ms = 86400000", t.customer.id);
        assert.equal(sum.n, there ? i + 1 : 0);
      }
      assert.equal((await many.admin("GET", `/usage?customer_id=${t.customer.id}`)).total.requests, i + 1);
      const r = await reconcile(t, many);
      assert.deepEqual([r.balanced, r.database, r.in_d1_nanousd], [true, home, (i + 1) * ONE]);
      const [row] = await rowsOf(t, many, home);
      const own = await (await fetch(`${many.url}/v1/requests/${row.request_id}`, { headers: { authorization: `Bearer ${t.secret}` } })).json();
      assert.deepEqual([own.state, own.rows[0].cost_nanousd], ["settled", ONE]);
    }
    const all = tenants.length * (tenants.length + 1) / 2;
    for (const group of ["customer", "provider", "day", "outcome"]) {
      const u = await many.admin("GET", `/usage?group_by=${group}`);
      assert.equal(u.total.requests, all, group);
      assert.equal(u.rows.reduce((s, r) => s + r.requests, 0), all);
      assert.equal(u.rows.length, group === "customer" ? tenants.length : 1);
      const names = u.rows.map((r) => r[group]);
      assert.deepEqual(names, [...names].sort());
    }
    assert.equal((await many.admin("GET", "/usage?customer_id=cus_000000000000")).total.requests, 0);
    // Corrections and retention reach them all.
    const c = config({ up1: up.url });
    c.prices[`up1/${model}`].input = 0.1;
    await many.putConfig(c);
    const made = await many.admin("POST", "/ledger/rerate", { from: iso(Date.now() - DAY), to: iso(Date.now() + DAY) });
    assert.deepEqual([made.adjusted, made.difference_nanousd], [all, -all * 8 * 50]);
    for (const t of tenants) {
      await waitFor("the outbox to empty", async () => (await many.ledger(t.customer)).outbox === 0);
      assert.equal((await reconcile(t, many)).balanced, true);
    }
    for (const database of ["DB", "LEDGER_DB_0", "LEDGER_DB_1"]) await insertRow(many, { at_ms: Date.now() - 40 * DAY }, database);
    assert.equal(await many.scheduled(), "ok");
    for (const database of ["DB", "LEDGER_DB_0", "LEDGER_DB_1"]) {
      assert.equal((await many.sqlIn(database, "SELECT COUNT(*) n FROM ledger WHERE customer_id = 'cus_x'"))[0].n, 0, database);
    }
  });

  it("bound later take new customers; those from before stay where they are", { timeout: 120_000 }, async () => {
    const one = await startGateway();
    try {
      await one.putConfig(config({ up1: up.url }));
      const early = await one.tenant({ customer: { budget_usd: { total: 10 } } });
      await (await one.chat(early.secret, { model })).text();
      await waitFor("the first row", async () => (await rowsOf(early, one)).length === 1);
      await one.kill();
      one.options.ledgers = 2;
      await one.start();
      const late = await one.tenant({ customer: { budget_usd: { total: 10 } } });
      for (const t of [early, late]) await (await one.chat(t.secret, { model })).text();
      const home = await homeOf(late);
      await waitFor("the new customer's row", async () => (await rowsOf(late, one, home)).length === 1);
      await waitFor("the early customer's second row", async () => (await rowsOf(early, one)).length === 2);
      const u = await one.admin("GET", "/usage?group_by=customer");
      assert.deepEqual(u.rows.map((r) => [r.customer, r.requests]).sort(), [[early.customer.id, 2], [late.customer.id, 1]].sort());
      for (const t of [early, late]) assert.equal((await reconcile(t, one)).balanced, true);
      assert.equal((await one.admin("GET", `/usage?customer_id=${early.customer.id}`)).total.requests, 2);
    } finally {
      await one.stop();
    }
  });

  it("left no panic behind", () => assert.deepEqual(many.panics(), []));
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
