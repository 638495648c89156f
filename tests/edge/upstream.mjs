// An OpenAI-compatible provider over real HTTP that does as it is told, and remembers what it was asked.
import { once } from "node:events";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * What the provider does with one request. All optional:
 *   status, headers, body     answer with this status (body: object or string)
 *   text                      the answer's words, one chunk per word (default: WORDS)
 *   chunks, delay_ms          repeat the words to this many chunks, paced
 *   usage                     the usage reported (default: consistent with the chunks)
 *   stall                     "headers" | "first" | n: nothing more before the head, before content, after n chunks
 *   cut                       n: the socket is destroyed after n chunks ("headers": before the head)
 *   done: false               no [DONE] and no finish chunk at the end
 *   error_event               the first event is an error; error_after: n, an error event after n chunks
 *   split                     the stream is written this many bytes at a time
 *   gate                      every chunk after the first waits for release()
 *   tool_calls                the answer is these tool calls
 *   raw, content_type         these bytes as they are
 *   until                     a promise that is waited for before the answer
 */
export const WORDS = ["Grüße ", "from ", "a ", "modèle ", "🌍 ", "that ", "streams.\n"];

export async function startUpstream() {
  const upstream = new Upstream();
  await upstream.listen();
  return upstream;
}

class Upstream {
  /** Every request, in order of arrival. */
  requests = [];
  #queue = [];
  #plans = new Map();
  #gates = new Set();
  #ids = 0;

