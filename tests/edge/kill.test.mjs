// The proof of scripts/kill.mjs in small: kill -9 under load, the same disk again, and then the books.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { killRun } from "../../scripts/proof/kill.mjs";

const seed = Number(process.env.PROOF_SEED ?? Date.now() % 1_000_000);
const limit_nanousd = 1_000_000_000;

describe(`three kills under load (PROOF_SEED=${seed})`, { concurrency: 1, timeout: 120_000 }, () => {
  let run;
  before(async () => { run = await killRun({ seed, kills: 3, clients: 16, limit_nanousd, between_ms: [300, 900] }); }, { timeout: 120_000 });

  it("struck requests under way", () => {
    assert.ok(run.open.some((open) => open > 0), `calls under way at the kills: ${run.open}`);
    assert.ok(run.books.rows.some((row) => row.outcome === "unsettled"), "no request died");
    assert.ok(run.answers.some((answer) => answer.ended === "whole"), "nothing was served");
  });

  it("every call of the provider is covered by exactly one row, none is there twice, and the sums agree", () => {
    assert.deepEqual(run.faults, []);
    const { own, by_unsettled, by_lease } = run.tally;
    assert.equal(own + by_unsettled + by_lease, run.calls.length);
  });

  it("bill ≤ ledger ≤ limit", () => {
    assert.ok(run.billed_nanousd <= run.cost_nanousd, `${run.billed_nanousd} billed, ${run.cost_nanousd} in the ledger`);
    assert.ok(run.cost_nanousd <= limit_nanousd);
  });
});
