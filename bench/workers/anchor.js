// What the platform itself costs: the gateway's path with its steps left out, in plain JS. One step more per MODE.
import { DurableObject } from "cloudflare:workers";

const dec = new TextDecoder();
let remembered = null;

/** Reads the request, looks into it, sends it on with another credential. */
async function parse(request, env) {
  const body = await request.text();
  if (!JSON.parse(body).model) return new Response("no model", { status: 400 });
  return fetch(env.UPSTREAM, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer sk-upstream" },
    body,
  });
}

const modes = {
  /** The floor: nothing is read. */
  pass: (request, env) => fetch(env.UPSTREAM, request),
  parse,
  /** parse, and every answer's usage is known at its end, or what had arrived when the client left. */
  async meter(request, env, ctx) {
    const response = await parse(request, env);
    if (!response.headers.get("content-type").startsWith("text/event-stream")) {
      const body = await response.arrayBuffer();
      usage([new Uint8Array(body)]);
      return new Response(body, response);
    }
    const [toClient, toMeter] = response.body.tee();
    const pipe = new IdentityTransformStream();
    ctx.waitUntil(observe(toClient, toMeter.getReader({ mode: "byob" }), pipe.writable, 1000).then(usage));
    return new Response(pipe.readable, response);
  },
  /** What the gateway does with the platform, in plain JS without its logic: two KV reads once, a row written before and after. */
  async state(request, env, ctx) {
    remembered ??= await Promise.all([env.KV.get("policy"), env.KV.get("key")]);
    const object = env.LEDGER.get(env.LEDGER.idFromName("customer"));
    const number = await object.hold(STORED);
    const response = await parse(request, env);
    const body = await response.arrayBuffer();
    usage([new Uint8Array(body)]);
    ctx.waitUntil(object.settle(number, STORED));
    return new Response(body, response);
  },
  /** parse, and JS sees every chunk of a stream: what the mechanism of `meter` avoids. */
  async loop(request, env, ctx) {
    const response = await parse(request, env);
    const pipe = new IdentityTransformStream();
    ctx.waitUntil((async () => {
      const reader = response.body.getReader(), writer = pipe.writable.getWriter(), seen = [];
      for (let x; !(x = await reader.read()).done; await writer.write(x.value)) seen.push(x.value.slice());
      usage(seen);
      await writer.close();
    })());
    return new Response(pipe.readable, response);
  },
};

/** As long as what the gateway stores. */
const STORED = "x".repeat(500);

export class Counter extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, settled INTEGER, body TEXT)");
    this.number = Date.now() * 1000;
  }
  hold(body) {
    this.sql.exec("INSERT INTO entry VALUES (?, 0, ?)", ++this.number, body);
    return this.number;
  }
  settle(number, body) {
    this.sql.exec("UPDATE entry SET settled = 1, body = ? WHERE number = ?", body, number);
  }
}

let tokens = 0;
function usage(parts) {
  const tail = parts.slice(-2).map((part) => dec.decode(part.subarray(-2048))).join("");
  tokens += Number(/"total_tokens":(\d+)/.exec(tail)?.[1] ?? 0);
}

const READ_BYTES = 65536;
/** See "Stream mechanism" in bench/README.md. */
async function observe(toClient, reader, writable, tickMs) {
  const parts = [];
  let buffer = new ArrayBuffer(READ_BYTES), pending = null, done = false, open = true, broken = false;
  const read = () => pending ??= reader.read(new Uint8Array(buffer)).then((x) => {
    pending = null;
    if (x.done) { done = true; return false; }
    parts.push(x.value.slice());
    buffer = x.value.buffer;
    return x.value.length === READ_BYTES;
  }, () => { pending = null; done = true; return false; });
  const drain = async () => { while (!done && await Promise.race([read(), scheduler.wait(1)])); };
  const pipe = toClient.pipeTo(writable).then(() => { open = false; }, () => { open = false; broken = true; });
  while (open && !done) {
    let timer;
    await Promise.race([pipe, new Promise((r) => { timer = setTimeout(r, tickMs); })]);
    clearTimeout(timer);
    if (open) await drain();
  }
  if (!broken) while (!done) await read();
  else { await drain(); await drain(); }
  if (!done) { await reader.cancel().catch(() => {}); await pending; }
  return parts;
}

export default { fetch: (request, env, ctx) => modes[env.MODE](request, env, ctx) };
