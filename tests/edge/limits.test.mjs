// Limits of every unit and window, of end users and of requests under way: what binds is named, and a refusal consumes nothing.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { config, sleep, startGateway, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up;
const model = "gpt-4o-mini";
const routes = (main = {}) => [
  { name: "big", match: { model: "big-model" }, model: "up1/big-model", retries: { count: 0 } },
  { name: "main", model: `up1/${model}`, retries: { count: 0 }, ...main },
];
before(async () => {
  [gw, up] = await Promise.all([startGateway({ isolates: 2 }), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }, { models: [model, "big-model"], routes: routes() }));
});
after(async () => { await gw?.stop(); await up?.stop(); });

/** Until `open()`, the upstream answers nobody. */
function closedDoor() {
  let open;
  const until = new Promise((done) => { open = done; });
  return { until, open };
}

const keyWith = (...limits) => gw.tenant({ key: { limits } });
const limits = async (secret, query = "") => (await (await fetch(`${gw.url}/v1/key${query}`, { headers: { authorization: `Bearer ${secret}` } })).json()).limits;
const without = (list) => list.map(({ resets_at: _, ...rest }) => rest);

/** A request that must be let through. */
async function passes(secret, over = {}, options) {
  const response = await gw.chat(secret, { model, max_tokens: 50, ...over }, options);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return response;
}

/** A request that must be refused: the error. Nothing is sent, and no figure changes. */
async function refused(secret, over = {}, { status = 429, query = "", underWay = 0, ...options } = {}) {
  // Requests are settled in the background of their answer.
  const figures = await waitFor("what has ended to be settled", async () => {
    const list = without(await limits(secret, query));
    return list.every((l) => (l.held ?? l.held_nanousd) === (l.kind === "concurrent" ? underWay : 0)) && list;
  });
  const sent = up.requests.length;
  const response = await gw.chat(secret, { model, max_tokens: 50, ...over }, options);
  const body = await response.json();
  assert.equal(response.status, status, JSON.stringify(body));
  assert.equal(up.requests.length, sent, "the refused request was sent");
  assert.deepEqual(without(await limits(secret, query)), figures, "the refusal consumed something");
  const after = response.headers.get("retry-after");
  return { ...body.error, after: after === null ? null : Number(after), headers: response.headers };
}

