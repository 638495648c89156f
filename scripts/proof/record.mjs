// Records what a build says and stores, as fixtures that later versions must be able to read (tests/wire.rs).
import fs from "node:fs";
import path from "node:path";
import { config, sleep, startGateway, waitFor } from "../../tests/edge/rig.mjs";
import { startUpstream } from "../../tests/edge/upstream.mjs";

const model = "gpt-4o-mini";

/** Drives every command and every reply of the object through a gateway of `build`, and writes files into `dir`. */
export async function record({ build, migrations, dir, name }) {
  const [gateway, upstream] = await Promise.all([startGateway({ build, migrations, isolates: 2 }), startUpstream()]);
  try {
    const conf = config({ up1: upstream.url, up2: upstream.url });
    conf.routes = [
      { name: "limited", match: { task: "limited" }, model: `up1/${model}`, rate_limit: { rpm: 1, tpm: 100_000 } },
      { name: "unpriced", match: { model: "unpriced" }, model: "up1/unpriced" },
      { name: "main", model: `up1/${model}`, fallback: `up2/${model}`, retries: { count: 0 } },
    ];
    await gateway.putConfig(conf);
    await gateway.wire();
    const post = (where, body) => gateway.admin("POST", where, body);
    const customer = await post("/customers", { name: "acme", budget_usd: { month: 10, day: "5.5" }, rate_limit: { rpm: 1000, tpm: 10_000_000 } });
    const team = await post("/teams", { customer_id: customer.id, name: "research", budget_usd: { month: 5 } });
    const key = async (body) => (await post("/keys", { customer_id: customer.id, ...body }));
    const main = await key({ team_id: team.id, name: "main", budget_usd: { total: 1, month: "0.5" }, rate_limit: { rpm: 60, tpm: 200_000 }, models: [model, "unpriced", "up*/*"], default_max_tokens: 200, metadata: { env: "test" }, expires_at: "2100-01-01T00:00:00Z" });
    const poor = await key({ name: "poor", budget_usd: { total: "0.0000001" } });
    const blocked = await key({ name: "blocked" });
    const brief = await key({ name: "brief" });
    const ask = async (k, body, metadata) => {
      const response = await gateway.chat(k.key, { model, max_tokens: 50, ...body }, { headers: metadata ? { "x-edgehold-metadata": JSON.stringify(metadata) } : {}, isolate: 1 });
      await response.text().catch(() => {});
      return response.headers.get("x-edgehold-request-id");
    };
    // The second isolate knows both keys as they were; then only the object knows better.
    await ask(blocked, {});
    await ask(brief, {});
    await gateway.admin("PATCH", `/keys/${blocked.id}`, { blocked: true });
    await gateway.admin("PATCH", `/keys/${brief.id}`, { expires_at: new Date(Date.now() + 1_000).toISOString() });
    const done = await ask(main, {}, { job: "1" });
    await gateway.keyStatus(main.key); // describe
    await fetch(`${gateway.url}/v1/requests/${done}`, { headers: { authorization: `Bearer ${main.key}` } }); // find: settled
    await ask(main, { stream: true });
    await ask(main, { stream: true, stream_options: { include_usage: true } });
    upstream.next({ status: 500 });
    await ask(main, {}); // two attempts
    await ask(poor, {}); // refused: budget
    await ask(blocked, {}); // refused: blocked
    upstream.reset();
    await ask(main, { model: "unpriced" }); // refused: unpriced
    await ask(main, {}, { task: "limited" });
    await ask(main, {}, { task: "limited" }); // refused: rate
    await gateway.chat(`${main.key.slice(0, -4)}AAAA`, { model }); // a wrong key
    await sleep(1_000);
    await ask(brief, {}); // refused: expired
    // What is spent on a first attempt must fit beside the second: the hold is extended. (An error with usage is billed.)
    upstream.next({ raw: JSON.stringify({ id: "chatcmpl-odd", object: "chat.completion", usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }, error: { message: "late failure" } }), content_type: "application/json" });
    await ask(main, {});
    await waitFor("rows in D1", async () => {
      const { held, outbox } = await gateway.ledger(customer);
      return held === 0 && outbox === 0;
    });
    await fetch(`${gateway.url}/v1/requests/${done.slice(0, -4)}0000`, { headers: { authorization: `Bearer ${main.key}` } }); // find: absent
    // Now as a crash would find it: something held, something settled that D1 does not have, something drained.
    await gateway.d1("fail");
    upstream.next({ chunks: 5, gate: true }, {}, {});
    const open = await gateway.chat(main.key, { model, stream: true, max_tokens: 70 });
    await open.body.getReader().read();
    const held = open.headers.get("x-edgehold-request-id");
    await fetch(`${gateway.url}/v1/requests/${held}`, { headers: { authorization: `Bearer ${main.key}` } }); // find: held
    await ask(main, {});
    await ask(main, { stream: true });
    await waitFor("two settlements", async () => (await gateway.ledger(customer)).outbox === 2);
    await gateway.ledger(customer); // inspect
    const stored = await gateway.stored();
    const all = await gateway.wire();
    const wire = all.filter((said, i) => said.command !== '"inspect"' || i === all.length - 1);
    const kv = await gateway.kvAll();
    const d1 = await gateway.sql("SELECT * FROM ledger ORDER BY request_id, attempt");

    fs.mkdirSync(dir, { recursive: true });
    // A line for each element, so that a difference can be read.
    const lines = (value) => (Array.isArray(value) ? `[\n${value.map((item) => JSON.stringify(item)).join(",\n")}\n]` : `{\n${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${Array.isArray(v) ? lines(v) : JSON.stringify(v)}`).join(",\n")}\n}`);
    const save = (file, value) => fs.writeFileSync(path.join(dir, file), `${lines(value)}\n`);
    save("said.json", wire.map(({ at_ms, command, reply }) => ({ at_ms, command: JSON.parse(command), reply: JSON.parse(reply) })));
    save("stored.json", Object.fromEntries(Object.entries(stored).map(([table, rows]) => [table, rows.map((row) => (row.body ? { ...row, body: JSON.parse(row.body) } : row))])));
    save("kv.json", Object.fromEntries(Object.entries(kv).map(([k, text]) => [k, JSON.parse(text)])));
    save("d1.json", d1);
    const kinds = new Set(wire.flatMap(({ command, reply }) => [command, reply]).map((text) => (text.startsWith('"') ? JSON.parse(text) : Object.keys(JSON.parse(text))[0])));
    console.log(`recorded ${wire.length} commands of ${name} in ${path.basename(dir)}: ${[...kinds].sort().join(", ")}`);
    upstream.release(Infinity);
  } finally {
    await gateway.stop();
    await upstream.stop();
  }
}
