// Jobs: what a crowd of clients asks, what the provider will do with it, and who leaves early. All of it follows from a seed.
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { CLIENTS } from "./formats.mjs";
import { marker, MODEL } from "./provider.mjs";

/** A small generator (mulberry32): the same seed, the same numbers, in [0, 1). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const PROSE = "the gateway decides who may call what it may cost where the request goes and what is written in the ledger when a provider fails".split(" ");

/** What the provider does with the first, second, … call of a job; nothing said means it answers well. */
const TROUBLES = {
  both: [["500"], ["429"], ["reset"], ["500", "500"], ["429", "500", "500", "500"]],
  stream: [["error event"], ["cut before content", "500"]],
  /** After these the provider bills what it never reports. */
  unreported: [["cut"], ["silence"]],
};

/**
 * Makes job number `n`. Half are streams, half come from OpenAI's SDK; one in four meets trouble, one in eight leaves.
 * @param {() => number} next  @param {string} id
 * @param {{calm?: boolean, pace_ms?: number, mixed?: boolean}} options  calm: nobody leaves, and all usage is reported;
 *   mixed: clients and providers of several formats, and vectors, instead of chat alone
 */
export function makeJob(next, id, { calm = false, pace_ms, mixed = false } = {}) {
  const pick = (list) => list[Math.floor(next() * list.length)];
  const between = (low, high) => low + Math.floor(next() * (high - low + 1));
  const stream = next() < 0.5;
  const dense = next() < 0.2;
  const length = pick([20, 60, 150, 400]);
  const prompt = Array.from({ length }, (_, i) => (dense ? String((i * 37) % 10) : pick(PROSE))).join(" ");
  const max_tokens = pick([40, 120, 300, 700]);
  const job = {
    id, stream, dense, prompt, max_tokens,
    client: "chat", model: MODEL,
    sdk: next() < 0.5,
    include_usage: next() < 0.5,
    // A third runs into its cap: those cost nearly what was held.
    wanted_tokens: next() < 0.33 ? max_tokens + 1 : between(1, max_tokens),
    cached_share: next() < 0.2 ? 0.5 : 0,
    think_ms: between(0, 150),
    pace_ms: pace_ms ?? between(0, 8),
    chunk_tokens: between(1, 12),
    trouble: next() < 0.25 ? pick([...TROUBLES.both, ...(stream ? TROUBLES.stream : []), ...(stream && !calm ? TROUBLES.unreported : [])]) : [],
    leave: null,
  };
  if (!calm && next() < 0.125) {
    job.leave = stream && next() < 0.6 ? { chunks: between(1, 5) } : { after_ms: between(50, 1_500) };
  }
  return mixed ? inSomeFormat(job, next()) : job;
}

/** What clients ask, and of whom: each format of each. */
const MIX = ["chat", "responses", "messages", "generate"].flatMap((client) => [MODEL, `${MODEL}-messages`, `${MODEL}-generate`].map((model) => ({ client, model })));

/** Vectors are asked for now and then; what they cannot meet does not happen to them. */
function inSomeFormat(job, chance) {
  if (chance < 0.12) {
    const before = ["500", "429", "reset"];
    return { ...job, client: "embeddings", model: `${MODEL}-vectors`, stream: false, sdk: false, wanted_tokens: 0, trouble: job.trouble.filter((trouble) => before.includes(trouble)), leave: job.leave?.after_ms ? job.leave : null };
  }
  const one = MIX[Math.floor(((chance - 0.12) / 0.88) * MIX.length)];
  return { ...job, ...one, sdk: job.sdk && one.client === "chat" };
}

/** The jobs of one burst, by id. */
export function makeJobs(seed, count, options) {
  const next = random(seed);
  return new Map(Array.from({ length: count }, (_, i) => [`${seed}-${i}`, makeJob(next, `${seed}-${i}`, options)]));
}

/** Where the request goes, and its body. */
const asked = (job) => CLIENTS[job.client].ask(job, `${job.prompt} ${marker(job)}`);

/**
 * Runs a job over real HTTP to its end, or until its client leaves.
 * @returns {Promise<{job: string, sent_ms: number, status: number, code: string, id: ?string, held_nanousd: ?number, message: string, ended: string}>}
 *   status 0: no answer (connection refused, or left before one); ended: whole · left · broken · refused
 */
export async function runJob(job, { url, key, headers = {}, timeout_ms = 60_000 }) {
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), timeout_ms);
  const leaving = job.leave?.after_ms === undefined ? null : setTimeout(() => abort.abort(), job.leave.after_ms);
  const answer = { job: job.id, sent_ms: Date.now(), status: 0, code: "", id: null, held_nanousd: null, message: "", ended: "broken" };
  try {
    await (job.sdk ? bySdk : byFetch)(job, answer, { url, key, headers, signal: abort.signal });
  } catch (error) {
    answer.message ||= String(error?.message ?? error);
    if (abort.signal.aborted) answer.ended = "left";
  } finally {
    clearTimeout(limit);
    clearTimeout(leaving);
  }
  answer.ended_ms = Date.now();
  return answer;
}

function note(answer, status, headers) {
  answer.status = status;
  answer.id = headers?.get("x-edgehold-request-id") ?? null;
  const held = headers?.get("x-edgehold-budget-held-usd");
  if (held) answer.held_nanousd = Math.round(Number(held) * 1e9);
}

async function byFetch(job, answer, { url, key, headers, signal }) {
  const [where, body] = asked(job);
  const response = await fetch(url + where, {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
  });
  note(answer, response.status, response.headers);
  if (!response.ok) {
    const text = await response.text();
    try {
      const { error } = JSON.parse(text);
      // Gemini's code is the status; the word is the reason.
      answer.code = String(error?.details?.[0]?.reason ?? error?.code ?? error?.type ?? "");
      answer.message = String(error?.message ?? text);
    } catch { answer.message = text; }
    answer.ended = "refused";
    return;
  }
  if (!job.stream) {
    await response.json();
    answer.ended = "whole";
    return;
  }
  const decoder = new TextDecoder();
  let text = "";
  let chunks = 0;
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    chunks += 1;
    if (job.leave?.chunks && chunks >= job.leave.chunks) {
      answer.ended = "left"; // leaving the loop cancels the body, which closes the connection
      return;
    }
  }
  answer.ended = CLIENTS[job.client].whole(text) ? "whole" : "broken";
}

async function bySdk(job, answer, { url, key, headers, signal }) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, defaultHeaders: headers });
  let opened;
  try {
    opened = await client.chat.completions.create(asked(job)[1], { signal }).withResponse();
  } catch (error) {
    if (!error.status) throw error;
    note(answer, error.status, error.headers);
    answer.code = String(error.code ?? error.type ?? "");
    answer.message = error.message;
    answer.ended = "refused";
    return;
  }
  note(answer, opened.response.status, opened.response.headers);
  if (job.stream) {
    let chunks = 0;
    for await (const _ of opened.data) {
      chunks += 1;
      if (job.leave?.chunks && chunks >= job.leave.chunks) {
        answer.ended = "left";
        return;
      }
    }
  }
  answer.ended = "whole";
}

/** Waits until the provider has no call under way. */
export async function quiet(provider, timeout_ms = 60_000) {
  const end = Date.now() + timeout_ms;
  while (provider.underWay > 0) {
    if (Date.now() > end) throw new Error(`${provider.underWay} calls are still under way at the provider`);
    await sleep(20);
  }
}
