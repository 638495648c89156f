// Load without a pause, and kill -9 of workerd at random moments; it is started again on the same disk each time.
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "./books.mjs";
import { SHORT_TIMEOUTS, startEdgehold } from "./edgehold.mjs";
import { startProvider } from "./provider.mjs";
import { makeJob, quiet, random, runJob } from "./traffic.mjs";

/**
 * @param {{seed: number, kills: number, clients?: number, limit_nanousd: number, between_ms?: [number, number], mixed?: boolean, onKill?: (n: number) => void}} options
 * @returns what the audit says, with what the clients saw
 */
export async function killRun({ seed, kills, clients = 32, limit_nanousd, between_ms = [200, 1_500], mixed = true, onKill = () => {} }) {
  const provider = await startProvider(new Map());
  const target = await startEdgehold({ provider, isolates: 2, limit_nanousd, graceMs: 1_000, timeouts: SHORT_TIMEOUTS, mixed });
  try {
    const moments = random(seed + 1);
    const next = random(seed);
    const answers = [];
    let going = true;
    let made = 0;
    const client = async () => {
      while (going) {
        const n = made++;
        const job = makeJob(next, `${seed}-${n}`, { mixed });
        provider.jobs.set(job.id, job);
        const answer = await runJob(job, target.place(job, n));
        answers.push(answer);
        // Nobody listens, or nothing is left: no use in asking as fast as possible.
        if (answer.status === 0 || answer.status === 402) await sleep(100);
      }
    };
    const crowd = Array.from({ length: clients }, client);
    const open = [];
    for (let n = 1; n <= kills; n += 1) {
      await sleep(between_ms[0] + moments() * (between_ms[1] - between_ms[0]));
      open.push(provider.underWay);
      await target.gateway.kill();
      await target.gateway.start();
      onKill(n);
    }
    await sleep(between_ms[1]);
    going = false;
    await Promise.all(crowd);
    await quiet(provider);
    const books = await target.books();
    const result = audit({ ...books, calls: provider.calls, limit_nanousd, billed_nanousd: provider.billed_nanousd, answers });
    // What was served before the last kill, or was lost in it, must not hide a panic.
    const faults = [...result.faults, ...target.gateway.panics()];
    if (provider.strangers.length) faults.push(`${provider.strangers.length} calls named no job`);
    return { ...result, faults, books, answers, calls: provider.calls, billed_nanousd: provider.billed_nanousd, open };
  } finally {
    await target.stop();
    await provider.stop();
  }
}
