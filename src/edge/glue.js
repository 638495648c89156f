// The runtime's side of every wait: starts an operation for Rust and resumes its task with the outcome.
//
// One call out starts an operation, one call in ends it (`resume`), so an await costs two crossings instead of the
// ten of a promise that wasm-bindgen wraps. It converts and forwards, and decides one thing: a call
// whose token was refused is made once more with another, since tokens never enter wasm.

import * as replays from "./replay.js";
import { database, ledgerDatabases } from "./databases.js";
import { authorize, NoCredential } from "./sign.js";

let core = null;
let epoch = 0;
let broken = false;
let configured = -1;
let bodyBytesMax = 0;
let lastId = 0;

/** Client requests under way, by number. @type {Map<number, any>} */
export const requests = new Map();
/** Durable Object ids by name: hashing the name costs more than remembering it. */
const objectIds = new Map();
const EMPTY = new Uint8Array(0);
/** Of an admin request, or of one without a virtual key: configurations are at most 256 KiB. */
const KEYLESS_BODY_BYTES_MAX = 1 << 20;
const TOO_LARGE = Symbol("too large");
const KEY_HEADERS = ["x-api-key", "api-key", "x-goog-api-key"];
const READ_BYTES = 65536;
/** Content types that are read as they come. */
const STREAMS = ["text/event-stream", "application/vnd.amazon.eventstream"];
/** How often a passed-on stream is looked at. It only bounds how exactly an idle time-out is kept. */
const TICK_MS = 1000;
/** How long nobody looks whether a stream through Rust waits too long, or whether anybody still reads along. */
const LOOK_MS_MAX = 1000;
/** What is kept of a passed-on stream; of a longer one the beginning is forgotten. */
const KEEP_BYTES = 8 << 20;
export const TIMED_OUT = Symbol("timed out");
/** How Rust is told that a call was not made for want of a credential, by what `sign.js` calls the reason. */
const NO_CREDENTIAL = { failed: -1, unusable: -4, late: -5 };

export function attach(exports) {
  core = exports;
}

/** The instance in use. Given an error, notes whether that error broke it. */
export function current(error) {
  if (error instanceof WebAssembly.RuntimeError) crash(error);
  revive();
  return { core, epoch };
}

// A trap leaves the instance's memory in an unknown state: every request in it is answered, and the next call gets a
// fresh instance. Streams already under way go on, since they are the runtime's; their holds expire into rows.
function crash(error) {
  console.error("edgehold: wasm trap, the instance is replaced:", error);
  broken = true;
  const body = JSON.stringify({
    error: { message: "The gateway met an internal error. Try again.", type: "api_error", param: null, code: "internal_error" },
  });
  for (const request of requests.values()) {
    if (!request.relaying) request.discard?.();
    request.recording?.finish("drop");
    request.resolve(new Response(body, { status: 500, headers: { "content-type": "application/json" } }));
    request.finish?.();
  }
  requests.clear();
}

function revive() {
  if (!broken) return;
  core.__wbg_reset_state();
  broken = false;
  epoch++;
}

// Every entry into wasm goes through here.
function enter(run) {
  try {
    return run();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) crash(error);
    else console.error("edgehold:", error);
  }
}

/** How an operation that lives elsewhere is ended. */
export function resumeOf(id, op) {
  const { born } = requests.get(id);
  return (code, text) => resume(id, born, op, code, text, EMPTY);
}

function resume(id, born, op, code, text, bytes) {
  // Late news for a request that ended, or for an instance that is gone.
  if (born !== epoch || broken || !requests.has(id)) return;
  enter(() => core.resume(op, Date.now(), code, text, bytes));
}

function configure(env) {
  revive();
  if (configured === epoch) return;
  const texts = Object.entries(env).filter(([name, value]) => typeof value === "string" && core.is_own_variable(name));
  core.configure(JSON.stringify({ ...Object.fromEntries(texts), EDGEHOLD_LEDGER_DATABASES: String(ledgerDatabases(env)) }));
  bodyBytesMax = core.body_bytes_max();
  configured = epoch;
}

/** The cron trigger's handler: a task like a request's, that nobody waits for but the runtime. */
export function scheduled(event, env, ctx) {
  configure(env);
  const id = nextId();
  const ended = new Promise((finish) => {
    requests.set(id, { env, ctx, headers: new Headers(), resolve: () => {}, born: epoch, finish });
    enter(() => core.maintain(id, Date.now()));
  });
  ctx.waitUntil(ended);
  return ended;
}