describe("units and windows", () => {
  it("requests in a rolling window: refused until the time that was told", { timeout: 60_000 }, async () => {
    const { secret } = await keyWith({ unit: "requests", amount: 1, window: "2s" });
    for (let round = 0; round < 2; round++) {
      // Two at once are within two seconds, unless the machine stood still.
      const answer = await waitFor("one of two to be refused", async () => {
        const both = await Promise.all([gw.chat(secret, { model, max_tokens: 5 }), gw.chat(secret, { model, max_tokens: 5 })]);
        const texts = await Promise.all(both.map((r) => r.text()));
        const index = both.findIndex((r) => r.status === 429);
        return index >= 0 && { after: Number(both[index].headers.get("retry-after")), error: JSON.parse(texts[index]).error };
      });
      assert.equal(answer.error.code, "rate_limit_exceeded");
      assert.deepEqual(answer.error.limit, { level: "key", kind: "requests", window: "2s", limit: 1, models: null });
      assert.ok(answer.after >= 1 && answer.after <= 3, String(answer.after));
      await sleep(answer.after * 1000);
      await passes(secret);
    }
  });

  it("a burst is the same rate in a shorter window", async () => {
    const { secret } = await keyWith({ unit: "requests", amount: 100, window: "1h", burst: 2 });
    await passes(secret);
    await passes(secret, {}, { isolate: 1 });
    const e = await refused(secret);
    assert.deepEqual([e.limit.kind, e.limit.window, e.limit.limit], ["requests", "72s", 2]);
    assert.ok(e.after > 60 && e.after <= 74, String(e.after));
    assert.deepEqual((await limits(secret)).map((l) => [l.window, l.limit, l.used]), [["3600s", 100, 2]], "the limit is shown as it was written");
  });

  it("output tokens: what a request may use must fit", async () => {
    const { secret } = await keyWith({ unit: "output_tokens", amount: 120, window: "1h" });
    const e = await refused(secret, { max_tokens: 121 });
    assert.deepEqual([e.code, e.limit.kind, e.limit.limit, e.after], ["rate_limit_exceeded", "output_tokens", 120, null]);
    assert.match(e.message, /max_tokens/);
    await passes(secret, { max_tokens: 120 });
    const [figures] = await waitFor("the settlement", async () => { const l = await limits(secret); return l[0].held === 0 && l; });
    assert.deepEqual([figures.kind, figures.used, figures.remaining], ["output_tokens", 7, 113]);
  });

  it("input tokens and all tokens", async () => {
    const { secret } = await keyWith({ unit: "input_tokens", amount: 700, window: "day" }, { unit: "tokens", amount: 2000, window: "week" });
    const long = await refused(secret, { messages: [{ role: "user", content: "x".repeat(4000) }] });
    assert.deepEqual([long.limit.kind, long.limit.window], ["tokens", "week"], "tokens are looked at first");
    const input = await refused(secret, { messages: [{ role: "user", content: "x".repeat(1000) }], max_tokens: 1 });
    assert.deepEqual([input.limit.kind, input.limit.window], ["input_tokens", "day"]);
    await passes(secret);
    const figures = await waitFor("the settlement", async () => { const l = await limits(secret); return l.every((one) => one.held === 0) && l; });
    assert.deepEqual(figures.map((l) => [l.kind, l.used]), [["tokens", 18], ["input_tokens", 11]]);
  });

  it("dollars in a rolling window and in a week", async () => {
    const { secret } = await keyWith({ unit: "usd", amount: "0.0003", window: "1h" }, { unit: "usd", amount: 5, window: "week" });
    const e = await refused(secret, { max_tokens: 4000 }, { status: 402 });
    assert.deepEqual([e.code, e.limit.kind, e.limit.window, e.limit.limit_nanousd], ["insufficient_budget", "budget", "3600s", 300_000]);
    assert.ok(e.affordable_max_tokens > 0);
    assert.ok(Date.parse(e.limit.resets_at) <= Date.now() + 3_700_000);
    await passes(secret, { max_tokens: e.affordable_max_tokens });
    const figures = await waitFor("the settlement", async () => { const l = await limits(secret); return l.every((one) => one.held_nanousd === 0) && l; });
    for (const l of figures) {
      assert.deepEqual([l.kind, l.spent_nanousd, l.leased_nanousd, l.remaining_nanousd], ["budget", 5625, 0, l.limit_nanousd - 5625]);
      assert.ok(l.resets_at);
    }
  });

  it("a calendar day begins at midnight of its time zone", async () => {
    const { secret } = await keyWith({ unit: "requests", amount: 1, window: "day", time_zone: "Asia/Tokyo" });
    await passes(secret);
    const e = await refused(secret);
    assert.equal(e.limit.window, "day@Asia/Tokyo");
    const [figures] = await limits(secret);
    // Tokyo is nine hours ahead, all year.
    assert.match(figures.resets_at, /T15:00:00\.000Z$/);
    const left = (Date.parse(figures.resets_at) - Date.now()) / 1000;
    assert.ok(left > -5 && left <= 86_400 && Math.abs(left - e.after) < 60, `${left} ${e.after}`);
  });

  it("only for some models", async () => {
    const { secret } = await keyWith({ unit: "requests", amount: 1, window: "1h", models: ["gpt-4*"] });
    await passes(secret);
    const e = await refused(secret);
    assert.deepEqual(e.limit.models, ["gpt-4*"]);
    assert.match(e.message, /for gpt-4\*/);
    await passes(secret, { model: "big-model" });
    await passes(secret, { model: "big-model" });
  });

  it("at every level, with those that have names of their own", async () => {
    const { secret } = await gw.tenant({
      customer: { limits: [{ unit: "requests", amount: 1, window: "1h" }] }, team: { budget_usd: { day: 1 } }, key: { rate_limit: { rpm: 10 }, limits: [{ unit: "tokens", amount: 5000, window: "30m" }] },
    });
    const ok = await passes(secret);
    assert.deepEqual(["limit", "remaining"].map((h) => ok.headers.get(`x-ratelimit-${h}-requests`)), ["1", "0"], "the tightest is shown");
    assert.equal(ok.headers.get("x-ratelimit-limit-tokens"), "5000");
    const e = await refused(secret);
    assert.equal(e.limit.level, "customer");
    const shown = (await limits(secret)).map((l) => `${l.level} ${l.kind} ${l.window}`);
    assert.deepEqual(shown, ["key requests minute", "key tokens 1800s", "team budget day", "customer requests 3600s"]);
  });
});

