// The SDKs of OpenAI, Anthropic and Google for Node, each asking providers of every dialect.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { assertRows } from "./dialects.mjs";
import { FAKES, modelOf, startFakes, SYSTEM, USAGE as REPORTED, VARS } from "./fakes.mjs";
import { startGateway } from "./rig.mjs";

const HELLO = "hello", WEATHER = "weather in Paris?", PERSON = "who is that person?", THINK = "think hard";
const GREETING = "Grüße from a modèle 🌍 that streams.", REPORT = "It is 21C in Paris.", THOUGHT = "Let me think it over.";
const RESULT = "21 degrees";
const USAGE = [REPORTED.prompt_tokens, REPORTED.completion_tokens];
const PARAMETERS = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const BOB = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"], additionalProperties: false };

/** What came back to the claim that is at it: [{id, status}]. */
let calls = [];
const realFetch = globalThis.fetch;
async function fetch(...args) {
  const response = await realFetch(...args);
  calls.push({ id: response.headers.get("x-edgehold-request-id"), status: response.status });
  return response;
}

class Chat {
  limited = OpenAI.RateLimitError;
  failed = OpenAI.InternalServerError;
  refused = OpenAI.BadRequestError;
  unauthorized = OpenAI.AuthenticationError;
  unknown = OpenAI.NotFoundError;

  constructor(url, apiKey) { this.sdk = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, fetch }); }

  asked(model, text) { return { model, messages: [{ role: "system", content: SYSTEM }, { role: "user", content: text }] }; }

  async plain(model, text) {
    const got = await this.sdk.chat.completions.create(this.asked(model, text));
    assert.equal(got.choices[0].finish_reason, "stop");
    return [got.choices[0].message.content, got.usage.prompt_tokens, got.usage.completion_tokens];
  }

  async stream(model, text) {
    const chunks = await Array.fromAsync(await this.sdk.chat.completions.create({ ...this.asked(model, text), stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.findLast((c) => c.choices.length).choices[0].finish_reason, "stop");
    const { usage } = chunks.at(-1);
    return [chunks.map((c) => c.choices[0]?.delta.content ?? "").join(""), usage.prompt_tokens, usage.completion_tokens];
  }

  async toolLoop(model, text, streamed) {
    const ask = { ...this.asked(model, text), tools: [{ type: "function", function: { name: "get_weather", description: "The weather", parameters: PARAMETERS, strict: true } }] };
    const got = streamed ? await this.sdk.chat.completions.stream(ask).finalChatCompletion() : await this.sdk.chat.completions.create(ask);
    assert.equal(got.choices[0].finish_reason, "tool_calls");
    const { message } = got.choices[0];
    assert.equal(message.tool_calls.length, 1);
    const [call] = message.tool_calls;
    const answer = await this.sdk.chat.completions.create({ ...ask, messages: [...ask.messages, message, { role: "tool", tool_call_id: call.id, content: RESULT }] });
    return [call.function.name, JSON.parse(call.function.arguments), answer.choices[0].message.content];
  }

  async structured(model, text) {
    const got = await this.sdk.chat.completions.parse({ ...this.asked(model, text), response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema: BOB } } });
    return JSON.parse(got.choices[0].message.content);
  }

  async think(model, text) {
    const { message } = (await this.sdk.chat.completions.create({ ...this.asked(model, text), reasoning_effort: "low" })).choices[0];
    return [message.reasoning_content ?? "", message.content];
  }

  async thinkStream(model, text) {
    const deltas = (await Array.fromAsync(await this.sdk.chat.completions.create({ ...this.asked(model, text), reasoning_effort: "low", stream: true }))).map((c) => c.choices[0].delta);
    return [deltas.map((d) => d.reasoning_content ?? "").join(""), deltas.map((d) => d.content ?? "").join("")];
  }
}

class Responses extends Chat {
  asked(model, text) { return { model, instructions: SYSTEM, input: [{ role: "user", content: text }], store: false }; }

  async plain(model, text) {
    const got = await this.sdk.responses.create(this.asked(model, text));
    assert.equal(got.status, "completed");
    return [got.output_text, got.usage.input_tokens, got.usage.output_tokens];
  }

