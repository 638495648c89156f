// What a key may ask for, listed to the SDKs of OpenAI, Anthropic and Google, each in its own words.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import Anthropic from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { startGateway } from "./rig.mjs";

const python = process.env.EDGEHOLD_PYTHON ?? path.resolve(import.meta.dirname, "../../.venv/bin/python");
const skip = fs.existsSync(python) ? false : `NOT RUN: ${python} is missing (make installs it)`;
if (skip) console.error(`\n!!! models, the SDKs for Python: ${skip}\n`);

const MANY = Array.from({ length: 70 }, (_, n) => `name-${String(n).padStart(3, "0")}`);
const CONFIG = {
  models: { ...Object.fromEntries(MANY.map((name) => [name, "mock/echo"])), vectors: "openai/text-embedding-3-small" },
  routes: [{ name: "all", model: ["openai/gpt-4o-mini", "gemini/gemini-3-pro-image"] }],
};

describe("the models a key may use", { concurrency: 1 }, () => {
  let gw, secret, limited, expected;
  before(async () => {
    gw = await startGateway();
    await gw.putConfig(CONFIG);
    ({ secret } = await gw.tenant());
    ({ secret: limited } = await gw.tenant({ key: { models: ["name-00*"] } }));
    const answer = await fetch(`${gw.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } });
    expected = (await answer.json()).data.map((model) => model.id);
    assert.ok(expected.length > 70 && expected.includes("vectors") && expected.includes("openai/gpt-4o-mini"));
  });
  after(async () => { await gw?.stop(); });

  it("for OpenAI's SDK, with prices", async () => {
    const client = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: secret, maxRetries: 0 });
    const models = await Array.fromAsync(client.models.list());
    assert.deepEqual(models.map((model) => model.id), expected);
    const mini = await client.models.retrieve("openai/gpt-4o-mini");
    assert.deepEqual([mini.id, mini.object, mini.created, mini.owned_by, mini.context_tokens], ["openai/gpt-4o-mini", "model", 0, "edgehold", 128000]);
    assert.deepEqual(mini.pricing, { input_usd_per_million: "0.15", output_usd_per_million: "0.6", batch: { input_usd_per_million: "0.075", output_usd_per_million: "0.3" } });
    assert.equal(models.find((model) => model.id === "gemini/gemini-3-pro-image").pricing.image_output_usd_per_million, "120");
    await assert.rejects(client.models.retrieve("name-999"), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
    const few = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: limited, maxRetries: 0 });
    assert.deepEqual((await Array.fromAsync(few.models.list())).map((model) => model.id), MANY.slice(0, 10));
    await assert.rejects(few.models.retrieve("name-010"), OpenAI.NotFoundError);
  });

  it("for Anthropic's SDK, page by page, forwards and back", async () => {
    const client = new Anthropic({ baseURL: gw.url, apiKey: secret, maxRetries: 0 });
    const first = await client.models.list();
    assert.deepEqual([first.data.length, first.has_more, first.first_id, first.last_id], [20, true, expected[0], expected[19]]);
    for (const limit of [7, 1000]) {
      assert.deepEqual((await Array.fromAsync(client.models.list({ limit }))).map((model) => model.id), expected, `by ${limit}`);
    }
    const back = await Array.fromAsync(client.models.list({ limit: 30, before_id: expected.at(-1) }));
    assert.deepEqual(back.map((model) => model.id).sort(), expected.slice(0, -1).sort());
    assert.deepEqual((await client.models.list({ lifecycle: ["retired"] })).data, []);
    const mini = await client.models.retrieve("openai/gpt-4o-mini");
    assert.deepEqual(mini, {
      type: "model", id: "openai/gpt-4o-mini", display_name: "openai/gpt-4o-mini", created_at: "1970-01-01T00:00:00Z", lifecycle: "active",
      deprecated_at: null, retires_at: null, line: null, capabilities: null, max_input_tokens: 128000, max_tokens: 16384,
    });
    await assert.rejects(client.models.retrieve("name-999"), (e) => e instanceof Anthropic.NotFoundError && e.error.type === "error" && e.error.error.type === "not_found_error");
    await assert.rejects(client.models.list({ limit: 0 }), (e) => e instanceof Anthropic.BadRequestError && /limit/.test(e.message));
    const stranger = new Anthropic({ baseURL: gw.url, apiKey: "eh_nobody", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), (e) => e instanceof Anthropic.AuthenticationError && e.error.error.type === "authentication_error");
  });

  it("for the three SDKs for Python", { skip }, async () => {
    const env = { ...process.env, EDGEHOLD_URL: gw.url, EDGEHOLD_KEY: secret, PYTHONUTF8: "1" };
    const { stdout } = await promisify(execFile)(python, [path.join(import.meta.dirname, "models.py")], { env });
    assert.deepEqual(JSON.parse(stdout), { openai: expected, anthropic: expected, google: expected });
  });

  for (const apiVersion of ["v1", "v1beta"]) {
    it(`for Google's SDK at ${apiVersion}`, async () => {
      const at = (apiKey) => new GoogleGenAI({ apiKey, apiVersion, httpOptions: { baseUrl: gw.url } });
      const client = at(secret);
      for (const config of [{}, { pageSize: 9 }]) {
        const models = await Array.fromAsync(await client.models.list({ config }));
        assert.deepEqual(models.map((model) => model.name), expected.map((name) => `models/${name}`));
      }
      assert.equal((await client.models.list()).page.length, 50);
      const painter = await client.models.get({ model: "models/gemini/gemini-3-pro-image" });
      assert.deepEqual([painter.displayName, painter.inputTokenLimit, painter.outputTokenLimit], ["gemini/gemini-3-pro-image", 65536, 32768]);
      assert.ok(painter.supportedActions.includes("generateContent"));
      assert.deepEqual((await client.models.get({ model: "vectors" })).supportedActions, ["embedContent", "batchEmbedContents"]);
      await assert.rejects(client.models.get({ model: "name-999" }), (e) => e instanceof ApiError && e.status === 404 && JSON.parse(e.message).error.status === "NOT_FOUND");
      await assert.rejects(at("eh_nobody").models.list(), (e) => e instanceof ApiError && e.status === 401 && JSON.parse(e.message).error.status === "UNAUTHENTICATED");
    });
  }
});
