// What the runtime calls: the fetch and cron handlers and the Durable Object classes. No decision is made here.
import { DurableObject } from "cloudflare:workers";
import module from "../../build/pkg/edgehold_bg.wasm";
import * as core from "../../build/pkg/edgehold.js";
import { attach, current, scheduled, serve } from "./glue.js";
import { Ledger } from "./object.js";
import { Answer } from "./record.js";

core.initSync({ module });
attach(core);

// A plain object: a class behind a proxy, as generated shims have it, costs every request about twenty microseconds.
export default { fetch: serve, scheduled };

/** One customer's limits, holds and outbox. */
export class CustomerLedger extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.ledger = new Ledger(ctx, env, current);
  }

  /** @param {string} command JSON @returns {Promise<string>} JSON, once what it says is durable */
  apply(command) {
    return this.ledger.enqueue(command);
  }

  /** @param {string[]} commands @returns {Promise<string[]>} */
  applyAll(commands) {
    return Promise.all(commands.map((command) => this.ledger.enqueue(command)));
  }

  alarm() {
    return this.ledger.alarm();
  }
}

/** The answer to the request of one idempotency key, as it comes and after. */
export class AnswerRecord extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.answer = new Answer(ctx, current);
  }

  /** @param {string} claim JSON @returns {Promise<{reply: string, head?: string, of?: string, state?: string, bytes?: Uint8Array}>} */
  claim(claim) {
    return this.answer.claim(claim);
  }

  /** @param {string} message JSON @param {Uint8Array} bytes @returns {string} JSON */
  put(message, bytes) {
    return this.answer.put(message, bytes);
  }

  /** @param {string} of @param {number} from @returns {Promise<{of: string, state: string, bytes: Uint8Array}>} */
  read(of, from) {
    return this.answer.read(of, from);
  }

  alarm() {
    return this.answer.alarm();
  }
}
