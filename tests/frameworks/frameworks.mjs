// Vercel's `ai` and its providers against the gateway. Called by run.mjs with the directory where they are installed; prints
// what frameworks.py prints.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const installed = process.argv[2];
const require = createRequire(path.join(installed, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const [{ generateText, isStepCount, jsonSchema, Output, stepCountIs, streamText, tool }, { createOpenAI }, { createAnthropic }, { createGoogleGenerativeAI }, { createOpenAICompatible }, { z }] = await Promise.all(["ai", "@ai-sdk/openai", "@ai-sdk/anthropic", "@ai-sdk/google", "@ai-sdk/openai-compatible", "zod"].map(load));
const version = (name) => require(path.join(installed, "node_modules", name, "package.json")).version;

const { EDGEHOLD_URL: url, EDGEHOLD_KEY: apiKey, EDGEHOLD_SYSTEM: system, EDGEHOLD_MODELS } = process.env;
const GREETING = "Grüße from a modèle 🌍 that streams.", REPORT = "It is 21C in Paris.";
const tools = { get_weather: tool({ description: "The weather of a city", inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => { assert.equal(city, "Paris"); return "21 degrees"; } }) };
// Otherwise its client of Responses refers to what OpenAI has stored, which no other provider can know.
const providerOptions = { openai: { store: false } };
const twice = (stepCountIs ?? isStepCount)(2);
const CLIENTS = {
  "@ai-sdk/openai, chat": (model) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).chat(model),
  "@ai-sdk/openai, Responses": (model) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).responses(model),
  "@ai-sdk/openai-compatible": (model) => createOpenAICompatible({ name: "gateway", baseURL: `${url}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true })(model),
  "@ai-sdk/anthropic": (model) => createAnthropic({ baseURL: `${url}/v1`, apiKey })(model),
  "@ai-sdk/google": (model) => createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey })(model),
};
const CASES = {
  async chat(model) {
    const got = await generateText({ model, system, prompt: "hello", maxRetries: 0, providerOptions });
    assert.deepEqual([got.text, got.finishReason, got.usage.inputTokens, got.usage.outputTokens], [GREETING, "stop", 50, 9]);
  },
  async stream(model) {
    const parts = await Array.fromAsync(streamText({ model, system, prompt: "hello", maxRetries: 0, providerOptions, onError() {} }).fullStream);
    assert.deepEqual(parts.filter((p) => p.type === "error").map((p) => String(p.error?.stack ?? p.error)), []);
    assert.equal(parts.filter((p) => p.type === "text-delta").map((p) => p.text).join(""), GREETING);
    const { totalUsage } = parts.find((p) => p.type === "finish");
    assert.deepEqual([totalUsage.inputTokens, totalUsage.outputTokens], [50, 9]);
  },
  async tool_loop(model) {
    const got = await generateText({ model, system, prompt: "weather in Paris?", tools, stopWhen: twice, maxRetries: 0, providerOptions });
    assert.deepEqual([got.text, got.steps.length], [REPORT, 2]);
    const streamed = streamText({ model, system, prompt: "weather in Paris?", tools, stopWhen: twice, maxRetries: 0, providerOptions, onError() {} });
    assert.equal(await streamed.text, REPORT);
  },
  async structured(model) {
    const schema = jsonSchema({ type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"], additionalProperties: false });
    const got = await generateText({ model, system, prompt: "who is that person?", output: Output.object({ schema }), maxRetries: 0, providerOptions });
    assert.deepEqual(got.output, { name: "Bob", age: 42 });
  },
};

for (const [client, make] of Object.entries(CLIENTS)) {
  for (const model of JSON.parse(EDGEHOLD_MODELS)) {
    for (const [what, check] of Object.entries(CASES)) {
      let error = null;
      try { await check(make(model)); } catch (e) { error = e.stack ?? String(e); }
      console.log(JSON.stringify({ client, version: version(client.split(",")[0]), model, what, error }));
    }
  }
}
