// The same key and the same body: one call to the provider, one row, one bill, and the same answer for everybody who asks.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import OpenAI7 from "openai";
import OpenAI6 from "openai-6";
import { config, SHORT, sleep, sseData, startGateway, waitFor } from "./rig.mjs";
import { startUpstream, WORDS } from "./upstream.mjs";

const model = "gpt-4o-mini";
const PLAIN = { model };
const STREAM = { model, stream: true };
const ASKED = { ...STREAM, stream_options: { include_usage: true } };
const REPLAY = "x-edgehold-idempotent-replay";
const LEASE_MS = 1500;

let gw, up, tenant;
before(async () => {
  [gw, up] = await Promise.all([startGateway({ isolates: 2, graceMs: 1000, vars: { EDGEHOLD_IDEMPOTENCY_LEASE_MS: LEASE_MS } }), startUpstream()]);
  await gw.putConfig(config({ up1: up.url }, { route: { timeouts: { ...SHORT, idle: "5s", total: "20s" }, retries: { count: 0 } } }));
  tenant = await gw.tenant({ customer: { budget_usd: { total: 100 } } });
});
after(async () => { await gw?.stop(); await up?.stop(); });

/** One call with an idempotency key; the body is read whole. */
async function ask(key, body = PLAIN, { secret = tenant.secret, ...more } = {}) {
  const response = await gw.chat(secret, body, { headers: { "idempotency-key": key }, ...more });
  return { ...seen(response), text: await response.text() };
}

const seen = (response) => ({ status: response.status, headers: response.headers, id: response.headers.get("x-edgehold-request-id"), replay: response.headers.get(REPLAY) });
const json = (answer) => JSON.parse(answer.text);
const code = (answer) => json(answer).error.code;
/** What of the headers is the answer's, not the connection's. */
const own = (answer) => [...answer.headers].filter(([name]) => (name.startsWith("x-") && name !== REPLAY) || name === "content-type");
const calls = (before) => up.requests.length - before;

/** Asks until the answer is a stored one: the record is told in the background. */
function stored(key, body, options) {
  return waitFor("a stored answer", async () => {
    const answer = await ask(key, body, options);
    return answer.replay === "stored" && answer;
  });
}

