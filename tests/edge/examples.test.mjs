// What a newcomer runs first: the example configurations, and `make dev`.
import assert from "node:assert/strict";
import { exec, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { BUILD, startGateway, waitFor } from "./rig.mjs";
import { deadUrl } from "./upstream.mjs";

const ROOT = path.resolve(import.meta.dirname, "../..");
const examples = fs.readdirSync(path.join(ROOT, "examples")).filter((f) => f.endsWith(".yaml"));

describe("examples/", { concurrency: 1 }, () => {
  let gw, secret;
  before(async () => {
    gw = await startGateway();
    ({ secret } = await gw.tenant({ customer: { budget_usd: { month: 5 } } }));
  });
  after(async () => { await gw?.stop(); });
  const ask = (content, over = {}, options) => gw.chat(secret, { model: "demo-model", messages: [{ role: "user", content }], ...over }, options);

  for (const name of examples) {
    it(`${name} loads without a warning`, async () => {
      const r = await gw.adminRaw("PUT", "/config?dry_run=true", fs.readFileSync(path.join(ROOT, "examples", name), "utf8"));
      assert.equal(r.status, 200, r.raw);
      assert.deepEqual(r.body.warnings, []);
    });
  }

  it("demo.yaml does what its comments say", async () => {
    await gw.putConfig(fs.readFileSync(path.join(ROOT, "examples/demo.yaml"), "utf8"));
    const plain = await ask("hello", { model: "whatever" });
    assert.equal(plain.status, 200);
    assert.deepEqual(["provider", "route"].map((h) => plain.headers.get(`x-edgehold-${h}`)), ["mock", "demo"]);
    const { choices, usage } = await plain.json();
    assert.ok(choices[0].message.content && usage.completion_tokens > 0);
    const failed = await ask("hello", { stream: true }, { headers: { "x-edgehold-metadata": '{"task":"failover"}' } });
    assert.deepEqual(["provider", "route", "attempts"].map((h) => failed.headers.get(`x-edgehold-${h}`)), ["mock", "failover", "2"]);
    assert.match(await failed.text(), /data: \[DONE\]\n\n$/);
    const limited = await ask("mock: status=429 retry_after=9");
    assert.deepEqual([limited.status, limited.headers.get("retry-after")], [429, "9"]);
    const long = await ask("mock: tokens=50 delay_ms=1", { stream: true, stream_options: { include_usage: true } });
    assert.match(await long.text(), /"completion_tokens":50,/);
    const [rows] = [await gw.rows(failed.headers.get("x-edgehold-request-id"), 2)];
    assert.deepEqual(rows.map((r) => [r.provider, r.outcome]), [["flaky", "upstream_error"], ["mock", "ok"]]);
    assert.deepEqual(gw.panics(), []);
  });
});

describe("make dev", { concurrency: 1, skip: BUILD === path.join(ROOT, "build") ? false : "another build is under test" }, () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "edgehold-dev-"));
  let port, dev, out;
  before(async () => { ({ port } = new URL(await deadUrl())); });
  after(() => { dev?.kill("SIGINT"); fs.rmSync(dir, { recursive: true, force: true }); });

  const environment = { ...process.env, OPENAI_API_KEY: "", EDGEHOLD_DEV_DIR: dir };
  const start = (p) => {
    const child = spawn(process.execPath, [path.join(ROOT, "scripts/dev.mjs")], { env: { ...environment, PORT: String(p) } });
    child.text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (d) => { child.text += d; });
    return child;
  };
  const up = async () => {
    dev = start(port);
    out = await waitFor("make dev to be ready", () => {
      if (dev.exitCode !== null) throw new Error(dev.text);
      return dev.text.includes("Ctrl-C") && dev.text;
    });
    return JSON.parse(fs.readFileSync(path.join(dir, "dev.json"), "utf8"));
  };
  const stop = async () => {
    dev.kill("SIGINT");
    const [code] = await once(dev, "exit");
    assert.equal(code, 0);
  };

  it("prints commands that work, and keeps its key and books between runs", { timeout: 60_000 }, async () => {
    const first = await up();
    assert.equal(first.base_url, `http://127.0.0.1:${port}`);
    const commands = out.replaceAll("\\\n", " ").match(/curl .*/g);
    assert.equal(commands.length, 4);
    const [plain, streamed, key] = await Promise.all(commands.map(async (c) => (await promisify(exec)(c)).stdout));
    assert.ok(JSON.parse(plain).choices[0].message.content);
    assert.match(streamed, /data: \[DONE\]/);
    assert.equal(JSON.parse(key).object, "key");
    const usage = async () => JSON.parse((await promisify(exec)(commands[3])).stdout);
    await waitFor("both requests in the report", async () => (await usage()).total.attempts === 2);

    const second = start(port);
    await once(second, "exit");
    assert.ok(second.exitCode > 0);
    assert.match(second.text, /Already up|is taken/);

    await stop();
    const again = await up();
    assert.deepEqual([again.demo_key, again.admin_token], [first.demo_key, first.admin_token]);
    assert.equal((await usage()).total.attempts, 2);
    await stop();
  });

  it("makes a new key when the state is gone", { timeout: 60_000 }, async () => {
    const lost = JSON.parse(fs.readFileSync(path.join(dir, "dev.json"), "utf8")).demo_key;
    fs.rmSync(path.join(dir, "state"), { recursive: true });
    const { base_url, demo_key } = await up();
    assert.notEqual(demo_key, lost);
    assert.equal((await fetch(`${base_url}/v1/key`, { headers: { authorization: `Bearer ${demo_key}` } })).status, 200);
    await stop();
  });
});
