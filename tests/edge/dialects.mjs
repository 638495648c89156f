// What the ledger must say of the calls that a client of any dialect made to the fakes.
import assert from "node:assert/strict";
import { costOf, USAGE } from "./fakes.mjs";

/** By the status that the client saw: the outcome of its attempt. */
const OUTCOMES = { 200: "ok", 400: "refused_by_provider", 429: "rate_limited", 502: "upstream_error" };

/** One row for each call, and none besides. `claims` have the model asked and its calls: [{id, status}]. */
export async function assertRows(gw, tenant, claims) {
  const rows = new Map((await gw.settledRows(tenant.customer)).map((row) => [row.request_id, row]));
  const expected = [], found = [];
  for (const { name, model, calls } of claims) {
    if (!model) continue;
    const provider = model.split("/")[0];
    for (const { id, status } of calls) {
      const ok = status === 200;
      const row = rows.get(id);
      rows.delete(id);
      expected.push({ name, attempt: 1, outcome: OUTCOMES[status], provider, model: model.slice(provider.length + 1), input: ok ? USAGE.prompt_tokens : 0, output: ok ? USAGE.completion_tokens : 0, estimated: 0, cost: ok ? costOf(provider) : 0 });
      found.push({ name, attempt: row?.attempt, outcome: row?.outcome, provider: row?.provider, model: row?.model, input: row?.input_tokens, output: row?.output_tokens, estimated: row?.usage_estimated, cost: row?.cost_nanousd });
    }
  }
  assert.ok(expected.length >= claims.length);
  assert.deepEqual(found, expected);
  assert.deepEqual([...rows.values()].filter((row) => row.outcome !== "refused"), [], "rows of no call");
}
