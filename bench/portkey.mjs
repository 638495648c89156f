// The peer: Portkey's open-source gateway from npm, as its node server and as a Worker.
import fs from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { OUT } from "./workerd.mjs";

export const PORTKEY_SERVER = path.join(import.meta.dirname, "node_modules/@portkey-ai/gateway/build/start-server.js");
/** It cannot read its configuration from an environment in workerd's own format, so each request names its upstream. */
export const portkeyHeaders = (upstream) => ["x-portkey-provider: openai", `x-portkey-custom-host: ${upstream}`, "authorization: Bearer sk-upstream"];

// What node's start-up, or an endpoint that is not measured, needs and a chat completion on a Worker never calls.
const STUBS = {
  "@hono/node-server": "export const serve = () => {};",
  "@hono/node-ws": "export const createNodeWebSocket = () => ({ injectWebSocket() {}, upgradeWebSocket: () => (c, next) => next() });",
  ioredis: "export default class {}",
  ws: "export default class {}",
  https: "export class Agent {}",
  avsc: "",
};

/**
 * Bundles the Worker. The npm package has no sources, only the bundled server: the same application, then the lines that
 * listen on a port and print a banner. Those lines are cut off and the application is exported.
 */
export async function bundlePortkey() {
  const outfile = path.join(OUT, "portkey.js");
  const server = fs.readFileSync(PORTKEY_SERVER, "utf8");
  const listen = /\w+\(\w+\(\{fetch:(\w+)\.fetch,port:\w+\}\)\)/.exec(server);
  if (!listen) throw new Error("Portkey's server no longer starts where it did");
  await build({
    stdin: { contents: `${server.slice(0, listen.index).replace(/^#!.*\n/, "")};export default ${listen[1]};`, resolveDir: path.dirname(PORTKEY_SERVER) },
    outfile, bundle: true, format: "esm", target: "es2022", conditions: ["workerd", "worker", "browser"], minify: true, logLevel: "error",
    external: ["fs", "fs/promises", "path", "url"],
    define: { "process.argv": '["", "", "--headless"]', "process.env.NODE_ENV": '"production"' },
    plugins: [{
      name: "stubs",
      setup({ onResolve, onLoad }) {
        onResolve({ filter: /./ }, ({ path: name }) => (Object.hasOwn(STUBS, name) ? { path: name, namespace: "stub" } : undefined));
        onLoad({ filter: /./, namespace: "stub" }, ({ path: name }) => ({ contents: STUBS[name] }));
      },
    }],
  });
  return outfile;
}