  async listen() {
    this.server = http.createServer({ keepAliveTimeout: 60_000 }, (req, res) => this.#serve(req, res).catch(() => res.destroy()));
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  /** The next requests get these plans, one each, before any plan by model. */
  next(...plans) { this.#queue.push(...plans); }

  /** Requests for this model get this plan (object, or function of the record). */
  plan(model, plan) { this.#plans.set(model, plan); }

  /** Lets every gated stream send `n` further chunks. */
  release(n = 1) {
    for (const gate of this.#gates) gate.open(n);
  }

  /** Forgets requests and plans. */
  reset() {
    this.requests = [];
    this.#queue = [];
    this.#plans.clear();
  }

  get last() { return this.requests.at(-1); }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async #serve(req, res) {
    const parts = [];
    for await (const part of req) parts.push(part);
    const raw = Buffer.concat(parts);
    const record = { method: req.method, path: req.url, headers: req.headers, raw, sent: 0, finished: false, closed: false };
    record.gone = new Promise((done) => res.once("close", () => {
      record.closed = !record.finished;
      done(record.closed);
    }));
    try { record.body = JSON.parse(raw.toString("utf8")); } catch { record.body = null; }
    this.requests.push(record);
    let plan = this.#queue.shift() ?? this.#plans.get(record.body?.model) ?? {};
    if (typeof plan === "function") plan = plan(record) ?? {};
    record.plan = plan;
    res.socket.setNoDelay(true);
    await this.#answer(record, plan, res);
  }

  async #answer(record, plan, res) {
    if (plan.stall === "headers") return void (await record.gone);
    if (plan.cut === "headers") return void res.destroy();
    if (plan.until) await plan.until;
    const end = (status, type, body) => {
      res.writeHead(status, { "content-type": type, "x-request-id": `up-${++this.#ids}`, ...plan.headers });
      record.finished = true;
      res.end(body);
    };
    if (plan.raw !== undefined) return end(plan.status ?? 200, plan.content_type ?? "text/html", plan.raw);
    if (plan.status && plan.status !== 200) {
      const body = plan.body ?? { error: { message: `upstream says ${plan.status}`, type: plan.status === 429 ? "rate_limit_error" : "server_error", param: null, code: `up_${plan.status}` } };
      return end(plan.status, "application/json", typeof body === "string" ? body : JSON.stringify(body));
    }
    const id = `chatcmpl-up${++this.#ids}`;
    const model = record.body?.model ?? "none";
    const words = plan.text ?? (plan.chunks ? Array.from({ length: plan.chunks }, (_, i) => WORDS[i % WORDS.length]) : WORDS);
    record.usage = plan.usage ?? usageOf(words.length);
    const base = { id, created: 1_790_000_000, model, system_fingerprint: "fp_up" };
    if (!record.body?.stream) {
      if (plan.stall !== undefined) return void (await record.gone);
      const message = { role: "assistant", content: plan.tool_calls ? null : words.join(""), refusal: null, ...(plan.tool_calls ? { tool_calls: plan.tool_calls } : {}) };
      return end(200, "application/json", JSON.stringify({
        ...base, object: "chat.completion", service_tier: "default",
        choices: [{ index: 0, message, logprobs: null, finish_reason: plan.tool_calls ? "tool_calls" : "stop" }], usage: record.usage,
      }));
    }
    return this.#stream(record, plan, res, { ...base, object: "chat.completion.chunk" }, words);
  }

  async #stream(record, plan, res, base, words) {
    const asked = record.body.stream_options?.include_usage === true;
    const gate = plan.gate && makeGate();
    if (gate) {
      this.#gates.add(gate);
      record.gone.then(() => { this.#gates.delete(gate); gate.open(Infinity); });
    }
    res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-request-id": `up-${this.#ids}`, ...plan.headers });
    res.flushHeaders();
    record.text = "";
    const write = async (data) => {
      const text = `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
      record.text += text;
      const bytes = Buffer.from(text);
      const step = plan.split ?? bytes.length;
      for (let i = 0; i < bytes.length && !record.closed; i += step) {
        if (!res.write(bytes.subarray(i, i + step))) await Promise.race([once(res, "drain"), record.gone]);
        // A pause makes it a read of its own at the other end; for the smallest pieces that would take too long.
        if (plan.split) await (plan.split < 7 ? new Promise(setImmediate) : sleep(1));
      }
    };
    const chunk = (delta, finish_reason = null) => ({ ...base, choices: [{ index: 0, delta, logprobs: null, finish_reason }], ...(asked ? { usage: null } : {}) });
    const error = () => write({ error: { message: "the upstream broke", type: "server_error", param: null, code: "up_stream_error" } });
    const finish = () => { record.finished = true; res.end(); };
    const hang = async () => void (await record.gone);

    if (plan.stall === "first") return hang();
    if (plan.error_event) { await error(); return finish(); }
    await write(chunk({ role: "assistant", content: "", refusal: null }));
    if (plan.stall === "role") return hang();
    const pieces = plan.tool_calls ? plan.tool_calls.map((call, index) => ({ tool_calls: [{ index, ...call }] })) : words.map((content) => ({ content }));
    for (const [i, piece] of pieces.entries()) {
      if (record.closed) return;
      if (plan.stall === i) return hang();
      if (plan.cut === i) { await sleep(20); res.destroy(); return; }
      if (plan.error_after === i) { await error(); return finish(); }
      if (gate && i > 0) await gate.pass();
      else if (plan.delay_ms && i > 0) await sleep(plan.delay_ms);
      await write(chunk(piece));
      record.sent = i + 1;
    }
    if (plan.done !== false) {
      await write(chunk({}, plan.tool_calls ? "tool_calls" : "stop"));
      if (asked) await write({ ...base, choices: [], usage: record.usage });
      await write("[DONE]");
    }
    finish();
  }
}

/** 11 tokens in, 3 of them from the cache; one token out for each chunk. */
function usageOf(chunks) {
  return {
    prompt_tokens: 11, completion_tokens: chunks, total_tokens: 11 + chunks,
    prompt_tokens_details: { cached_tokens: 3, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  };
}

function makeGate() {
  let tickets = 0;
  const waiting = [];
  return {
    open(n) {
      tickets += n;
      while (tickets > 0 && waiting.length) { tickets -= 1; waiting.shift()(); }
    },
    pass() {
      if (tickets > 0) { tickets -= 1; return Promise.resolve(); }
      return new Promise((done) => waiting.push(done));
    },
  };
}

/** A port on which nothing listens: a provider that is down. */
export async function deadUrl() {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return `http://127.0.0.1:${port}`;
}
