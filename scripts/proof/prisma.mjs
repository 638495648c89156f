// Prisma's query engine for a machine that reaches npm but not the host of Prisma's binaries.
//
// LiteLLM talks to PostgreSQL through Prisma's client for Python, which starts Prisma's engine as a process and sends it
// GraphQL over HTTP. npm has the same commit of that engine as WebAssembly, in @prisma/client; it takes the same queries in
// its JSON protocol, and PostgreSQL's driver comes from @prisma/adapter-pg. This file is what lies between: it parses the
// GraphQL, hands the query to the engine, and takes the type tags out of what comes back. Queries are planned and run by Prisma.
//
//   node scripts/proof/prisma.mjs FOLDER -p PORT | --version     (FOLDER: where install() has put the packages)
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

/** The version that Prisma's client for Python 0.15.0 asks for, and the commit of its engine. */
export const VERSION = "5.17.0";
const COMMIT = "393aa359c9ad4a4bb28630fb5613f9c281cde053";

/** Puts Prisma's command, engine and driver for PostgreSQL into a folder, once. Their install scripts would fetch binaries. */
export function install(folder) {
  if (fs.existsSync(path.join(folder, "installed"))) return;
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, "package.json"), "{\"private\":true}");
  const packages = [`prisma@${VERSION}`, `@prisma/client@${VERSION}`, `@prisma/adapter-pg@${VERSION}`, "pg@8.16.3"];
  execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", ...packages], { cwd: folder, stdio: "inherit" });
  fs.writeFileSync(path.join(folder, "installed"), "");
}

/** Makes the tables, from the SQL that the package ships: what `prisma migrate deploy` runs. Returns how many files. */
export async function migrate(folder, url, migrations) {
  const pg = createRequire(path.join(folder, "package.json"))("pg");
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const names = fs.readdirSync(migrations).filter((name) => fs.existsSync(path.join(migrations, name, "migration.sql"))).sort();
    for (const name of names) {
      await client.query(fs.readFileSync(path.join(migrations, name, "migration.sql"), "utf8")).catch((error) => {
        throw new Error(`migration ${name}: ${error.message}`);
      });
    }
    return names.length;
  } finally {
    await client.end();
  }
}

const TOKEN = /\s*,?\s*("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[A-Za-z_]\w*|[{}()[\]:])/y;
const ACTION = /^(findUnique|findFirst|findMany|createOne|createMany|updateOne|updateMany|upsertOne|deleteOne|deleteMany|aggregate|groupBy)(\w+?)(OrThrow)?$/;

/** The names of each model's fields of type Json, which the JSON protocol wants tagged; GraphQL has them as strings. */
export function jsonFields(schema) {
  const models = new Map();
  for (const [, model, body] of schema.matchAll(/^model (\w+) \{\n([^]*?)^\}/gm)) {
    models.set(model, new Set([...body.matchAll(/^\s+(\w+)\s+Json\b/gm)].map((match) => match[1])));
  }
  return models;
}

/** One GraphQL operation as Prisma's JSON protocol, as text, so that numbers stay as they were written. */
export function toJsonProtocol(text, models) {
  const tokens = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) tokens.push(match[1]);
  let at = 0;
  const take = (wanted) => {
    const token = tokens[at];
    if (token === undefined || (wanted && token !== wanted)) throw new Error(`expected ${wanted ?? "more"}, found ${token} in ${text}`);
    at += 1;
    return token;
  };
  const fields = (end, inJson) => {
    const out = [];
    while (tokens[at] !== end) {
      const key = take();
      take(":");
      out.push(`${JSON.stringify(key)}:${value(inJson ? ["set", "equals", "not"].includes(key) : json.has(key))}`);
    }
    take(end);
    return `{${out.join(",")}}`;
  };
  const value = (isJson) => {
    const token = take();
    if (token === "{") return fields("}", isJson);
    if (token === "[") {
      const out = [];
      while (tokens[at] !== "]") out.push(value(isJson));
      take("]");
      return `[${out.join(",")}]`;
    }
    if (isJson && token.startsWith("\"")) return `{"$type":"Json","value":${token}}`;
    // A bare word that is none of JSON's is a value of an enum.
    return /^[A-Za-z_]/.test(token) && !["true", "false", "null"].includes(token) ? JSON.stringify(token) : token;
  };
  const query = () => {
    const args = tokens[at] === "(" ? (take("("), fields(")", false)) : "{}";
    const chosen = [];
    if (tokens[at] === "{") {
      take("{");
      while (tokens[at] !== "}") {
        const name = take();
        chosen.push(`${JSON.stringify(name)}:${tokens[at] === "(" || tokens[at] === "{" ? query() : "true"}`);
      }
      take("}");
    }
    return `{"arguments":${args},"selection":{${chosen.join(",")}}}`;
  };
  take(); // `query` or `mutation`
  take("{");
  take("result");
  take(":");
  const name = take();
  const [, action, model, orThrow = ""] = ACTION.exec(name) ?? [null, name, null];
  const json = models.get(model) ?? new Set();
  const body = query();
  take("}");
  if (at !== tokens.length) throw new Error(`${tokens.length - at} words too many in ${text}`);
  return `{${model ? `"modelName":${JSON.stringify(model)},` : ""}"action":"${action}${orThrow}","query":${body}}`;
}

