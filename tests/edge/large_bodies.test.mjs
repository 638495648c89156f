// Bodies of nearly 20 MiB in every format: answered, or refused in the caller's words; nothing falls over, and the next request works.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { PROVIDERS } from "../../scripts/proof/formats.mjs";
import { startGateway } from "./rig.mjs";

const MB = 1 << 20;
const BYTES = Math.floor(19.5 * MB);
const PRICE = { input: 0.001, output: 0.001, context_tokens: 100_000_000, output_tokens: 500 };

/** Providers of each format that is spoken to: kind, path, and whole answers of the formats that the proofs do not have. */
const KINDS = { oac: ["openai-compatible", "/v1"], oai: ["openai", "/v1"], ant: ["anthropic", "/v1"], gem: ["gemini", "/v1beta"], coh: ["cohere", "/v2"], bed: ["bedrock", "", { region: "us-east-1", api_key: "secret://AWS_KEY" }] };
const ANSWERS = [
  [/\/responses$/, { id: "resp_1", object: "response", created_at: 1, status: "completed", model: "m", output: [{ id: "msg_1", type: "message", status: "completed", role: "assistant", content: [{ type: "output_text", text: "fine", annotations: [] }] }], usage: { input_tokens: 5, output_tokens: 2, total_tokens: 7 } }],
  [/\/chat$/, { id: "c1", finish_reason: "COMPLETE", message: { role: "assistant", content: [{ type: "text", text: "fine" }] }, usage: { billed_units: { input_tokens: 5, output_tokens: 2 }, tokens: { input_tokens: 5, output_tokens: 2 } } }],
  [/\/converse$/, { output: { message: { role: "assistant", content: [{ text: "fine" }] } }, stopReason: "end_turn", usage: { inputTokens: 5, outputTokens: 2, totalTokens: 7 } }],
  [/\/embed$/, { id: "e1", embeddings: { float: [[0.5]] }, texts: [], meta: { billed_units: { input_tokens: 7 } } }],
  [/\/rerank$/, { id: "r1", results: [{ index: 0, relevance_score: 0.5 }], meta: { billed_units: { search_units: 1 } } }],
  [/:batchEmbedContents$/, { embeddings: [{ values: [0.5] }], usageMetadata: { promptTokenCount: 7 } }],
];

