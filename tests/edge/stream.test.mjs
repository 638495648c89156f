// A stream is passed on as it comes: nothing is held back, no byte is changed, an end that did not come is not made up.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { config, SHORT, sseData, startGateway } from "./rig.mjs";
import { startUpstream, WORDS } from "./upstream.mjs";

let gw, up, secret;
before(async () => {
  [gw, up] = await Promise.all([startGateway(), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }, { route: { timeouts: SHORT, retries: { count: 0 } } }));
  ({ secret } = await gw.tenant({ customer: { budget_usd: { total: 10 } } }));
});
after(async () => { await gw?.stop(); await up?.stop(); });

const PLAIN = { model: "gpt-4o-mini", stream: true };
const ASKED = { ...PLAIN, stream_options: { include_usage: true } };
const KINDS = [["with include_usage", ASKED], ["without include_usage", PLAIN]];

/** The whole body as far as it came, and the error that ended it, if one did. */
async function drain(response) {
  const parts = [];
  try {
    for await (const part of response.body) parts.push(part);
  } catch (error) {
    return { text: Buffer.concat(parts).toString("utf8"), error };
  }
  return { text: Buffer.concat(parts).toString("utf8"), error: null };
}

/** What a client that did not ask for usage must see: every event but the usage chunk, without `usage`. */
function withoutUsage(text) {
  return sseData(text).filter((d) => d === "[DONE]" || JSON.parse(d).choices?.length !== 0).map((d) => {
    if (d === "[DONE]") return d;
    const { usage: _, ...rest } = JSON.parse(d);
    return rest;
  });
}

const parsed = (text) => sseData(text).map((d) => (d === "[DONE]" ? d : JSON.parse(d)));

describe("what a paced stream sends is with the client before the next is sent", () => {
  for (const [kind, over] of KINDS) {
    // No clock: the upstream sends chunk n+1 only after the client has chunk n. A gateway that holds back hangs here.
    it(kind, { timeout: 30_000 }, async () => {
      up.next({ chunks: 25, gate: true });
      const response = await gw.chat(secret, over);
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-type"), /^text\/event-stream/);
      let text = "", n = 0;
      const decoder = new TextDecoder();
      for await (const part of response.body) {
        text += decoder.decode(part, { stream: true });
        for (const seen = sseData(text).filter((d) => d.includes('"content":"') && !d.includes('"content":""')).length; n < seen; n += 1) {
          if (n + 1 === seen) up.release();
        }
      }
      assert.equal(n, 25);
      assert.ok(text.endsWith("data: [DONE]\n\n"));
    });
  }
});

describe("the bytes", () => {
  for (const split of [undefined, 1, 2, 3, 7, 64, 1000]) {
    it(`are the provider's own, usage chunk included, when written ${split ?? "whole"} at a time`, async () => {
      up.next({ chunks: 7, split });
      const { text, error } = await drain(await gw.chat(secret, ASKED));
      assert.equal(error, null);
      assert.equal(text, up.last.text);
    });
    it(`are the provider's events less the usage for who did not ask, written ${split ?? "whole"} at a time`, async () => {
      up.next({ chunks: 7, split });
      const { text, error } = await drain(await gw.chat(secret, PLAIN));
      assert.equal(error, null);
      assert.ok(parsed(text).every((e) => e === "[DONE]" || e.usage == null), "usage came through");
      assert.deepEqual(parsed(text).map((e) => { if (e !== "[DONE]") delete e.usage; return e; }), withoutUsage(up.last.text));
    });
  }

  it("of 2,000 chunks in a burst arrive whole", async () => {
    for (const [, over] of KINDS) {
      up.next({ chunks: 2000 });
      const { text } = await drain(await gw.chat(secret, over));
      const words = parsed(text).map((e) => e.choices?.[0]?.delta.content ?? "").join("");
      assert.equal(words, Array.from({ length: 2000 }, (_, i) => WORDS[i % WORDS.length]).join(""));
    }
  });
});

describe("an end that did not come", () => {
  const cases = [
    ["cut socket", { chunks: 20, cut: 5 }, "truncated"],
    ["end without [DONE]", { chunks: 5, done: false }, "truncated"],
    ["idle too long", { chunks: 20, stall: 5 }, "timeout"],
    ["error event after content", { chunks: 20, error_after: 5 }, ["truncated", "upstream_error"]],
  ];
  for (const [kind, over] of KINDS) {
    for (const [what, plan, outcomes] of cases) {
      it(`${what}, ${kind}: the client can see it, no [DONE] is made up, the row says ${outcomes}`, { timeout: 20_000 }, async () => {
        up.next(plan);
        const before = up.requests.length;
        const response = await gw.chat(secret, over);
        const { text, error } = await drain(response);
        assert.ok(!text.includes("[DONE]"), "a [DONE] that the provider did not send");
        const events = parsed(text);
        assert.equal(events.map((e) => e.choices?.[0]?.delta?.content ?? "").join(""), up.last.plan.chunks && Array.from({ length: 5 }, (_, i) => WORDS[i]).join(""));
        assert.ok(error || events.at(-1).error, "the stream looks complete to the client");
        assert.equal(up.requests.length, before + 1, "retried after content");
        const [row, ...more] = await gw.rows(response.headers.get("x-edgehold-request-id"));
        assert.deepEqual(more, []);
        assert.ok([outcomes].flat().includes(row.outcome), row.outcome);
        assert.ok(row.cost_nanousd > 0 && row.output_tokens > 0, "what was streamed costs something");
        assert.equal(row.usage_estimated, 1);
      });
    }
  }
});

describe("a client that stops reading keeps nothing for ever", () => {
  let short, key;
  before(async () => {
    short = await startGateway();
    await short.putConfig(config({ up1: up.url }, { route: { timeouts: { ...SHORT, total: "2s" }, retries: { count: 0 } } }));
    ({ secret: key } = await short.tenant({ customer: { budget_usd: { total: 10 } } }));
  });
  after(() => short?.stop());
  for (const [kind, over] of KINDS) {
    it(kind, { timeout: 30_000 }, async () => {
      // More than the buffers on the way hold.
      up.next({ chunks: 100_000 });
      const response = await short.chat(key, over);
      assert.equal(response.status, 200);
      const reader = response.body.getReader();
      await reader.read();
      assert.equal(await up.last.gone, true, "the provider was read to its end");
      const [row, ...more] = await short.rows(response.headers.get("x-edgehold-request-id"));
      assert.deepEqual(more, []);
      assert.equal(row.outcome, "timeout");
      assert.ok(row.cost_nanousd > 0);
      await reader.cancel();
    });
  }
  it("left no panic behind", () => assert.deepEqual(short.panics(), []));
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