/** The fetch handler. Promises are chained by hand on this path: every async function on it costs a few microseconds. */
export function serve(request, env, ctx) {
  configure(env);
  const headers = request.headers;
  // Each look at a header is a call into the runtime: the other places of a key are looked at only if the first has none.
  const bearer = headers.get("authorization") ?? "";
  const others = bearer.includes("eh_") ? "\n\n\n" : `\n${KEY_HEADERS.map((name) => headers.get(name) ?? "").join("\n")}`;
  const { method } = request;
  const idempotent = method === "POST" ? headers.get("idempotency-key") : null;
  const head = `${method}\n${request.url}\n${bearer}${others}\n${headers.get("x-edgehold-metadata") ?? ""}${idempotent === null ? "" : `\n:${idempotent}`}`;
  // `request.body` makes a stream object; a body whose length is told is read without one.
  const length = headers.get("content-length");
  let reading = null;
  // Nobody is read at length who does not even seem to have a key.
  const limit = bearer.includes("eh_") || others.includes("eh_") ? bodyBytesMax : KEYLESS_BODY_BYTES_MAX;
  if (length !== null) reading = Number(length) <= limit ? request.arrayBuffer() : TOO_LARGE;
  else if (method !== "GET" && request.body !== null) reading = readUpTo(request.body, limit);
  return new Promise((resolve) => {
    const begin = (body) => begun({ env, ctx, headers, resolve }, head, body);
    if (reading === null) begin(EMPTY);
    else if (reading === TOO_LARGE) begin(null);
    // A body that breaks off has nobody left to be answered; an answer ends the request all the same.
    else reading.then((bytes) => begin(bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes), () => begin(EMPTY));
  });
}

function nextId() {
  return (lastId = (lastId % 0x3fffffff) + 1);
}

function begun({ env, ctx, headers, resolve }, head, body) {
  revive();
  const id = nextId();
  const state = { env, ctx, headers, resolve, body, born: epoch, answer: null, stream: null, relaying: false, discard: null, finish: null, recording: null, found: null };
  requests.set(id, state);
  enter(() => core.start(id, Date.now(), head, body === null, body ?? EMPTY));
  // A client that leaves before its answer must not leave the task behind: it runs on, and settles.
  if (requests.has(id)) ctx.waitUntil(new Promise((finish) => { state.finish = finish; }));
}

async function readUpTo(stream, limit) {
  const parts = [];
  let size = 0;
  const reader = stream.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > limit) {
      await reader.cancel().catch(() => {});
      return null;
    }
    parts.push(value);
  }
  return concat(parts);
}

export function concat(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Every line of the text has a line break behind it. */
function lines(text) {
  const parts = text.split("\n");
  parts.pop();
  return parts;
}

export function within(promise, ms) {
  let timer;
  const timeout = new Promise((resolve) => { timer = setTimeout(resolve, ms, TIMED_OUT); });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

// ── imported by Rust (src/edge/port.rs) ──────────────────────────────────────────────────────────────────────────────

/** A header of the client's request. */
export function header(id, name) {
  return requests.get(id).headers.get(name) ?? undefined;
}

/** Formatters by zone: making one costs a hundred times as much as using it. */
const zoneFormats = new Map();

/** Minutes a time zone is ahead of UTC at a moment; NaN if there is no such zone. */
export function zone_offset(zone, at) {
  let format = zoneFormats.get(zone);
  if (format === undefined) {
    try {
      format = new Intl.DateTimeFormat("en-US", {
        timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
      });
    } catch {
      format = null;
    }
    if (zoneFormats.size > 1_000) zoneFormats.clear();
    zoneFormats.set(zone, format);
  }
  if (format === null) return NaN;
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const local = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
  return Math.round((local - at) / 60_000);
}

export function log(text) {
  console.warn(text);
}

function stub(env, name) {
  let id = objectIds.get(name);
  if (id === undefined) {
    if (objectIds.size > 10_000) objectIds.clear();
    id = env.LEDGER.idFromName(name);
    objectIds.set(name, id);
  }
  return env.LEDGER.get(id);
}

// A call that failed on the way may have arrived: commands are idempotent, so it is made again, on a new stub.
export async function callObject(tries, call) {
  for (let n = 1; ; n++) {
    try {
      return await call();
    } catch (error) {
      if (n >= tries || error?.overloaded) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** n * (0.5 + Math.random())));
    }
  }
}

