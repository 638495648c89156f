// What is asked besides conversations: vectors, rankings, counts of tokens, the older completions; and a provider behind a
// service account. Real SDKs where there are some, a fake that says what was asked of it.
import assert from "node:assert/strict";
import { generateKeyPairSync, createVerify } from "node:crypto";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { GoogleGenAI } from "@google/genai";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { startGateway } from "./rig.mjs";

const VECTORS = [[0.25, -0.5, 1], [2, 0.125, -4]];
const json = (res, status, body) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

/** Providers of several formats on one port, each below a path of its own; `asked` has what came. */
async function startFake(keys) {
  const asked = [];
  const answer = (path, body, headers) => {
    const many = (list) => VECTORS.slice(0, list.length);
    if (path === "/openai/embeddings") {
      const inputs = [body.input].flat();
      const encode = (v) => body.encoding_format === "base64" ? Buffer.from(new Float32Array(v).buffer).toString("base64") : v;
      return { object: "list", model: body.model, data: many(inputs).map((v, index) => ({ object: "embedding", index, embedding: encode(v) })), usage: { prompt_tokens: 7, total_tokens: 7 } };
    }
    if (path.startsWith("/gemini/models/") && path.endsWith(":batchEmbedContents")) return { embeddings: many(body.requests).map((values) => ({ values })), usageMetadata: { promptTokenCount: 7 } };
    if (path.startsWith("/gemini/models/") && path.endsWith(":countTokens")) return { totalTokens: 11 };
    if (path === "/cohere/embed") return { id: "e1", embeddings: { float: many(body.texts) }, texts: body.texts, meta: { api_version: { version: "2" }, billed_units: { input_tokens: 7 } } };
    if (path === "/cohere/rerank") return { id: "r1", results: [{ index: 1, relevance_score: 0.9 }, { index: 0, relevance_score: 0.1 }], meta: { billed_units: { search_units: 1 } } };
    if (path === "/anthropic/messages/count_tokens") return { input_tokens: 12 };
    if (path === "/openai/chat/completions") return { id: "c1", object: "chat.completion", created: 1, model: body.model, choices: [{ index: 0, message: { role: "assistant", content: "four" }, finish_reason: "stop" }], usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } };
    if (path.startsWith("/vertex/") && path.endsWith(":generateContent")) {
      if (headers.authorization !== "Bearer ya29.token") return null;
      return { candidates: [{ content: { role: "model", parts: [{ text: "from Vertex" }] }, finishReason: "STOP", index: 0 }], usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 2, totalTokenCount: 5 }, modelVersion: "gemini-2.5-flash" };
    }
    return null;
  };
  const server = http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    if (req.url === "/token") {
      const [head, claims, signature] = new URLSearchParams(text).get("assertion").split(".");
      const verified = createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(keys.publicKey, signature, "base64url");
      asked.push({ path: "/token", verified, claims: JSON.parse(Buffer.from(claims, "base64url")) });
      return json(res, verified ? 200 : 401, verified ? { access_token: "ya29.token", expires_in: 3600 } : { error: "invalid_grant" });
    }
    const body = text === "" ? null : JSON.parse(text);
    asked.push({ path: req.url, body, headers: req.headers });
    const said = answer(req.url, body, req.headers);
    return said === null ? json(res, 404, { error: { message: `nothing at ${req.url}` } }) : json(res, 200, said);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, last: () => asked.at(-1), stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}

const MODELS = { oai: "text-embedding-3-small", gem: "gemini-embedding-001", coh: "embed-v4.0" };
const modelOf = (name) => `${name}/${MODELS[name]}`;

