// A real model, streamed and not: the ledger says what the model's own server says it used.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import OpenAI from "openai";
import { config, cost, startGateway, waitFor } from "./rig.mjs";
import { deadUrl } from "./upstream.mjs";

const python = process.env.EDGEHOLD_MODEL_PYTHON ?? path.resolve(import.meta.dirname, "../../.venv-model/bin/python");
const skip = fs.existsSync(python) ? false : `NOT RUN: ${python} is missing (make installs it)`;
if (skip) console.error(`\n!!! live_model ${skip}\n`);

describe("a real model (SmolLM2 on llama.cpp)", { skip, concurrency: 1 }, () => {
  let gw, server, url, tenant, client;
  const ask = { model: "smollm2", messages: [{ role: "user", content: "Name three colours." }], max_tokens: 40, temperature: 0, seed: 1 };
  before(async () => {
    url = await deadUrl();
    server = spawn(python, [path.join(import.meta.dirname, "live_model.py"), new URL(url).port], { stdio: "ignore" });
    gw = await startGateway();
    await waitFor("the model", async () => (await fetch(`${url}/health`).catch(() => null))?.ok, { timeout_ms: 60_000, every_ms: 200 });
    const c = config({ live: url }, { models: ["smollm2"], route: { match: { model: "smollm2" } } });
    await gw.putConfig(c);
    tenant = await gw.tenant({ customer: { budget_usd: { total: 1 } } });
    client = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 0 });
  });
  after(async () => { server?.kill(); await gw?.stop(); });

  const agrees = async (response, usage) => {
    const [row] = await gw.rows(response.headers.get("x-edgehold-request-id"));
    assert.equal(row.outcome, "ok");
    assert.equal(row.usage_estimated, 0);
    assert.equal(row.input_tokens + row.cache_read_tokens, usage.prompt_tokens);
    assert.equal(row.output_tokens + row.reasoning_tokens, usage.completion_tokens);
    assert.equal(row.cost_nanousd, cost(usage));
    assert.deepEqual(JSON.parse(row.usage_json), usage);
  };

  it("answers plainly", { timeout: 60_000 }, async () => {
    const { data, response } = await client.chat.completions.create(ask).withResponse();
    assert.ok(data.choices[0].message.content.length > 3);
    assert.ok(data.usage.completion_tokens > 0 && data.usage.completion_tokens <= 40);
    await agrees(response, data.usage);
  });

  it("streams, with usage for who asks", { timeout: 60_000 }, async () => {
    const { data: stream, response } = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } }).withResponse();
    const chunks = await Array.fromAsync(stream);
    assert.ok(chunks.length > 5);
    await agrees(response, chunks.at(-1).usage);
  });

  it("streams without usage for who does not ask; the ledger has the server's count all the same", { timeout: 60_000 }, async () => {
    const { data: stream, response } = await client.chat.completions.create({ ...ask, stream: true }).withResponse();
    const chunks = await Array.fromAsync(stream);
    assert.ok(chunks.every((c) => c.usage == null));
    const direct = await new OpenAI({ baseURL: `${url}/v1`, apiKey: "x" }).chat.completions.create(ask);
    const [row] = await gw.rows(response.headers.get("x-edgehold-request-id"));
    assert.equal(row.usage_estimated, 0);
    assert.deepEqual([row.input_tokens + row.cache_read_tokens, row.output_tokens], [direct.usage.prompt_tokens, direct.usage.completion_tokens]);
  });

  it("gives the server's own 400 for a prompt that is too long, charged nothing", { timeout: 60_000 }, async () => {
    const r = await gw.chat(tenant.secret, { ...ask, messages: [{ role: "user", content: "word ".repeat(5000) }] });
    assert.equal(r.status, 400);
    assert.match(JSON.stringify(await r.json()), /exceed_context_size_error|context/);
    const [row] = await gw.rows(r.headers.get("x-edgehold-request-id"));
    assert.deepEqual([row.outcome, row.cost_nanousd], ["refused_by_provider", 0]);
  });

  it("spent what the rows say", async () => {
    const rows = await gw.settledRows(tenant.customer);
    assert.equal((await gw.ledger(tenant.customer)).spent_total_nanousd, rows.reduce((s, r) => s + r.cost_nanousd, 0));
    assert.deepEqual(gw.panics(), []);
  });
});
