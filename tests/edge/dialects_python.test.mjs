// The SDKs of OpenAI, Anthropic and Google for Python, each asking providers of every dialect. See dialects.py.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { FAKES, modelOf, startFakes, SYSTEM, VARS } from "./fakes.mjs";
import { startGateway } from "./rig.mjs";
import { assertRows } from "./dialects.mjs";

const python = process.env.EDGEHOLD_PYTHON ?? path.resolve(import.meta.dirname, "../../.venv/bin/python");
const skip = fs.existsSync(python) ? false : `NOT RUN: ${python} is missing (make installs it)`;
if (skip) console.error(`\n!!! dialects_python ${skip}\n`);

describe("the SDKs for Python, asking providers of every dialect", { skip }, () => {
  let gw, fakes;
  before(async () => {
    [gw, fakes] = await Promise.all([startGateway({ vars: VARS }), startFakes()]);
    await gw.putConfig(fakes.config());
  });
  after(async () => { await gw?.stop(); await fakes?.stop(); });

  it("every claim of dialects.py holds", async (t) => {
    const tenant = await gw.tenant({ customer: { budget_usd: { total: 100 } } });
    const env = { ...process.env, EDGEHOLD_URL: gw.url, EDGEHOLD_KEY: tenant.secret, EDGEHOLD_MODELS: JSON.stringify(Object.keys(FAKES).map(modelOf)), EDGEHOLD_SYSTEM: SYSTEM, PYTHONUTF8: "1" };
    const { stdout } = await promisify(execFile)(python, [path.join(import.meta.dirname, "dialects.py")], { env, maxBuffer: 64 << 20 });
    const claims = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.ok(claims.length >= 4 * Object.keys(FAKES).length * 11, `only ${claims.length} claims`);
    for (const { name, error } of claims) await t.test(name, () => { if (error) assert.fail(error); });
    await t.test("the ledger has one row for each call, with usage and price", () => assertRows(gw, tenant, claims));
    assert.deepEqual(gw.panics(), []);
  });
});
