// No key ever spends more than its limits; a refusal consumes nothing; money adds up to the nano-dollar.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { config, cost, startGateway, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up;
const model = "gpt-4o-mini";
before(async () => {
  [gw, up] = await Promise.all([startGateway({ isolates: 2 }), startUpstream()]);
  const c = config({ up1: up.url });
  c.routes = [
    { name: "unpriced", match: { model: "unpriced" }, model: "up1/unpriced" },
    { name: "main", model: `up1/${model}`, retries: { count: 0 } },
  ];
  await gw.putConfig(c);
});
after(async () => { await gw?.stop(); await up?.stop(); });

/** Until `open()`, the upstream answers nobody. */
function closedDoor() {
  let open;
  const until = new Promise((done) => { open = done; });
  return { until, open };
}

const error = async (response) => (await response.json()).error;
const limits = async (secret) => (await gw.keyStatus(secret)).limits;

/** Eight kinds of request: sizes, streams, failures; each with its own bound. */
const KINDS = [
  { max_tokens: 200 }, { max_tokens: 800 }, { max_tokens: 50, messages: [{ role: "user", content: "x".repeat(3000) }] },
  { max_tokens: 300, stream: true }, { max_tokens: 300, stream: true, stream_options: { include_usage: true } },
  { max_completion_tokens: 500 }, { max_tokens: 400, n: 2 }, { max_tokens: 250, user: "fails" },
];

describe("a key with money for half of 200 requests at once", { concurrency: 1 }, () => {
  let tenant, budget, answers;

  it("admits what fits, and never holds more than it has", { timeout: 60_000 }, async () => {
    // What each kind holds, as the gateway itself reports it while the request is under way.
    const probe = await gw.tenant({ key: { budget_usd: { total: 100 } } });
    const bounds = [];
    for (const kind of KINDS) {
      const door = closedDoor();
      up.next({ until: door.until });
      const asked = gw.chat(probe.secret, { model, ...kind });
      const [limit] = await waitFor("the hold", async () => {
        const l = await limits(probe.secret);
        return l[0].held_nanousd > 0 && l;
      });
      bounds.push(limit.held_nanousd);
      door.open();
      await (await asked).text();
      await waitFor("the release", async () => (await limits(probe.secret))[0].held_nanousd === 0);
    }
    const all = Array.from({ length: 200 }, (_, i) => i % KINDS.length);
    budget = Math.round(all.reduce((sum, k) => sum + bounds[k], 0) / 2);
    tenant = await gw.tenant({ key: { budget_usd: { total: (budget / 1e9).toFixed(9) } } });

    const door = closedDoor();
    up.plan(model, (record) => ({ until: door.until, ...(record.body.user === "fails" ? { status: 500 } : {}) }));
    const before = up.requests.length;
    let refused = 0;
    const asked = all.map(async (k, i) => {
      const response = await gw.chat(tenant.secret, { model, ...KINDS[k] }, { isolate: i % 2 });
      if (response.status === 402) refused += 1;
      return { k, status: response.status, id: response.headers.get("x-edgehold-request-id"), text: await response.text() };
    });
    await waitFor("all to be decided", () => refused + up.requests.length - before === 200);
    // What is under way counts as leased until its isolate has reported it.
    const [limit] = await waitFor("the leases to be returned", async () => {
      const l = await limits(tenant.secret);
      assert.ok(l[0].spent_nanousd + l[0].held_nanousd + l[0].leased_nanousd <= budget, "taken more than there is");
      return l[0].leased_nanousd === 0 && l;
    });
    const admitted = up.requests.length - before;
    assert.ok(limit.spent_nanousd + limit.held_nanousd <= budget, "held more than there is");
    assert.ok(admitted >= 80 && admitted <= 140, `about half should fit, ${admitted} did`);
    assert.ok(budget - limit.held_nanousd < Math.max(...bounds), "a request was refused though it fits");
    door.open();
    answers = await Promise.all(asked);
    assert.equal(answers.filter((a) => a.status !== 402).length, admitted);
    assert.ok(answers.every((a) => a.status === 402 || a.status === (a.k === 7 ? 502 : 200)), JSON.stringify(answers.find((a) => ![200, 402, 502].includes(a.status))));
    up.reset();
  });

  it("none is lost: a row for each admitted, none for the refused", async () => {
    const rows = await gw.settledRows(tenant.customer);
    const ids = answers.filter((a) => a.status !== 402).map((a) => a.id).sort();
    assert.deepEqual(rows.map((r) => r.request_id).sort(), ids);
    assert.ok(rows.every((r) => r.attempt === 1 && (r.outcome === "ok" ? r.cost_nanousd === cost({ prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } }) : r.cost_nanousd === 0)));
  });

  it("rows, object and key agree to the nano-dollar", async () => {
    const sum = (await gw.settledRows(tenant.customer)).reduce((s, r) => s + r.cost_nanousd, 0);
    const [limit] = await limits(tenant.secret);
    assert.equal((await gw.ledger(tenant.customer)).spent_total_nanousd, sum);
    assert.deepEqual([limit.level, limit.kind, limit.window, limit.limit_nanousd, limit.spent_nanousd, limit.held_nanousd, limit.remaining_nanousd], ["key", "budget", "total", budget, sum, 0, budget - sum]);
  });

  it("a refusal is a 402 in OpenAI's form", () => {
    const { error: e } = JSON.parse(answers.find((a) => a.status === 402).text);
    assert.deepEqual([e.type, e.code], ["insufficient_quota", "insufficient_budget"]);
    assert.ok(e.message.length > 20);
  });
});

