// The built gateway as the thing under proof: several isolates of real workerd before one customer's object.
import { config, startGateway, waitFor } from "../../tests/edge/rig.mjs";
import { MODEL, NANO } from "./provider.mjs";

const perMillion = (nano) => nano / 1_000;

/** Long enough that only silence meets them, also where clients, provider and gateway share two cores. */
const TIMEOUTS = { headers: "20s", first_token: "8s", idle: "20s", total: "60s" };
/** Short enough that the hold of a request that died expires while somebody waits. */
export const SHORT_TIMEOUTS = { headers: "3s", first_token: "2s", idle: "3s", total: "6s" };

/** Starts it before `provider`, with one customer and one key that may spend `limit_nanousd` in all. */
export async function startEdgehold({ provider, isolates = 4, limit_nanousd, graceMs = 2_000, timeouts = TIMEOUTS, options = {} }) {
  const gateway = await startGateway({ isolates, graceMs, ...options });
  const price = { input: perMillion(NANO.input), cached_input: perMillion(NANO.cached), output: perMillion(NANO.output) };
  await gateway.putConfig({
    ...config({}, { routes: [{ name: "proof", model: `first/${MODEL}`, fallback: `second/${MODEL}`, timeouts, retries: { count: 1, backoff: "50ms", backoff_max: "200ms" } }] }),
    providers: Object.fromEntries(Object.entries(provider.urls).map(([name, base_url]) => [name, { kind: "openai-compatible", base_url, api_key: "secret://UP_KEY" }])),
    prices: { [`first/${MODEL}`]: price, [`second/${MODEL}`]: price },
  });
  const tenant = await gateway.tenant({ key: { budget_usd: { total: (limit_nanousd / 1e9).toFixed(9) } } });
  return new Edgehold(gateway, tenant);
}

class Edgehold {
  name = "edgehold";
  constructor(gateway, tenant) {
    this.gateway = gateway;
    this.tenant = tenant;
  }

  /** Where and how a job asks. Its id travels in the metadata, which every row carries, also that of a request that died. */
  place(job, n) {
    const { urls } = this.gateway;
    return { url: urls[n % urls.length], key: this.tenant.secret, headers: { "x-edgehold-metadata": JSON.stringify({ job: job.id }) } };
  }

  /** {spent_nanousd, held_nanousd} of the key's budget, as the gateway sees it now. */
  async standing() {
    return (await this.gateway.keyStatus(this.tenant.secret)).limits.find((limit) => limit.kind === "budget");
  }

  /** The books, once the object holds nothing and D1 has all rows. */
  async books(timeout_ms = 60_000) {
    const rows = await this.gateway.settledRows(this.tenant.customer, { timeout_ms });
    const { spent_total_nanousd } = await waitFor("the object's view", () => this.gateway.ledger(this.tenant.customer));
    return { rows, spent_nanousd: spent_total_nanousd };
  }

  stop() { return this.gateway.stop(); }
}

/** What is wrong with the claim that these are several isolates before one object: nothing, or lines of text. */
export function isolateFaults(isolates) {
  const faults = [];
  if (new Set(isolates.map((isolate) => isolate.id)).size !== isolates.length) faults.push("two addresses lead to one isolate");
  if (isolates.some((isolate) => isolate.served === 0)) faults.push("an isolate served nothing");
  if (isolates.slice(1).some((isolate) => isolate.objects > 0)) faults.push("an object lives outside of the first isolate");
  return faults;
}
