// The operator's side: configuration with precise errors and versions, customers, teams, keys, usage.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { config, cost, startGateway, waitFor } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

let gw, up;
const model = "gpt-4o-mini";
const ONE = cost({ prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } });

// As the design has it, to the letter.
const DESIGN = `# Routes are matched top-down; the first match wins.
routes:
  - name: cheap-default
    match: { team: "*", task: "summarize" }
    model: gpt-4o-mini
    rate_limit: { rpm: 600 }
    cache: { ttl: 3600 }       # identical prompts are free for an hour
    fallback: claude-haiku     # used if the primary errors or times out

  - name: high-stakes
    match: { team: "billing" }
    model: claude-sonnet
    rate_limit: { rpm: 60 }
    guardrails: [pii-redact, no-secrets]
    cache: { ttl: 0 }          # never cache sensitive answers
`;

before(async () => { [gw, up] = await Promise.all([startGateway({ vars: { OPENAI_API_KEY: "sk-openai", ANTHROPIC_API_KEY: "sk-ant" } }), startUpstream()]); });
after(async () => { await gw?.stop(); await up?.stop(); });

const raw = (...a) => gw.adminRaw(...a);
async function problems(text, query = "") {
  const r = await raw("PUT", `/config${query}`, text);
  assert.equal(r.status, 400, r.raw);
  assert.equal(r.body.error.code, "invalid_config");
  assert.ok(r.body.error.problems.length > 0 && r.body.error.problems.every((p) => typeof p.message === "string" && p.message), r.raw);
  return r.body.error.problems;
}

describe("who may", () => {
  for (const [what, token] of [["no token", ""], ["a wrong token", "wrong"], ["a prefix of the right one", null]]) {
    it(`${what}: 401 everywhere, and nothing is done`, async () => {
      const t = token ?? gw.adminToken.slice(0, -1);
      for (const [method, where, body] of [["GET", "/config"], ["PUT", "/config", "routes: []"], ["POST", "/customers", { name: "x" }], ["GET", "/customers"], ["GET", "/keys"], ["DELETE", "/keys/x"], ["GET", "/usage"], ["GET", "/nowhere"]]) {
        const r = await raw(method, where, body, { token: t });
        assert.equal(r.status, 401, `${method} ${where}: ${r.raw}`);
        assert.equal(typeof r.body.error.message, "string");
        assert.equal(typeof r.body.error.code, "string");
      }
    });
  }
  it("unknown paths and methods are 404 and 405", async () => {
    assert.equal((await raw("GET", "/nowhere")).status, 404);
    assert.equal((await raw("DELETE", "/customers")).status, 405);
    assert.equal((await raw("PUT", "/keys")).status, 405);
  });
});