/** The record of an idempotency key; a new stub each time, since one that has failed stays broken. */
export function answersOf(env, name) {
  return env.ANSWERS.get(env.ANSWERS.idFromName(name));
}

export const { claim, record, replay } = replays;

export function object_call(id, op, name, command) {
  const { env, born } = requests.get(id);
  callObject(3, () => stub(env, name).apply(command)).then(
    (reply) => resume(id, born, op, 0, reply, EMPTY),
    (error) => resume(id, born, op, -1, String(error?.message ?? error), EMPTY),
  );
}

/** Settlements waiting to be told, by object; told together by whichever request began the list. */
const untold = new Map();
/** Long enough for company under load, far too short to matter to a hold that lives for minutes. */
const TELL_MS = 5;
/** A list whose request was torn down before it told is taken over by the next one. */
const TELL_OVERDUE_MS = 1000;

/** As object_call, without an answer, and after the client has been served. */
export function object_tell(id, name, command) {
  const { env, ctx } = requests.get(id);
  const list = untold.get(name);
  const now = Date.now();
  if (list !== undefined && now - list.begun < TELL_OVERDUE_MS) {
    list.commands.push(command);
    return;
  }
  untold.set(name, { begun: now, commands: [...(list?.commands ?? []), command] });
  ctx.waitUntil(tell(env, name));
}

async function tell(env, name) {
  await scheduler.wait(TELL_MS);
  const { commands } = untold.get(name) ?? { commands: [] };
  untold.delete(name);
  if (commands.length === 0) return;
  try {
    await callObject(8, () => stub(env, name).applyAll(commands));
  } catch (error) {
    console.error(`edgehold: ${commands.length} settlements did not arrive; their holds will expire into rows:`, String(error?.message ?? error));
  }
}

/** Who looks after the wallet: one background task of some request at a time. */
let keeper = null;
/** The runtime lets a background task go on for thirty seconds after its request. */
const KEEPER_MS = 15_000;

/** Sends what the wallet has to report, and tells it the answers, until nothing is left. */
export function keep_wallet(id) {
  const { env, ctx } = requests.get(id);
  ctx.waitUntil(keepWallet(env, (keeper = {})));
}

async function keepWallet(env, mine) {
  const born = epoch;
  const began = Date.now();
  const tick = core.tick_ms();
  const calls = new Set();
  let relieved = false;
  const alive = () => keeper === mine && born === epoch && !broken;
  for (;;) {
    await scheduler.wait(tick);
    if (!alive()) break;
    const lines = enter(() => core.reports(Date.now()));
    if (lines === undefined || lines === "-") break;
    for (const line of lines === "" ? [] : lines.split("\n")) {
      const [name, lease, command] = line.split("\t");
      // The wallet makes a report again by itself; a settlement by name is made again here.
      const call = callObject(lease === "" ? 8 : 1, () => stub(env, name).apply(command)).then(
        (reply) => reply,
        (error) => void console.warn("edgehold: a report did not arrive:", String(error?.message ?? error)),
      ).then((reply) => {
        calls.delete(call);
        if (lease !== "" && born === epoch && !broken) enter(() => core.reported(Date.now(), lease, reply));
      });
      calls.add(call);
    }
    if (!relieved && Date.now() - began > KEEPER_MS) {
      relieved = true;
      enter(() => core.relieve_keeper());
    }
  }
  if (keeper === mine) keeper = null;
  await Promise.all(calls);
}

/** What Rust knows by number. Calls: URL, headers with their credential. Answers: headers, and which of them vary. */
const calls = [];
const answers = [];

export function call_template(number, headText, secretText) {
  const [url, ...pairs] = lines(headText), [header, prefix, name, ...scheme] = lines(secretText);
  calls[number] = { url, headers: null, secrets: [], secret: "", pairs, header, prefix, name, scheme };
}