let gw, server, got, tenant;
before(async () => {
  server = http.createServer(async (req, res) => {
    let size = 0;
    for await (const part of req) size += part.length;
    got = { size, path: req.url };
    const { pathname } = new URL(req.url, "http://x");
    const format = Object.values(PROVIDERS).find(({ path }) => path.test(pathname));
    const [, answer] = ANSWERS.find(([path]) => path.test(pathname)) ?? [null, format?.whole({ id: "1", model: "m", text: "fine", input: 5, cached: 0, output: 2, cut: false })];
    res.writeHead(answer ? 200 : 404, { "content-type": "application/json" }).end(JSON.stringify(answer ?? { error: { message: `nothing at ${pathname}` } }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  gw = await startGateway({ crossings: true, vars: { AWS_KEY: "AKIDEXAMPLE:secret" } });
  const names = Object.keys(KINDS);
  await gw.putConfig({
    providers: Object.fromEntries(names.map((name) => [name, { kind: KINDS[name][0], base_url: url + KINDS[name][1], api_key: "secret://UP_KEY", ...KINDS[name][2] }])),
    prices: Object.fromEntries(names.map((name) => [`${name}/m`, PRICE])),
    routes: [{ name: "asked", retries: { count: 0 } }],
  });
  tenant = await gw.tenant();
});
after(async () => {
  await gw?.stop();
  server?.closeAllConnections();
  server?.close();
});

const texts = (n, of) => Array.from({ length: n }, (_, i) => of(i));
const turns = (n, role) => texts(n, (i) => ({ role: i % 2 ? role : "user", content: "a".repeat(150) }));
const base64 = (bytes) => "iVBORw0KGgo".padEnd(4 * Math.floor(bytes / 4), "A");
/** Text of this many bytes that is arrays in arrays, in the place of NEST. */
const nested = (value, bytes) => JSON.stringify(value).replace('"NEST"', () => "[".repeat(bytes / 2) + "]".repeat(bytes / 2));
const tool = { description: "d", parameters: { type: "object", properties: { x: "NEST" } } };

/** Of each surface: the path, and its large bodies by name. */
const SURFACES = {
  chat: {
    path: () => "/v1/chat/completions", plain: (model) => ({ model, messages: [{ role: "user", content: "hello" }] }),
    text: (model) => ({ model, messages: [{ role: "user", content: "y".repeat(BYTES) }] }),
    many: (model) => ({ model, messages: turns(100_000, "assistant") }),
    deep: (model) => nested({ model, messages: [{ role: "user", content: "hello" }], tools: [{ type: "function", function: { name: "f", ...tool } }] }, BYTES),
    image: (model) => ({ model, messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: `data:image/png;base64,${base64(BYTES)}` } }] }] }),
  },
  responses: {
    path: () => "/v1/responses", plain: (model) => ({ model, store: false, input: "hello" }),
    text: (model) => ({ model, store: false, input: "y".repeat(BYTES) }),
    many: (model) => ({ model, store: false, input: turns(100_000, "assistant") }),
    deep: (model) => nested({ model, store: false, input: "hello", tools: [{ type: "function", name: "f", strict: false, ...tool }] }, BYTES),
    image: (model) => ({ model, store: false, input: [{ role: "user", content: [{ type: "input_image", detail: "auto", image_url: `data:image/png;base64,${base64(BYTES)}` }] }] }),
  },
  messages: {
    path: () => "/v1/messages", plain: (model) => ({ model, max_tokens: 50, messages: [{ role: "user", content: "hello" }] }),
    text: (model) => ({ model, max_tokens: 50, messages: [{ role: "user", content: "y".repeat(BYTES) }] }),
    many: (model) => ({ model, max_tokens: 50, messages: turns(100_000, "assistant") }),
    deep: (model) => nested({ model, max_tokens: 50, messages: [{ role: "user", content: "hello" }], tools: [{ name: "f", description: "d", input_schema: tool.parameters }] }, BYTES),
    image: (model) => ({ model, max_tokens: 50, messages: [{ role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: base64(BYTES) } }] }] }),
  },
  generate: {
    path: (model) => `/v1beta/models/${model}:generateContent`, plain: () => ({ contents: [{ role: "user", parts: [{ text: "hello" }] }] }),
    text: () => ({ contents: [{ role: "user", parts: [{ text: "y".repeat(BYTES) }] }] }),
    many: () => ({ contents: texts(100_000, (i) => ({ role: i % 2 ? "model" : "user", parts: [{ text: "a".repeat(140) }] })) }),
    deep: () => nested({ contents: [{ role: "user", parts: [{ text: "hello" }] }], tools: [{ functionDeclarations: [{ name: "f", ...tool }] }] }, BYTES),
    image: () => ({ contents: [{ role: "user", parts: [{ inlineData: { mimeType: "image/png", data: base64(BYTES) } }] }] }),
  },
  embeddings: {
    path: () => "/v1/embeddings", plain: (model) => ({ model, input: "hello" }),
    text: (model) => ({ model, input: "y".repeat(BYTES) }),
    many: (model) => ({ model, input: texts(100_000, () => "a".repeat(190)) }),
    deep: (model) => nested({ model, input: "NEST" }, BYTES),
  },
  rerank: {
    path: () => "/v2/rerank", plain: (model) => ({ model, query: "q", documents: ["a"] }),
    text: (model) => ({ model, query: "q", documents: ["y".repeat(BYTES)] }),
    many: (model) => ({ model, query: "q", documents: texts(100_000, () => "a".repeat(190)) }),
    deep: (model) => nested({ model, query: "q", documents: ["NEST"] }, BYTES),
  },
};