describe("a configuration", { concurrency: 1 }, () => {
  it("of the design loads as written", async () => {
    const r = await raw("PUT", "/config", DESIGN);
    assert.equal(r.status, 200, r.raw);
    assert.ok(Number.isInteger(r.body.version));
    assert.ok(Array.isArray(r.body.warnings));
    assert.equal((await gw.admin("GET", "/config")).text, DESIGN);
  });

  it("of the design routes as its comments say", async () => {
    // The same, with the provider's address pointed at a server of ours.
    const r = await gw.putConfig(`${DESIGN}\nproviders:\n  openai: { base_url: "${up.url}/v1" }\n`);
    assert.ok(r.version);
    const { secret, customer } = await gw.tenant({ team: { name: "billing" } });
    const loner = await gw.admin("POST", "/keys", { customer_id: customer.id });
    const summarize = { headers: { "x-edgehold-metadata": '{"task":"summarize"}' } };
    for (const s of [secret, loner.key]) {
      const a = await gw.chat(s, { model: "anything", max_tokens: 20 }, summarize);
      assert.equal(a.status, 200, await a.clone().text());
      assert.deepEqual([a.headers.get("x-edgehold-route"), up.last.body.model, up.last.headers.authorization], ["cheap-default", "gpt-4o-mini", "Bearer sk-openai"]);
      assert.equal(a.headers.get("x-ratelimit-limit-requests"), "600");
      await a.text();
    }
    const inBody = await gw.chat(secret, { model: "anything", metadata: { task: "summarize" } });
    assert.equal(inBody.headers.get("x-edgehold-route"), "cheap-default");
    await inBody.text();

    const sent = up.requests.length;
    const guarded = await gw.chat(secret, { model: "anything" });
    assert.ok(guarded.status >= 400 && guarded.status < 600 && guarded.status !== 401, String(guarded.status));
    assert.match((await guarded.json()).error.message, /guardrail/i);
    assert.equal(up.requests.length, sent, "a guarded request went out unguarded");

    const nowhere = await gw.chat(loner.key, { model: "no-route-for-this" });
    assert.equal(nowhere.status, 404);
    await nowhere.text();
  });

  const minimal = "routes:\n  - name: a\n    model: up1/m\nproviders:\n  up1: { kind: openai-compatible, base_url: \"http://127.0.0.1:9/v1\" }\n";
  const wrong = [
    ["no YAML", "routes: [", null],
    ["unknown top-level member", `${minimal}rutes: []\n`, /rutes/],
    ["unknown member of a route", minimal.replace("model:", "modell:"), /modell/],
    ["routes not a list", "routes: 7\n", /routes/],
    ["route without a name", minimal.replace("name: a", "match: {}"), /name/],
    ["two routes of one name", minimal.replace("providers:", "  - name: a\n    model: up1/m\nproviders:"), /\ba\b/],
    ["unknown provider of a target", minimal.replace("up1/m", "nobody/m"), /nobody/],
    ["a time-out without a unit that means anything", minimal.replace("providers:", "    timeouts: { total: soon }\nproviders:"), /total|soon/],
    ["rpm below 0", minimal.replace("providers:", "    rate_limit: { rpm: -1 }\nproviders:"), /rpm/],
    ["a key in plain text", minimal.replace("kind: openai-compatible,", "kind: openai-compatible, api_key: sk-plain-text,"), /secret/],
    ["a price below 0", `${minimal}prices: { up1/m: { input: -1, output: 1 } }\n`, /input|price/],
    ["an unknown kind of provider", minimal.replace("openai-compatible", "telepathy"), /telepathy|kind/],
    ["base_url that is none", minimal.replace("http://127.0.0.1:9/v1", "not a url"), /base_url|url/],
    ["a duplicate member", minimal.replace("    model: up1/m\n", "    model: up1/m\n    model: up1/n\n"), null],
  ];
  for (const [what, text, about] of wrong) {
    it(`${what}: says where and what`, async () => {
      const list = await problems(text);
      const p = list[0];
      assert.ok(Number.isInteger(p.line) && p.line >= 1, `no line: ${JSON.stringify(p)}`);
      assert.ok("path" in p && "expected" in p && "found" in p, JSON.stringify(p));
      if (about) assert.match(JSON.stringify(list), about);
    });
  }

  it("with three faults reports three", async () => {
    const list = await problems("routes:\n  - name: a\n    modell: x\n    rate_limit: { rpm: many }\nnonsense: 1\n");
    assert.ok(list.length >= 3, JSON.stringify(list));
    assert.deepEqual(list.map((p) => p.line).sort(), [...new Set(list.map((p) => p.line))].sort());
  });

  it("a wrong or a dry one changes nothing", async () => {
    const was = await gw.admin("GET", "/config");
    await problems("routes: 7");
    assert.equal((await raw("PUT", "/config?dry_run=true", minimal)).status, 200);
    await problems("routes: 7", "?dry_run=true");
    assert.deepEqual(await gw.admin("GET", "/config"), was);
  });

  it("keeps versions, and a rollback is a new one", async () => {
    const a = config({ up1: up.url });
    const one = await gw.putConfig(a);
    const two = await gw.putConfig({ ...a, routes: [{ name: "other", model: `up1/${model}` }] });
    assert.equal(two.version, one.version + 1);
    const list = await gw.admin("GET", "/config/versions");
    const versions = (list.versions ?? list.data ?? list).map((v) => v.version);
    assert.ok(versions.includes(one.version) && versions.includes(two.version));
    const old = await gw.admin("GET", `/config/versions/${one.version}`);
    assert.deepEqual(JSON.parse(old.text), a);
    const three = await gw.admin("POST", "/config/rollback", { version: one.version });
    assert.equal(three.version, two.version + 1);
    assert.equal((await gw.admin("GET", "/config")).text, old.text);
    const { secret } = await gw.tenant();
    const r = await waitFor("the rolled-back route", async () => {
      const answer = await gw.chat(secret, { model });
      await answer.text();
      return answer.headers.get("x-edgehold-route") === "main";
    });
    assert.ok(r);
    assert.equal((await raw("POST", "/config/rollback", { version: 999 })).status, 404);
    assert.equal((await raw("GET", "/config/versions/999")).status, 404);
    assert.equal((await raw("POST", "/config/rollback", { version: "x" })).status, 400);
  });
});

