// What the project stands on: `node scripts/audit.mjs pins|licences|advisories`.
//   pins        every dependency is written with one exact version
//   licences    every dependency's licence is one we can ship (Rust) or use (npm tools)
//   advisories  no dependency has a known vulnerability
// Exit status: 0 fine, 1 not, 3 a database could not be reached, so not everything was looked up.
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "..");
const read = (file) => fs.readFileSync(path.join(ROOT, file), "utf8");
const present = (files) => files.filter((file) => fs.existsSync(path.join(ROOT, file)));

/** Advisories that were read and found not to concern us: id → why. */
const ACCEPTED_ADVISORIES = {};

/** Licences whose conditions a notice fulfils. Rust crates end up in the wasm that operators deploy. */
const PERMISSIVE = new Set([
  "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
  "CC0-1.0", "ISC", "MIT", "MIT-0", "NCSA", "Unicode-3.0", "Unlicense", "Zlib",
]);
/** npm packages are tools: run here, shipped to nobody. Still no licence comes in unseen. */
const TOOL_EXCEPTIONS = [
  { name: /^@img\/sharp-/, licence: "LGPL-3.0-or-later", why: "libvips, which Miniflare loads to imitate image bindings" },
];

const CARGO_MANIFESTS = present(["Cargo.toml", "bench/Cargo.toml", "fuzz/Cargo.toml"]);
const NPM_FOLDERS = [".", "bench"].filter((dir) => present([path.join(dir, "package.json")]).length);
const REQUIREMENTS = present(["tests/requirements.txt", "bench/requirements.txt", ...fs.readdirSync(path.join(ROOT, "scripts")).filter((f) => /^requirements.*\.txt$/.test(f)).map((f) => `scripts/${f}`)]);

function pins() {
  const problems = [];
  let count = 0;
  for (const file of CARGO_MANIFESTS) {
    let section = "";
    for (const [i, line] of read(file).split("\n").entries()) {
      const at = `${file}:${i + 1}`;
      const header = /^\s*\[([^\]]+)\]/.exec(line);
      if (header) { section = header[1]; continue; }
      const [kind, ...rest] = section.split(/(?<=dependencies)(?:\.|$)/);
      if (!/(^|\.|-)dependencies$/.test(kind)) continue;
      const single = rest.join("") === "" ? /^\s*([\w-]+)\s*=\s*(.+)$/.exec(line) : /^\s*(version)\s*=\s*(.+)$/.exec(line);
      if (!single) continue;
      const [, name, value] = single;
      if (/\bpath\s*=/.test(value)) continue;
      const version = /^"([^"]*)"/.exec(value)?.[1] ?? /\bversion\s*=\s*"([^"]*)"/.exec(value)?.[1];
      count++;
      if (!version?.startsWith("=")) problems.push(`${at}: ${name} is ${version ? `"${version}"` : "without a version"}, not "=x.y.z"`);
    }
  }
  for (const dir of NPM_FOLDERS) {
    const manifest = JSON.parse(read(path.join(dir, "package.json")));
    const lockFile = path.join(dir, "package-lock.json");
    const lock = present([lockFile]).length ? JSON.parse(read(lockFile)) : null;
    for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
      for (const [name, wanted] of Object.entries(manifest[kind] ?? {})) {
        count++;
        if (!/^(npm:(@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(wanted)) problems.push(`${dir}/package.json: ${name} is "${wanted}", not one version`);
        if (!lock) continue;
        if (lock.packages[""]?.[kind]?.[name] !== wanted) problems.push(`${lockFile}: ${name} is not locked as ${wanted}; run npm install`);
      }
    }
    if (!lock) problems.push(`${lockFile} is missing`);
  }
  for (const file of REQUIREMENTS) {
    for (const [i, line] of read(file).split("\n").entries()) {
      if (!line.trim() || line.startsWith("#")) continue;
      count++;
      if (!/^[\w.[\]-]+==[\w.]+$/.test(line.trim())) problems.push(`${file}:${i + 1}: "${line.trim()}" is not name==version`);
    }
  }
  for (const file of ["Cargo.lock", "package-lock.json"]) if (!present([file]).length) problems.push(`${file} is missing`);
  return { problems, summary: `${count} dependencies pinned in ${CARGO_MANIFESTS.length + NPM_FOLDERS.length + REQUIREMENTS.length} files` };
}