/**
 * Of each surface: the provider of its format, with the status that each body comes to there and the error's code; and others, who
 * are asked some of it.
 */
const ASKED = {
  chat: { oac: { text: 200, many: 200, deep: 200, image: 200 }, ant: { text: 200, many: 400, deep: 400, image: 200 }, bed: { image: 200 }, coh: { image: 200 } },
  responses: { oai: { text: 200, many: 200, deep: 400, image: 200 }, oac: { text: 200, many: 400, image: 200 } },
  messages: { ant: { text: 200, many: 200, deep: 400, image: 200 }, gem: { text: 200, many: 400, image: 200 } },
  generate: { gem: { text: 200, many: 200, deep: 400, image: 200 }, ant: { text: 200, many: 400, image: 200 } },
  embeddings: { oac: { text: 200, many: 200, deep: 400 }, gem: { many: 200 }, coh: { text: 200, many: 400 } },
  rerank: { coh: { text: 200, many: 200, deep: 400 } },
};
const SAYS = { many: /more than \d+/, deep: /recursion limit exceeded/ };

async function ask(surface, model, body, more = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const r = await fetch(gw.url + SURFACES[surface].path(model), { method: "POST", body: text, headers: { authorization: `Bearer ${tenant.secret}`, "content-type": "application/json" }, ...more });
  return { status: r.status, json: JSON.parse(await r.text()), sent: text.length };
}

/** An error in the form that the surface's clients know; gives its message. */
function told(surface, status, json) {
  assert.equal(typeof json.error?.message, "string", JSON.stringify(json));
  if (surface === "messages") assert.equal(json.type, "error");
  if (surface === "generate") assert.deepEqual([json.error.code, json.error.status], [status, "INVALID_ARGUMENT"]);
  return json.error.message;
}

for (const surface of Object.keys(SURFACES)) {
  const { plain, path: _, ...bodies } = SURFACES[surface];
  describe(surface, { concurrency: 1 }, () => {
    for (const [provider, whats] of Object.entries(ASKED[surface])) {
      const model = surface === "rerank" ? "coh/rerank-v3.5" : `${provider}/m`;
      for (const [what, expected] of Object.entries(whats)) {
        it(`${what}, to ${provider}: ${expected}, and the next request works`, { timeout: 60_000 }, async () => {
          got = null;
          const { status, json, sent } = await ask(surface, model, bodies[what](model));
          assert.equal(status, expected, JSON.stringify(json).slice(0, 500));
          if (status === 200) assert.ok(got.size > 0.9 * sent, `${got.size} of ${sent} bytes arrived`);
          else assert.match(told(surface, status, json), SAYS[what]);
          if (status !== 200) assert.equal(got, null, "it was sent on");
          const next = await ask(surface, model, plain(model));
          assert.equal(next.status, 200, JSON.stringify(next.json));
        });
      }
    }

    if (surface === "chat") it("took no more wasm memory than an isolate may have", async () => {
      const memory = await gw.memory();
      assert.ok(memory < 128 * MB, `${Math.round(memory / MB)} MiB`);
    });

    it("more than 20 MiB: 413 in the caller's words", async () => {
      const model = surface === "rerank" ? "coh/rerank-v3.5" : `${Object.keys(ASKED[surface])[0]}/m`;
      // Its length is enough: nothing of it is read, so nothing of it is sent here.
      const headers = { authorization: `Bearer ${tenant.secret}`, "content-type": "application/json", "content-length": 20 * MB + 1 };
      const request = http.request(gw.url + SURFACES[surface].path(model), { method: "POST", headers });
      request.on("error", () => {}).flushHeaders();
      const [response] = await once(request, "response");
      const json = JSON.parse(Buffer.concat(await response.toArray()));
      request.destroy();
      const status = response.statusCode;
      assert.equal(status, 413);
      assert.match(told(surface, status, json), /20 MiB/);
    });
  });
}

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
