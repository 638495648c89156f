// OpenAI's SDK for Python with `_strict_response_validation`: any wrong type or enum in an answer is an error. See sdk.py.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { config, startGateway } from "./rig.mjs";
import { startUpstream, WORDS } from "./upstream.mjs";

const python = process.env.EDGEHOLD_PYTHON ?? path.resolve(import.meta.dirname, "../../.venv/bin/python");
const skip = fs.existsSync(python) ? false : `NOT RUN: ${python} is missing (make installs it)`;
if (skip) console.error(`\n!!! sdk_python ${skip}\n`);

describe("the SDK openai for Python, strict", { skip }, () => {
  let gw, up;
  before(async () => {
    [gw, up] = await Promise.all([startGateway(), startUpstream()]);
    await gw.putConfig(config({ up1: up.url }, { route: { match: { model: "gpt-4o-mini" } } }));
  });
  after(async () => { await gw?.stop(); await up?.stop(); });

  it("every claim of sdk.py holds", async (t) => {
    const { secret } = await gw.tenant();
    const { secret: limited } = await gw.tenant({ key: { rate_limit: { rpm: 1 } } });
    const env = { ...process.env, EDGEHOLD_URL: gw.url, EDGEHOLD_KEY: secret, EDGEHOLD_LIMITED_KEY: limited, EDGEHOLD_TEXT: WORDS.join(""), PYTHONUTF8: "1" };
    const { stdout } = await promisify(execFile)(python, [path.join(import.meta.dirname, "sdk.py")], { env });
    const claims = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.ok(claims.length >= 12);
    for (const { name, error } of claims) await t.test(name, () => { if (error) assert.fail(error); });
    assert.deepEqual(gw.panics(), []);
  });
});