describe("beside conversations", { concurrency: 1 }, () => {
  let fake, gw, tenant, openai, gemini;
  before(async () => {
    const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
    fake = await startFake(keys);
    const account = JSON.stringify({ type: "service_account", client_email: "bot@p.iam.gserviceaccount.com", private_key_id: "k1", private_key: keys.privateKey.export({ type: "pkcs8", format: "pem" }), token_uri: `${fake.url}/token` });
    gw = await startGateway({ vars: { GOOGLE_ACCOUNT: account } });
    const secret = "secret://UP_KEY";
    await gw.putConfig({
      providers: {
        oai: { kind: "openai", base_url: `${fake.url}/openai`, api_key: secret },
        gem: { kind: "gemini", base_url: `${fake.url}/gemini`, api_key: secret },
        coh: { kind: "cohere", base_url: `${fake.url}/cohere`, api_key: secret },
        ant: { kind: "anthropic", base_url: `${fake.url}/anthropic`, api_key: secret },
        ver: { kind: "vertex", base_url: `${fake.url}/vertex`, project: "p", location: "global", api_key: "secret://GOOGLE_ACCOUNT" },
      },
      prices: Object.fromEntries(Object.keys(MODELS).map((name) => [modelOf(name), { input: 1, output: 0 }])),
      routes: [{ name: "asked", retries: { count: 0 } }],
    });
    tenant = await gw.tenant({ customer: { budget_usd: { total: 20 } } });
    openai = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 0 });
    gemini = new GoogleGenAI({ apiKey: tenant.secret, httpOptions: { baseUrl: gw.url } });
  });
  after(async () => { await gw?.stop(); await fake?.stop(); });

  const post = (path, body, headers = {}) => fetch(gw.url + path, { method: "POST", headers: { authorization: `Bearer ${tenant.secret}`, "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const rowOf = async (response) => (await gw.rows(response.headers.get("x-edgehold-request-id")))[0];

  for (const name of Object.keys(MODELS)) {
    it(`OpenAI's SDK gets vectors of ${name}, which it asks for in base64, and the ledger their price`, async () => {
      const { data, response } = await openai.embeddings.create({ model: modelOf(name), input: ["a", "b"] }).withResponse();
      assert.deepEqual(data.data.map((one) => [...one.embedding]), VECTORS);
      const row = await rowOf(response);
      assert.deepEqual([row.outcome, row.status, row.input_tokens, row.output_tokens, row.cost_nanousd, row.usage_estimated], ["ok", 200, 7, 0, 7_000, 0]);
    });
    it(`Google's SDK gets vectors of ${name}`, async () => {
      const answer = await gemini.models.embedContent({ model: modelOf(name), contents: ["a", "b"] });
      assert.deepEqual(answer.embeddings.map((one) => one.values), VECTORS);
    });
  }

  it("a request for vectors is held before it is sent, and says so when it does not fit", async () => {
    const poor = await gw.tenant({ customer: { budget_usd: { total: "0.000001" } } });
    const before = fake.asked.length;
    const answer = await post("/v1/embeddings", { model: modelOf("oai"), input: "x".repeat(5_000) }, { authorization: `Bearer ${poor.secret}` });
    assert.equal(answer.status, 402);
    assert.equal((await answer.json()).error.code, "insufficient_budget");
    assert.equal(fake.asked.length, before);
  });

  it("tokens instead of texts go where they are understood, and are refused elsewhere", async () => {
    assert.equal((await post("/v1/embeddings", { model: modelOf("oai"), input: [1, 2, 3] })).status, 200);
    assert.deepEqual(fake.last().body.input, [1, 2, 3]);
    const refused = await post("/v1/embeddings", { model: modelOf("coh"), input: [1, 2, 3] });
    assert.equal(refused.status, 400);
    assert.equal((await refused.json()).error.code, "unsupported_parameter");
    assert.equal((await post("/v1/embeddings", { model: modelOf("oai") })).status, 400);
  });

  it("documents are ranked, and a search unit is booked", async () => {
    const answer = await post("/v2/rerank", { model: "coh/rerank-v3.5", query: "q", documents: ["a", "b"], top_n: 2 });
    assert.equal(answer.status, 200);
    assert.deepEqual((await answer.json()).results.map(({ index, relevance_score }) => [index, relevance_score]), [[1, 0.9], [0, 0.1]]);
    assert.equal(fake.last().body.model, "rerank-v3.5");
    assert.equal((await rowOf(answer)).cost_nanousd, 2_000_000);
  });

  it("a provider that cannot do what is asked is not asked", async () => {
    const before = fake.asked.length;
    for (const [path, body] of [["/v1/embeddings", { model: "ant/claude-sonnet-4-5", input: "a" }], ["/v1/rerank", { model: "oai/gpt-5-mini", query: "q", documents: ["a"] }]]) {
      const answer = await post(path, body);
      assert.deepEqual([answer.status, (await answer.json()).error.code], [400, "unsupported_operation"]);
    }
    assert.equal(fake.asked.length, before);
  });

  it("tokens are counted for nothing", async () => {
    const anthropic = new Anthropic({ baseURL: gw.url, apiKey: tenant.secret, maxRetries: 0 });
    const { data, response } = await anthropic.messages.countTokens({ model: "ant/claude-sonnet-4-5", messages: [{ role: "user", content: "hello" }] }).withResponse();
    assert.equal(data.input_tokens, 12);
    const row = await rowOf(response);
    assert.deepEqual([row.outcome, row.cost_nanousd, row.usage_estimated], ["ok", 0, 0]);
    assert.equal((await gemini.models.countTokens({ model: "gem/gemini-2.5-flash", contents: "hello" })).totalTokens, 11);
    // In the other's format, and where nobody counts.
    assert.equal((await gemini.models.countTokens({ model: "ant/claude-sonnet-4-5", contents: "hello" })).totalTokens, 12);
    assert.equal((await anthropic.messages.countTokens({ model: "gem/gemini-2.5-flash", messages: [{ role: "user", content: "hello" }] })).input_tokens, 11);
    const estimated = await anthropic.messages.countTokens({ model: "oai/gpt-5-mini", messages: [{ role: "user", content: "hello" }] }).withResponse();
    assert.equal(estimated.response.headers.get("x-edgehold-token-count"), "estimated");
    assert.ok(estimated.data.input_tokens > 0);
  });

  it("the older completions are answered by chat models", async () => {
    const { data, response } = await openai.completions.create({ model: "oai/gpt-5-mini", prompt: "two and two is", max_tokens: 5 }).withResponse();
    assert.deepEqual([data.object, data.choices[0].text, data.usage.total_tokens], ["text_completion", "four", 7]);
    assert.deepEqual(fake.last().body.messages, [{ role: "user", content: "two and two is" }]);
    assert.equal((await rowOf(response)).outcome, "ok");
  });

  it("a service account's token is had once, with an assertion that verifies, and no secret leaves", async () => {
    for (let i = 0; i < 3; i++) {
      const answer = await gemini.models.generateContent({ model: "ver/gemini-3.5-flash", contents: "hello" });
      assert.equal(answer.text, "from Vertex");
    }
    const exchanges = fake.asked.filter(({ path }) => path === "/token");
    assert.equal(exchanges.length, 1);
    assert.equal(exchanges[0].verified, true);
    assert.equal(exchanges[0].claims.iss, "bot@p.iam.gserviceaccount.com");
    const [call] = fake.asked.filter(({ path }) => path.startsWith("/vertex/"));
    assert.ok(!JSON.stringify(call.headers).includes("PRIVATE KEY"));
    assert.ok(!JSON.stringify(call.headers).includes(tenant.secret));
  });
});