describe("the same key and the same body", () => {
  for (const [what, body] of [["plain", PLAIN], ["streamed", STREAM], ["streamed with usage", ASKED]]) {
    it(`${what}: the second answer is the first's, byte for byte, with one call and one row`, async () => {
      const key = randomUUID(), before = up.requests.length;
      const first = await ask(key, body);
      assert.equal(first.status, 200);
      assert.equal(first.replay, null);
      const second = await stored(key, body, { isolate: 1 });
      assert.equal(second.status, 200);
      assert.equal(second.text, first.text);
      assert.deepEqual(own(second), own(first));
      assert.equal(calls(before), 1);
      assert.equal((await gw.rows(first.id)).length, 1);
      assert.equal(await spent(first), 1);
    });
  }

  /** How many rows the tenant has beyond those of earlier tests: counted by request. */
  async function spent(answer) {
    const rows = await gw.settledRows(tenant.customer);
    return rows.filter((row) => row.at_ms >= rows.find((r) => r.request_id === answer.id).at_ms).length;
  }

  for (const [what, body] of [["streamed", STREAM], ["streamed with usage", ASKED]]) {
    it(`20 at once over two isolates, ${what}: one call, everybody gets all of it, one row`, { timeout: 30_000 }, async () => {
      const key = randomUUID(), before = up.requests.length;
      up.next({ chunks: 60, delay_ms: 10 });
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(key, body, { isolate: i % 2 })));
      assert.equal(calls(before), 1);
      const owner = answers.filter((answer) => answer.replay === null);
      assert.equal(owner.length, 1);
      for (const answer of answers) {
        assert.equal(answer.status, 200);
        assert.equal(answer.text, owner[0].text);
        assert.deepEqual(own(answer), own(owner[0]));
        assert.ok(["attached", null].includes(answer.replay), answer.replay);
      }
      assert.equal(sseData(owner[0].text).at(-1), "[DONE]");
      assert.equal(sseData(owner[0].text).filter((d) => d.includes('"content":"') && !d.includes('"content":""')).length, 60);
      assert.equal(await spent(owner[0]), 1);
    });
  }

  it("20 at once, plain: one call, one row", async () => {
    const key = randomUUID(), before = up.requests.length;
    let go;
    up.next({ until: new Promise((done) => { go = done; }) });
    const asked = Array.from({ length: 20 }, (_, i) => ask(key, PLAIN, { isolate: i % 2 }));
    await waitFor("the call", () => calls(before) === 1);
    await sleep(200);
    go();
    const answers = await Promise.all(asked);
    assert.equal(calls(before), 1);
    assert.equal(new Set(answers.map((answer) => answer.text)).size, 1);
    assert.equal(answers.filter((answer) => answer.replay === null).length, 1);
    assert.equal(await spent(answers[0]), 1);
  });

  it("who joins reads what is there at once, and the rest as it comes", { timeout: 20_000 }, async () => {
    const key = randomUUID();
    up.next({ chunks: 6, gate: true });
    const first = await gw.chat(tenant.secret, STREAM, { headers: { "idempotency-key": key } });
    const owner = first.text();
    const second = await gw.chat(tenant.secret, STREAM, { headers: { "idempotency-key": key }, isolate: 1 });
    assert.equal(second.headers.get(REPLAY), "attached");
    // No clock: the provider sends chunk n+1 only after the one who joined has chunk n.
    let text = "", n = 0;
    const decoder = new TextDecoder();
    for await (const part of second.body) {
      text += decoder.decode(part, { stream: true });
      for (const got = sseData(text).filter((d) => d.includes('"content":"') && !d.includes('"content":""')).length; n < got; n += 1) {
        if (n + 1 === got) up.release();
      }
    }
    assert.equal(n, 6);
    assert.equal(text, await owner);
  });

  it("survives a restart and the loss of everything in memory", async () => {
    const key = randomUUID();
    const first = await ask(key, STREAM);
    await stored(key, STREAM);
    await gw.kill();
    await gw.start();
    const before = up.requests.length;
    const again = await ask(key, STREAM);
    assert.equal(again.replay, "stored");
    assert.equal(again.text, first.text);
    assert.equal(calls(before), 0);
  });

  it("an answer of several megabytes is stored, one over the bound is served and not stored", { timeout: 40_000 }, async () => {
    const word = "x".repeat(1 << 16);
    for (const [megabytes, replayed] of [[5, true], [9, false]]) {
      const key = randomUUID(), before = up.requests.length;
      const plan = { text: Array.from({ length: megabytes * 16 }, () => word) };
      up.next(plan, plan);
      const first = await ask(key, PLAIN);
      assert.equal(json(first).choices[0].message.content.length, megabytes << 20);
      if (replayed) assert.equal((await stored(key, PLAIN)).text, first.text);
      else {
        await waitFor("the key to be free", async () => {
          const again = await ask(key, PLAIN);
          return again.replay === null && again.status === 200;
        });
      }
      assert.equal(calls(before), replayed ? 1 : 2);
      up.reset();
    }
  });
});

describe("the same key with something else", () => {
  it("another body is 409, while the call is under way and after, and consumes nothing", async () => {
    const key = randomUUID();
    let go;
    up.next({ until: new Promise((done) => { go = done; }) });
    const before = up.requests.length;
    const first = ask(key);
    await waitFor("the call", () => calls(before) === 1);
    const during = await ask(key, { ...PLAIN, temperature: 1 }, { isolate: 1 });
    go();
    await first;
    await stored(key);
    for (const other of [during, await ask(key, { ...PLAIN, temperature: 1 }), await ask(key, STREAM)]) {
      assert.equal(other.status, 409);
      assert.equal(code(other), "idempotency_key_reused");
      assert.equal(other.headers.get("x-should-retry"), "false");
    }
    assert.equal(calls(before), 1);
  });

  it("another virtual key, even of the same customer, never sees the answer", async () => {
    const key = randomUUID(), before = up.requests.length;
    const other = await gw.admin("POST", "/keys", { customer_id: tenant.customer.id });
    const stranger = await gw.tenant();
    const answers = [];
    for (const secret of [tenant.secret, other.key, stranger.secret]) answers.push(await ask(key, PLAIN, { secret }));
    assert.deepEqual(answers.map((answer) => [answer.status, answer.replay]), [[200, null], [200, null], [200, null]]);
    assert.equal(new Set(answers.map((answer) => answer.id)).size, 3);
    assert.equal(calls(before), 3);
    // Nor is its own answer anybody else's conflict.
    assert.equal((await ask(key, { ...PLAIN, n: 1 }, { secret: (await gw.tenant()).secret })).status, 200);
  });

  it("a key that is revoked gets no replay", async () => {
    const key = randomUUID();
    const mine = await gw.tenant();
    await ask(key, PLAIN, { secret: mine.secret });
    await stored(key, PLAIN, { secret: mine.secret });
    await gw.admin("DELETE", `/keys/${mine.key.id}`);
    const after = await ask(key, PLAIN, { secret: mine.secret });
    assert.equal(after.status, 401);
  });

  it("a value that is no key is 400", async () => {
    for (const value of ["", "x".repeat(256), "grüße", "a\tb"]) {
      const answer = await ask(Buffer.from(value).toString("latin1"));
      assert.equal(answer.status, 400, value);
      assert.equal(code(answer), "invalid_idempotency_key");
    }
    assert.equal((await ask("x".repeat(255))).status, 200);
  });
});

