// Frameworks against the built gateway, asking fake providers of every dialect: `scripts/clients.sh` installs them and calls
// this with their directory. Prints a table for docs/clients.md; the exit status is 1 if a claim failed.
import { spawn } from "node:child_process";
import path from "node:path";
import { FAKES, modelOf, startFakes, SYSTEM, VARS } from "../edge/fakes.mjs";
import { startGateway } from "../edge/rig.mjs";

const installed = path.resolve(process.argv[2]);
const here = import.meta.dirname;
const [gw, fakes] = await Promise.all([startGateway({ vars: VARS }), startFakes()]);
const claims = [];
try {
  await gw.putConfig(fakes.config());
  const { secret } = await gw.tenant();
  const env = { ...process.env, EDGEHOLD_URL: gw.url, EDGEHOLD_KEY: secret, EDGEHOLD_MODELS: JSON.stringify(Object.keys(FAKES).map(modelOf)), EDGEHOLD_SYSTEM: SYSTEM, PYTHONUTF8: "1" };
  for (const [command, ...args] of [[path.join(installed, "bin/python"), path.join(here, "frameworks.py")], [process.execPath, path.join(here, "frameworks.mjs"), path.join(installed, "npm")]]) {
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    for await (const part of child.stdout.setEncoding("utf8")) text += part;
    const lines = text.split("\n").filter((line) => line.startsWith("{"));
    if (!lines.length) throw new Error(`${command} said nothing`);
    claims.push(...lines.map((line) => JSON.parse(line)));
  }
} finally {
  await gw.stop();
  await fakes.stop();
}

const failed = claims.filter(({ error }) => error);
for (const { client, model, what, error } of failed) console.error(`── ${client} → ${model}: ${what}\n${error}\n`);
const cases = [...new Set(claims.map(({ what }) => what))];
const cell = (client, what) => {
  const all = claims.filter((c) => c.client === client && c.what === what);
  const bad = all.filter(({ error }) => error).map(({ model }) => FAKES[model.split("/")[0]].kind);
  return !all.length ? "" : bad.length ? `not ${bad.join(", ")}` : "yes";
};
console.log(`| client | version | ${cases.map((what) => what.replace("_", " ")).join(" | ")} |\n|---|---|${"---|".repeat(cases.length)}`);
for (const [client, version] of new Map(claims.map((c) => [c.client, c.version]))) console.log(`| ${client} | ${version} | ${cases.map((what) => cell(client, what)).join(" | ")} |`);
console.log(`\n${claims.length - failed.length} of ${claims.length} claims hold`);
process.exitCode = failed.length ? 1 : 0;
