// Two versions of the Worker side by side on one disk, as in a deploy: started by scripts/versions.sh, which builds the old.
//   --old DIR: a checkout of the older version, built · --name: its commit · --record DIR: only record what it says
//   --mixed: clients and providers of several formats, where the older version knows them as well
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { BUILD } from "../tests/edge/rig.mjs";
import { audit, counts, table, usd } from "./proof/books.mjs";
import { SHORT_TIMEOUTS, startEdgehold } from "./proof/edgehold.mjs";
import { startProvider } from "./proof/provider.mjs";
import { record } from "./proof/record.mjs";
import { makeJob, quiet, random, runJob } from "./proof/traffic.mjs";

const { values } = parseArgs({
  options: {
    old: { type: "string" }, name: { type: "string" }, record: { type: "string" },
    clients: { type: "string", default: "16" }, seconds: { type: "string", default: "4" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    mixed: { type: "boolean", default: false },
  },
});
const version = {
  old: { build: path.join(values.old, "build"), migrations: path.join(values.old, "migrations") },
  new: { build: BUILD, migrations: path.resolve(import.meta.dirname, "../migrations") },
};
if (values.record) {
  await record({ ...version.old, dir: path.resolve(values.record), name: values.name });
  process.exit(0);
}

// Each stage: the version of the objects (and of the first Worker), and that of the second Worker, which calls them.
const STAGES = [
  ["old", "old"], ["old", "new"], ["new", "old"], ["new", "new"],
  // A rollback: what the new version has stored is the old one's again, and then the new one's.
  ["old", "new"], ["new", "new"],
];
const seed = Number(values.seed);
const limit_nanousd = 5_000_000_000;
console.log(`versions: old is ${values.name}, new is this build; ${values.clients} clients, seed ${seed}`);
const provider = await startProvider(new Map());
const target = await startEdgehold({ provider, isolates: 2, limit_nanousd, graceMs: 1_000, timeouts: SHORT_TIMEOUTS, mixed: values.mixed, options: { build: [version.old.build, version.old.build], migrations: version.old.migrations } });
const next = random(seed);
const answers = [];
const lines = [];
const faults = [];
let made = 0;
let going = true;
let stage = 0;
const client = async () => {
  while (going) {
    const n = made++;
    const job = makeJob(next, `${seed}-${n}`, { mixed: values.mixed });
    provider.jobs.set(job.id, job);
    const answer = await runJob(job, target.place(job, n));
    answers.push({ ...answer, stage, isolate: n % 2 });
    if (answer.status === 0 || answer.status === 402) await sleep(100);
  }
};
try {
  const crowd = Array.from({ length: Number(values.clients) }, client);
  for (const [objects, worker] of STAGES) {
    if (stage > 0) {
      // The rudest deploy: whatever is under way dies.
      await target.gateway.kill();
      Object.assign(target.gateway.options, { build: [version[objects].build, version[worker].build], migrations: version.new.migrations });
      await target.gateway.start();
    }
    stage += 1;
    const seen = answers.length;
    await sleep(Number(values.seconds) * 1_000);
    for (const isolate of [0, 1]) {
      const own = answers.slice(seen).filter((a) => a.isolate === isolate && a.status !== 0);
      const odd = own.filter((a) => ![200, 402, 429, 502].includes(a.status));
      const from = isolate === 0 ? objects : worker;
      lines.push([`${stage}. ${from} Worker, ${objects} object`, counts(own, (a) => `${a.status}${a.code ? ` ${a.code}` : ""}`).map(([what, n]) => `${what} × ${n}`).join(", ")]);
      if (own.filter((a) => a.ended === "whole").length === 0) faults.push(`stage ${stage}: nothing was served by the ${from} Worker with the ${objects} object`);
      for (const a of odd) faults.push(`stage ${stage}, ${from} Worker, ${objects} object: ${a.status} ${a.code} ${a.message}`);
    }
    // The admin's commands cross versions as well.
    const unblocked = await target.gateway.admin("PATCH", `/keys/${target.tenant.key.id}`, { blocked: false });
    if (unblocked.blocked) faults.push(`stage ${stage}: the key cannot be changed`);
  }
  going = false;
  await Promise.all(crowd);
  await quiet(provider);
  const books = await target.books();
  const result = audit({ ...books, calls: provider.calls, limit_nanousd, billed_nanousd: provider.billed_nanousd, answers });
  faults.push(...result.faults, ...target.gateway.panics());
  lines.push(
    ["calls and rows", `${provider.calls.length} calls: ${result.tally.own} with a row of their own, ${result.tally.by_unsettled} under an unsettled request, ${result.tally.by_lease} under an unsettled lease`],
    ["bill ≤ ledger = object", `$${usd(provider.billed_nanousd)} ≤ $${usd(result.cost_nanousd)} = $${usd(books.spent_nanousd)}`],
  );
  table(lines);
  for (const fault of faults.slice(0, 40)) console.log(`FAULT: ${fault}`);
  console.log(faults.length ? `versions: ${faults.length} FAULTS (seed ${seed})` : "versions: they understand one another");
  process.exitCode = faults.length ? 1 : 0;
} finally {
  going = false;
  await target.stop();
  await provider.stop();
}