describe("what is stored", () => {
  for (const status of [500, 503, 429]) {
    it(`not a provider's ${status}: the next one is made anew`, async () => {
      const key = randomUUID(), before = up.requests.length;
      up.next({ status });
      const first = await ask(key);
      assert.ok([502, 429].includes(first.status), String(first.status));
      const second = await waitFor("an answer", async () => {
        const answer = await ask(key);
        return answer.status === 200 && answer;
      });
      assert.equal(second.replay, null);
      assert.equal(calls(before), 2);
    });
  }

  it("a provider's failure reaches those who wait for it, without a call each", async () => {
    const key = randomUUID(), before = up.requests.length;
    let go;
    up.next({ status: 500, until: new Promise((done) => { go = done; }) });
    const asked = Array.from({ length: 6 }, (_, i) => ask(key, PLAIN, { isolate: i % 2 }));
    await waitFor("the call", () => calls(before) === 1);
    await sleep(200);
    go();
    const answers = await Promise.all(asked);
    assert.deepEqual(answers.map((answer) => answer.status), Array(6).fill(502));
    assert.equal(calls(before), 1);
  });

  it("a provider's refusal of the request is, with its body", async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ status: 422, body: { error: { message: "no", type: "invalid_request_error", param: "x", code: "nope" } } });
    const first = await ask(key);
    const second = await stored(key);
    assert.deepEqual([first.status, second.status], [422, 422]);
    assert.equal(second.text, first.text);
    assert.equal(calls(before), 1);
  });

  it("not a refusal of the gateway: who was out of budget asks again when there is some", async () => {
    const key = randomUUID(), before = up.requests.length;
    const poor = await gw.tenant({ customer: { budget_usd: { total: "0.000001" } } });
    const refused = await ask(key, PLAIN, { secret: poor.secret });
    assert.equal(refused.status, 402);
    await gw.admin("PATCH", `/customers/${poor.customer.id}`, { budget_usd: { total: 10 } });
    const served = await waitFor("an answer", async () => {
      const answer = await ask(key, PLAIN, { secret: poor.secret });
      return answer.status === 200 && answer;
    });
    assert.equal(served.replay, null);
    assert.equal(calls(before), 1);
  });

  it("a stream that broke off, as it broke off: it was billed", async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ chunks: 20, cut: 5 });
    const first = await ask(key, STREAM);
    const events = sseData(first.text);
    assert.equal(JSON.parse(events.at(-1)).error.code, "stream_truncated");
    assert.equal((await stored(key, STREAM)).text, first.text);
    assert.equal(calls(before), 1);
    assert.equal((await gw.rows(first.id))[0].outcome, "truncated");
  });
});

