// Providers whose streams break, in every dialect: after the first content each SDK raises, before it another provider answers.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { BEGUN, ENDLESS, EXCEPTIONS, FAULTS, FRAMES, startBroken, WHOLE } from "./broken.mjs";
import { startGateway } from "./rig.mjs";

const python = process.env.EDGEHOLD_PYTHON ?? path.resolve(import.meta.dirname, "../../.venv/bin/python");
const skip = fs.existsSync(python) ? false : `NOT RUN: ${python} is missing (make installs it)`;
if (skip) console.error(`\n!!! broken_streams, Python: ${skip}\n`);

const PROVIDERS = { oai: ["openai", "/v1"], oac: ["openai-compatible", "/v1"], ant: ["anthropic", "/v1"], gem: ["gemini", "/v1beta"], coh: ["cohere", "/v2"], bed: ["bedrock", "", { region: "us-east-1", api_key: "secret://AWS_KEY" }] };
/** What only Bedrock's streams can have. */
const FRAMED = [...Object.keys(FRAMES), ...Object.keys(FRAMES).map((name) => `first-${name}`), "later", "no-stop", "no-counts"];
const faultsOf = (name) => [...FAULTS, ...(name === "bed" ? FRAMED : []), ...(name === "oac" ? [...Object.keys(ENDLESS), "long-event"] : [])];
/** Whether the client's bytes are the provider's: what they cannot read is theirs to raise. */
const PASSES = { chat: ["oac", "oai"], responses: ["oai"], messages: ["ant"], generate: ["gem"] };
const PRICE = { input: 1, output: 10, context_tokens: 1000, output_tokens: 500 };

/** Each client: a stream's text as far as it comes, told to `saw`; throws what the SDK throws. */
const CLIENTS = {
  async chat(url, apiKey, model, saw) {
    const sdk = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
    const stream = await sdk.chat.completions.create({ model, stream: true, messages: [{ role: "user", content: "hello" }] });
    for await (const chunk of stream) saw(chunk.choices[0]?.delta.content ?? "");
  },
  async responses(url, apiKey, model, saw) {
    const sdk = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
    const stream = sdk.responses.stream({ model, input: "hello" });
    for await (const event of stream) if (event.type === "response.output_text.delta") saw(event.delta);
    await stream.finalResponse();
  },
  async messages(url, apiKey, model, saw) {
    const stream = await new Anthropic({ baseURL: url, apiKey, maxRetries: 0 }).messages.create({ model, stream: true, max_tokens: 400, messages: [{ role: "user", content: "hello" }] });
    for await (const event of stream) if (event.type === "content_block_delta") saw(event.delta.text ?? "");
  },
  async generate(url, apiKey, model, saw) {
    const stream = await new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url } }).models.generateContentStream({ model, contents: "hello" });
    for await (const chunk of stream) saw(chunk.text ?? "");
  },
};

let gw, broken;
before(async () => {
  [gw, broken] = await Promise.all([startGateway({ vars: { AWS_KEY: "AKIDEXAMPLE:secret" } }), startBroken()]);
  const names = Object.keys(PROVIDERS);
  await gw.putConfig({
    providers: Object.fromEntries(names.map((name) => [name, { kind: PROVIDERS[name][0], base_url: broken.url + PROVIDERS[name][1], api_key: "secret://UP_KEY", ...PROVIDERS[name][2] }])),
    prices: Object.fromEntries(names.flatMap((name) => faultsOf(name).map((fault) => [`${name}/${fault}`, PRICE]))),
    models: Object.fromEntries(names.flatMap((name) => faultsOf(name).map((fault) => [`${name}-then-fine-${fault}`, [`${name}/${fault}`, "ant/fine"]]))),
    routes: [{ name: "asked", retries: { count: 0 } }],
  });
});
after(async () => { await gw?.stop(); await broken?.stop(); });

/** What came of one call: the text, the error, and the ledger's rows. */
async function ask(client, model) {
  const tenant = await gw.tenant({ customer: { budget_usd: { total: 100 } } });
  let text = "", error = null;
  try { await CLIENTS[client](gw.url, tenant.secret, model, (more) => { text += more; }); } catch (e) { error = e; }
  const rows = await gw.settledRows(tenant.customer);
  return { text, error, rows, outcomes: rows.sort((a, b) => a.attempt - b.attempt).map((row) => row.outcome) };
}

