// One fake provider for each dialect: aimock speaks them all on one port, and answers what the last user message asks for.
import { LLMock } from "@copilotkit/aimock";

/** What every answer reports, whichever names the dialect has for it. */
export const USAGE = { prompt_tokens: 50, completion_tokens: 9, total_tokens: 59 };
export const SYSTEM = "Answer briefly.";

/**
 * The providers: kind, where below the fake's URL, a model of theirs, dollars per million tokens in and out.
 * `oac` is a server of OpenAI's chat that has nothing else, so that Responses are translated too.
 */
export const FAKES = {
  oai: { kind: "openai", below: "/v1", model: "gpt-5-mini", price: { input: 1, output: 10 } },
  oac: { kind: "openai-compatible", below: "/v1", model: "deepseek-reasoner", price: { input: 2, output: 20 } },
  ant: { kind: "anthropic", below: "/v1", model: "claude-sonnet-4-5", price: { input: 3, output: 30 } },
  gem: { kind: "gemini", below: "/v1beta", model: "gemini-2.5-flash", price: { input: 4, output: 40 } },
  bed: { kind: "bedrock", below: "", model: "anthropic.claude-sonnet-4-5-20250929-v1:0", price: { input: 6, output: 60 }, more: { region: "us-east-1", api_key: "secret://AWS_KEY" } },
  coh: { kind: "cohere", below: "/v2", model: "command-a-reasoning-08-2025", price: { input: 5, output: 50 } },
};

/** Secrets besides the rig's own. */
export const VARS = { AWS_KEY: "AKIDEXAMPLE:secret" };

/** The name a client asks a fake by. */
export const modelOf = (name) => `${name}/${FAKES[name].model}`;

/** What an answer of a fake costs, in nano-dollars. */
export const costOf = (name) => (USAGE.prompt_tokens * FAKES[name].price.input + USAGE.completion_tokens * FAKES[name].price.output) * 1_000;

const CALL = [{ name: "get_weather", arguments: '{"city":"Paris"}' }];
const says = (content, more) => ({ content, usage: USAGE, ...more });
// The order counts: the first that matches answers.
const FIXTURES = [
  // Gemini has no finish reason of its own for calls; the fake would make one up.
  { match: { userMessage: "weather", hasToolResult: false, toolName: "get_weather", model: /^gemini/ }, response: { toolCalls: CALL, usage: USAGE, finishReason: "stop" } },
  { match: { userMessage: "weather", hasToolResult: false, toolName: "get_weather" }, response: { toolCalls: CALL, usage: USAGE } },
  { match: { userMessage: "weather", hasToolResult: true, toolResultContains: "21 degrees" }, response: says("It is 21C in Paris.") },
  { match: { userMessage: "person" }, response: says('{"name":"Bob","age":42}') },
  { match: { userMessage: "think" }, response: says("42", { reasoning: "Let me think it over." }) },
  { match: { userMessage: "limit" }, response: { error: { message: "slow down", type: "rate_limit_error" }, status: 429, retryAfter: 2 } },
  { match: { userMessage: "overload" }, response: { error: { message: "Overloaded", type: "overloaded_error" }, status: 529 } },
  { match: { userMessage: "wrong" }, response: { error: { message: "that is wrong of you", type: "invalid_request_error" }, status: 400 } },
  { match: { userMessage: "hello", systemMessage: SYSTEM }, response: says("Grüße from a modèle 🌍 that streams.") },
];

/** Starts the fake: {url, mock, config(), stop()}. */
export async function startFakes() {
  // Pieces of six: the fake would cut the emoji in two at other sizes.
  const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent", chunkSize: 6 });
  for (const fixture of FIXTURES) mock.addFixture(fixture);
  await mock.start();
  return {
    mock,
    url: mock.url,
    stop: () => mock.stop(),
    config: () => ({
      providers: Object.fromEntries(Object.entries(FAKES).map(([name, { kind, below, more }]) => [name, { kind, base_url: mock.url + below, api_key: "secret://UP_KEY", ...more }])),
      prices: Object.fromEntries(Object.entries(FAKES).map(([name, { price }]) => [modelOf(name), price])),
      routes: [{ name: "asked", retries: { count: 0 } }],
    }),
  };
}