describe("customers, teams, keys", { concurrency: 1 }, () => {
  it("live their lives", async () => {
    const c = await gw.admin("POST", "/customers", { name: "Käufer", budget_usd: { day: 1.5, month: "20.000000001" }, rate_limit: { rpm: 10, tpm: 1000 }, metadata: { plan: "gold" } });
    assert.ok(c.id);
    assert.equal((await gw.admin("GET", `/customers/${c.id}`)).name, "Käufer");
    const t = await gw.admin("POST", "/teams", { customer_id: c.id, name: "ops", budget_usd: { total: 3 } });
    const k = await gw.admin("POST", "/keys", { customer_id: c.id, team_id: t.id, name: "ci", models: ["gpt-*"], default_max_tokens: 64, metadata: { env: "ci" } });
    assert.match(k.key, /^eh_/);
    for (const [where, thing] of [["/customers", c], [`/teams?customer_id=${c.id}`, t], [`/keys?customer_id=${c.id}`, k]]) {
      const list = await gw.admin("GET", where);
      assert.ok((list.data ?? list.customers ?? list.teams ?? list.keys ?? list).some((x) => x.id === thing.id), where);
    }
    const shown = await gw.admin("GET", `/keys/${k.id}`);
    assert.ok(!JSON.stringify(shown).includes(k.key) && !JSON.stringify(shown).includes(k.key.slice(8)), "the key is shown again");
    assert.ok(!JSON.stringify(await gw.sql("SELECT * FROM sqlite_master")).includes(k.key));
    const me = await gw.keyStatus(k.key);
    assert.deepEqual([me.object, me.id, me.customer_id, me.team_id, me.name], ["key", k.id, c.id, t.id, "ci"]);
    assert.deepEqual(me.limits.filter((l) => l.kind === "budget").map((l) => [l.level, l.window, l.limit_nanousd]).sort(), [["customer", "day", 1_500_000_000], ["customer", "month", 20_000_000_001], ["team", "total", 3_000_000_000]].sort());
    assert.deepEqual(me.limits.filter((l) => l.kind !== "budget").map((l) => [l.kind, l.limit]).sort(), [["requests", 10], ["tokens", 1000]]);

    await gw.admin("PATCH", `/customers/${c.id}`, { name: "Neu", budget_usd: { total: 7 } });
    const after = await gw.keyStatus(k.key);
    assert.deepEqual(after.limits.filter((l) => l.level === "customer" && l.kind === "budget").map((l) => [l.window, l.limit_nanousd]), [["total", 7_000_000_000]]);
    assert.equal((await gw.admin("GET", `/customers/${c.id}`)).name, "Neu");
    await gw.admin("PATCH", `/keys/${k.id}`, { models: null, name: "cd" });
    await waitFor("the key's new name", async () => (await gw.keyStatus(k.key)).name === "cd");
  });

  it("the key's plain text is nowhere in D1 or KV", async () => {
    const { secret } = await gw.tenant();
    for (const { name } of await gw.sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'")) {
      assert.ok(!JSON.stringify(await gw.sql(`SELECT * FROM "${name}"`)).includes(secret.slice(10)), name);
    }
    assert.ok(!JSON.stringify(await gw.kvKeys()).includes(secret.slice(10)));
  });

  const bad = [
    ["POST", "/customers", {}], ["POST", "/customers", { name: 5 }], ["POST", "/customers", { name: "a", nonsense: 1 }], ["POST", "/customers", { name: "a", budget_usd: { week: 1 } }],
    ["POST", "/customers", { name: "a", budget_usd: { day: -1 } }], ["POST", "/customers", { name: "a", budget_usd: { day: "1.5x" } }], ["POST", "/customers", { name: "a", rate_limit: { rpm: 0.5 } }],
    ["POST", "/customers", "not json"], ["POST", "/customers", "[]"], ["POST", "/keys", { customer_id: "x", expires_at: "tomorrow" }], ["POST", "/teams", { name: "no customer" }],
    ["POST", "/keys", {}], ["POST", "/customers", { name: "a", metadata: { deep: { er: 1 } } }],
  ];
  for (const [method, where, body] of bad) {
    it(`${where} ${JSON.stringify(body)} is a 400 that says why`, async () => {
      const r = await raw(method, where, body);
      assert.equal(r.status, 400, r.raw);
      assert.ok(r.body.error.message && r.body.error.code, r.raw);
    });
  }

  it("what is not there is a 404, also as an owner", async () => {
    for (const [method, where, body] of [["GET", "/customers/none"], ["PATCH", "/customers/none", { name: "x" }], ["GET", "/teams/none"], ["GET", "/keys/none"], ["DELETE", "/keys/none"], ["PATCH", "/keys/none", { blocked: true }]]) {
      assert.equal((await raw(method, where, body)).status, 404, `${method} ${where}`);
    }
    const r = await raw("POST", "/keys", { customer_id: "none" });
    assert.ok([400, 404].includes(r.status), r.raw);
    const c1 = await gw.tenant({ team: {} });
    const c2 = await gw.tenant();
    const foreign = await raw("POST", "/keys", { customer_id: c2.customer.id, team_id: c1.team.id });
    assert.ok([400, 404].includes(foreign.status), `a key in another customer's team: ${foreign.raw}`);
  });
});

