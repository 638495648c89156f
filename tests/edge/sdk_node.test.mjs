// OpenAI's own SDK for Node, two majors, against the gateway.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import OpenAI7 from "openai";
import OpenAI6 from "openai-6";
import { config, cost, startGateway } from "./rig.mjs";
import { startUpstream, WORDS } from "./upstream.mjs";

const TOOLS = [{ type: "function", function: { name: "get_weather", description: "…", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] }, strict: true } }];
const CALL = { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city":"Köln"}' } };
const messages = [{ role: "user", content: "hello" }];

for (const [name, OpenAI] of [["openai 7", OpenAI7], ["openai 6", OpenAI6]]) {
  describe(`the SDK ${name}`, { concurrency: 1 }, () => {
    let gw, up, client, tenant;
    const model = "gpt-4o-mini";
    before(async () => {
      [gw, up] = await Promise.all([startGateway(), startUpstream()]);
      await gw.putConfig(config({ up1: up.url }, { route: { match: { model }, retries: { count: 0 } } }));
      tenant = await gw.tenant();
      client = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 0 });
    });
    after(async () => { await gw?.stop(); await up?.stop(); });

    it("gets a plain answer, and the ledger has its one row", async () => {
      const { data, response } = await client.chat.completions.create({ model, messages, temperature: 0.2 }).withResponse();
      assert.equal(data.choices[0].message.content, WORDS.join(""));
      assert.deepEqual(data.usage, up.last.usage);
      const h = response.headers;
      const id = h.get("x-edgehold-request-id");
      assert.equal(h.get("x-edgehold-provider"), "up1");
      assert.equal(h.get("x-edgehold-model"), model);
      assert.equal(h.get("x-edgehold-route"), "main");
      assert.equal(h.get("x-edgehold-attempts"), "1");
      assert.equal(h.get("x-edgehold-cache"), "off");
      assert.equal(Math.round(Number(h.get("x-edgehold-cost-usd")) * 1e9), cost(up.last.usage));
      assert.equal(up.last.headers.authorization, "Bearer sk-up-secret");
      assert.ok(!JSON.stringify(up.last.headers).includes(tenant.secret), "the virtual key went to the provider");
      assert.equal(up.last.body.temperature, 0.2);
      const [row] = await gw.rows(id);
      assert.deepEqual(
        { attempt: row.attempt, customer: row.customer_id, key: row.key_id, route: row.route, asked: row.requested_model, provider: row.provider, model: row.model, outcome: row.outcome, status: row.status, streamed: row.streamed, estimated: row.usage_estimated, cost: row.cost_nanousd },
        { attempt: 1, customer: tenant.customer.id, key: tenant.key.id, route: "main", asked: model, provider: "up1", model, outcome: "ok", status: 200, streamed: 0, estimated: 0, cost: cost(up.last.usage) },
      );
      assert.equal(row.input_tokens + row.cache_read_tokens, up.last.usage.prompt_tokens);
      assert.equal(row.cache_read_tokens, 3);
      assert.equal(row.output_tokens, WORDS.length);
      assert.deepEqual(JSON.parse(row.usage_json), up.last.usage);
    });

    it("gets the usage chunk of a stream when it asked", async () => {
      const { data: stream, response } = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }).withResponse();
      const chunks = await Array.fromAsync(stream);
      assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? "").join(""), WORDS.join(""));
      assert.deepEqual(chunks.at(-1).usage, up.last.usage);
      assert.deepEqual(chunks.at(-1).choices, []);
      const [row] = await gw.rows(response.headers.get("x-edgehold-request-id"));
      assert.deepEqual([row.outcome, row.streamed, row.usage_estimated, row.cost_nanousd], ["ok", 1, 0, cost(up.last.usage)]);
    });

    for (const stream_options of [undefined, { include_usage: false }]) {
      it(`gets no usage in a stream when it did not ask (${JSON.stringify(stream_options)}), but the ledger does`, async () => {
        const { data: stream, response } = await client.chat.completions.create({ model, messages, stream: true, stream_options }).withResponse();
        const chunks = await Array.fromAsync(stream);
        assert.equal(chunks.map((c) => c.choices[0].delta.content ?? "").join(""), WORDS.join(""));
        assert.ok(chunks.every((c) => c.choices.length === 1 && c.usage == null), "a usage chunk came through");
        assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
        const [row] = await gw.rows(response.headers.get("x-edgehold-request-id"));
        assert.deepEqual([row.outcome, row.usage_estimated, row.cost_nanousd], ["ok", 0, cost(up.last.usage)]);
      });
    }

    it("passes tools on and tool calls back, plain and streamed", async () => {
      up.next({ tool_calls: [CALL] }, { tool_calls: [CALL] });
      const plain = await client.chat.completions.create({ model, messages, tools: TOOLS, tool_choice: "auto", parallel_tool_calls: false });
      assert.deepEqual(plain.choices[0].message.tool_calls, [CALL]);
      assert.deepEqual([up.last.body.tools, up.last.body.tool_choice, up.last.body.parallel_tool_calls], [TOOLS, "auto", false]);
      const final = await client.chat.completions.stream({ model, messages, tools: TOOLS }).finalChatCompletion();
      assert.deepEqual(final.choices[0].message.tool_calls.map((c) => [c.function.name, JSON.parse(c.function.arguments)]), [["get_weather", { city: "Köln" }]]);
    });

    it("lists the models of the key", async () => {
      const list = await Array.fromAsync(await client.models.list());
      assert.ok(list.length > 0 && list.every((m) => typeof m.id === "string" && m.object === "model"));
      assert.ok(list.some((m) => m.id.includes(model)), JSON.stringify(list));
      const own = await gw.tenant({ key: { models: ["nothing-like-it"] } });
      assert.deepEqual((await new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: own.secret }).models.list()).data, []);
    });

    it("raises its own error classes", async () => {
      const bad = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: "eh_wrong", maxRetries: 0 });
      const ask = (c, over) => c.chat.completions.create({ model, messages, ...over });
      const is = (Class, status, code) => (e) => {
        assert.ok(e instanceof Class, `${e?.constructor?.name}: ${e?.message}`);
        assert.deepEqual([e.status, e.code], [status, code]);
        assert.ok(e.headers.get("x-edgehold-request-id"), "a refusal has a request id too");
        return true;
      };
      await assert.rejects(ask(bad), is(OpenAI.AuthenticationError, 401, "invalid_api_key"));
      await assert.rejects(ask(client, { model: "no-such-model" }), is(OpenAI.NotFoundError, 404, "model_not_found"));
      await assert.rejects(ask(client, { messages: "hello" }), is(OpenAI.BadRequestError, 400, "invalid_type"));
      const strict = await gw.tenant({ key: { models: ["other-*"] } });
      await assert.rejects(ask(new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: strict.secret, maxRetries: 0 })), is(OpenAI.PermissionDeniedError, 403, "model_not_allowed"));
      const slow = await gw.tenant({ key: { rate_limit: { rpm: 1 } } });
      const limited = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: slow.secret, maxRetries: 0 });
      await ask(limited);
      await assert.rejects(ask(limited), (e) => is(OpenAI.RateLimitError, 429, "rate_limit_exceeded")(e) && Number(e.headers.get("retry-after")) >= 1);
    });

    it("gets a provider's 400 as it was", async () => {
      const body = { error: { message: "temperature must be at most 2", type: "invalid_request_error", param: "temperature", code: "above_max_value" } };
      up.next({ status: 400, body });
      await assert.rejects(client.chat.completions.create({ model, messages, temperature: 9 }), (e) => {
        assert.ok(e instanceof OpenAI.BadRequestError);
        assert.deepEqual(e.error, body.error);
        return true;
      });
    });

    it("aborts in mid-stream: the provider's connection is closed, the row says client_gone", async () => {
      up.next({ chunks: 200, delay_ms: 50 });
      const { data: stream, response } = await client.chat.completions.create({ model, messages, stream: true }).withResponse();
      const record = up.last;
      let seen = 0;
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content && ++seen === 3) break;
      assert.equal(await record.gone, true, "the upstream was read to its end");
      assert.ok(record.sent < 200);
      const [row] = await gw.rows(response.headers.get("x-edgehold-request-id"));
      assert.equal(row.outcome, "client_gone");
    });

    it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
  });
}
