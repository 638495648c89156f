// A provider that keeps its own books: what it would put on the bill, counted from what it did, not from what anybody
// says it did. It fails as a job tells it to (traffic.mjs), and speaks the formats of formats.mjs.
import { once } from "node:events";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { PROVIDERS } from "./formats.mjs";

/** The model's name and its price in nano-dollars per token: GPT-4o's. */
export const MODEL = "proof-1";
export const NANO = { input: 2_500, cached: 1_250, output: 10_000 };

/** Which job a request belongs to; it stands in the prompt, since nothing else reaches a provider unchanged. */
export const marker = (job) => `[job ${job.id}]`;
const MARKER = /\[job ([\w-]+)\]/;

/** The tokens of a text as this provider counts them: words and marks, the long words in pieces of six letters. */
export function countTokens(text) {
  let tokens = 0;
  for (const [word] of text.matchAll(/[A-Za-z]+|[^\sA-Za-z]/g)) tokens += Math.ceil(word.length / 6);
  return tokens;
}

/** Starts a provider that knows these jobs (by id; more may be added later). */
export async function startProvider(jobs) {
  const provider = new Provider(jobs);
  await provider.listen();
  return provider;
}

class Provider {
  /** Every call, in order of arrival: {job, nth, house, id, state, input, cached, output, billed_nanousd}. */
  calls = [];
  /** All that was ever billed, in nano-dollars. It only grows, so its last value is its highest. */
  billed_nanousd = 0;
  /** Called with every call that arrives. */
  onCall = () => {};
  /** Calls that named no job, "POST /path": nobody in the test sent them. */
  strangers = [];
  #nth = new Map();

  constructor(jobs) { this.jobs = jobs; }

  async listen() {
    this.server = http.createServer({ keepAliveTimeout: 60_000 }, (req, res) => this.#serve(req, res).catch(() => res.destroy()));
    this.server.listen(0, "127.0.0.1", 4096);
    await once(this.server, "listening");
    const url = `http://127.0.0.1:${this.server.address().port}`;
    /** Two houses, so that there is somewhere to fall back to. */
    this.urls = { first: `${url}/first/v1`, second: `${url}/second/v1` };
    /** Where each has Gemini's format. */
    this.geminiUrls = { first: `${url}/first/v1beta`, second: `${url}/second/v1beta` };
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** Calls still being answered. */
  get underWay() { return this.calls.filter((call) => call.state === "open").length; }

  #bill(call, kind, tokens) {
    call[kind] += tokens;
    const nano = tokens * NANO[kind];
    call.billed_nanousd += nano;
    this.billed_nanousd += nano;
  }

  async #serve(req, res) {
    const parts = [];
    for await (const part of req) parts.push(part);
    const raw = Buffer.concat(parts).toString("utf8");
    const id = raw.match(MARKER)?.[1];
    const job = this.jobs.get(id);
    if (!job) {
      this.strangers.push(`${req.method} ${req.url} ${raw.slice(0, 200)}`);
      res.writeHead(404).end();
      return;
    }
    const body = JSON.parse(raw);
    const nth = (this.#nth.get(id) ?? 0) + 1;
    this.#nth.set(id, nth);
    const call = { job: id, nth, house: req.url.split("/")[1], id: `up-${id}-${nth}`, at_ms: Date.now(), state: "open", input: 0, cached: 0, output: 0, billed_nanousd: 0 };
    call.ended = new Promise((done) => res.once("close", () => {
      if (call.state === "open") call.state = "abandoned";
      done();
    }));
    this.calls.push(call);
    this.onCall(call);
    res.socket.setNoDelay(true);
    const { pathname } = new URL(req.url, "http://x");
    const format = Object.values(PROVIDERS).find(({ path }) => path.test(pathname));
    await this.#answer(call, job, format, format.read(body, { pathname }), body.model ?? MODEL, res);
  }

  /** Ends a call's books: what comes after is no longer billed. */
  #close(call, state) { if (call.state === "open") call.state = state; }

  async #answer(call, job, format, asked, model, res) {
    const trouble = job.trouble[call.nth - 1];
    const json = (status, value, headers = {}) => {
      this.#close(call, status === 200 ? "done" : `status ${status}`);
      res.writeHead(status, { "content-type": "application/json", "x-request-id": call.id, ...headers });
      res.end(JSON.stringify(value));
    };
    await sleep(job.think_ms);
    // Nothing is billed for a call that fails before it generates.
    if (trouble === "500" || trouble === "429") {
      return json(Number(trouble), { error: { message: `the provider says ${trouble}`, type: "server_error", param: null, code: null } });
    }
    if (trouble === "reset") {
      this.#close(call, "reset");
      return void res.destroy();
    }
    const input = countTokens(asked.texts.join(" ")) + 4 * asked.messages + 3;
    const cached = format === PROVIDERS.embeddings ? 0 : Math.floor(input * job.cached_share);
    const output = Math.min(job.wanted_tokens, asked.cap ?? Infinity);
    const words = Array.from({ length: output }, (_, i) => job.dense ? ` ${(i * 7) % 10}` : ` ${"lorem ipsum dolor amet sit elit".split(" ")[i % 6]}`);
    const did = { id: call.id, model, text: words.join(""), input, cached, output, cut: output < job.wanted_tokens };
    const prompt = () => { this.#bill(call, "input", input - cached); this.#bill(call, "cached", cached); };
    if (!asked.stream) {
      // A whole answer is generated in one go and billed as it is; who hangs up earlier has only spared the writing.
      prompt();
      this.#bill(call, "output", output);
      return json(200, format.whole(did));
    }
    res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache", "x-request-id": call.id });
    res.flushHeaders();
    const open = () => call.state === "open";
    const write = async (text) => {
      if (open() && text !== "" && !res.write(text)) await Promise.race([once(res, "drain"), call.ended]);
    };
    if (trouble === "error event") {
      await write(format.error);
      this.#close(call, "error event");
      return void res.end();
    }
    await write(format.head(did));
    if (trouble === "cut before content") {
      this.#close(call, "cut before content");
      return void res.destroy();
    }
    prompt();
    if (trouble === "silence") return void (await call.ended);
    for (let at = 0; at < words.length && open(); at += job.chunk_tokens) {
      const piece = words.slice(at, at + job.chunk_tokens);
      // Generated is billed, whether anybody still reads it or not.
      this.#bill(call, "output", piece.length);
      await write(format.piece(did, piece.join("")));
      if (trouble === "cut" && at > words.length / 2) {
        this.#close(call, "cut");
        await sleep(20);
        return void res.destroy();
      }
      if (job.pace_ms) await sleep(job.pace_ms);
    }
    await write(format.tail(did, asked.counts));
    this.#close(call, "done");
    res.end();
  }
}