describe("when something dies", () => {
  it("everything, in mid-call: whoever asks again is served by a new call", { timeout: 30_000 }, async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ stall: "headers" });
    const lost = ask(key).catch((error) => error);
    await waitFor("the call", () => calls(before) === 1);
    await gw.kill();
    assert.ok((await lost) instanceof Error);
    await gw.start();
    const again = await ask(key);
    assert.equal(again.status, 200);
    assert.equal(again.replay, null);
    assert.equal(calls(before), 2);
    assert.equal((await stored(key)).text, again.text);
  });

  it("the isolate that made the call: who waits makes it anew, who reads along is told and may try again", { timeout: 30_000 }, async () => {
    const before = up.requests.length;
    const [plain, streamed] = [randomUUID(), randomUUID()];
    up.next({ stall: "headers" }, { chunks: 20, gate: true });
    const leaving = new AbortController();
    const dead = ask(plain, PLAIN, { isolate: 1, signal: leaving.signal }).catch(() => null);
    await waitFor("the call", () => calls(before) === 1);
    const stream = await gw.chat(tenant.secret, STREAM, { isolate: 1, signal: leaving.signal, headers: { "idempotency-key": streamed } });
    const along = ask(streamed, STREAM);
    await waitFor("the other call", () => calls(before) === 2);
    await sleep(100);
    await gw.silent(1, true);
    try {
      const made = await ask(plain);
      assert.equal(made.status, 200);
      assert.equal(made.replay, null);
      const read = await along;
      assert.equal(read.replay, "attached");
      assert.equal(JSON.parse(sseData(read.text).at(-1)).error.code, "stream_abandoned");
      const again = await ask(streamed, STREAM);
      assert.equal(again.replay, null);
      assert.equal(sseData(again.text).at(-1), "[DONE]");
      assert.equal(calls(before), 4);
    } finally {
      await gw.silent(1, false);
      leaving.abort();
      up.release(20);
      await Promise.all([dead, stream.body.cancel().catch(() => {})]);
    }
  });

  it("the record, in mid-stream: it is told everything again", { timeout: 30_000 }, async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ chunks: 8, gate: true });
    const response = await gw.chat(tenant.secret, STREAM, { headers: { "idempotency-key": key } });
    const text = response.text();
    for (let i = 0; i < 4; i += 1) {
      up.release();
      await sleep(30);
    }
    await gw.abortRecords();
    up.release(8);
    const whole = await text;
    assert.equal(sseData(whole).at(-1), "[DONE]");
    assert.equal((await stored(key, STREAM)).text, whole);
    assert.equal(calls(before), 1);
  });

  it("the one who made the call, while another reads along: the call goes on, and is billed once", { timeout: 30_000 }, async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ chunks: 30, delay_ms: 50 });
    const leaving = new AbortController();
    const first = await gw.chat(tenant.secret, STREAM, { headers: { "idempotency-key": key }, signal: leaving.signal });
    const id = first.headers.get("x-edgehold-request-id");
    const second = ask(key, STREAM, { isolate: 1 });
    await first.body.getReader().read();
    leaving.abort();
    const answer = await second;
    assert.equal(answer.replay, "attached");
    assert.equal(sseData(answer.text).at(-1), "[DONE]");
    assert.equal(answer.id, id);
    assert.equal((await stored(key, STREAM)).text, answer.text);
    assert.equal(calls(before), 1);
    const rows = await gw.rows(id);
    assert.deepEqual(rows.map((row) => row.outcome), ["ok"]);
  });

  it("the one who made the call, and comes back for it: the call was not cut", { timeout: 30_000 }, async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ chunks: 40, delay_ms: 50 });
    const leaving = new AbortController();
    const first = await gw.chat(tenant.secret, STREAM, { headers: { "idempotency-key": key }, signal: leaving.signal });
    await first.body.getReader().read();
    leaving.abort();
    await sleep(500);
    const answer = await ask(key, STREAM);
    assert.equal(answer.replay, "attached");
    assert.equal(sseData(answer.text).at(-1), "[DONE]");
    assert.equal(calls(before), 1);
  });

  it("the one who made the call, and nobody comes: the call is cut, and the key is free", { timeout: 40_000 }, async () => {
    const key = randomUUID(), before = up.requests.length;
    up.next({ chunks: 2000, delay_ms: 20 });
    const leaving = new AbortController();
    const first = await gw.chat(tenant.secret, STREAM, { headers: { "idempotency-key": key }, signal: leaving.signal });
    const id = first.headers.get("x-edgehold-request-id");
    await first.body.getReader().read();
    leaving.abort();
    assert.ok(await up.last.gone, "the provider's connection was closed");
    assert.ok(up.last.sent < 1000, String(up.last.sent));
    assert.equal((await gw.rows(id))[0].outcome, "client_gone");
    const again = await ask(key, STREAM);
    assert.equal(again.replay, null);
    assert.equal(again.status, 200);
    assert.equal(calls(before), 2);
  });
});

