// What the runtime calls: the fetch and cron handlers and the Durable Object class. No decision is made here.
import { DurableObject } from "cloudflare:workers";
import module from "../../build/pkg/edgehold_bg.wasm";
import * as core from "../../build/pkg/edgehold.js";
import { attach, current, scheduled, serve } from "./glue.js";
import { Ledger } from "./object.js";

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
