// Does the budget hold? 500 requests at once, of one key with $0.50, against four isolates; then the provider's own books
// are compared with the ledger's. Exit status 1 on any overspend or mismatch. docs/proof.md says how to read it.
//
//   node scripts/burst.mjs [--requests 500] [--budget 0.5] [--isolates 4] [--seed N] [--calm] [--mixed] [--target edgehold|litellm]
// --calm: all clients stay to the end and no provider falls silent or breaks off, so that every usage is reported.
// --mixed: clients and providers of several formats, and vectors, instead of chat alone.
import { parseArgs } from "node:util";
import { burst } from "./proof/burst.mjs";
import { audit, counts, table, usd } from "./proof/books.mjs";
import { isolateFaults, startEdgehold } from "./proof/edgehold.mjs";
import { startProvider } from "./proof/provider.mjs";
import { makeJobs } from "./proof/traffic.mjs";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "500" },
    budget: { type: "string", default: "0.5" },
    isolates: { type: "string", default: "4" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    calm: { type: "boolean", default: false },
    mixed: { type: "boolean", default: false },
    target: { type: "string", default: "edgehold" },
    litellm: { type: "string", multiple: true, default: [] },
  },
});
const seed = Number(values.seed);
const limit_nanousd = Math.round(Number(values.budget) * 1e9);
const jobs = makeJobs(seed, Number(values.requests), { calm: values.calm, mixed: values.mixed });
const provider = await startProvider(jobs);
const start = {
  edgehold: () => startEdgehold({ provider, isolates: Number(values.isolates), limit_nanousd, mixed: values.mixed }),
  litellm: async () => (await import("./proof/litellm.mjs")).startLitellm({ provider, limit_nanousd, settings: values.litellm }),
}[values.target];
if (!start) throw new Error(`--target is '${values.target}'; it can be edgehold or litellm`);

console.log(`burst: ${jobs.size} requests at once${values.calm ? " (calm)" : ""}${values.mixed ? " (mixed)" : ""}, budget $${usd(limit_nanousd)}, seed ${seed}, target ${values.target}`);
const target = await start();
try {
  const run = await burst({ target, provider, seed });
  const told = (answer) => (answer.status === 0 ? `no answer (${answer.ended})` : `${answer.status}${answer.code ? ` ${answer.code}` : ""}${answer.ended === "refused" || answer.ended === "whole" ? "" : ` (${answer.ended})`}`);
  const percent = (nano) => `${((100 * nano) / limit_nanousd).toFixed(2)} %`;
  const lines = [
    ["answers in the burst", counts(run.answers, told).map(([what, n]) => `${what} × ${n}`).join(", ")],
    ["provider's calls in the burst", String(run.burst_calls)],
    ["time of the burst", `${(run.took_ms / 1_000).toFixed(1)} s`],
    ["true spend after the burst", `$${usd(run.burst_nanousd)} = ${percent(run.burst_nanousd)} of the budget`],
    ["true spend when nothing fits any more", `$${usd(provider.billed_nanousd)} = ${percent(provider.billed_nanousd)} (${run.tail.filter((a) => a.ended === "whole").length} small requests more)`],
    ["overspend, by the provider's books", `$${usd(Math.max(provider.billed_nanousd - limit_nanousd, 0))}`],
  ];
  let faults = [];
  if (target.name === "edgehold") {
    const books = await target.books();
    const result = audit({ ...books, calls: provider.calls, limit_nanousd, billed_nanousd: provider.billed_nanousd, answers: [...run.answers, ...run.tail] });
    const isolates = await target.gateway.isolates();
    faults = [...result.faults, ...isolateFaults(isolates), ...target.gateway.panics()];
    const taken = run.samples.map((s) => s.spent_nanousd + s.held_nanousd);
    const peak = Math.max(...taken);
    if (peak > limit_nanousd) faults.push(`spent and held together were $${usd(peak)} at one time`);
    const held = run.answers.filter((a) => a.held_nanousd);
    const bound = held.reduce((total, a) => total + a.held_nanousd, 0);
    const truth = new Map();
    for (const call of provider.calls) truth.set(call.job, (truth.get(call.job) ?? 0) + call.billed_nanousd);
    const t = result.tally;
    lines.push(
      ["overspend, by the ledger", `$${usd(Math.max(result.cost_nanousd - limit_nanousd, 0))}`],
      ["ledger", `$${usd(result.cost_nanousd)} in ${books.rows.length} rows; the object says $${usd(books.spent_nanousd)}`],
      ["calls and rows", `${provider.calls.length} calls: ${t.own} with a row of their own, ${t.by_unsettled} under an unsettled request, ${t.by_lease} under an unsettled lease`],
      ["costs", `${t.exact} rows equal the bill to the nano-dollar; ${t.estimated} estimated at $${usd(t.estimated_cost)} (billed $${usd(t.estimated_truth)}); unsettled charged $${usd(t.unsettled_cost)} (billed $${usd(t.unsettled_truth)})`],
      ["highest spent + held", `$${usd(peak)} = ${percent(peak)}, in ${taken.length} looks`],
      ["held ÷ billed, of admitted requests", (bound / held.reduce((total, a) => total + (truth.get(a.job) ?? 0), 0)).toFixed(2)],
      ["isolates", isolates.map((i) => `${i.id.slice(0, 8)} served ${i.served}, objects ${i.objects}`).join("; ")],
    );
  } else {
    lines.push(...(await target.report(run)));
  }
  if (provider.strangers.length) (target.name === "edgehold" ? faults : lines).push(target.name === "edgehold" ? `${provider.strangers.length} calls named no job` : ["calls that named no job", `${provider.strangers.length}, e.g. ${provider.strangers[0]}`]);
  table(lines);
  for (const fault of faults.slice(0, 40)) console.log(`FAULT: ${fault}`);
  if (target.name === "edgehold") console.log(faults.length ? `burst: ${faults.length} FAULTS (seed ${seed})` : "burst: the books agree");
  if (faults.length || provider.billed_nanousd > limit_nanousd) process.exitCode = 1;
} finally {
  await target.stop();
  await provider.stop();
}