// `Headers` are kept: making them from texts for every call costs a tenth of a pass-through.
function ready(call, env) {
  const headers = headersOf(call.pairs);
  if (call.scheme[0] === "binding") {
    if (typeof env[call.name]?.run !== "function") return false;
  } else if (call.name !== undefined) {
    // A secret piped in from a file often ends in a line break, which no header may hold.
    const secret = env[call.name]?.trim?.();
    if (typeof secret !== "string" || secret === "") return false;
    // A credential that is more than a header is made for each call.
    if (call.scheme.length === 0) headers.set(call.header, call.prefix + secret);
    call.secret = secret;
    call.secrets = [secret];
  }
  call.headers = headers;
  return true;
}

function headersOf(pairs, base) {
  const headers = new Headers(base);
  for (let i = 0; i < pairs.length; i += 2) headers.set(pairs[i], pairs[i + 1]);
  return headers;
}

export function answer_template(number, constant, varying) {
  answers[number] = { headers: headersOf(lines(constant)), varying: lines(varying) };
}

// The template's own object, with this answer's values: whoever makes a `Response` of it copies it.
function filled(number, valueText) {
  const { headers, varying } = answers[number];
  const values = valueText.split("\n");
  for (let i = 0; i < varying.length; i++) headers.set(varying[i], values[i]);
  return headers;
}

export function send(id, op, template, played, body, timeoutMs, stream, untouched) {
  const request = requests.get(id);
  const { ctx, env, born } = request;
  request.discard?.();
  request.answer = request.stream = null;
  const target = calls[template];
  // Rust is on the stack: it must not be entered again before it has returned.
  try {
    if (target.headers === null && !ready(target, env)) {
      queueMicrotask(() => resume(id, born, op, -3, target.name, EMPTY));
      return;
    }
  } catch (error) {
    queueMicrotask(() => resume(id, born, op, -1, String(error?.message ?? error), EMPTY));
    return;
  }
  const { url, headers } = target;
  let { secrets } = target;
  const payload = body === undefined ? request.body : body.slice();
  let over = false;
  // Nothing is, while its credential is still being made.
  let sent = target.scheme.length === 0 || target.scheme[0] === "binding";
  // A stream's time ends with its headers, and whoever reads on has others: it needs a handle. A whole answer's time is the
  // request's: when it is over the request is answered, its context ends, and the call with it. A signal would cost as much
  // as a sixth of a pass-through.
  const abort = stream || played ? new AbortController() : null;
  const timer = setTimeout(() => {
    over = true;
    abort?.abort(TIMED_OUT);
    if (sent) resume(id, born, op, -2, "", EMPTY);
    else resume(id, born, op, NO_CREDENTIAL.late, "the credential was not there in time", EMPTY);
  }, timeoutMs);
  const answered = (response) => {
    if (over) return;
    const { headers: h, status } = response;
    const type = h.get("content-type") ?? "";
    const head = `${type}\n${status === 200 ? "" : h.get("retry-after") ?? ""}\n${h.get("x-request-id") ?? ""}`;
    if (stream && status === 200 && STREAMS.some((known) => type.startsWith(known)) && response.body !== null) {
      clearTimeout(timer);
      openStream(request, response, abort, untouched);
      resume(id, born, op, 1000 + status, head, EMPTY);
      return;
    }
    return response.arrayBuffer().then((buffer) => {
      if (over) return;
      clearTimeout(timer);
      const bytes = status === 200 ? new Uint8Array(buffer) : without(new Uint8Array(buffer), secrets);
      request.answer = bytes;
      resume(id, born, op, status, head, bytes);
    });
  };
  const init = { method: "POST", headers, body: payload, redirect: "manual" };
  if (abort !== null) init.signal = abort.signal;
  const start = () => {
    if (played) return play(JSON.parse(new TextDecoder().decode(payload)), abort.signal);
    if (target.scheme.length === 0) return fetch(url, init);
    if (target.scheme[0] === "binding") return runBound(env[target.name], payload, headers, abort?.signal);
    return signedFetch();
  };
  const signedFetch = (again = false) =>
    authorize(target.scheme, target.secret, { url, headers, body: payload, outlive: (work) => ctx.waitUntil(work) }).then((authorized) => {
      // Its time may be over by now.
      if (over) return;
      secrets = [...secrets, ...authorized.secrets];
      sent = true;
      return fetch(url, { ...init, headers: headersOf(authorized.headers.flat(), headers) }).then((response) => {
        // A token that was taken back before its end. Who says 401 has done nothing: the call is made once more with a new one.
        if (over || again || response.status !== 401 || !authorized.refused?.()) return response;
        sent = false;
        response.body?.cancel().catch(() => {});
        return signedFetch(true);
      });
    });
  start().then(answered).catch((error) => {
    if (over) return;
    clearTimeout(timer);
    const code = error instanceof NoCredential ? NO_CREDENTIAL[error.why] : -1;
    resume(id, born, op, code, String(error?.message ?? error), EMPTY);
  });
}

