// Models at Google's and Amazon's clouds beside the makers' own APIs: Claude and open models on Vertex AI with a service
// account, Bedrock with an API key of its own. The fake says what was asked of it.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { startGateway } from "./rig.mjs";

const CLAUDE = "claude-sonnet-5@default", LLAMA = "meta/llama-3.3-70b-instruct-maas", NOVA = "amazon.nova-lite-v1:0";
const BEDROCK_KEY = `ABSK${"QmVkcm9ja0FQSUtleS".repeat(6)}==`;
const json = (res, status, body) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
const message = { id: "msg_vrtx_1", type: "message", role: "assistant", model: "claude-sonnet-5", content: [{ type: "text", text: "from Vertex" }], stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: 9, output_tokens: 4 } };

async function startFake() {
  const asked = [];
  const server = http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    if (req.url === "/token") return json(res, 200, { access_token: "ya29.token", expires_in: 3600 });
    const body = JSON.parse(text);
    asked.push({ path: req.url, text, body, headers: req.headers });
    if (req.url.startsWith("/bedrock/")) {
      if (req.headers.authorization !== `Bearer ${BEDROCK_KEY}`) return json(res, 403, { message: `The key ${req.headers.authorization} is not valid` });
      return json(res, 200, { output: { message: { role: "assistant", content: [{ text: "from Bedrock" }] } }, stopReason: "end_turn", usage: { inputTokens: 5, outputTokens: 2, totalTokens: 7 }, metrics: { latencyMs: 1 } });
    }
    if (req.headers.authorization !== "Bearer ya29.token") return json(res, 401, { error: { code: 401, message: "no token", status: "UNAUTHENTICATED" } });
    if (req.url.endsWith("/count-tokens:rawPredict")) return json(res, 200, { input_tokens: 12 });
    const values = [[0.25, -0.5], [2, 0.125]];
    if (req.url.endsWith(":embedContent")) return json(res, 200, { embedding: { values: values[0] }, usageMetadata: { promptTokenCount: 3 } });
    if (req.url.endsWith(":batchEmbedContents")) return json(res, 200, { embeddings: values.map((v) => ({ values: v })), usageMetadata: { promptTokenCount: 6 } });
    if (req.url.endsWith(":predict")) return json(res, 200, { predictions: values.map((v) => ({ embeddings: { values: v, statistics: { truncated: false, token_count: 4 } } })) });
    if (body.model !== undefined && req.url.includes("publishers")) return json(res, 400, { type: "error", error: { type: "invalid_request_error", message: "model: Extra inputs are not permitted" } });
    if (req.url.endsWith(":rawPredict")) return json(res, 200, message);
    if (req.url.endsWith(":streamRawPredict")) {
      res.writeHead(200, { "content-type": "text/event-stream" });
      const events = [
        { type: "message_start", message: { ...message, content: [], stop_reason: null, usage: { input_tokens: 9, output_tokens: 1 } } },
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
        { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "from Vertex" } },
        { type: "content_block_stop", index: 0 },
        { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 4 } },
        { type: "message_stop" },
      ];
      return res.end(events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(""));
    }
    if (req.url === "/openapi/chat/completions") return json(res, 200, { id: "c1", object: "chat.completion", created: 1, model: body.model, choices: [{ index: 0, message: { role: "assistant", content: "from Llama" }, finish_reason: "stop" }], usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } });
    return json(res, 404, { error: { message: `nothing at ${req.url}` } });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, last: () => asked.at(-1), stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}

