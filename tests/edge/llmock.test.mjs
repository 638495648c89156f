// llmock grades its client, which here is the gateway: does it wait as long as it is told, leave alone what cannot help, and
// take no broken stream for a whole one? A caller of the gateway's that is told of an error asks once more, as SDKs do.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { startGateway, waitFor } from "./rig.mjs";
import { deadUrl } from "./upstream.mjs";

const llmock = process.env.EDGEHOLD_LLMOCK ?? path.resolve(import.meta.dirname, "../../.venv/bin/llmock");
const skip = fs.existsSync(llmock) ? false : `NOT RUN: ${llmock} is missing (make installs it)`;
if (skip) console.error(`\n!!! llmock ${skip}\n`);

const PROVIDERS = { oai: ["openai-compatible", "/v1"], ant: ["anthropic", "/anthropic/v1"], gem: ["gemini", "/gemini/v1beta"], coh: ["cohere", "/cohere/v2"] };
const fault = (kind, after_chunks, more) => ({ stream: true, behavior: { type: "stream_fault", kind, after_chunks, ...more } });
/** By name: what is queued, whether a stream is asked for, and the status that the caller sees in the end, if it is not 200. */
const CASES = {
  fine: { stream: false },
  "fine-stream": { stream: true },
  "429-pause": { stream: false, behavior: { type: "fail", status: 429, retry_after: 1 } },
  "429-pause-stream": { stream: true, behavior: { type: "fail", status: 429, retry_after: 1 } },
  500: { stream: false, behavior: { type: "fail", status: 500 } },
  503: { stream: true, behavior: { type: "fail", status: 503, times: 2 } },
  529: { stream: true, behavior: { type: "fail", status: 529 } },
  400: { stream: false, behavior: { type: "fail", status: 400 }, status: 400 },
  401: { stream: true, behavior: { type: "fail", status: 401 }, status: 502 },
  404: { stream: true, behavior: { type: "fail", status: 404 }, status: 404 },
  "truncate-first": fault("truncate", 0),
  "truncate-midst": fault("truncate", 5),
  "disconnect-first": fault("disconnect", 0),
  "disconnect-midst": fault("disconnect", 5),
  "malformed-first": fault("malformed", 0),
  "malformed-midst": fault("malformed", 5),
  "stall-first": fault("stall", 0, { stall_seconds: 3 }),
  "stall-midst": fault("stall", 5, { stall_seconds: 3 }),
};
const TEXT = "one two three four five six seven eight nine ten";

describe("llmock's verdict on the gateway", { skip }, () => {
  let gw, mock, url, secret;
  before(async () => {
    url = await deadUrl();
    mock = spawn(llmock, ["serve", "--port", new URL(url).port, "--log-level", "error"], { stdio: "ignore" });
    gw = await startGateway();
    await gw.putConfig({
      providers: Object.fromEntries(Object.entries(PROVIDERS).map(([name, [kind, below]]) => [name, { kind, base_url: url + below, api_key: "secret://UP_KEY" }])),
      routes: [{ name: "asked", retries: { count: 2, backoff: "100ms", backoff_max: "5s" }, timeouts: { headers: "5s", first_token: "1s", idle: "1s", total: "30s" } }],
    });
    ({ secret } = await gw.tenant());
    await waitFor("llmock", () => fetch(`${url}/_llmock/verdict`).then((r) => r.ok, () => false), { timeout_ms: 30_000 });
    const models = Object.keys(PROVIDERS).flatMap((provider) => Object.keys(CASES).map((name) => [`${provider}-${name}`, CASES[name].behavior]));
    const behaviors = models.flatMap(([model, behavior]) => [...(behavior ? [{ ...behavior, match: { model } }] : []), { type: "reply", text: TEXT, times: null, match: { model } }]);
    const queued = await fetch(`${url}/_llmock/scenario`, { method: "POST", body: JSON.stringify({ behaviors }) });
    assert.equal(queued.status, 201, await queued.text());
  });
  after(async () => { mock?.kill(); await gw?.stop(); });

  /** One call: its status, and the text if a whole answer came. */
  async function ask(model, name, stream) {
    const response = await gw.chat(secret, { model, stream, messages: [{ role: "user", content: `this is ${name} of ${model}` }] });
    const body = await response.text();
    if (response.status !== 200) return { status: response.status };
    if (!stream) return { status: 200, text: JSON.parse(body).choices[0].message.content };
    const events = body.split("\n\n").filter((e) => e.startsWith("data: ")).map((e) => e.slice(6));
    // As an SDK does: what cannot be read, an error event and an end without [DONE] are errors.
    try {
      const chunks = events.filter((e) => e !== "[DONE]").map((e) => JSON.parse(e));
      if (chunks.some((c) => c.error) || !events.includes("[DONE]")) return { status: 200 };
      return { status: 200, text: chunks.map((c) => c.choices[0]?.delta.content ?? "").join("") };
    } catch { return { status: 200 }; }
  }

  describe("what a caller gets", { concurrency: 4 }, () => {
    for (const provider of Object.keys(PROVIDERS)) {
      for (const [name, { stream, status = 200 }] of Object.entries(CASES)) {
        it(`${provider}: ${name}`, async () => {
          const model = `${provider}/${provider}-${name}`;
          let got = await ask(model, name, stream);
          // Before anything was said the gateway asks again itself, unless it has waited too long already.
          const told = got.status === 504 || (got.status === 200 && got.text === undefined);
          assert.equal(told, name === "stall-first" || name.endsWith("-midst"), JSON.stringify(got));
          if (told) got = await ask(model, name, stream);
          assert.deepEqual(got, status === 200 ? { status, text: TEXT } : { status });
        });
      }
    }
  });

  it("the verdict finds nothing", async () => {
    const verdict = await (await fetch(`${url}/_llmock/verdict`)).json();
    assert.ok(verdict.calls >= Object.keys(PROVIDERS).length * Object.keys(CASES).length, JSON.stringify(verdict));
    assert.ok(verdict.faults_injected > 0);
    // llmock counts a stream with a malformed event as a success that nobody may repeat, so it warns of those, whatever is done.
    const findings = verdict.findings.filter((f) => f.code !== "malformed_chunk_ignored");
    assert.deepEqual(findings.map((f) => `${f.severity} ${f.code} ${f.path}: ${f.title}`), []);
    assert.deepEqual(gw.panics(), []);
  });
});
