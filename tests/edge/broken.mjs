// A provider of every dialect whose streams break. The model asked for says how; the path says in which dialect.
import { once } from "node:events";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";

/** What was said before it broke, and the whole of it. */
export const BEGUN = "It begins";
export const WHOLE = `${BEGUN} and ends.`;

/**
 * How a stream breaks: the connection is cut or closed in mid-stream, an error event comes in mid-stream or first, or a status
 * says it. `error-other` is the same in another of the ways that the dialect's servers have. `half`: the connection is closed in the midst of an event; `garbled`: an event is none; `json-first`: an error in place
 * of a stream. `fine` does not break.
 */
export const FAULTS = ["cut", "closed", "half", "garbled", "error", "error-first", "error-other", "error-other-first", "json-first", "status-503", "status-529", "fine"];

const sse = (data, event) => `${event ? `event: ${event}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
const typed = (data) => sse(data, data.type);
const chunk = (delta, finish_reason = null) => sse({ id: "chatcmpl-b", object: "chat.completion.chunk", created: 1_790_000_000, model: "m", choices: [{ index: 0, delta, logprobs: null, finish_reason }] });
const RESPONSE = { id: "resp_b", object: "response", created_at: 1_790_000_000, model: "m", output: [], parallel_tool_calls: true, tool_choice: "auto", tools: [], error: null, incomplete_details: null, instructions: null, metadata: {}, temperature: 1, top_p: 1 };
const message = (text, status) => ({ id: "msg_b", type: "message", role: "assistant", status, content: text ? [{ type: "output_text", text, annotations: [] }] : [] });
const candidate = (text, more) => sse({ candidates: [{ index: 0, content: { role: "model", parts: [{ text }] }, ...more }], usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 1, totalTokenCount: 21 }, modelVersion: "m", responseId: "g_b" });

/**
 * What a provider of chat may go on with for ever, behind `BEGUN`: calls that stay open, a line without end, comments. `long-event`
 * goes on well behind an event of ten megabytes.
 */
export const ENDLESS = {
  flood: (n) => Array.from({ length: 500 }, (_, i) => chunk({ tool_calls: [{ index: 500 * n + i, id: "", type: "function", function: { name: "f", arguments: "" } }] })).join(""),
  "no-line-end": (n) => (n === 0 ? "data: {" : "x".repeat(65_536)),
  comments: () => ": still here\n\n".repeat(5_000),
};
const LONG_EVENT = 10_000_000;
/** Who has not hung up by then has not noticed. */
const PUMPED_BYTES_MAX = 100_000_000;

/** One message of Amazon's binary framing. `wrong` may change its lengths or its sums. */
export function frame(headers, payload, wrong = {}) {
  const parts = Object.entries(headers).map(([name, value]) => {
    const [n, v] = [Buffer.from(name), Buffer.from(value)];
    return Buffer.concat([Buffer.from([n.length]), n, Buffer.from([7, v.length >> 8, v.length & 255]), v]);
  });
  const [head, body] = [Buffer.concat(parts), Buffer.from(payload)];
  const prelude = Buffer.alloc(12);
  prelude.writeUInt32BE(wrong.length ?? 16 + head.length + body.length, 0);
  prelude.writeUInt32BE(wrong.headers ?? head.length, 4);
  prelude.writeUInt32BE((crc32(prelude.subarray(0, 8)) ^ (wrong.prelude ?? 0)) >>> 0, 8);
  const sum = Buffer.alloc(4);
  const whole = Buffer.concat([prelude, head, body]);
  sum.writeUInt32BE((crc32(whole) ^ (wrong.sum ?? 0)) >>> 0, 0);
  return Buffer.concat([whole, sum]);
}

const JSON_TYPE = { ":content-type": "application/json" };
const event = (type, data, wrong) => frame({ ":event-type": type, ...JSON_TYPE, ":message-type": "event" }, typeof data === "string" ? data : JSON.stringify(data), wrong);
const exception = (type, more) => frame({ ":exception-type": type, ...JSON_TYPE, ":message-type": "exception" }, JSON.stringify({ message: "Overloaded", ...more }));
const block = (text, wrong) => event("contentBlockDelta", { contentBlockIndex: 0, delta: { text }, p: "abc" }, wrong);
const STOPPED = [event("contentBlockStop", { contentBlockIndex: 0 }), event("messageStop", { stopReason: "end_turn" })];
const COUNTED = event("metadata", { metrics: { latencyMs: 300 }, usage: { inputTokens: 20, outputTokens: 4, totalTokens: 24 } });