// Workers AI's binding takes objects and gives, as asked here, the answer as it came: status, body, stream.
// https://developers.cloudflare.com/workers-ai/configuration/bindings/ (read 2026-11-21); the options that are not there are
// those of workerd's src/cloudflare/internal/ai-api.ts.
async function runBound(binding, payload, headers, signal) {
  const { model, ...inputs } = JSON.parse(new TextDecoder().decode(payload));
  const options = { returnRawResponse: true, extraHeaders: Object.fromEntries(headers) };
  return binding.run(model, inputs, signal === undefined ? options : { ...options, signal });
}

// Some servers repeat the credential in their errors, and errors go to clients, the log and the ledger.
function without(bytes, secrets) {
  if (secrets.length === 0) return bytes;
  const text = new TextDecoder().decode(bytes);
  const found = secrets.filter((secret) => text.includes(secret));
  return found.length === 0 ? bytes : new TextEncoder().encode(found.reduce((rest, secret) => rest.replaceAll(secret, "[redacted]"), text));
}

// The embedded mock's script as a provider's answer.
async function play({ status, headers, steps, ending }, signal) {
  const pause = (ms) => new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (ms !== null) setTimeout(() => { signal.removeEventListener("abort", stop); resolve(); }, ms);
  });
  const pipe = new IdentityTransformStream();
  const writer = pipe.writable.getWriter();
  const encoder = new TextEncoder();
  (async () => {
    for (const [ms, text] of steps) {
      if (ms > 0) await pause(ms);
      await writer.write(encoder.encode(text));
    }
    if (ending === "stall") await pause(null);
    if (ending === "cut") await writer.abort(new Error("the mock provider broke the connection"));
    else await writer.close();
  })().catch((error) => writer.abort(error).catch(() => {}));
  return new Response(pipe.readable, { status, headers });
}

function openStream(request, response, abort, untouched) {
  const [client, side] = untouched ? response.body.tee() : [null, response.body];
  const reader = side.getReader({ mode: "byob" });
  const stream = { client, reader, abort, pending: null, buffer: new ArrayBuffer(READ_BYTES), writer: null, isCut: false };
  request.stream = stream;
  request.discard = () => {
    request.discard = null;
    stream.client?.cancel().catch(() => {});
    reader.cancel().catch(() => {});
    abort.abort();
  };
}

// One read at a time. Resolves with bytes, null at the end, or rejects.
function read(stream) {
  return (stream.pending ??= readView(stream).then(
    (bytes) => {
      stream.pending = null;
      return bytes?.slice() ?? null;
    },
    (error) => {
      stream.pending = null;
      throw error;
    },
  ));
}

// The same, but the bytes are gone at the next read.
function readView(stream) {
  return stream.reader.read(new Uint8Array(stream.buffer)).then(({ value, done }) => {
    if (value !== undefined) stream.buffer = value.buffer;
    return done ? null : value;
  });
}

export function peek(id, op, timeoutMs) {
  const { stream, born } = requests.get(id);
  within(read(stream), timeoutMs).then(
    (bytes) => {
      if (bytes === TIMED_OUT) resume(id, born, op, 2, "", EMPTY);
      else if (bytes === null) resume(id, born, op, 1, "", EMPTY);
      else resume(id, born, op, 0, "", bytes);
    },
    (error) => resume(id, born, op, 3, String(error?.message ?? error), EMPTY),
  );
}

/** Said while the filter is at it: what it gives back still passes, and nothing more is read. */
export function break_off(id) {
  requests.get(id).stream.isCut = true;
}

export function discard(id) {
  requests.get(id)?.discard?.();
}

export function sleep(id, op, ms) {
  const { born } = requests.get(id);
  setTimeout(() => resume(id, born, op, 0, "", EMPTY), ms);
}