describe("usage", { concurrency: 1 }, () => {
  let a, b;
  const sum = (rows, f) => rows.reduce((s, r) => s + r[f], 0);
  before(async () => {
    const c = config({ up1: up.url, up2: up.url }, { models: [model, "big"] });
    c.routes = [
      { name: "big", match: { model: "big" }, model: "up2/big", retries: { count: 0 } },
      { name: "main", model: `up1/${model}`, fallback: `up2/${model}`, retries: { count: 0 } },
    ];
    await gw.putConfig(c);
    up.reset();
    a = await gw.tenant({ team: { name: "one" } });
    b = await gw.tenant();
    await waitFor("the new routes", async () => {
      const r = await gw.chat((await gw.tenant()).secret, { model: "big" });
      await r.text();
      return r.headers.get("x-edgehold-route") === "big";
    });
    for (const [s, m] of [[a.secret, model], [a.secret, model], [a.secret, "big"], [b.secret, model]]) await (await gw.chat(s, { model: m })).text();
    up.next({ status: 500 });
    await (await gw.chat(b.secret, { model })).text();
    await gw.settledRows(a.customer);
    await gw.settledRows(b.customer);
  });

  it("by customer: requests, attempts, tokens, cost", async () => {
    const u = await gw.admin("GET", "/usage?group_by=customer");
    assert.equal(u.object, "usage");
    const of = (t) => u.rows.find((r) => Object.values(r).includes(t.customer.id));
    assert.deepEqual([of(a).requests, of(a).attempts, of(a).cost_nanousd], [3, 3, 3 * ONE]);
    assert.deepEqual([of(b).requests, of(b).attempts, of(b).cost_nanousd], [2, 3, 2 * ONE]);
    assert.equal(Math.round(Number(of(a).cost_usd) * 1e9), 3 * ONE);
    assert.equal(of(a).output_tokens, 21);
    assert.equal(u.total.cost_nanousd, sum(u.rows, "cost_nanousd"));
    assert.equal(u.total.attempts, sum(u.rows, "attempts"));
  });

  it("filters", async () => {
    const of = async (query) => (await gw.admin("GET", `/usage?customer_id=${a.customer.id}${query}`)).rows.reduce((s, r) => s + r.requests, 0);
    assert.deepEqual(await Promise.all(["", "&model=big", "&route=main", "&provider=up2", `&team_id=${a.team.id}`, `&key_id=${b.key.id}`, "&from=2020-01-01&to=2020-02-01"].map(of)), [3, 1, 2, 1, 3, 0, 0]);
  });

  for (const group of ["team", "key", "model", "provider", "route", "day", "hour", "model,provider", "day,customer,key"]) {
    it(`by ${group}: the rows add up to the total`, async () => {
      const u = await gw.admin("GET", `/usage?group_by=${group}&customer_id=${b.customer.id}`);
      assert.ok(u.rows.length > 0);
      for (const f of ["attempts", "input_tokens", "output_tokens", "cost_nanousd"]) assert.equal(sum(u.rows, f), u.total[f], f);
      assert.equal(u.total.cost_nanousd, 2 * ONE);
    });
  }

  for (const query of ["group_by=colour", "from=yesterday", "nonsense=1", "from=2026-02-02&to=2026-01-01", "group_by=day,day;drop"]) {
    it(`«${query}» is a 400`, async () => assert.equal((await raw("GET", `/usage?${query}`)).status, 400));
  }

  it("is not fooled by SQL in a filter", async () => {
    const u = await gw.admin("GET", `/usage?group_by=customer&model=${encodeURIComponent("' OR 1=1 --")}`);
    assert.equal(u.total.attempts, 0);
    assert.deepEqual(u.rows, []);
  });
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
