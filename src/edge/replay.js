// The Worker's two sides of an idempotency key: an owner tells its answer to the record as it gives it, and whoever comes
// with the same key is answered from there.
import { answersOf, callObject, concat, requests, resumeOf, TIMED_OUT, within } from "./glue.js";

const EMPTY = new Uint8Array(0);
/** A client that reads nothing for this long is taken to be gone. */
const WRITE_MS = 300_000;
/** Between two messages while nobody reads along; after thirty of them, a beat. */
const ALONE_MS = 1_000;
const ALONE_TIMES = 30;
/** While somebody does: [messages so far, pause]. Half an hour stays well under the 10,000 calls a request may make. */
const READ_ALONG = [[200, 20], [2_200, 100], [Infinity, 500]];

/** An answer on its way into the record. One message at a time; what comes meanwhile goes with the next. */
export class Recording {
  constructor(env, name, token, beatMs, bytesMax, aloneMs, readMs) {
    Object.assign(this, { env, name, token, beatMs, bytesMax, aloneMs, readMs });
    this.head = undefined;
    this.parts = [];
    this.size = 0;
    this.have = 0;
    this.end = undefined;
    this.over = false;
    this.wanted = false;
    this.left = false;
    this.changed = () => {};
    this.ended = new Promise((resolve) => { this.ending = resolve; });
  }

  /** Status and headers. */
  begin(status, headers) {
    this.head ??= [status, ...[...headers].flat()].join("\n");
    this.changed();
  }

  /** Bytes as the client gets them. */
  push(bytes) {
    if (this.over || this.end !== undefined || bytes.length === 0) return;
    this.size += bytes.length;
    if (this.size > this.bytesMax) return this.finish("drop");
    this.parts.push(bytes);
    this.changed();
  }

  /** "keep", "share" or "drop"; the first counts. */
  finish(end) {
    this.end ??= end;
    this.changed();
    this.ending();
  }

  /** Whether the call is worth going on with, though its own client left at `since`. */
  goesOn(since) {
    this.left = true;
    const gone = Date.now() - since;
    return !this.over && this.end === undefined && gone < (this.wanted ? this.readMs : this.aloneMs);
  }

  // What the record does not have yet.
  rest() {
    const parts = [];
    let at = this.parts.reduce((sum, part) => sum + part.length, 0);
    for (let i = this.parts.length - 1; i >= 0 && at > this.have; i--) {
      at -= this.parts[i].length;
      parts.unshift(at < this.have ? this.parts[i].subarray(this.have - at) : this.parts[i]);
    }
    return parts.length === 0 ? EMPTY : concat(parts);
  }

  pause(told) {
    if (this.wanted) return READ_ALONG.find(([times]) => told < times)[1];
    // Whether somebody does is needed now.
    if (this.left) return ALONE_MS / 2;
    return told < ALONE_TIMES ? Math.min(ALONE_MS, this.beatMs) : this.beatMs;
  }

  /** Tells until everything is told, and at least every `beatMs`: silence means that this isolate died. */
  async run() {
    try {
      for (let told = 0; !this.over; told++) {
        const change = new Promise((resolve) => { this.changed = resolve; });
        if (this.have === this.size && this.end === undefined) await within(change, this.beatMs);
        const bytes = this.head === undefined ? EMPTY : this.rest();
        const { have: from, end } = this;
        const message = JSON.stringify({ token: this.token, from, head: from === 0 ? this.head : undefined, end });
        const reply = JSON.parse(await callObject(3, () => answersOf(this.env, this.name).put(message, bytes)));
        if (reply.have === undefined) break;
        this.have = reply.have.bytes;
        this.wanted = reply.have.wanted;
        if (end === undefined) await within(this.ended, this.pause(told));
        else if (this.have === from + bytes.length) break;
      }
    } catch (error) {
      console.error("edgehold: an answer could not be recorded; its idempotency key is free when the lease is over:", String(error?.message ?? error));
    }
    this.over = true;
    this.parts = [];
  }
}

/** Asks the record whose the call is; what it has of an answer stays here until `replay`. */
export function claim(id, op, name, text) {
  const request = requests.get(id);
  const resume = resumeOf(id, op);
  callObject(3, () => answersOf(request.env, name).claim(text)).then(
    ({ reply, ...found }) => {
      request.found = { name, ...found };
      resume(0, reply);
    },
    (error) => resume(-1, String(error?.message ?? error)),
  );
}

export function record(id, ...told) {
  const request = requests.get(id);
  request.recording = new Recording(request.env, ...told);
  request.ctx.waitUntil(request.recording.run());
}

/** Answers with what the claim found, and what of it is still to come. */
export function replay(id, op, how, abandoned) {
  const request = requests.get(id);
  const resume = resumeOf(id, op);
  const { name, head, of, state, bytes } = request.found;
  request.found = null;
  const [status, ...lines] = head.split("\n");
  const headers = new Headers({ "x-edgehold-idempotent-replay": how });
  for (let i = 0; i + 1 < lines.length; i += 2) headers.set(lines[i], lines[i + 1]);
  const init = { status: Number(status), headers };
  const last = new TextEncoder().encode(abandoned);
  if (state !== "open" && state !== "wait") {
    request.resolve(new Response(state === "whole" ? bytes : concat([bytes, last]), init));
    // Rust is on the stack: it must not be entered again before it has returned.
    queueMicrotask(() => resume(0, ""));
    return;
  }
  const pipe = new IdentityTransformStream();
  request.relaying = true;
  request.resolve(new Response(pipe.readable, init));
  follow(request.env, name, of, bytes, last, pipe.writable.getWriter()).then(() => resume(0, ""), () => resume(0, ""));
}

async function follow(env, name, of, bytes, last, writer) {
  let from = 0;
  let state = "open";
  try {
    for (;;) {
      if (bytes.length > 0 && (await within(writer.write(bytes), WRITE_MS)) === TIMED_OUT) return void writer.abort(TIMED_OUT).catch(() => {});
      from += bytes.length;
      if (state === "whole") break;
      if (state === "lost") {
        await writer.write(last);
        break;
      }
      try {
        ({ state, bytes } = await callObject(3, () => answersOf(env, name).read(of, from)));
      } catch {
        ({ state, bytes } = { state: "lost", bytes: EMPTY });
      }
    }
    await writer.close();
  } catch {
    // This client is gone; the call is not its own.
  }
}