/** A value without the JSON protocol's type tags: as the GraphQL protocol writes it. */
export function untagged(value) {
  if (Array.isArray(value)) return value.map(untagged);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$type === "string" && "value" in value) {
    if (value.$type === "BigInt") return Number(value.value);
    return value.$type === "Raw" ? value.value : untagged(value.value);
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, untagged(inner)]));
}

/** What the engine answers, with the name that the client gave its question. */
function answer(body) {
  if (body.batchResult) return { ...body, batchResult: body.batchResult.map(answer) };
  if (!body.data) return body;
  return { ...body, data: { result: untagged(Object.values(body.data)[0]) } };
}

async function serve(folder, port) {
  const require = createRequire(path.join(folder, "package.json"));
  const pg = require("pg");
  const { PrismaPg } = require("@prisma/adapter-pg");
  const { bindAdapter } = createRequire(require.resolve("@prisma/adapter-pg"))("@prisma/driver-adapter-utils");
  const runtime = path.join(folder, "node_modules/@prisma/client/runtime/query_engine_bg.postgresql");
  const glue = require(`${runtime}.js`);
  const wasm = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(`${runtime}.wasm`)), { "./query_engine_bg.js": glue });
  glue.__wbg_set_wasm(wasm.exports);
  const url = new URL(JSON.parse(process.env.OVERWRITE_DATASOURCES ?? "[]")[0]?.url ?? process.env.DATABASE_URL);
  const max = Number(url.searchParams.get("connection_limit") ?? 10);
  url.search = ""; // the rest are words to Prisma, not to PostgreSQL
  const adapter = bindAdapter(new PrismaPg(new pg.Pool({ connectionString: url.href, max })));
  const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, "utf8");
  const models = jsonFields(datamodel);
  const engine = new glue.QueryEngine({
    datamodel, logLevel: "error", logQueries: false, ignoreEnvVarErrors: true, datasourceOverrides: {}, configDir: ".",
    env: { DATABASE_URL: url.href }, engineProtocol: "json",
  }, () => {}, adapter);
  await engine.connect("{}");
  const handle = async (request, text) => {
    const transaction = /^\/transaction\/([^/]+)(?:\/(commit|rollback))?$/.exec(request.url);
    if (request.url.startsWith("/status")) return { status: "ok" };
    if (transaction?.[1] === "start") return JSON.parse(await engine.startTransaction(text, "{}"));
    if (transaction) return JSON.parse(await engine[`${transaction[2]}Transaction`](transaction[1], "{}"));
    // Prisma's driver for PostgreSQL has no arrays of the catalogue's type `name`, which litellm asks for when it makes its views.
    const body = JSON.parse(text.replaceAll("ARRAY_AGG(viewname)", "ARRAY_AGG(viewname::text)"));
    request.question = text;
    const query = body.batch
      ? `{"batch":[${body.batch.map((one) => toJsonProtocol(one.query, models)).join(",")}]${body.transaction ? ",\"transaction\":{}" : ""}}`
      : toJsonProtocol(body.query, models);
    return answer(JSON.parse(await engine.query(query, "{}", request.headers["x-transaction-id"])));
  };
  http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const said = await handle(request, Buffer.concat(chunks).toString()).catch((error) => {
      console.error(`prisma.mjs: ${error.stack}`);
      return { errors: [{ error: String(error), user_facing_error: { is_panic: false, message: String(error), error_code: "P2010", meta: {} } }] };
    });
    if (process.env.PROOF_PRISMA_LOG && said.errors) console.error(`prisma.mjs: ${JSON.stringify(said.errors).slice(0, 700)} to ${request.question}`);
    response.setHeader("content-type", "application/json").end(JSON.stringify(said));
  }).listen(port, "localhost");
}

if (process.argv[1] === import.meta.filename) {
  const [folder, flag, port] = process.argv.slice(2);
  if (flag === "-p") await serve(folder, Number(port));
  else console.log(`query-engine ${COMMIT}`);
}