  async #streamed(ask) {
    const stream = this.sdk.responses.stream(ask);
    const events = await Array.fromAsync(stream);
    return [events, await stream.finalResponse()];
  }

  async stream(model, text) {
    const [events, final] = await this.#streamed(this.asked(model, text));
    const deltas = events.filter((e) => e.type === "response.output_text.delta").map((e) => e.delta).join("");
    return [deltas, final.usage.input_tokens, final.usage.output_tokens];
  }

  async toolLoop(model, text, streamed) {
    const ask = { ...this.asked(model, text), tools: [{ type: "function", name: "get_weather", description: "The weather", parameters: PARAMETERS, strict: true }] };
    const got = streamed ? (await this.#streamed(ask))[1] : await this.sdk.responses.create(ask);
    const found = got.output.filter((item) => item.type === "function_call");
    assert.equal(found.length, 1);
    const [call] = found;
    const answer = await this.sdk.responses.create({ ...ask, input: [...ask.input, ...got.output, { type: "function_call_output", call_id: call.call_id, output: RESULT }] });
    return [call.name, JSON.parse(call.arguments), answer.output_text];
  }

  async structured(model, text) {
    const got = await this.sdk.responses.parse({ ...this.asked(model, text), text: { format: { type: "json_schema", name: "person", strict: true, schema: BOB } } });
    return JSON.parse(got.output_text);
  }

  // Some providers give a summary, others what was thought itself.
  static thoughts = (response) => response.output.filter((item) => item.type === "reasoning").flatMap((item) => [...item.summary, ...(item.content ?? [])]).map((part) => part.text).join("");

  async think(model, text) {
    const got = await this.sdk.responses.create({ ...this.asked(model, text), reasoning: { effort: "low", summary: "auto" } });
    return [Responses.thoughts(got), got.output_text];
  }

  async thinkStream(model, text) {
    const [events, final] = await this.#streamed({ ...this.asked(model, text), reasoning: { effort: "low", summary: "auto" } });
    assert.equal(events.filter((e) => /^response\.reasoning(_summary)?_text\.delta$/.test(e.type)).map((e) => e.delta).join(""), Responses.thoughts(final));
    return [Responses.thoughts(final), final.output_text];
  }
}

class Messages {
  limited = Anthropic.RateLimitError;
  failed = Anthropic.InternalServerError;
  refused = Anthropic.BadRequestError;
  unauthorized = Anthropic.AuthenticationError;
  unknown = Anthropic.NotFoundError;

  constructor(baseURL, apiKey) { this.sdk = new Anthropic({ baseURL, apiKey, maxRetries: 0, fetch }); }

  asked(model, text) { return { model, system: SYSTEM, max_tokens: 2000, messages: [{ role: "user", content: text }] }; }

  static text = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
  static thoughts = (message) => message.content.filter((b) => b.type === "thinking").map((b) => b.thinking).join("");

  async plain(model, text) {
    const got = await this.sdk.messages.create(this.asked(model, text));
    assert.equal(got.stop_reason, "end_turn");
    return [Messages.text(got), got.usage.input_tokens, got.usage.output_tokens];
  }

  async stream(model, text) {
    const stream = this.sdk.messages.stream(this.asked(model, text));
    let deltas = "";
    stream.on("text", (delta) => { deltas += delta; });
    const final = await stream.finalMessage();
    assert.deepEqual([deltas, final.stop_reason], [Messages.text(final), "end_turn"]);
    return [deltas, final.usage.input_tokens, final.usage.output_tokens];
  }

  async toolLoop(model, text, streamed) {
    const ask = { ...this.asked(model, text), tools: [{ name: "get_weather", description: "The weather", input_schema: PARAMETERS }] };
    const got = streamed ? await this.sdk.messages.stream(ask).finalMessage() : await this.sdk.messages.create(ask);
    assert.equal(got.stop_reason, "tool_use");
    const found = got.content.filter((b) => b.type === "tool_use");
    assert.equal(found.length, 1);
    const [call] = found;
    const messages = [...ask.messages, { role: "assistant", content: got.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: RESULT }] }];
    return [call.name, call.input, Messages.text(await this.sdk.messages.create({ ...ask, messages }))];
  }

  async structured(model, text) {
    return (await this.sdk.messages.parse({ ...this.asked(model, text), output_config: { format: jsonSchemaOutputFormat(BOB) } })).parsed_output;
  }

  async think(model, text) {
    const got = await this.sdk.messages.create({ ...this.asked(model, text), thinking: { type: "enabled", budget_tokens: 1024 } });
    return [Messages.thoughts(got), Messages.text(got)];
  }

  async thinkStream(model, text) {
    const got = await this.sdk.messages.stream({ ...this.asked(model, text), thinking: { type: "enabled", budget_tokens: 1024 } }).finalMessage();
    return [Messages.thoughts(got), Messages.text(got)];
  }
}

class Generate {
  limited = ApiError;
  failed = ApiError;
  refused = ApiError;
  unauthorized = ApiError;
  unknown = ApiError;

  constructor(baseUrl, apiKey) { this.sdk = new GoogleGenAI({ apiKey, httpOptions: { baseUrl } }); }

  asked(model, text, config) { return { model, contents: [{ role: "user", parts: [{ text }] }], config: { systemInstruction: SYSTEM, ...config } }; }

  async plain(model, text) {
    const got = await this.sdk.models.generateContent(this.asked(model, text));
    assert.equal(got.candidates[0].finishReason, "STOP");
    return [got.text, got.usageMetadata.promptTokenCount, got.usageMetadata.candidatesTokenCount];
  }

  async #chunks(ask) { return Array.fromAsync(await this.sdk.models.generateContentStream(ask)); }

  async stream(model, text) {
    const chunks = await this.#chunks(this.asked(model, text));
    assert.equal(chunks.findLast((c) => c.candidates?.length).candidates[0].finishReason, "STOP");
    const usage = chunks.at(-1).usageMetadata;
    return [chunks.map((c) => c.text ?? "").join(""), usage.promptTokenCount, usage.candidatesTokenCount];
  }