// Many at once: what takes long is the rows on their way to D1.
for (const client of Object.keys(CLIENTS)) {
  describe(`the client of ${client}`, { concurrency: 40 }, () => {
    for (const provider of Object.keys(PROVIDERS)) {
      for (const fault of ["cut", "closed", "half"]) {
        it(`raises when the stream of ${provider} is ${fault} in its midst; the row says truncated, and costs its bound`, async () => {
          const { text, error, rows, outcomes } = await ask(client, `${provider}/${fault}`);
          assert.equal(text, BEGUN);
          assert.ok(error, "nothing was raised");
          // Half an event before the error's: an SDK may stumble over that first.
          if (fault !== "half" || !PASSES[client].includes(provider)) assert.match(String(error.message), /broke off|stream_truncated/);
          assert.deepEqual(outcomes, ["truncated"]);
          assert.equal(rows[0].usage_estimated, 1);
          // 400 or 500 tokens out at 10 dollars a million, and something in.
          assert.ok(rows[0].cost_nanousd >= 400 * 10_000, `it cost ${rows[0].cost_nanousd}`);
        });
      }

      for (const fault of ["error", "error-other"]) {
        it(`raises when ${provider} sends an error (${fault}) in mid-stream; the row says upstream_error`, async () => {
          const { text, error, outcomes } = await ask(client, `${provider}/${fault}`);
          assert.equal(text, BEGUN);
          assert.deepEqual(outcomes, ["upstream_error"]);
          // The provider's own bytes: whether its SDK raises is between the two.
          if (fault === "error-other" && PASSES[client].includes(provider)) return;
          assert.ok(error, "nothing was raised");
          assert.match(`${error.message} ${JSON.stringify(error.error ?? null)}`, /Overloaded/);
        });
      }

      if (!PASSES[client].includes(provider)) {
        it(`raises when an event of ${provider} is none, and sees nothing behind it`, async () => {
          const { text, error, outcomes } = await ask(client, `${provider}/garbled`);
          assert.equal(text, BEGUN);
          assert.match(String(error?.message), /broke off|stream_truncated/);
          assert.deepEqual(outcomes, ["truncated"]);
        });
      }

      for (const fault of ["error-first", "error-other-first", "json-first", "status-503", "status-529"]) {
        it(`sees nothing of ${provider}'s ${fault}: the next provider answers`, async () => {
          const { text, error, outcomes } = await ask(client, `${provider}-then-fine-${fault}`);
          assert.equal(error, null);
          assert.equal(text, WHOLE);
          assert.deepEqual(outcomes, ["upstream_error", "ok"]);
        });
      }
    }
  });
}

for (const client of Object.keys(CLIENTS)) {
  describe(`the client of ${client} and Bedrock's binary messages`, { concurrency: 40 }, () => {
    for (const fault of Object.keys(FRAMES)) {
      const says = EXCEPTIONS.includes(fault);
      it(`raises at ${fault}, and the row says ${says ? "upstream_error" : "truncated"}`, async () => {
        const { text, error, outcomes } = await ask(client, `bed/${fault}`);
        assert.equal(text, BEGUN);
        assert.ok(error, "nothing was raised");
        assert.match(`${error.message} ${JSON.stringify(error.error ?? null)}`, says ? /Overloaded/ : /broke off|stream_truncated/);
        assert.deepEqual(outcomes, [says ? "upstream_error" : "truncated"]);
      });

      // Nothing of it reaches any client.
      if (client === "chat") it(`sees nothing of ${fault} before content: the next provider answers`, async () => {
        const { text, error, outcomes } = await ask(client, `bed-then-fine-first-${fault}`);
        assert.equal(error, null);
        assert.equal(text, WHOLE);
        assert.deepEqual(outcomes, ["upstream_error", "ok"]);
      });
    }

    it("is not troubled by events of later days", async () => {
      const { text, error, rows } = await ask(client, "bed/later");
      assert.deepEqual([error, text], [null, WHOLE]);
      assert.deepEqual(rows.map((row) => [row.outcome, row.input_tokens, row.output_tokens, row.usage_estimated]), [["ok", 20, 4, 0]]);
    });

    it("raises when messageStop is missing, whatever was counted", async () => {
      const { text, error, outcomes } = await ask(client, "bed/no-stop");
      assert.equal(text, BEGUN);
      assert.match(String(error?.message), /broke off|stream_truncated/);
      assert.deepEqual(outcomes, ["truncated"]);
    });

    it("gets its whole answer when the counts are missing; the row costs its bound", async () => {
      const { text, error, rows } = await ask(client, "bed/no-counts");
      assert.deepEqual([error, text], [null, WHOLE]);
      assert.deepEqual(rows.map((row) => [row.outcome, row.usage_estimated]), [["ok", 1]]);
      assert.ok(rows[0].cost_nanousd >= 400 * 10_000, `it cost ${rows[0].cost_nanousd}`);
    });
  });
}