describe("headers on every answer", () => {
  it("402, 429 and 502 say where the caller stands", async () => {
    const { secret } = await gw.tenant({ key: { budget_usd: { total: "0.0004" }, rate_limit: { rpm: 2, tpm: 9000 } } });
    const stands = (headers, requests) => {
      assert.deepEqual([headers.get("x-ratelimit-limit-requests"), headers.get("x-ratelimit-remaining-requests")], ["2", requests]);
      assert.match(headers.get("x-ratelimit-reset-requests"), /^\d+ms$/);
      assert.equal(headers.get("x-ratelimit-limit-tokens"), "9000");
      assert.match(headers.get("x-edgehold-budget-remaining-usd"), /^0\.000\d{6}$/);
    };
    stands((await refused(secret, { max_tokens: 4000 }, { status: 402 })).headers, "2");
    up.next({ status: 500 });
    const failed = await gw.chat(secret, { model, max_tokens: 5 });
    assert.equal(failed.status, 502);
    stands(failed.headers, "1");
    await failed.text();
    stands((await passes(secret)).headers, "0");
    await waitFor("the settlement", async () => (await limits(secret)).every((l) => !(l.held ?? l.held_nanousd)));
    stands((await refused(secret)).headers, "0");
  });
});

describe("requests under way", () => {
  it("as many as are allowed, and another when one has ended", { timeout: 60_000 }, async () => {
    const { secret } = await keyWith({ unit: "concurrent", amount: 2 });
    const door = closedDoor();
    up.next({ until: door.until }, { until: door.until });
    const slow = [gw.chat(secret, { model }), gw.chat(secret, { model, stream: true }, { isolate: 1 })];
    await waitFor("both to be under way", async () => (await limits(secret))[0].held === 2);
    const [figures] = await limits(secret);
    assert.deepEqual([figures.kind, figures.limit, figures.used, figures.remaining], ["concurrent", 2, 2, 0]);
    const e = await refused(secret, {}, { isolate: 1, underWay: 2 });
    assert.deepEqual([e.code, e.limit.kind, e.limit.limit, e.after], ["concurrency_limit_exceeded", "concurrent", 2, 1]);
    door.open();
    for (const one of slow) assert.equal((await (await one).text()).length > 0, true);
    await waitFor("both to have ended", async () => (await limits(secret))[0].used === 0);
    await passes(secret);
  });

  it("what a killed gateway had under way counts until its hold expires", { timeout: 120_000 }, async () => {
    const own = await startGateway({ graceMs: 500 });
    try {
      await own.putConfig(config({ up1: up.url }, { models: [model, "big-model"], routes: routes({ timeouts: { total: "12s" } }) }));
      const { customer, secret } = await own.tenant({ customer: { limits: [{ unit: "concurrent", amount: 1 }] } });
      const sent = up.requests.length;
      up.next({ stall: "headers" });
      const lost = own.chat(secret, { model }).catch(() => null);
      // The hold comes before the provider is called.
      await waitFor("it to be under way", async () => up.requests.length > sent && (await own.ledger(customer)).held === 1);
      await own.kill();
      await lost;
      await own.start();
      const first = await own.chat(secret, { model });
      assert.equal(first.status, 429, await first.text());
      const later = await waitFor("the hold to expire", async () => {
        const r = await own.chat(secret, { model });
        return r.status === 200 ? r : void (await r.text());
      }, { timeout_ms: 30_000, every_ms: 300 });
      await later.text();
      const outcomes = (await own.settledRows(customer)).map((r) => r.outcome).sort();
      assert.deepEqual(outcomes, ["ok", "unsettled"]);
    } finally {
      await own.stop();
    }
  });
});