/** What may stand in the place of one of Bedrock's messages, here or as the first: what is not a message, and what is an exception. */
export const FRAMES = {
  "wrong-sum": block("lost", { sum: 1 }),
  "wrong-prelude": block("lost", { prelude: 1 }),
  "too-long": block("lost", { length: 0xffff_ffff }),
  "too-short": block("lost", { length: 20 }),
  "headers-too-long": block("lost", { headers: 0xffff_fff0 }),
  "no-json": event("contentBlockDelta", "{"),
  "no-type": frame({}, "{}"),
  throttling: exception("throttlingException"),
  "model-stream-error": exception("modelStreamErrorException", { originalStatusCode: 500, originalMessage: "x" }),
  "internal-server": exception("internalServerException"),
  "unknown-exception": exception("somethingNewException"),
  "error-frame": frame({ ":error-code": "InternalError", ":error-message": "Overloaded", ":message-type": "error" }, ""),
};
/** Those of them that say what is wrong. */
export const EXCEPTIONS = ["throttling", "model-stream-error", "internal-server", "unknown-exception", "error-frame"];
/** Messages of later days, which are no faults. */
const LATER = [event("somethingNew", { a: 1 }), frame({ ":message-type": "new", ...JSON_TYPE }, "{"), event("contentBlockDelta", { contentBlockIndex: 0, delta: { somethingNew: 1 } })];

/** Of each dialect: the path's end, the events before content, of content, of the end, and the error event. */
const DIALECTS = [
  {
    path: /\/chat\/completions$/,
    head: [chunk({ role: "assistant", content: "" })],
    text: (text) => chunk({ content: text }),
    tail: [chunk({}, "stop"), sse({ id: "chatcmpl-b", object: "chat.completion.chunk", created: 1_790_000_000, model: "m", choices: [], usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 } }), sse("[DONE]")],
    error: sse({ error: { message: "Overloaded", type: "server_error", code: null, param: null } }),
    // As vLLM and Groq have it: https://console.groq.com/docs/errors (read 2026-11-21).
    other: sse({ error: { message: "Overloaded", type: "server_error", code: 503 } }, "error"),
  },
  {
    path: /\/responses$/,
    head: [
      typed({ type: "response.created", sequence_number: 0, response: { ...RESPONSE, status: "in_progress" } }),
      typed({ type: "response.output_item.added", sequence_number: 1, output_index: 0, item: message("", "in_progress") }),
      typed({ type: "response.content_part.added", sequence_number: 2, item_id: "msg_b", output_index: 0, content_index: 0, part: { type: "output_text", text: "", annotations: [] } }),
    ],
    text: (delta) => typed({ type: "response.output_text.delta", sequence_number: 3, item_id: "msg_b", output_index: 0, content_index: 0, delta, logprobs: [] }),
    tail: [
      typed({ type: "response.output_text.done", sequence_number: 4, item_id: "msg_b", output_index: 0, content_index: 0, text: WHOLE, logprobs: [] }),
      typed({ type: "response.output_item.done", sequence_number: 5, output_index: 0, item: message(WHOLE, "completed") }),
      typed({ type: "response.completed", sequence_number: 6, response: { ...RESPONSE, status: "completed", output: [message(WHOLE, "completed")], usage: { input_tokens: 20, input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 }, output_tokens: 4, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 24 } } }),
    ],
    error: typed({ type: "error", sequence_number: 9, code: "server_error", message: "Overloaded", param: null }),
    // https://developers.openai.com/api/reference/resources/responses/streaming-events, response.failed (read 2026-11-21).
    other: typed({ type: "response.failed", sequence_number: 9, response: { ...RESPONSE, status: "failed", error: { code: "server_error", message: "Overloaded" } } }),
  },
  {
    path: /\/messages$/,
    head: [
      typed({ type: "message_start", message: { id: "msg_b", type: "message", role: "assistant", content: [], model: "m", stop_reason: null, stop_sequence: null, usage: { input_tokens: 20, output_tokens: 1 } } }),
      typed({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
      typed({ type: "ping" }),
    ],
    text: (text) => typed({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }),
    tail: [typed({ type: "content_block_stop", index: 0 }), typed({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 4 } }), typed({ type: "message_stop" })],
    // https://platform.claude.com/docs/en/build-with-claude/streaming, "Error events" (read 2026-11-21).
    error: typed({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } }),
    // Without the event's name and in other words, as servers that copy it have it.
    other: sse({ type: "error", error: { type: "api_error", message: "Overloaded" }, request_id: "req_b" }),
  },
  {
    path: /:streamGenerateContent$/,
    head: [],
    text: (text) => candidate(text),
    tail: [sse({ candidates: [{ index: 0, content: { role: "model", parts: [{ text: "" }] }, finishReason: "STOP" }], usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 4, totalTokenCount: 24 }, modelVersion: "m", responseId: "g_b" })],
    error: sse({ error: { code: 503, message: "Overloaded", status: "UNAVAILABLE" } }),
    // Google sends it as bare JSON, too.
    other: `${JSON.stringify({ error: { code: 503, message: "Overloaded", status: "UNAVAILABLE" } }, null, 2)}\r\n\r\n`,
  },
  {
    path: /\/v2\/chat$/,
    head: [
      typed({ id: "c_b", type: "message-start", delta: { message: { role: "assistant", content: [], tool_plan: "", tool_calls: [], citations: [] } } }),
      typed({ type: "content-start", index: 0, delta: { message: { content: { type: "text", text: "" } } } }),
    ],
    text: (text) => typed({ type: "content-delta", index: 0, delta: { message: { content: { text } } } }),
    tail: [typed({ type: "content-end", index: 0 }), typed({ type: "message-end", delta: { finish_reason: "COMPLETE", usage: { billed_units: { input_tokens: 20, output_tokens: 4 }, tokens: { input_tokens: 20, output_tokens: 4 } } } })],
    // A stream that fails ends with reason ERROR: https://docs.cohere.com/v2/docs/streaming (read 2026-11-21).
    error: typed({ type: "message-end", delta: { finish_reason: "ERROR", error: "Overloaded" } }),
    other: sse({ message: "Overloaded" }),
  },
  {
    path: /\/converse-stream$/,
    type: "application/vnd.amazon.eventstream",
    head: [event("messageStart", { role: "assistant" })],
    text: (text) => block(text),
    tail: [...STOPPED, COUNTED],
    error: FRAMES["model-stream-error"],
    other: FRAMES.throttling,
    garbled: FRAMES["no-json"],
  },
];