describe("the SDKs", () => {
  for (const [name, OpenAI] of [["openai 7", OpenAI7], ["openai 6", OpenAI6]]) {
    it(`${name}: a plain and a streamed call, again with the same key`, async () => {
      const client = new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 2 });
      const messages = [{ role: "user", content: "hello" }];
      const headers = { "Idempotency-Key": randomUUID() }, before = up.requests.length;
      const plain = () => client.chat.completions.create({ model, messages }, { headers }).withResponse();
      const first = await plain();
      const second = await waitFor("a stored answer", async () => {
        const answer = await plain();
        return answer.response.headers.get(REPLAY) === "stored" && answer;
      });
      assert.deepEqual(second.data, first.data);
      assert.equal(second.data.choices[0].message.content, WORDS.join(""));
      const streamed = async () => {
        let text = "";
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }, { headers: { "Idempotency-Key": `${headers["Idempotency-Key"]}-s` } })) text += chunk.choices[0].delta.content ?? "";
        return text;
      };
      assert.deepEqual([await streamed(), await streamed()], [WORDS.join(""), WORDS.join("")]);
      assert.equal(calls(before), 2);
      // A reused key is not tried again by the SDK, and is the error it has for a conflict.
      const error = await client.chat.completions.create({ model, messages, temperature: 1 }, { headers }).then(() => null, (e) => e);
      assert.ok(error instanceof OpenAI.ConflictError, String(error));
      assert.equal(error.code, "idempotency_key_reused");
    });

    it(`${name}: the option idempotencyKey, of a client that names the header`, async () => {
      class Client extends OpenAI {}
      const client = new Client({ baseURL: `${gw.url}/v1`, apiKey: tenant.secret, maxRetries: 3 });
      client.idempotencyHeader = "Idempotency-Key";
      const before = up.requests.length;
      up.next({ status: 503 });
      // The SDK tries again by itself, with the same key: the failure was not stored.
      const answer = await client.chat.completions.create({ model, messages: [{ role: "user", content: "hello" }] }, { idempotencyKey: randomUUID() });
      assert.equal(answer.choices[0].message.content, WORDS.join(""));
      assert.equal(calls(before), 2);
      assert.ok(up.last.headers["idempotency-key"] === undefined, "the key went to the provider");
    });
  }
});

/** Whether a text stands in any file of the gateway's state. */
function onDisk(gateway, text) {
  const files = fs.readdirSync(path.join(gateway.dir, "state"), { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
  return files.some((f) => fs.readFileSync(path.join(f.parentPath, f.name)).includes(text));
}

it("an answer is forgotten when its time is over, and nothing of it stays; the request is never stored", { timeout: 60_000 }, async () => {
  const short = await startGateway({ vars: { EDGEHOLD_IDEMPOTENCY_TTL_S: 3, EDGEHOLD_IDEMPOTENCY_LEASE_MS: LEASE_MS } });
  try {
    await short.putConfig(config({ up1: up.url }));
    const { secret } = await short.tenant();
    const key = randomUUID(), said = randomUUID(), asked = randomUUID(), before = up.requests.length;
    const once = async () => {
      const response = await short.chat(secret, { ...PLAIN, messages: [{ role: "user", content: asked }] }, { headers: { "idempotency-key": key } });
      return { ...seen(response), text: await response.text() };
    };
    up.next({ text: [said] });
    const first = await once();
    await waitFor("a stored answer", async () => (await once()).replay === "stored");
    assert.equal(calls(before), 1);
    assert.ok(onDisk(short, said), "the answer is kept");
    for (const never of [asked, key, secret]) assert.ok(!onDisk(short, never), "the request is not");
    await waitFor("the end of its time", () => !onDisk(short, said));
    const again = await once();
    assert.equal(again.replay, null);
    assert.notEqual(again.id, first.id);
    assert.equal(calls(before), 2);
  } finally {
    await short.stop();
  }
});

it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
