// One burst: all jobs at once against a target with one budget, then small requests until nothing fits any more.
import { setTimeout as sleep } from "node:timers/promises";
import { makeJob, quiet, random, runJob } from "./traffic.mjs";

/**
 * @param {object} target  `place(job, n)`, `standing()`
 * @returns what clients were told in the burst and after it, the highest of spent and held together, and times
 */
export async function burst({ target, provider, seed }) {
  const samples = [];
  let going = true;
  const watch = (async () => {
    while (going) {
      const standing = await target.standing().catch(() => null);
      if (standing) samples.push({ ...standing, billed_nanousd: provider.billed_nanousd });
      await sleep(50);
    }
  })();
  const began = Date.now();
  const answers = await Promise.all([...provider.jobs.values()].map((job, n) => runJob(job, target.place(job, n))));
  const took_ms = Date.now() - began;
  await quiet(provider);
  const burst_nanousd = provider.billed_nanousd;
  const burst_calls = provider.calls.length;
  const tail = await exhaust({ target, provider, seed });
  await quiet(provider);
  going = false;
  await watch;
  return { answers, tail, took_ms, burst_nanousd, burst_calls, samples };
}

/** Asks one request after another, each smaller than the last refused one, until the smallest is refused as well. */
async function exhaust({ target, provider, seed }) {
  const next = random(seed + 1);
  const answers = [];
  let n = 0;
  for (let max_tokens = 2_048; max_tokens >= 1;) {
    const id = `${seed}-tail-${n}`;
    const job = { ...makeJob(next, id, { calm: true, pace_ms: 0 }), stream: false, prompt: "more", max_tokens, wanted_tokens: max_tokens + 1, think_ms: 0, trouble: [] };
    provider.jobs.set(id, job);
    const answer = await runJob(job, target.place(job, n));
    answers.push(answer);
    n += 1;
    if (answer.ended !== "whole") max_tokens = Math.floor(max_tokens / 2);
    // A target that never says no is not asked for ever.
    if (n >= 300) break;
  }
  return answers;
}
