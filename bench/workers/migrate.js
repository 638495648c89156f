// Applies SQL statements, sent as a JSON array, to the D1 database of the configuration it runs in.
export default {
  async fetch(request, env) {
    const statements = await request.json();
    await env.DB.batch(statements.map((statement) => env.DB.prepare(statement)));
    return new Response("applied");
  },
};
