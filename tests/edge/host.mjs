// The process that owns workerd for one test gateway. In a process group of its own, so that kill -9 takes both.
import fs from "node:fs";
import path from "node:path";
import { startLocal } from "../../scripts/local.mjs";

const source = (name) => fs.readFileSync(path.join(import.meta.dirname, name), "utf8");
const options = JSON.parse(process.argv[2]);
const local = await startLocal({
  ...options,
  main: "entry.js",
  modules: { "entry.js": source("entry.mjs"), "crossings.js": options.crossings ? source("crossings.mjs") : "export const counts = () => null, resetCounts = () => {}, trapNext = () => {}, memoryBytes = () => null;" },
});

const verbs = {
  urls: () => local.urls,
  async sql({ database, text, values }) {
    const db = await local.mf.getD1Database(database, "edgehold");
    return (await db.prepare(text).bind(...values).all()).results;
  },
  async scheduled() {
    const worker = await local.mf.getWorker("edgehold");
    return (await worker.scheduled({ cron: "17 * * * *" })).outcome;
  },
  objects: () => local.mf.listDurableObjectIds("CustomerLedger", "edgehold"),
  async evict({ id }) {
    await local.mf.unsafeEvictDurableObject("edgehold", "CustomerLedger", { id });
  },
  records: () => local.mf.listDurableObjectIds("AnswerRecord", "edgehold"),
  kv: async () => (await (await local.mf.getKVNamespace("KV", "edgehold")).list()).keys.map((k) => k.name),
  async kvAll() {
    const kv = await local.mf.getKVNamespace("KV", "edgehold");
    const { keys } = await kv.list();
    return Object.fromEntries(await Promise.all(keys.map(async ({ name }) => [name, await kv.get(name)])));
  },
  stop: () => local.stop(),
};

process.on("message", async ({ id, verb, args }) => {
  try {
    process.send({ id, value: (await verbs[verb](args)) ?? null });
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) });
  }
  if (verb === "stop") process.exit(0);
});
process.on("disconnect", () => {
  fs.rmSync(options.dir, { recursive: true, force: true });
  process.kill(-process.pid, "SIGKILL");
});
process.send({ ready: true });
