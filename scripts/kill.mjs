// Is anything lost when the process dies? kill -9 of workerd again and again under load; then every call the provider saw
// must be in the ledger once, and the sums must agree. Exit status 1 if not. docs/proof.md says how to read it.
//
//   node scripts/kill.mjs [--kills 50] [--clients 32] [--budget USD] [--seed N] [--chat]
// --chat: clients and providers of OpenAI's chat alone, instead of several formats.
import { parseArgs } from "node:util";
import { counts, table, usd } from "./proof/books.mjs";
import { killRun } from "./proof/kill.mjs";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    clients: { type: "string", default: "32" },
    budget: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    chat: { type: "boolean", default: false },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed);
// By default a budget that is used up before the end: dead requests must not open it again.
const limit_nanousd = Math.round(Number(values.budget ?? kills * 0.25) * 1e9);

console.log(`kill: ${kills} kills, ${values.clients} clients, budget $${usd(limit_nanousd)}, seed ${seed}`);
const began = Date.now();
const run = await killRun({ seed, kills, clients: Number(values.clients), limit_nanousd, mixed: !values.chat, onKill: (n) => { if (n % 10 === 0) console.log(`  … ${n} kills`); } });
const t = run.tally;
table([
  ["time", `${((Date.now() - began) / 1_000).toFixed(0)} s`],
  ["what clients saw", counts(run.answers, (a) => (a.status === 0 ? `no answer (${a.ended})` : `${a.status}${a.code ? ` ${a.code}` : ""}${a.status === 200 ? ` (${a.ended})` : ""}`)).map(([what, n]) => `${what} × ${n}`).join(", ")],
  ["calls under way at a kill", `${(run.open.reduce((a, b) => a + b, 0) / run.open.length).toFixed(1)} on average, ${Math.max(...run.open)} at most`],
  ["calls and rows", `${run.calls.length} calls: ${t.own} with a row of their own, ${t.by_unsettled} under an unsettled request, ${t.by_lease} under an unsettled lease`],
  ["formats", counts(run.books.rows.filter((row) => row.outcome === "ok"), (row) => row.provider.replace(/^(first|second)/, "") || "-chat").map(([what, n]) => `${what.slice(1)} × ${n}`).join(", ")],
  ["rows", counts(run.books.rows, (row) => row.outcome).map(([what, n]) => `${what} × ${n}`).join(", ")],
  ["costs", `${t.exact} rows equal the bill to the nano-dollar; ${t.estimated} estimated at $${usd(t.estimated_cost)} (billed $${usd(t.estimated_truth)}); unsettled charged $${usd(t.unsettled_cost)} (billed $${usd(t.unsettled_truth)})`],
  ["provider's bill", `$${usd(run.billed_nanousd)}`],
  ["ledger rows", `$${usd(run.cost_nanousd)}`],
  ["object", `$${usd(run.books.spent_nanousd)}`],
  ["limit", `$${usd(limit_nanousd)}`],
]);
if (run.billed_nanousd > run.cost_nanousd) run.faults.push("the provider billed more than the ledger has");
for (const fault of run.faults.slice(0, 40)) console.log(`FAULT: ${fault}`);
console.log(run.faults.length ? `kill: ${run.faults.length} FAULTS (seed ${seed})` : "kill: nothing lost, nothing twice");
process.exitCode = run.faults.length ? 1 : 0;