describe("402", () => {
  it("says which max_tokens would fit; that fits, and thirty tokens more do not", async () => {
    const { secret } = await gw.tenant({ key: { budget_usd: { total: "0.000300" } } });
    const refused = await gw.chat(secret, { model, max_tokens: 4000 });
    assert.equal(refused.status, 402);
    const { affordable_max_tokens: n } = await error(refused);
    assert.ok(Number.isInteger(n) && n > 0 && n < 4000, String(n));
    assert.equal((await gw.chat(secret, { model, max_tokens: n + 30 })).status, 402);
    const fits = await gw.chat(secret, { model, max_tokens: n });
    assert.equal(fits.status, 200);
    assert.equal(up.last.body.max_tokens, n, "max_tokens was changed on the way");
    await fits.text();
  });

  it("without max_tokens the model's maximum is held, or the key's default", async () => {
    const { secret } = await gw.tenant({ key: { budget_usd: { total: "0.000300" }, default_max_tokens: 100 } });
    const ok = await gw.chat(secret, { model });
    assert.equal(ok.status, 200, await ok.clone().text());
    await ok.text();
  });

  it("does not say a number when nothing fits", async () => {
    const { secret } = await gw.tenant({ key: { budget_usd: { total: "0.000000100" } } });
    const refused = await gw.chat(secret, { model, max_tokens: 10 });
    assert.equal(refused.status, 402);
    assert.ok(!(await error(refused)).affordable_max_tokens);
  });
});

describe("rate limits", () => {
  it("rpm: the third in a minute is a 429 with Retry-After, the limit and x-ratelimit-*", async () => {
    const { secret } = await gw.tenant({ key: { rate_limit: { rpm: 2 } } });
    const one = await gw.chat(secret, { model }, { isolate: 1 });
    assert.deepEqual(["limit", "remaining"].map((h) => one.headers.get(`x-ratelimit-${h}-requests`)), ["2", "1"]);
    await one.text();
    await (await gw.chat(secret, { model })).text();
    const before = up.requests.length;
    const three = await gw.chat(secret, { model });
    assert.equal(three.status, 429);
    assert.match(three.headers.get("retry-after"), /^([1-9]|[1-5]\d|6[0-5])$/);
    const e = await error(three);
    assert.equal(e.code, "rate_limit_exceeded");
    assert.ok(e.limit, "the limit that bound is named");
    assert.equal(up.requests.length, before, "the refused request was sent");
    assert.equal((await limits(secret)).find((l) => l.kind === "requests").used, 2);
  });

  it("tpm: tokens under way count until they are settled", async () => {
    const { secret } = await gw.tenant({ key: { rate_limit: { tpm: 2000 } } });
    const door = closedDoor();
    up.next({ until: door.until });
    const under = gw.chat(secret, { model, max_tokens: 1500 });
    await waitFor("the first to be held", async () => (await limits(secret)).some((l) => l.kind === "tokens" && l.used > 1000));
    const second = await gw.chat(secret, { model, max_tokens: 1500 });
    assert.equal(second.status, 429);
    assert.ok(Number(second.headers.get("retry-after")) >= 1);
    door.open();
    await (await under).text();
    const third = await waitFor("the tokens to be given back", async () => {
      const r = await gw.chat(secret, { model, max_tokens: 1500 });
      return r.status === 200 && r;
    });
    assert.ok(third.headers.get("x-ratelimit-limit-tokens"));
    await third.text();
  });
});