/** Can every condition of this SPDX expression be met with the allowed licences? `A/B` is the old way to write `A OR B`. */
function licenceAllowed(expression, allowed) {
  const tokens = expression.replace(/\//g, " OR ").match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const either = () => { let ok = both(); while (tokens[at] === "OR") { at++; const next = both(); ok ||= next; } return ok; };
  const both = () => { let ok = one(); while (tokens[at] === "AND") { at++; const next = one(); ok &&= next; } return ok; };
  const one = () => {
    if (tokens[at] === "(") { at++; const ok = either(); if (tokens[at++] !== ")") throw new Error(`unbalanced: ${expression}`); return ok; }
    let id = tokens[at++];
    if (tokens[at] === "WITH") { id += ` WITH ${tokens[at + 1]}`; at += 2; }
    return id !== undefined && allowed(id);
  };
  const ok = either();
  return ok && at === tokens.length;
}

function cargoPackages(manifest) {
  const out = execFileSync("cargo", ["metadata", "--format-version", "1", "--locked", "--all-features", "--manifest-path", manifest], { cwd: ROOT, maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(out).packages;
}

/** Packages of the lock files: name, version, licence. A name may differ from its folder's (aliases). */
function npmPackages() {
  return NPM_FOLDERS.filter((dir) => present([path.join(dir, "package-lock.json")]).length).flatMap((dir) =>
    Object.entries(JSON.parse(read(path.join(dir, "package-lock.json"))).packages)
      // What is not under node_modules, or is a link to it, is our own.
      .filter(([folder, entry]) => /(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/.test(folder) && !entry.link)
      .map(([folder, entry]) => ({ name: entry.name ?? folder.split("node_modules/").at(-1), version: entry.version, licence: entry.license ?? installedLicence(dir, folder) })));
}
function installedLicence(dir, folder) {
  const file = path.join(dir, folder, "package.json");
  return present([file]).length ? JSON.parse(read(file)).license : undefined;
}

function licences() {
  const problems = [];
  let crates = 0;
  for (const manifest of CARGO_MANIFESTS) {
    for (const { name, version, license, license_file, source } of cargoPackages(manifest)) {
      if (source === null && name.startsWith("edgehold")) continue;
      crates++;
      if (!license) problems.push(`crate ${name} ${version}: no licence named${license_file ? ` (file ${license_file})` : ""}`);
      else if (!licenceAllowed(license, (id) => PERMISSIVE.has(id))) problems.push(`crate ${name} ${version}: ${license}`);
    }
  }
  const packages = npmPackages();
  for (const { name, version, licence } of packages) {
    const allowed = (id) => PERMISSIVE.has(id) || TOOL_EXCEPTIONS.some((e) => e.licence === id && e.name.test(name));
    if (!licence) problems.push(`npm ${name} ${version}: no licence named`);
    else if (!licenceAllowed(licence, allowed)) problems.push(`npm ${name} ${version}: ${licence}`);
  }
  return { problems, summary: `${crates} crates and ${packages.length} npm packages carry licences on the list` };
}

let skips = 0;
function skipped(what, why) {
  skips++;
  console.error(`WARNING: SKIPPED: ${what}: ${why}. Known vulnerabilities were NOT looked up.`);
}

/** npm's own advisory service, through npm. */
function npmAdvisories(dir) {
  const { stdout } = spawnSync("npm", ["audit", "--json"], { cwd: path.join(ROOT, dir), encoding: "utf8", timeout: 60_000 });
  let report;
  try { report = JSON.parse(stdout); } catch { report = {}; }
  if (!report.vulnerabilities) {
    skipped(`npm audit (${dir === "." ? "tools" : dir})`, report.message?.replace(/https?:\S+/g, "the registry") ?? "no answer");
    return [];
  }
  return Object.values(report.vulnerabilities).flatMap(({ name, severity, via }) =>
    via.filter((v) => typeof v === "object" && ["high", "critical"].includes(severity) && !(v.url?.split("/").at(-1) in ACCEPTED_ADVISORIES))
      .map((v) => `npm ${name}: ${v.title} (${severity}) ${v.url}`));
}

/** RustSec's advisories, asked of OSV (https://google.github.io/osv.dev/post-v1-querybatch/, read 2026-11-21). */
async function crateAdvisories() {
  const base = process.env.OSV_URL ?? "https://api.osv.dev";
  const packages = CARGO_MANIFESTS.flatMap(cargoPackages).filter(({ source }) => source?.startsWith("registry+"));
  const ask = async (url, init) => {
    const response = await fetch(base + url, { ...init, signal: AbortSignal.timeout(20_000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return response.json();
  };
  const problems = [];
  try {
    const queries = packages.map(({ name, version }) => ({ package: { ecosystem: "crates.io", name }, version }));
    const { results } = await ask("/v1/querybatch", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ queries }) });
    if (!Array.isArray(results) || results.length !== queries.length) throw new Error("unexpected answer");
    for (const [i, { vulns = [] }] of results.entries()) {
      for (const { id } of vulns) {
        if (id in ACCEPTED_ADVISORIES) continue;
        const detail = await ask(`/v1/vulns/${encodeURIComponent(id)}`);
        const line = `crate ${packages[i].name} ${packages[i].version}: ${id} ${detail.summary ?? ""}`;
        // "unmaintained" and "notice" are news, not holes.
        const news = detail.affected?.every((a) => a.database_specific?.informational && a.database_specific.informational !== "unsound");
        if (news) console.error(`note: ${line}`);
        else problems.push(line);
      }
    }
  } catch (error) {
    skipped("RustSec advisories for the crates", `${error.cause?.code ?? error.message}`);
  }
  return problems;
}

async function advisories() {
  const problems = [...NPM_FOLDERS.flatMap(npmAdvisories), ...(await crateAdvisories())];
  return { problems, summary: "no dependency has a known vulnerability" };
}

const checks = { pins, licences, advisories };
const check = checks[process.argv[2]];
if (!check) {
  console.error(`usage: node scripts/audit.mjs ${Object.keys(checks).join("|")}`);
  process.exit(2);
}
const { problems, summary } = await check();
for (const problem of problems) console.error(problem);
if (problems.length) process.exit(1);
if (skips) process.exit(3);
console.log(summary);
