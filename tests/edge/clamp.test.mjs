// What is held is what the provider enforces: caps lowered to what the budget pays for, under the name the provider knows.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { NANO, config, startGateway } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up;
const model = "gpt-4o-mini";
const HEADER = "x-edgehold-clamped-max-tokens";

/** The provider answers as long as it may, under the one name it knows, and without it for ever. */
function greedy(field) {
  return ({ body }) => {
    const completion_tokens = body[field] ?? 1_000_000;
    return { usage: { prompt_tokens: 10, completion_tokens, total_tokens: 10 + completion_tokens } };
  };
}

before(async () => {
  [gw, up] = await Promise.all([startGateway({ isolates: 2 }), startUpstream()]);
  const c = config({ up1: up.url, up2: up.url });
  c.providers.up2.output_cap_field = "max_completion_tokens";
  c.routes = [
    { name: "newer", match: { model: "newer" }, model: `up2/${model}` },
    { name: "clamped", match: { model: "clamped" }, model: `up1/${model}`, clamp: true },
    { name: "main", model: `up1/${model}` },
  ];
  await gw.putConfig(c);
  up.plan(model, greedy("max_tokens"));
});
after(async () => { await gw?.stop(); await up?.stop(); });

describe("clamp: true", () => {
  it("lowers the cap to what the budget pays for, says so, and is charged no more", async () => {
    for (const cap of [{ max_tokens: 4000 }, { max_completion_tokens: 4000 }, {}]) {
      const { secret, customer } = await gw.tenant({ key: { budget_usd: { total: "0.000600" } } });
      const asked = await gw.chat(secret, { model: "clamped", ...cap });
      assert.equal(asked.status, 200, await asked.clone().text());
      const n = Number(asked.headers.get(HEADER));
      assert.ok(Number.isInteger(n) && n > 0 && n < 4000, String(n));
      assert.equal(up.last.body.max_tokens, n, "the provider saw another cap than the client was told");
      assert.ok(!("max_completion_tokens" in up.last.body));
      assert.equal((await asked.json()).usage.completion_tokens, n);
      const rows = await gw.settledRows(customer);
      assert.deepEqual(rows.map((r) => r.output_tokens), [n]);
      const [limit] = (await gw.keyStatus(secret)).limits;
      assert.ok(limit.spent_nanousd >= n * NANO.output && limit.spent_nanousd <= limit.limit_nanousd, JSON.stringify(limit));
    }
  });

  it("never overspends, whatever comes at once", { timeout: 60_000 }, async () => {
    const { secret, customer } = await gw.tenant({ key: { budget_usd: { total: "0.002000" } } });
    const before = up.requests.length;
    const answers = await Promise.all(Array.from({ length: 40 }, async (_, i) => {
      const r = await gw.chat(secret, { model: "clamped", max_tokens: 700, stream: i % 2 === 1 }, { isolate: i % 2 });
      await r.text();
      return r;
    }));
    assert.ok(answers.every((r) => r.status === 200 || r.status === 402));
    const good = answers.filter((r) => r.status === 200);
    assert.ok(good.length > 0 && good.length < 40, String(good.length));
    assert.ok(good.some((r) => r.headers.has(HEADER)), "nothing was clamped");
    const told = good.map((r) => Number(r.headers.get(HEADER) ?? 700)).sort();
    assert.deepEqual(up.requests.slice(before).map((r) => r.body.max_tokens).sort(), told);
    await gw.settledRows(customer);
    const ledger = await gw.ledger(customer);
    assert.ok(ledger.spent_total_nanousd <= 2_000_000, String(ledger.spent_total_nanousd));
    assert.ok(ledger.spent_total_nanousd >= told.reduce((sum, n) => sum + n, 0) * NANO.output);
  });

  it("refuses where not a token fits, and on routes that do not clamp", async () => {
    const poor = await gw.tenant({ key: { budget_usd: { total: "0.000001" } } });
    const refused = await gw.chat(poor.secret, { model: "clamped", max_tokens: 10 });
    assert.equal(refused.status, 402);
    assert.ok(!refused.headers.has(HEADER));
    const { secret } = await gw.tenant({ key: { budget_usd: { total: "0.000600" } } });
    assert.equal((await gw.chat(secret, { model, max_tokens: 4000 })).status, 402);
  });
});

describe("output_cap_field", () => {
  it("the cap stands under the name the provider enforces, the rest as it was sent", async () => {
    const { secret, customer } = await gw.tenant({ key: { budget_usd: { total: 1 } } });
    const send = async (asked, cap) => {
      const body = `{ "x-own": 1.0e2 ,"${cap}" : 30, "model":"${asked}","messages":[{"role":"user","content":"h\\u00e9"}]}`;
      const r = await gw.chat(secret, body);
      assert.equal(r.status, 200, await r.clone().text());
      await r.text();
      return { raw: up.last.raw.toString(), expected: (name) => body.replace(cap, name).replace(asked, model) };
    };
    for (const cap of ["max_tokens", "max_completion_tokens"]) {
      const known = await send(model, cap);
      assert.equal(known.raw, known.expected("max_tokens"));
      up.next(greedy("max_completion_tokens"));
      const newer = await send("newer", cap);
      assert.equal(newer.raw, newer.expected("max_completion_tokens"));
    }
    const rows = await gw.settledRows(customer);
    assert.deepEqual(rows.map((r) => r.output_tokens), [30, 30, 30, 30], "a cap was not enforced");
  });

  it("a tool that the provider runs is refused", async () => {
    const { secret } = await gw.tenant();
    const before = up.requests.length;
    const refused = await gw.chat(secret, { model, tools: [{ type: "web_search" }] });
    assert.deepEqual([refused.status, (await refused.json()).error.param], [400, "tools"]);
    assert.equal(up.requests.length, before);
  });
});