describe("levels above the key", () => {
  it("a customer's budget binds all of its keys", async () => {
    const { customer, secret } = await gw.tenant({ customer: { budget_usd: { day: "0.0000001" } } });
    const other = await gw.admin("POST", "/keys", { customer_id: customer.id, budget_usd: { day: 100 } });
    for (const s of [secret, other.key]) {
      const r = await gw.chat(s, { model, max_tokens: 100 });
      assert.equal(r.status, 402);
      assert.match(JSON.stringify(await error(r)), /customer/);
    }
  });

  it("a team's rate binds its keys, not those of others", async () => {
    const { customer, team, secret } = await gw.tenant({ team: { rate_limit: { rpm: 1 } } });
    const mate = await gw.admin("POST", "/keys", { customer_id: customer.id, team_id: team.id });
    const stranger = await gw.admin("POST", "/keys", { customer_id: customer.id });
    await (await gw.chat(secret, { model })).text();
    const r = await gw.chat(mate.key, { model });
    assert.equal(r.status, 429);
    assert.match(JSON.stringify(await error(r)), /team/);
    assert.equal((await gw.chat(stranger.key, { model })).status, 200);
  });

  it("a raised limit counts from the next request on", async () => {
    const { key, secret } = await gw.tenant({ key: { budget_usd: { month: "0.0000001" } } });
    assert.equal((await gw.chat(secret, { model, max_tokens: 100 })).status, 402);
    await gw.admin("PATCH", `/keys/${key.id}`, { budget_usd: { month: 1 } });
    const r = await gw.chat(secret, { model, max_tokens: 100 });
    assert.equal(r.status, 200);
    assert.ok(Number(r.headers.get("x-edgehold-budget-remaining-usd")) > 0.9);
    assert.ok(Number(r.headers.get("x-edgehold-budget-held-usd")) > 0);
  });
});

describe("a refusal consumes nothing", () => {
  it("402, 403, 404, 400 leave every limit as it was", async () => {
    const { secret } = await gw.tenant({ key: { budget_usd: { total: "0.0001" }, rate_limit: { rpm: 5, tpm: 10000 }, models: [model, "unpriced", "up1/*"] } });
    const strip = (list) => list.map(({ resets_at: _, ...l }) => l);
    const before = strip(await limits(secret));
    const sent = up.requests.length;
    const statuses = [];
    for (const over of [{ max_tokens: 9000 }, { model: "unpriced", max_tokens: 1 }, { model: "not-mine" }, { messages: 5 }, { max_tokens: -1 }]) {
      statuses.push((await gw.chat(secret, { model, ...over })).status);
    }
    assert.deepEqual(statuses, [402, 400, 403, 400, 400]);
    assert.deepEqual(strip(await limits(secret)), before);
    assert.equal(up.requests.length, sent);
  });

  it("a model without a price is refused under a budget, and served without one", async () => {
    const { secret } = await gw.tenant({ customer: { budget_usd: { total: 100 } } });
    const r = await gw.chat(secret, { model: "unpriced", max_tokens: 5 });
    assert.equal(r.status, 400);
    assert.equal((await error(r)).code, "model_not_priced");
    const free = await gw.tenant();
    const ok = await gw.chat(free.secret, { model: "unpriced", max_tokens: 5 });
    assert.equal(ok.status, 200);
    await ok.text();
    const [row] = await gw.rows(ok.headers.get("x-edgehold-request-id"));
    assert.equal(row.cost_nanousd, 0);
  });
});

describe("a key that may no longer call stops in every isolate", () => {
  const both = async (secret, want) => {
    for (const isolate of [0, 1]) {
      // The bound is the lease: at most ten seconds.
      const r = await waitFor(`isolate ${isolate} to say ${want}`, async () => {
        const answer = await gw.chat(secret, { model }, { isolate });
        if (answer.status === 200) return void (await answer.text());
        return answer;
      }, { timeout_ms: 11_000, every_ms: 200 });
      assert.equal(r.status, 401);
      assert.equal((await error(r)).code, want);
    }
  };
  const warm = async (secret) => { for (const isolate of [0, 1]) assert.equal((await gw.chat(secret, { model }, { isolate })).status, 200); };

  it("blocked, and lets go when unblocked", { timeout: 40_000 }, async () => {
    const { key, secret } = await gw.tenant();
    await warm(secret);
    await gw.admin("PATCH", `/keys/${key.id}`, { blocked: true });
    await both(secret, "key_blocked");
    await gw.admin("PATCH", `/keys/${key.id}`, { blocked: false });
    await waitFor("the key to be let in again", async () => (await gw.chat(secret, { model }, { isolate: 1 })).status === 200, { timeout_ms: 11_000, every_ms: 200 });
  });

  it("its customer blocked", { timeout: 40_000 }, async () => {
    const { customer, secret } = await gw.tenant();
    await warm(secret);
    await gw.admin("PATCH", `/customers/${customer.id}`, { blocked: true });
    await both(secret, "key_blocked");
  });

  it("expired", { timeout: 40_000 }, async () => {
    const { secret } = await gw.tenant({ key: { expires_at: new Date(Date.now() + 3000).toISOString() } });
    await warm(secret);
    await both(secret, "key_expired");
  });

  it("revoked for ever", { timeout: 40_000 }, async () => {
    const { key, secret } = await gw.tenant();
    await warm(secret);
    await gw.admin("DELETE", `/keys/${key.id}`);
    await both(secret, "key_blocked");
  });
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
