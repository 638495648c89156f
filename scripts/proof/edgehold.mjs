// The built gateway as the thing under proof: several isolates of real workerd before one customer's object.
import { config, startGateway, waitFor } from "../../tests/edge/rig.mjs";
import { MODEL, NANO } from "./provider.mjs";

const perMillion = (nano) => nano / 1_000;

/** Long enough that only silence meets them, also where clients, provider and gateway share two cores. */
const TIMEOUTS = { headers: "20s", first_token: "8s", idle: "20s", total: "60s" };
/** Short enough that the hold of a request that died expires while somebody waits. */
export const SHORT_TIMEOUTS = { headers: "3s", first_token: "2s", idle: "3s", total: "6s" };

/** Starts it before `provider`, with one customer and one key that may spend `limit_nanousd` in all. mixed: providers of several formats. */
export async function startEdgehold({ provider, isolates = 4, limit_nanousd, graceMs = 2_000, timeouts = TIMEOUTS, mixed = false, options = {} }) {
  const gateway = await startGateway({ isolates, graceMs, ...options });
  const price = { input: perMillion(NANO.input), cached_input: perMillion(NANO.cached), output: perMillion(NANO.output) };
  const houses = ["first", "second"];
  /** Of each model: the format it is asked in, and where. */
  const formats = {
    [MODEL]: ["openai-compatible", provider.urls],
    ...(mixed ? {
      [`${MODEL}-messages`]: ["anthropic", provider.urls],
      [`${MODEL}-generate`]: ["gemini", provider.geminiUrls],
      [`${MODEL}-vectors`]: ["openai-compatible", provider.urls],
    } : {}),
  };
  const named = (model, house) => (model === MODEL ? house : `${house}${model.slice(MODEL.length)}`);
  const all = Object.entries(formats).flatMap(([model, [kind, urls]]) => houses.map((house) => ({ model, kind, base_url: urls[house], name: named(model, house) })));
  await gateway.putConfig({
    ...config({}, {
      routes: Object.keys(formats).map((model) => ({
        name: model === MODEL ? "proof" : named(model, "proof"), match: { model },
        model: `${named(model, "first")}/${model}`, fallback: `${named(model, "second")}/${model}`, timeouts, retries: { count: 1, backoff: "50ms", backoff_max: "200ms" },
      })),
    }),
    providers: Object.fromEntries(all.map(({ name, kind, base_url }) => [name, { kind, base_url, api_key: "secret://UP_KEY" }])),
    prices: Object.fromEntries(all.map(({ name, model }) => [`${name}/${model}`, price])),
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