describe("end users", () => {
  it("each has limits of their own, however they are named", async () => {
    const { customer, team, key, secret } = await gw.tenant({ team: { each_user: { limits: [{ unit: "requests", amount: 2, window: "1h" }], budget_usd: { month: 1 } } } });
    await passes(secret, { user: "ann" });
    await passes(secret, { safety_identifier: "ann" }, { isolate: 1 });
    for (const naming of [{ user: "ann" }, { metadata: { user: "ann" } }]) {
      const e = await refused(secret, naming, { query: "?user=ann" });
      assert.deepEqual([e.code, e.limit.level, e.limit.kind], ["rate_limit_exceeded", "user", "requests"]);
      assert.ok(e.after > 60);
    }
    await passes(secret, { user: "bob" });
    for (let n = 0; n < 3; n++) await passes(secret);
    const used = async (user) => (await limits(secret, `?user=${encodeURIComponent(user)}`)).filter((l) => l.level === "user" && l.kind === "requests").map((l) => [l.used, l.remaining]);
    assert.deepEqual([await used("ann"), await used("bob"), await used("nobody yet")], [[[2, 0]], [[1, 1]], [[0, 2]]]);
    assert.deepEqual((await limits(secret)).filter((l) => l.level === "user"), []);
    await gw.evict();
    assert.deepEqual(await used("ann"), [[2, 0]], "an eviction forgets nothing");
    const seen = (await gw.admin("GET", `/keys/${key.id}/limits?user=ann`)).data.filter((l) => l.level === "user");
    assert.deepEqual(seen.map((l) => l.kind), ["budget", "requests"]);
    assert.ok(seen[0].id.startsWith(`user:${team.id}:`) && !seen[0].id.includes("ann"));
    const object = await gw.ledger(customer);
    assert.equal(object.end_users, 2);
    assert.ok(object.limits.every((l) => l.level !== "user"));
    // A raised limit holds for what was counted before.
    await gw.admin("PATCH", `/teams/${team.id}`, { each_user: { rate_limit: { rpm: 9 }, limits: [{ unit: "requests", amount: 3, window: "1h" }] } });
    await passes(secret, { user: "ann" });
    assert.equal((await refused(secret, { user: "ann" }, { query: "?user=ann" })).limit.limit, 3);
    await gw.admin("PATCH", `/teams/${team.id}`, { each_user: null });
    await passes(secret, { user: "ann" });
  });

  it("are forgotten when nothing is counted of them", { timeout: 60_000 }, async () => {
    const { customer, secret } = await gw.tenant({ customer: { each_user: { limits: [{ unit: "requests", amount: 5, window: "1s" }, { unit: "concurrent", amount: 1 }] } } });
    for (let n = 0; n < 5; n++) await passes(secret, { user: `user ${n}` });
    await waitFor("all but the last to be gone", async () => {
      await passes(secret, { user: "last" });
      return (await gw.ledger(customer)).end_users === 1;
    }, { every_ms: 700 });
    await gw.evict();
    assert.equal((await gw.ledger(customer)).end_users, 1, "nor does storage know them");
  });
});

describe("events", () => {
  it("a threshold is one event, through failures of D1 and evictions", { timeout: 90_000 }, async () => {
    const { customer, key, secret } = await keyWith({ unit: "requests", amount: 4, window: "month", models: ["gpt-*"], warn_at_percent: [100, 50] });
    const since = new Date(Date.now() - 60_000).toISOString();
    const events = async () => (await gw.admin("GET", `/events?customer_id=${customer.id}&since=${since}`)).data;
    const percents = async () => (await events()).map((e) => e.percent);
    await passes(secret);
    await gw.settledRows(customer);
    assert.deepEqual(await events(), []);
    await passes(secret);
    await waitFor("the first event", async () => (await events()).length > 0);
    const [{ id, at, window_start, ...event }] = await events();
    assert.deepEqual(event, { object: "event", kind: "threshold", customer_id: customer.id, level: "key", node_id: key.id, unit: "requests", window: "month", models: ["gpt-*"], percent: 50, amount: 4, used: 2 });
    assert.ok(id.includes(key.id) && window_start.endsWith("T00:00:00.000Z") && Date.parse(at) <= Date.now());
    // The statement lands, its answer is lost, the object is evicted: the event comes again, with the same name.
    await gw.d1("lost");
    await passes(secret);
    await gw.evict();
    await passes(secret);
    await waitFor("a statement to be lost", async () => (await gw.d1Failures()) > 1);
    await gw.d1("ok");
    await waitFor("the second event", async () => (await events()).length > 1);
    await gw.settledRows(customer);
    assert.deepEqual(await percents(), [50, 100]);
    await gw.evict();
    await refused(secret);
    assert.deepEqual(await percents(), [50, 100]);
    assert.deepEqual((await gw.admin("GET", `/events?after=${encodeURIComponent(id)}&customer_id=${customer.id}`)).data.map((e) => e.percent), [100]);
    assert.deepEqual((await gw.admin("GET", `/events?customer_id=${customer.id}&since=2999-01-01`)).data, []);
  });

  it("are asked for with known parameters", async () => {
    for (const [query, param] of [["customer=x", "customer"], ["since=yesterday", "since"]]) {
      const r = await gw.adminRaw("GET", `/events?${query}`);
      assert.deepEqual([r.status, r.body.error.param], [400, param]);
    }
    assert.equal((await gw.adminRaw("POST", "/events", {})).status, 405);
  });
});

