// What stands between litellm and Prisma's engine in the proof's other gateway must not change a query or an answer.
import assert from "node:assert/strict";
import { it } from "node:test";
import { jsonFields, toJsonProtocol, untagged } from "../../scripts/proof/prisma.mjs";

const models = jsonFields("model Key {\n  token String @id\n  metadata Json @default(\"{}\")\n  spend Float\n}\nmodel Team {\n  metadata String\n}\n");

it("GraphQL becomes Prisma's JSON protocol: numbers as written, Json tagged, enums as strings", () => {
  const text = `mutation {\n  result: updateManyKey\n  (\n    where: {\n token: {\n in: [\n "a{,",\n "b\\"c"\n ]\n }\n }\n data: {\n spend: {\n increment: 1.50\n }\n metadata: "{\\"x\\": 1}"\n n: 9007199254740993\n}\n  )\n  {\n count\n _count { _all }\n }\n}`;
  const out = toJsonProtocol(text, models);
  assert.match(out, /"increment":1\.50\}/);
  assert.match(out, /"n":9007199254740993\}/);
  const query = JSON.parse(out);
  assert.deepEqual([query.modelName, query.action], ["Key", "updateMany"]);
  assert.deepEqual(query.query.arguments.where, { token: { in: ["a{,", "b\"c"] } });
  assert.deepEqual(query.query.arguments.data.metadata, { $type: "Json", value: "{\"x\": 1}" });
  assert.deepEqual(query.query.selection, { count: true, _count: { arguments: {}, selection: { _all: true } } });
  const order = JSON.parse(toJsonProtocol("query { result: findFirstTeamOrThrow(orderBy: { metadata: desc } where: { metadata: null }) { metadata } }", models));
  assert.deepEqual([order.modelName, order.action, order.query.arguments], ["Team", "findFirstOrThrow", { orderBy: { metadata: "desc" }, where: { metadata: null } }]);
});

it("a query that is not understood is an error", () => {
  assert.throws(() => toJsonProtocol("query { result: findManyKey(where: { token: }) { token } }", models));
  assert.throws(() => toJsonProtocol("query { result: findManyKey { token } } more", models));
  assert.throws(() => toJsonProtocol("query { result: findManyKey { token % spend } }", models));
});

it("answers lose their type tags and nothing else", () => {
  const tagged = { token: "a", at: { $type: "DateTime", value: "2026-11-21T00:00:00Z" }, limit: { $type: "BigInt", value: "12" }, metadata: { $type: "Json", value: "{\"x\":1}" }, list: [{ $type: "Decimal", value: "1.5" }, null] };
  assert.deepEqual(untagged(tagged), { token: "a", at: "2026-11-21T00:00:00Z", limit: 12, metadata: "{\"x\":1}", list: ["1.5", null] });
});
