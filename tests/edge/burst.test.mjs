// The proof of scripts/burst.mjs in small: many requests at once, four isolates, one budget, and the provider's own bill.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { audit } from "../../scripts/proof/books.mjs";
import { burst } from "../../scripts/proof/burst.mjs";
import { isolateFaults, startEdgehold } from "../../scripts/proof/edgehold.mjs";
import { startProvider } from "../../scripts/proof/provider.mjs";
import { makeJobs } from "../../scripts/proof/traffic.mjs";

const seed = Number(process.env.PROOF_SEED ?? Date.now() % 1_000_000);
const limit_nanousd = 150_000_000;

describe(`160 requests at once over four isolates (PROOF_SEED=${seed})`, { concurrency: 1 }, () => {
  let provider, target, run, books, result;
  before(async () => {
    provider = await startProvider(makeJobs(seed, 160));
    target = await startEdgehold({ provider, isolates: 4, limit_nanousd });
    run = await burst({ target, provider, seed });
    books = await target.books();
    result = audit({ ...books, calls: provider.calls, limit_nanousd, billed_nanousd: provider.billed_nanousd, answers: [...run.answers, ...run.tail] });
  });
  after(async () => { await target?.stop(); await provider?.stop(); });

  it("the four are isolates of their own, before one object", async () => {
    const isolates = await target.gateway.isolates();
    assert.equal(isolates.length, 4);
    assert.deepEqual(isolateFaults(isolates), []);
    assert.equal(isolates[0].objects, 1);
  });

  it("some were served, some refused for want of money, none otherwise than it should be", () => {
    const refused = run.answers.filter((answer) => answer.status === 402);
    assert.ok(refused.length >= 20, `${refused.length} refusals`);
    assert.ok(run.answers.filter((answer) => answer.ended === "whole").length >= 10);
    assert.ok(refused.every((answer) => answer.code === "insufficient_budget"));
    const others = run.answers.filter((answer) => ![0, 200, 402, 429, 502].includes(answer.status));
    assert.deepEqual(others, []);
    // Without an answer are only those who left before one.
    assert.deepEqual(run.answers.filter((answer) => answer.status === 0 && answer.ended !== "left"), []);
  });

  it("nothing is overspent, not for a moment, and little is left over", () => {
    const taken = run.samples.map((sample) => sample.spent_nanousd + sample.held_nanousd);
    assert.ok(taken.length > 3, "nobody looked");
    assert.ok(Math.max(...taken) <= limit_nanousd, `spent and held were ${Math.max(...taken)}`);
    assert.equal(result.overspend_nanousd.booked, 0);
    assert.equal(result.overspend_nanousd.billed, 0);
    assert.ok(result.cost_nanousd > 0.97 * limit_nanousd, `only ${result.cost_nanousd} could be spent`);
  });

  it("every call of the provider has one row, at its price to the nano-dollar", () => {
    assert.deepEqual(result.faults, []);
    assert.deepEqual(provider.strangers, []);
    assert.ok(result.tally.exact > 20);
  });

  it("the audit would have seen it", () => {
    const only = (row) => books.rows.filter((other) => other.request_id === row.request_id).length === 1;
    const paid = books.rows.findIndex((row) => row.cost_nanousd > 0 && !row.usage_estimated && only(row));
    const changed = (change) => {
      const copy = { rows: books.rows.map((row) => ({ ...row })), spent_nanousd: books.spent_nanousd };
      change(copy);
      return audit({ ...copy, calls: provider.calls, limit_nanousd, billed_nanousd: provider.billed_nanousd }).faults.join("\n");
    };
    assert.match(changed((copy) => copy.rows.splice(paid, 1)), /no row|calls, \d+ rows/);
    assert.match(changed((copy) => copy.rows.push({ ...copy.rows[paid] })), /twice/);
    assert.match(changed((copy) => { copy.rows[paid].cost_nanousd -= 1; }), /the provider billed/);
    assert.match(changed((copy) => { copy.rows[paid].cost_nanousd = 2 * limit_nanousd; }), /OVERSPENT by \$.* by the ledger/);
    assert.match(changed((copy) => { copy.spent_nanousd += 1; }), /the object has spent/);
    // A lease that was never returned covers requests without a row, as far as its own cost goes.
    const leased = (short) => changed((copy) => {
      const [row] = copy.rows.splice(paid, 1);
      copy.rows.push({ ...row, request_id: "lease", metadata: null, upstream_id: null, outcome: "unsettled", cost_nanousd: row.cost_nanousd + 5 });
      copy.rows.push({ ...row, request_id: "lease", attempt: 1_001, metadata: null, upstream_id: null, outcome: "adjustment", cost_nanousd: -5 - short });
    });
    assert.doesNotMatch(leased(0), /row|twice|lease/);
    assert.match(leased(1), /more than all unsettled leases cost/);
    assert.match(audit({ ...books, calls: provider.calls, limit_nanousd, billed_nanousd: limit_nanousd + 5 }).faults.join("\n"), /OVERSPENT by \$0\.000000005, by the provider's bill/);
  });

  it("left no panic behind", () => assert.deepEqual(target.gateway.panics(), []));
});