describe("the admin API", () => {
  it("shows limits as it takes them; a list replaces the whole, null clears", async () => {
    const written = [
      { unit: "usd", amount: "12.500000000", window: "day@Europe/Berlin", burst: null, models: null, warn_at_percent: [80, 95] },
      { unit: "tokens", amount: 900, window: "60s", burst: 90, models: ["gpt-4*", "o?"], warn_at_percent: [] },
      { unit: "concurrent", amount: 3, window: null, burst: null, models: null, warn_at_percent: [] },
    ];
    const { key } = await gw.tenant({ key: { rate_limit: { rpm: 7 }, limits: written, each_user: { limits: [written[2]] } } });
    assert.deepEqual(key.limits, written);
    assert.deepEqual(key.each_user, { budget_usd: { day: null, month: null, total: null }, rate_limit: { rpm: null, tpm: null }, limits: [written[2]] });
    const again = await gw.admin("PATCH", `/keys/${key.id}`, { limits: key.limits, each_user: key.each_user });
    assert.deepEqual([again.limits, again.each_user], [key.limits, key.each_user]);
    await gw.admin("PATCH", `/keys/${key.id}`, { limits: [written[2]] });
    assert.deepEqual((await gw.admin("GET", `/keys/${key.id}`)).limits, [written[2]]);
    const cleared = await gw.admin("PATCH", `/keys/${key.id}`, { limits: null, each_user: null });
    assert.deepEqual([cleared.limits, cleared.each_user, cleared.rate_limit], [[], null, { rpm: 7, tpm: null }]);
  });

  it("names the member that is wrong, and stores nothing", async () => {
    const { customer, team, key } = await gw.tenant({ team: {} });
    const good = { unit: "requests", amount: 5, window: "60s" };
    const wrong = [
      [{ limits: 5 }, "limits"],
      [{ limits: [good, { ...good, window: "fortnight" }] }, "limits[1].window"],
      [{ limits: [{ ...good, window: "day", time_zone: "Mars/Olympus" }] }, "limits[0].time_zone"],
      [{ limits: [{ ...good, window: "day@Europe/Atlantis" }] }, "limits[0].window"],
      [{ limits: [{ ...good, amount: "many" }] }, "limits[0].amount"],
      [{ limits: [{ ...good, warn_at_percent: [0] }] }, "limits[0].warn_at_percent"],
      [{ limits: [{ ...good, models: ["a\nb"] }] }, "limits[0].models"],
      [{ limits: Array.from({ length: 51 }, (_, i) => ({ ...good, window: `${i + 1}s` })) }, "limits"],
      [{ each_user: { limits: [{ ...good, burst: 6 }] } }, "each_user.limits[0].burst"],
      [{ each_user: { limit: [] } }, "each_user.limit"],
    ];
    for (const [kind, node] of [["customers", customer], ["teams", team], ["keys", key]]) {
      for (const [body, param] of wrong) {
        const r = await gw.adminRaw("PATCH", `/${kind}/${node.id}`, body);
        assert.deepEqual([r.status, r.body.error.param], [400, param], JSON.stringify(body));
        assert.ok(r.body.error.message.includes(param.split(".").at(-1)), r.body.error.message);
      }
      const kept = await gw.admin("GET", `/${kind}/${node.id}`);
      assert.deepEqual([kept.revision, kept.limits, kept.each_user], [1, [], null]);
    }
  });
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
