// The gateway with counters at its boundaries. GET /__counts answers them.
import { counted, counts } from "./tally.js";
import gateway, { CustomerLedger as Ledger } from "./index.js";

export { AnswerRecord } from "./index.js";

const cursors = [];
counted(Ledger.prototype, Object.getOwnPropertyNames(Ledger.prototype).filter((name) => !["constructor", "alarm"].includes(name)), "objectCalls");
counted(Ledger.prototype, ["alarm"], "alarms");

let seen = false;
/** Prototypes of bindings and storage are shared by all their instances: the first one to be met leads to them. */
function watch(storage, env) {
  if (seen) return;
  seen = true;
  const sql = Object.getPrototypeOf(storage.sql);
  const { exec } = sql;
  sql.exec = function (...args) {
    const cursor = exec.apply(this, args);
    cursors.push(cursor);
    return cursor;
  };
  // An alarm that is set is a row that is written: https://developers.cloudflare.com/durable-objects/platform/pricing/, read 2026-11-21.
  counted(Object.getPrototypeOf(storage), ["setAlarm", "put", "delete"], "rowsWritten");
  counted(Object.getPrototypeOf(env.KV), ["get", "getWithMetadata", "put", "list", "delete"], "kv");
  counted(Object.getPrototypeOf(env.DB), ["batch", "exec"], "d1");
  counted(Object.getPrototypeOf(env.DB.prepare("SELECT 1")), ["run", "all", "first", "raw"], "d1");
}

export class CustomerLedger extends Ledger {
  constructor(ctx, env) {
    watch(ctx.storage, env);
    super(ctx, env);
  }
}

export default {
  ...gateway,
  fetch(request, env, ctx) {
    if (!request.url.endsWith("/__counts")) return gateway.fetch(request, env, ctx);
    for (const cursor of cursors.splice(0)) counts.rowsWritten += cursor.rowsWritten;
    return Response.json(counts);
  },
};