describe("clouds", { concurrency: 1 }, () => {
  let fake, gw, tenant, openai, anthropic;
  before(async () => {
    fake = await startFake();
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const account = JSON.stringify({ type: "service_account", client_email: "bot@p.iam.gserviceaccount.com", private_key: privateKey.export({ type: "pkcs8", format: "pem" }), token_uri: `${fake.url}/token` });
    gw = await startGateway({ vars: { GOOGLE_SERVICE_ACCOUNT: account, AWS_BEARER_TOKEN_BEDROCK: BEDROCK_KEY, OTHER_KEY: `ABSK${"x".repeat(60)}` } });
    const google = { project: "p", api_key: "secret://GOOGLE_SERVICE_ACCOUNT" };
    const amazon = { kind: "bedrock", base_url: `${fake.url}/bedrock`, region: "us-east-1" };
    await gw.putConfig({
      providers: {
        vertex: { base_url: `${fake.url}/publishers/google`, ...google },
        "vertex-anthropic": { base_url: `${fake.url}/publishers/anthropic`, ...google },
        "vertex-openai": { base_url: `${fake.url}/openapi`, ...google },
        bed: { ...amazon, api_key: "secret://AWS_BEARER_TOKEN_BEDROCK" },
        old: { ...amazon, api_key: "secret://OTHER_KEY" },
      },
      prices: { [`vertex-openai/${LLAMA}`]: { input: 1, output: 2 }, [`bed/${NOVA}`]: { input: 1, output: 2 }, [`old/${NOVA}`]: { input: 1, output: 2 } },
      routes: [{ name: "asked", retries: { count: 0 } }],
    });
    tenant = await gw.tenant({ customer: { budget_usd: { total: 20 } } });
    openai = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 0 });
    anthropic = new Anthropic({ baseURL: gw.url, apiKey: tenant.secret, maxRetries: 0 });
  });
  after(async () => { await gw?.stop(); await fake?.stop(); });

  const rowOf = async (id) => (await gw.rows(id))[0];
  const idOf = (response) => response.headers.get("x-edgehold-request-id");
  const model = `vertex-anthropic/${CLAUDE}`;

  it("Claude on Vertex AI gets an Anthropic client's bytes, but for the model's name and the version", async () => {
    const body = `{"max_tokens": 64,  "model" : "${model}", "messages":[{"role":"user","content":"hé"}], "new_member": [1,  2]}`;
    const answer = await fetch(`${gw.url}/v1/messages`, { method: "POST", headers: { "x-api-key": tenant.secret, "anthropic-version": "2023-06-01", "anthropic-beta": "new-thing-2026-01-01", "content-type": "application/json" }, body });
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), message);
    const { path, text, headers } = fake.last();
    assert.equal(path, "/publishers/anthropic/models/claude-sonnet-5%40default:rawPredict");
    assert.equal(text, `{"anthropic_version":"vertex-2023-10-16","max_tokens": 64,  "messages":[{"role":"user","content":"hé"}], "new_member": [1,  2]}`);
    assert.deepEqual([headers["anthropic-version"], headers["anthropic-beta"], headers["x-api-key"]], [undefined, "new-thing-2026-01-01", undefined]);
    const row = await rowOf(idOf(answer));
    assert.deepEqual([row.outcome, row.provider, row.input_tokens, row.output_tokens, row.cost_nanousd], ["ok", "vertex-anthropic", 9, 4, 9 * 2_000 + 4 * 10_000]);
  });

  it("its streams reach Anthropic's SDK untouched, and OpenAI's translated", async () => {
    const stream = anthropic.messages.stream({ model, max_tokens: 64, messages: [{ role: "user", content: "hello" }] });
    assert.equal((await stream.finalMessage()).content[0].text, "from Vertex");
    assert.equal(fake.last().path, "/publishers/anthropic/models/claude-sonnet-5%40default:streamRawPredict");
    assert.equal(fake.last().body.stream, true);
    const { data, response } = await openai.chat.completions.create({ model, max_tokens: 64, messages: [{ role: "user", content: "hello" }], stream: true }).withResponse();
    const chunks = await Array.fromAsync(data);
    assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? "").join(""), "from Vertex");
    const { body, headers } = fake.last();
    assert.deepEqual([body.model, body.anthropic_version, headers["anthropic-version"]], [undefined, "vertex-2023-10-16", undefined]);
    assert.equal((await rowOf(idOf(response))).output_tokens, 4);
  });

  it("its tokens are counted where the body names the model", async () => {
    assert.equal((await anthropic.messages.countTokens({ model, messages: [{ role: "user", content: "hello" }] })).input_tokens, 12);
    const { path, body } = fake.last();
    assert.deepEqual([path, body.model, body.anthropic_version], ["/publishers/anthropic/models/count-tokens:rawPredict", CLAUDE, "vertex-2023-10-16"]);
  });

  it("open models on Vertex AI are asked in OpenAI's format", async () => {
    const answer = await openai.chat.completions.create({ model: `vertex-openai/${LLAMA}`, messages: [{ role: "user", content: "hello" }] });
    assert.equal(answer.choices[0].message.content, "from Llama");
    assert.deepEqual([fake.last().path, fake.last().body.model], ["/openapi/chat/completions", LLAMA]);
  });

  for (const [name, input, action, tokens, price] of [["gemini-embedding-2", ["a"], "embedContent", 3, 200], ["gemini-embedding-2", ["a", "b"], "batchEmbedContents", 6, 200], ["text-embedding-005", ["a", "b"], "predict", 8, 100]]) {
    it(`${input.length} vectors of ${name} on Vertex AI are had by ${action}, and paid for`, async () => {
      const { data, response } = await openai.embeddings.create({ model: `vertex/${name}`, input, dimensions: 2 }).withResponse();
      assert.deepEqual(data.data.map((one) => [...one.embedding]), [[0.25, -0.5], [2, 0.125]].slice(0, input.length));
      assert.equal(fake.last().path, `/publishers/google/models/${name}:${action}`);
      const row = await rowOf(idOf(response));
      assert.deepEqual([row.outcome, row.input_tokens, row.cost_nanousd, row.usage_estimated], ["ok", tokens, tokens * price, 0]);
    });
  }

  it("an API key of Bedrock's is shown as a bearer token, and is in no error", async () => {
    const { data, response } = await openai.chat.completions.create({ model: `bed/${NOVA}`, messages: [{ role: "user", content: "hello" }] }).withResponse();
    assert.equal(data.choices[0].message.content, "from Bedrock");
    assert.deepEqual(Object.keys(fake.last().headers).filter((name) => name.startsWith("x-amz-")), []);
    assert.equal((await rowOf(idOf(response))).outcome, "ok");
    await assert.rejects(openai.chat.completions.create({ model: `old/${NOVA}`, messages: [{ role: "user", content: "hello" }] }), (error) => error.status === 502 && !error.message.includes("ABSK"));
    const refused = await gw.sql("SELECT * FROM ledger WHERE provider = 'old'");
    assert.ok(!JSON.stringify(refused).includes("ABSK") && !gw.log().includes("ABSK"));
  });
});
