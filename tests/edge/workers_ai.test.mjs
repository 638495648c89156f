// Workers AI through the binding. The binding is workerd's own (cloudflare-internal:ai-api); what it asks is a fake that
// answers as https://developers.cloudflare.com/workers-ai has it, and says what was asked (Miniflare's proxy of remote
// bindings puts the request's URL and headers into `mf-` headers).
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { sleep, startGateway, waitFor } from "./rig.mjs";

const LLAMA = "@cf/meta/llama-3.3-70b-instruct-fp8-fast", GLM = "@cf/zai-org/glm-4.7-flash", BGE = "@cf/baai/bge-m3";
const USAGE = { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 };
const VECTORS = [[0.25, -0.5, 1], [2, 0.125, -4]];
const CALL = { name: "get_weather", arguments: { city: "Paris" } };
const WORDS = ["Grüße ", "from ", "the edge."];

/** Models that answer in the older form, in OpenAI's, with vectors; `asked` has what came. */
async function startFake() {
  const asked = [];
  const server = http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const { inputs, options } = JSON.parse(Buffer.concat(chunks).toString());
    const model = req.headers["mf-header-cf-consn-model-id"];
    const call = { url: req.headers["mf-url"], binding: req.headers["mf-binding"], headers: req.headers, model, inputs, options, sent: 0, gone: false };
    asked.push(call);
    res.once("close", () => { call.gone = !res.writableFinished; });
    const json = (status, body) => res.writeHead(status, { "content-type": "application/json", "cf-ai-req-id": "r-1" }).end(JSON.stringify(body));
    if (model === BGE) return json(200, { shape: [inputs.text.length, 3], data: VECTORS.slice(0, inputs.text.length), pooling: "cls" });
    const said = inputs.messages.at(-1).content;
    if (said === "limit") return json(429, { internalCode: 3040, name: "OutOfCapacity", message: "m", description: "No more data centers to forward the request to" });
    if (said === "wrong") return json(400, { errors: [{ message: "AiError: Bad input: no such thing", code: 5006 }], success: false, result: {}, messages: [] });
    const calls = inputs.tools !== undefined && said === "weather";
    if (!inputs.stream) {
      if (model === LLAMA) return json(200, calls ? { response: null, tool_calls: [CALL], usage: USAGE } : { response: WORDS.join(""), tool_calls: [], usage: USAGE });
      return json(200, { id: "chatcmpl-1", object: "chat.completion", created: 1, model, choices: [{ index: 0, message: { role: "assistant", content: WORDS.join(""), reasoning_content: "hm" }, finish_reason: "stop" }], usage: USAGE });
    }
    res.writeHead(200, { "content-type": "text/event-stream" });
    const event = (data) => { call.sent += 1; res.write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`); };
    const chunk = (delta, finish_reason = null) => ({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model, choices: [{ index: 0, delta, finish_reason }] });
    if (said === "endless") {
      for (; !res.closed; await sleep(20)) event({ response: "on and ", p: "abc" });
      return;
    }
    if (said === "cut") {
      event({ response: "half " });
      await sleep(50);
      return res.destroy();
    }
    if (calls) {
      event({ response: "", tool_calls: [{ id: "chatcmpl-tool-1", type: "function", index: 0, function: { name: CALL.name } }] });
      event({ response: "", tool_calls: [{ index: 0, function: { arguments: JSON.stringify(CALL.arguments) } }] });
      event({ response: "", tool_calls: [{ id: null, type: null, index: 0, function: { name: null, arguments: "" } }] });
    } else for (const word of WORDS) event(model === LLAMA ? { response: word, p: "abcdef" } : chunk({ content: word }));
    if (model !== LLAMA) event(chunk({}, "stop"));
    event(model === LLAMA ? { response: "", usage: USAGE } : { id: "chatcmpl-1", choices: [], usage: USAGE });
    event("[DONE]");
    res.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, last: () => asked.at(-1), stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}

const TOOLS = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
// The built-in table's of `cloudflare`: dollars per million tokens, a fraction of a nano-dollar rounded up.
const COST = { [LLAMA]: 11 * 293 + 3 * 2_253, [GLM]: Math.ceil(11 * 60.5 + 3 * 400) };
const config = { prices: { [`workers-ai/${BGE}`]: { input: 1, output: 0 } }, providers: { "workers-ai": { headers: { "x-session-affinity": "s1" } } }, routes: [{ name: "asked", retries: { count: 0 } }] };

describe("Workers AI through the binding", { concurrency: 1 }, () => {
  let fake, gw, tenant, openai, anthropic;
  before(async () => {
    fake = await startFake();
    gw = await startGateway({ ai: fake.url });
    await gw.putConfig(config);
    tenant = await gw.tenant({ customer: { budget_usd: { total: 20 } } });
    openai = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 0 });
    anthropic = new Anthropic({ baseURL: gw.url, apiKey: tenant.secret, maxRetries: 0 });
  });
  after(async () => { await gw?.stop(); await fake?.stop(); });

  const rowOf = async (response) => (await gw.rows(response.headers.get("x-edgehold-request-id")))[0];
  const ask = (model, text, more) => ({ model: `workers-ai/${model}`, messages: [{ role: "user", content: text }], max_tokens: 50, ...more });

  for (const [name, model] of [["the older form", LLAMA], ["OpenAI's form", GLM]]) {
    it(`a whole answer in ${name} reaches OpenAI's SDK and Anthropic's, and is paid for`, async () => {
      const { data, response } = await openai.chat.completions.create(ask(model, "hello", { seed: 7 })).withResponse();
      assert.deepEqual([data.object, data.choices[0].message.content, data.choices[0].finish_reason, data.usage.total_tokens], ["chat.completion", WORDS.join(""), "stop", 14]);
      const row = await rowOf(response);
      assert.deepEqual([row.outcome, row.provider, row.model, row.cost_nanousd, row.usage_estimated], ["ok", "workers-ai", model, COST[model], 0]);
      const { url, binding, headers, inputs, options } = fake.last();
      assert.deepEqual([url, binding, fake.last().model], ["https://workers-binding.ai/run?version=3", "AI", model]);
      assert.deepEqual(inputs, { messages: [{ role: "user", content: "hello" }], max_tokens: 50, seed: 7 });
      assert.deepEqual(options, { returnRawResponse: true });
      assert.deepEqual([headers["mf-header-x-session-affinity"], headers["mf-header-content-type"], headers["mf-header-authorization"]], ["s1", "application/json", undefined]);
      const message = await anthropic.messages.create({ model: `workers-ai/${model}`, max_tokens: 50, messages: [{ role: "user", content: "hello" }] });
      assert.deepEqual([message.content.at(-1).text, message.stop_reason, message.usage.output_tokens], [WORDS.join(""), "end_turn", 3]);
    });

    it(`a stream in ${name} is passed on as chat has it, with its usage booked`, async () => {
      const { data, response } = await openai.chat.completions.create(ask(model, "hello", { stream: true, stream_options: { include_usage: true } })).withResponse();
      const chunks = await Array.fromAsync(data);
      assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? "").join(""), WORDS.join(""));
      assert.equal(chunks.findLast((c) => c.choices.length).choices[0].finish_reason, "stop");
      assert.equal(chunks.at(-1).usage.total_tokens, 14);
      assert.equal(fake.last().inputs.stream, true);
      const row = await rowOf(response);
      assert.deepEqual([row.outcome, row.cost_nanousd], ["ok", COST[model]]);
    });
  }

  it("calls come in both ways, and their results go back without a null", async () => {
    const whole = await openai.chat.completions.create(ask(LLAMA, "weather", { tools: TOOLS }));
    const streamed = await openai.chat.completions.stream(ask(LLAMA, "weather", { tools: TOOLS })).finalChatCompletion();
    for (const got of [whole, streamed]) {
      const [{ finish_reason, message }] = got.choices;
      assert.equal(finish_reason, "tool_calls");
      assert.deepEqual(message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]), [["get_weather", { city: "Paris" }]]);
      const [call] = message.tool_calls;
      const messages = [{ role: "user", content: "weather" }, message, { role: "tool", tool_call_id: call.id, content: "21 degrees" }];
      const answer = await openai.chat.completions.create({ model: `workers-ai/${LLAMA}`, messages, tools: TOOLS });
      assert.equal(answer.choices[0].message.content, WORDS.join(""));
      assert.equal(fake.last().inputs.max_tokens, undefined, "the whole context is no cap that fits");
      const sent = fake.last().inputs.messages[1];
      assert.deepEqual([sent.content, sent.tool_calls[0].function.name], ["", "get_weather"]);
    }
  });

  it("texts become vectors, base64 included", async () => {
    const { data, response } = await openai.embeddings.create({ model: `workers-ai/${BGE}`, input: ["a", "b"] }).withResponse();
    assert.deepEqual(data.data.map((one) => [...one.embedding]), VECTORS);
    assert.deepEqual(fake.last().inputs, { text: ["a", "b"] });
    const row = await rowOf(response);
    assert.deepEqual([row.outcome, row.usage_estimated], ["ok", 1]);
  });

  it("errors keep their status and say what was said", async () => {
    await assert.rejects(openai.chat.completions.create(ask(LLAMA, "wrong")), (error) => error instanceof OpenAI.BadRequestError && /5006: AiError: Bad input/.test(error.message));
    await assert.rejects(openai.chat.completions.create(ask(LLAMA, "limit", { stream: true })), (error) => error instanceof OpenAI.RateLimitError && error.code === "upstream_rate_limited");
  });

  it("a stream that breaks off raises, and one whose client leaves is ended", async () => {
    const cut = await openai.chat.completions.create(ask(LLAMA, "cut", { stream: true }));
    await assert.rejects(Array.fromAsync(cut));
    const { data, response } = await openai.chat.completions.create(ask(LLAMA, "endless", { stream: true })).withResponse();
    for await (const chunk of data) if (chunk.choices[0]?.delta.content) break;
    const call = fake.last();
    await waitFor("the binding's call to end", () => call.gone);
    assert.equal((await rowOf(response)).outcome, "client_gone");
  });

  it("without the binding the client is told who must do what", async () => {
    const bare = await startGateway();
    try {
      await bare.putConfig(config);
      const { secret } = await bare.tenant();
      const answer = await bare.chat(secret, { model: `workers-ai/${LLAMA}` });
      const { error } = await answer.json();
      assert.deepEqual([answer.status, error.code], [503, "provider_not_configured"]);
      assert.match(error.message, /binding AI.*wrangler\.toml: \[ai\] binding = "AI"/);
    } finally {
      await bare.stop();
    }
  });
});