/** Answers the client: with text, or (text undefined) with the provider's whole answer. */
export function respond(id, status, template, values, text, kept) {
  const request = requests.get(id);
  const { recording, answer } = request;
  const headers = filled(template, values);
  if (recording !== null) {
    recording.begin(status, headers);
    recording.push(text === undefined ? answer : new TextEncoder().encode(text));
    recording.finish(kept ? "keep" : "share");
  }
  request.resolve(new Response(text === undefined ? answer : text, { status, headers }));
}

/** Answers the client with the stream under way. */
export function relay(id, op, template, values, filtered, first, idleMs, totalMs) {
  const request = requests.get(id);
  const { stream } = request;
  request.relaying = true;
  const pipe = new IdentityTransformStream();
  const headers = filled(template, values);
  request.resolve(new Response(pipe.readable, { headers }));
  request.recording?.begin(200, headers);
  const deadline = Date.now() + totalMs;
  const passing = filtered
    ? passFiltered(request, id, pipe, first.slice(), idleMs, deadline)
    : passUntouched(stream, pipe, idleMs, deadline);
  passing.then(([end, text, parts]) => {
    if (end !== 0) {
      stream.abort.abort();
      stream.reader.cancel().catch(() => {});
    }
    request.discard = null;
    // If the instance that waited for this is gone, nobody else will close the client's stream.
    if (requests.has(id)) resume(id, request.born, op, end, text, concat(parts));
    else if (end !== 1) closeStream(stream, "");
  });
}

// 0 the provider's end · 1 client gone · 2 time-out · 3 the provider's connection broke

// The client's branch goes by natively; the side branch is read on a tick. A read that finds nothing stays pending and
// is not waited for: JS must not wake for every chunk.
async function passUntouched(stream, pipe, idleMs, deadline) {
  const parts = [];
  let size = 0;
  let last = Date.now();
  let ended = false;
  let fault = null;
  let open = true;
  let cut = false;
  const stop = new AbortController();
  const settled = stream.client
    .pipeTo(pipe.writable, { signal: stop.signal, preventClose: true, preventAbort: true })
    .then(() => { open = false; }, () => { open = false; cut = true; });
  const take = () => read(stream).then((bytes) => {
    if (bytes === null) {
      ended = true;
      return false;
    }
    last = Date.now();
    parts.push(bytes);
    size += bytes.length;
    while (size > KEEP_BYTES && parts.length > 1) size -= parts.shift().length;
    return bytes.length === READ_BYTES;
  }, (error) => {
    ended = true;
    fault = error;
    return false;
  });
  let taking = null;
  const step = () => (taking ??= take().finally(() => { taking = null; }));
  const drain = async () => { while (!ended && (await Promise.race([step(), scheduler.wait(1)]))); };
  while (open) {
    await within(settled, Math.max(1, Math.min(TICK_MS, idleMs, deadline - Date.now())));
    if (!open) break;
    await drain();
    const now = Date.now();
    if (!ended && (now - last >= idleMs || now >= deadline)) {
      stop.abort();
      await settled;
      stream.writable = pipe.writable;
      return [2, "", parts];
    }
  }
  stream.writable = pipe.writable;
  if (!cut) {
    while (!ended) await step();
    return fault === null ? [0, "", parts] : [3, String(fault?.message ?? fault), parts];
  }
  // The pipe fails alike for a client that left and a provider that broke; only the side branch tells which. One read
  // takes the rest, one more fails if it was the provider. Not until nothing comes: a fast provider never stops.
  await drain();
  if (!ended) await drain();
  if (fault !== null) return [3, String(fault?.message ?? fault), parts];
  return [1, "", parts];
}

/**
 * Ends a read that waits too long for the provider, or a write for a client that does not read. One timer for a whole stream:
 * one for each read and each write costs as much as they do.
 */
function watchdog(stream, writer, idleMs, deadline, goesOn) {
  const watch = { over: false, writing: false, since: Date.now(), look, stop: () => clearTimeout(timer) };
  let timer;
  function look() {
    clearTimeout(timer);
    const now = Date.now();
    const due = watch.writing ? deadline : Math.min(deadline, watch.since + idleMs);
    if (now < due && goesOn()) {
      timer = setTimeout(look, Math.min(due - now, idleMs, LOOK_MS_MAX));
      return;
    }
    watch.over = now >= due;
    if (watch.writing) writer.abort(TIMED_OUT).catch(() => {});
    else stream.reader.cancel().catch(() => {});
  }
  look();
  return watch;
}