/** The messages of a stream of Bedrock's that only it has; `null`: no such fault. */
function framed(fault, { head, text, tail }) {
  const [, first, name] = /^(first-)?(.*)$/.exec(fault);
  if (Object.hasOwn(FRAMES, name)) return [...head, ...(first ? [] : [text(BEGUN)]), FRAMES[name], text(" and ends."), ...tail];
  switch (fault) {
    case "later": return [...LATER, ...head, ...LATER, text(BEGUN), ...LATER, text(" and ends."), ...tail];
    case "no-stop": return [...head, text(BEGUN), COUNTED];
    case "no-counts": return [...head, text(BEGUN), text(" and ends."), ...STOPPED];
    default: return null;
  }
}

/** Starts the provider: {url, asked: the models asked for, stop()}. */
export async function startBroken() {
  const asked = [];
  const pumped = {};
  const server = http.createServer((req, res) => serve(req, res, asked, pumped).catch(() => res.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    asked,
    /** Bytes of what has no end, until the gateway hung up, by fault. */
    pumped,
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function serve(req, res, asked, pumped) {
  const parts = [];
  for await (const part of req) parts.push(part);
  const { pathname } = new URL(req.url, "http://x");
  const fault = /\/models?\/([^:/]+)[:/]/.exec(pathname)?.[1] ?? JSON.parse(Buffer.concat(parts).toString("utf8")).model;
  asked.push(fault);
  const dialect = DIALECTS.find(({ path }) => path.test(pathname));
  const status = Number(/^status-(\d+)$/.exec(fault)?.[1] ?? 200);
  if (status !== 200 || fault === "json-first") {
    res.writeHead(status, { "content-type": "application/json" });
    return res.end(JSON.stringify({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } }));
  }
  res.writeHead(200, { "content-type": dialect.type ?? "text/event-stream" });
  const events = framed(fault, dialect) ?? [...dialect.head];
  if (events.length === dialect.head.length) {
    if (!fault.endsWith("-first")) events.push(dialect.text(BEGUN));
    if (fault === "fine") events.push(dialect.text(" and ends."), ...dialect.tail);
    if (fault.startsWith("error")) events.push(fault.includes("other") ? dialect.other : dialect.error);
    if (fault === "half") events.push(dialect.text("never seen").slice(0, -20));
    if (fault === "garbled") events.push(dialect.garbled ?? sse('{"'), dialect.text("never seen"), ...dialect.tail);
  }
  if (fault === "long-event") events.push(dialect.text("x".repeat(LONG_EVENT)), dialect.text(" and ends."), ...dialect.tail);
  for (const event of events) res.write(event);
  if (Object.hasOwn(ENDLESS, fault)) {
    const closed = once(res, "close");
    for (let n = 0, bytes = 0; !res.closed && bytes < PUMPED_BYTES_MAX; n += 1) {
      const text = ENDLESS[fault](n);
      bytes += text.length;
      pumped[fault] = Math.max(pumped[fault] ?? 0, bytes);
      if (!res.write(text)) await Promise.race([once(res, "drain"), closed]);
    }
  }
  // So that what was written is on its way before the cut.
  await sleep(20);
  if (fault === "cut") return res.destroy();
  res.end();
}
