// The audit: the provider's books against the ledger's, call by call and in sum.

/** Nano-dollars as dollars with all nine decimals, without a float in between. */
export function usd(nano) {
  const whole = BigInt(nano);
  const digits = (whole < 0n ? -whole : whole).toString().padStart(10, "0");
  return `${whole < 0n ? "-" : ""}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/** Rows that are no attempt: corrections booked after the fact (attempt above 1000; their cost may be negative). */
const isAdjustment = (row) => row.outcome === "adjustment";
/** A row that stands for a request nobody settled, charged at its bound. It covers every call of its request. */
const isUnsettled = (row) => row.outcome === "unsettled";
const jobOf = (row) => (row.metadata ? JSON.parse(row.metadata).job : undefined);
const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);
const groupBy = (list, of) => {
  const groups = new Map();
  for (const item of list) groups.set(of(item), [...(groups.get(of(item)) ?? []), item]);
  return groups;
};

/**
 * Compares books. Every fault is one line of text; none means that they agree.
 *
 * A call is covered by the row of its own attempt, found by the job that its request's metadata names, and by the order
 * of attempts; where the request died, by the request's one `unsettled` row. A row without a job is of a lease that was
 * never returned: it may cover the calls of requests that left no row of their own.
 *
 * @param {{calls: object[], rows: object[], limit_nanousd: number, spent_nanousd: number, billed_nanousd: number, answers?: object[]}} books
 */
export function audit({ calls, rows, limit_nanousd, spent_nanousd, billed_nanousd, answers = [] }) {
  const faults = [];
  const attempts = rows.filter((row) => !isAdjustment(row));
  const leases = attempts.filter((row) => isUnsettled(row) && jobOf(row) === undefined);
  const rowsOf = groupBy(attempts.filter((row) => !leases.includes(row)), jobOf);
  const callsOf = groupBy(calls, (call) => call.job);
  const tally = { own: 0, by_unsettled: 0, by_lease: 0, estimated: 0, estimated_cost: 0, estimated_truth: 0, unsettled_cost: 0, unsettled_truth: 0, exact: 0, short: 0 };

  const keys = new Set(rows.map((row) => `${row.request_id}/${row.attempt}`));
  if (keys.size !== rows.length) faults.push(`${rows.length - keys.size} rows are there twice`);
  const ids = attempts.map((row) => row.upstream_id).filter((id) => id);
  if (new Set(ids).size !== ids.length) faults.push("a provider's call has two rows");

  let onLeases = 0;
  for (const [job, made] of callsOf) {
    const own = (rowsOf.get(job) ?? []).sort((a, b) => a.attempt - b.attempt);
    const requests = new Set(own.map((row) => row.request_id));
    if (requests.size > 1) faults.push(`job ${job} has rows of ${requests.size} requests`);
    if (own.length === 0) {
      if (leases.length === 0) faults.push(`job ${job}: ${made.length} calls, no row`);
      tally.by_lease += made.length;
      onLeases += sum(made, (call) => call.billed_nanousd);
      continue;
    }
    const truth = sum(made, (call) => call.billed_nanousd);
    if (own.some(isUnsettled)) {
      if (own.length !== 1) faults.push(`job ${job}: an unsettled row beside others`);
      const cost = sum(own, (row) => row.cost_nanousd);
      if (cost < truth) faults.push(`job ${job}: unsettled at ${cost}, but billed ${truth}`);
      tally.by_unsettled += made.length;
      tally.unsettled_cost += cost;
      tally.unsettled_truth += truth;
      continue;
    }
    if (own.length !== made.length) {
      faults.push(`job ${job}: ${made.length} calls, ${own.length} rows (${own.map((row) => row.outcome).join(", ")} for ${made.map((call) => call.state).join(", ")})`);
      continue;
    }
    made.sort((a, b) => a.nth - b.nth).forEach((call, i) => {
      const row = own[i];
      tally.own += 1;
      // Each format has a prefix of its own.
      if (row.upstream_id && !row.upstream_id.endsWith(call.id)) faults.push(`job ${job}: row ${row.attempt} is of ${row.upstream_id}, the call was ${call.id}`);
      if (row.usage_estimated) {
        tally.estimated += 1;
        tally.estimated_cost += row.cost_nanousd;
        tally.estimated_truth += call.billed_nanousd;
        tally.short += Math.max(call.billed_nanousd - row.cost_nanousd, 0);
      } else if (row.cost_nanousd === call.billed_nanousd) {
        tally.exact += 1;
      } else {
        faults.push(`job ${job}: row ${row.attempt} (${row.outcome}) costs ${row.cost_nanousd}, the provider billed ${call.billed_nanousd} (${call.state})`);
      }
    });
  }
  for (const [job, own] of rowsOf) {
    if (!callsOf.has(job) && own.some((row) => row.cost_nanousd > 0 && !isUnsettled(row) && !row.usage_estimated)) faults.push(`job ${job} was charged, but no call was made`);
  }
  // What corrections took back from a lease covers nothing any more.
  const leaseIds = new Set(leases.map((row) => row.request_id));
  if (onLeases > sum(rows.filter((row) => leaseIds.has(row.request_id)), (row) => row.cost_nanousd)) faults.push(`calls without a row billed ${onLeases}, more than all unsettled leases cost`);

  const cost = sum(rows, (row) => row.cost_nanousd);
  const booked = Math.max(cost - limit_nanousd, spent_nanousd - limit_nanousd, 0);
  if (booked > 0) faults.push(`OVERSPENT by $${usd(booked)}, by the ledger`);
  const billed = Math.max(billed_nanousd - limit_nanousd, 0);
  // Usage that no provider reported is estimated, and an estimate can be too low: that may explain it, and excuses nothing.
  if (billed > 0) faults.push(`OVERSPENT by $${usd(billed)}, by the provider's bill (estimates of unreported usage fell short by $${usd(tally.short)})`);
  if (cost !== spent_nanousd) faults.push(`the ledger's rows cost ${cost}, the object has spent ${spent_nanousd}`);
  if (sum(calls, (call) => call.billed_nanousd) !== billed_nanousd) faults.push("the provider's own books do not add up");
  for (const answer of answers) {
    // An admitted request of which the client knows has its row.
    if (answer.id && answer.status !== 0 && answer.status < 400 && !(rowsOf.get(answer.job) ?? []).some((row) => row.request_id === answer.id) && leases.length === 0) faults.push(`job ${answer.job} was answered, and has no row`);
  }
  return { faults, overspend_nanousd: { booked, billed }, cost_nanousd: cost, tally, leases: leases.length, adjustments: rows.length - attempts.length };
}

/** Counts by what `of` says, most frequent first: "402 insufficient_budget × 313". */
export function counts(list, of) {
  const by = groupBy(list, of);
  return [...by].map(([what, items]) => [what, items.length]).sort((a, b) => b[1] - a[1]);
}

/** Prints two columns. */
export function table(lines) {
  const width = Math.max(...lines.map(([name]) => name.length));
  for (const [name, value] of lines) console.log(`  ${name.padEnd(width)}  ${value}`);
}