  async #parts(ask, streamed) {
    const answers = streamed ? await this.#chunks(ask) : [await this.sdk.models.generateContent(ask)];
    return answers.flatMap((answer) => answer.candidates?.[0]?.content?.parts ?? []);
  }

  async toolLoop(model, text, streamed) {
    const ask = this.asked(model, text, { tools: [{ functionDeclarations: [{ name: "get_weather", description: "The weather", parametersJsonSchema: PARAMETERS }] }] });
    const parts = await this.#parts(ask, streamed);
    const found = parts.filter((p) => p.functionCall);
    assert.equal(found.length, 1);
    const call = found[0].functionCall;
    const contents = [...ask.contents, { role: "model", parts }, { role: "user", parts: [{ functionResponse: { id: call.id, name: call.name, response: { result: RESULT } } }] }];
    return [call.name, call.args, (await this.sdk.models.generateContent({ ...ask, contents })).text];
  }

  async structured(model, text) {
    return JSON.parse((await this.sdk.models.generateContent(this.asked(model, text, { responseMimeType: "application/json", responseJsonSchema: BOB }))).text);
  }

  async think(model, text, streamed = false) {
    const parts = await this.#parts(this.asked(model, text, { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } }), streamed);
    const all = (thought) => parts.filter((p) => Boolean(p.thought) === thought).map((p) => p.text ?? "").join("");
    return [all(true), all(false)];
  }

  thinkStream(model, text) { return this.think(model, text, true); }
}

// Google's SDK takes no fetch of its own, so it gets everybody's.
before(() => { globalThis.fetch = fetch; });
after(() => { globalThis.fetch = realFetch; });

let gw, fakes, tenant;
const claims = [];
before(async () => {
  [gw, fakes] = await Promise.all([startGateway({ vars: VARS }), startFakes()]);
  await gw.putConfig(fakes.config());
  tenant = await gw.tenant({ customer: { budget_usd: { total: 100 } } });
});
after(async () => { await gw?.stop(); await fakes?.stop(); });

for (const Client of [Chat, Responses, Messages, Generate]) {
  const rejects = (promise, Class, status, says) => assert.rejects(promise, (e) => {
    assert.ok(e instanceof Class, `${e?.constructor?.name}: ${e?.stack}`);
    assert.equal(e.status, status, e.message);
    assert.ok(!says || e.message.includes(says), e.message);
    return true;
  });

  describe(`${Client.name}, for Node`, () => {
    let client;
    before(() => { client = new Client(gw.url, tenant.secret); });
    beforeEach(() => { calls = []; });

    for (const [fake, model] of Object.keys(FAKES).map((name) => [name, modelOf(name)])) {
      const claim = (what, check) => it(`→ ${model}: ${what}`, async () => {
        claims.push({ name: `${Client.name} → ${model}: ${what}`, model, calls });
        await check();
      });
      // The fake of Cohere writes what was thought as text, before the answer.
      const shown = ([thought, answer]) => assert.deepEqual(fake === "coh" ? ["", thought + answer] : [thought, answer], fake === "coh" ? ["", `${THOUGHT}42`] : [THOUGHT, "42"]);
      const loop = ["get_weather", { city: "Paris" }, REPORT];
      claim("a plain answer", async () => assert.deepEqual(await client.plain(model, HELLO), [GREETING, ...USAGE]));
      claim("a stream", async () => assert.deepEqual(await client.stream(model, HELLO), [GREETING, ...USAGE]));
      claim("a tool loop", async () => assert.deepEqual(await client.toolLoop(model, WEATHER, false), loop));
      claim("a streamed tool loop", async () => assert.deepEqual(await client.toolLoop(model, WEATHER, true), loop));
      claim("structured output", async () => assert.deepEqual(await client.structured(model, PERSON), { name: "Bob", age: 42 }));
      claim("reasoning", async () => shown(await client.think(model, THINK)));
      claim("streamed reasoning", async () => shown(await client.thinkStream(model, THINK)));
      claim("429", () => rejects(client.plain(model, "limit"), client.limited, 429));
      claim("529", () => rejects(client.plain(model, "overload"), client.failed, 502));
      // The fake of Bedrock answers errors in Anthropic's form.
      const why = fake === "bed" ? "did not say why" : "that is wrong of you";
      claim("400", () => rejects(client.plain(model, "wrong"), client.refused, 400, why));
      claim("400 to a stream", () => rejects(client.stream(model, "wrong"), client.refused, 400, why));
    }

    it("an unknown key", () => rejects(new Client(gw.url, "eh_nope").plain(modelOf("oai"), HELLO), client.unauthorized, 401, "virtual key"));
    it("an unknown model", () => rejects(client.plain("nope", HELLO), client.unknown, 404, "nope"));
  });
}

describe("after all of them", () => {
  it("the ledger has one row for each call, with usage and price", () => assertRows(gw, tenant, claims));
  it("no panic was left behind", () => assert.deepEqual(gw.panics(), []));
});