describe("a stream that has no end", { concurrency: 4 }, () => {
  for (const fault of Object.keys(ENDLESS)) {
    for (const client of ["responses", "messages", "generate"]) {
      it(`(${fault}) is broken off, and the client of ${client} raises`, { timeout: 60_000 }, async () => {
        const { text, error, outcomes } = await ask(client, `oac/${fault}`);
        assert.equal(text, BEGUN);
        assert.match(String(error?.message), /broke off|stream_truncated/);
        assert.deepEqual(outcomes, ["truncated"]);
        assert.ok(broken.pumped[fault] < 90_000_000, `${broken.pumped[fault]} bytes were sent`);
      });
    }
  }

  it("an event of ten megabytes reaches a client of the provider's format", { timeout: 60_000 }, async () => {
    const { text, error, rows } = await ask("chat", "oac/long-event");
    assert.deepEqual([error, text.length], [null, WHOLE.length + 10_000_000]);
    assert.deepEqual(rows.map((row) => [row.outcome, row.output_tokens]), [["ok", 4]]);
  });

  it("and breaks the stream of any other", { timeout: 60_000 }, async () => {
    const { text, error, outcomes } = await ask("messages", "oac/long-event");
    assert.equal(text, BEGUN);
    assert.match(String(error?.message), /broke off|stream_truncated/);
    assert.deepEqual(outcomes, ["truncated"]);
  });
});

describe("the SDKs for Python", { skip }, () => {
  it("each raises an error of its own when a stream is cut, closed or fails in its midst", async (t) => {
    const { secret } = await gw.tenant();
    const models = Object.keys(PROVIDERS).flatMap((provider) => ["cut", "closed", "error"].map((fault) => `${provider}/${fault}`));
    const env = { ...process.env, EDGEHOLD_URL: gw.url, EDGEHOLD_KEY: secret, EDGEHOLD_MODELS: JSON.stringify(models), EDGEHOLD_SYSTEM: "Answer.", PYTHONUTF8: "1" };
    const { stdout } = await promisify(execFile)(python, [path.join(import.meta.dirname, "broken.py")], { env });
    const claims = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(claims.length, 4 * models.length);
    for (const { name, error } of claims) await t.test(name, () => { if (error) assert.fail(error); });
  });
});

/** Of each format that a client and a provider share: the provider, the path, and the body. */
const SAME = [
  ["oac", "/v1/chat/completions", { messages: [{ role: "user", content: "hello" }], stream_options: { include_usage: true } }],
  ["oai", "/v1/responses", { input: "hello", store: false }],
  ["ant", "/v1/messages", { max_tokens: 400, messages: [{ role: "user", content: "hello" }] }],
  ["gem", "/v1beta/models/MODEL:streamGenerateContent?alt=sse", { contents: [{ role: "user", parts: [{ text: "hello" }] }] }],
];

for (const [provider, where, body] of SAME) {
  it(`a stream of ${where} from a provider that speaks it arrives byte by byte`, async () => {
    const { secret } = await gw.tenant();
    const ask = async (url, model) => {
      const text = JSON.stringify(where.includes("MODEL") ? body : { ...body, model, stream: true });
      return (await fetch(url + where.replace("MODEL", model), { method: "POST", body: text, headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" } })).text();
    };
    const sent = await ask(broken.url, "fine");
    assert.ok(sent.includes(BEGUN));
    assert.equal(await ask(gw.url, `${provider}/fine`), sent);
  });
}

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