// Every read goes through Rust, which gives back what may pass.
async function passFiltered(request, id, pipe, first, idleMs, deadline) {
  const { stream, recording } = request;
  const writer = (stream.writer = pipe.writable.getWriter());
  // When the client was found to have left, though others may still want the answer.
  const away = { gone: false, left: 0 };
  writer.closed.catch(() => { away.gone = true; });
  const goesOn = () => away.left === 0 || recording.goesOn(away.left);
  const watch = watchdog(stream, writer, idleMs, deadline, goesOn);
  try {
    return [...(await pass(request, id, writer, first, watch, away, goesOn)), []];
  } finally {
    watch.stop();
  }
}

async function pass({ stream, born, recording }, id, writer, first, watch, away, goesOn) {
  for (let passed = first; ; ) {
    if (passed.length > 0) {
      recording?.push(passed);
      if (away.left === 0) {
        watch.writing = true;
        try {
          await writer.write(passed);
        } catch {
          // A client that does not read keeps neither the provider's connection nor the hold for ever.
          if (watch.over) return [2, ""];
          if (recording === null) return [1, ""];
          away.left = Date.now();
        }
        watch.writing = false;
      }
    }
    // A write that was let through in the very moment it was broken off: nobody watches any more.
    if (watch.over) return [2, ""];
    if (!goesOn()) return [1, ""];
    if (stream.isCut) return [3, "more than is read of a stream"];
    watch.since = Date.now();
    if (away.left > 0) watch.look();
    let bytes;
    try {
      bytes = await (stream.pending ?? readView(stream));
    } catch (error) {
      return watch.over ? [2, ""] : [3, String(error?.message ?? error)];
    }
    if (watch.over) return [2, ""];
    if (!goesOn()) return [1, ""];
    if (bytes === null) return [away.gone && recording === null ? 1 : 0, ""];
    // After a wasm reset the rest goes by unfiltered rather than not at all.
    passed = (born === epoch && !broken ? enter(() => core.filter(id, bytes)) : undefined) ?? bytes.slice();
  }
}

/** Sends the last bytes of a relayed stream and closes it. */
export function end_stream(id, tail) {
  const { ctx, stream, recording } = requests.get(id);
  if (recording !== null) {
    recording.push(new TextEncoder().encode(tail));
    recording.finish("keep");
  }
  ctx.waitUntil(closeStream(stream, tail));
}

async function closeStream(stream, tail) {
  try {
    const writer = stream.writer ?? stream.writable.getWriter();
    if (tail !== "") await writer.write(new TextEncoder().encode(tail));
    await writer.close();
  } catch {
    // The client is gone.
  }
}

/** The task of this request is over. */
export function done(id) {
  const request = requests.get(id);
  // An answer that was not ended by now will not be.
  request?.recording?.finish("drop");
  request?.finish?.();
  requests.delete(id);
}

export function kv_get(id, op, name) {
  const { env, born } = requests.get(id);
  env.KV.get(name, { type: "text", cacheTtl: 30 }).then(
    (value) => resume(id, born, op, value === null ? 1 : 0, value ?? "", EMPTY),
    (error) => resume(id, born, op, -1, String(error?.message ?? error), EMPTY),
  );
}

export function kv_put(id, op, name, value) {
  const { env, born } = requests.get(id);
  env.KV.put(name, value).then(
    () => resume(id, born, op, 0, "", EMPTY),
    (error) => resume(id, born, op, -1, String(error?.message ?? error), EMPTY),
  );
}

/** `statements` is JSON: [[sql, [parameters…]], …]. One alone gives its rows; several are one transaction. */
export function sql(id, op, name, statements) {
  const { env, born } = requests.get(id);
  (async () => {
    const db = database(env, name);
    const prepared = JSON.parse(statements).map(([text, values]) => db.prepare(text).bind(...values));
    if (prepared.length === 1) return (await prepared[0].all()).results;
    await db.batch(prepared);
    return [];
  })().then(
    (rows) => resume(id, born, op, 0, JSON.stringify(rows), EMPTY),
    (error) => resume(id, born, op, -1, String(error?.message ?? error), EMPTY),
  );
}
