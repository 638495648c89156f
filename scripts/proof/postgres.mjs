// A PostgreSQL of this run's own, from Debian's package `postgresql`, in a folder that goes away with it.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

/** Where `initdb` and `postgres` are: on the PATH, or where Debian puts them. */
function programs() {
  const debian = "/usr/lib/postgresql";
  const folders = [
    ...process.env.PATH.split(":"),
    ...(fs.existsSync(debian) ? fs.readdirSync(debian).map((version) => path.join(debian, version, "bin")) : []),
  ];
  const found = folders.find((folder) => fs.existsSync(path.join(folder, "initdb")));
  if (!found) throw new Error("litellm keeps its virtual keys in PostgreSQL: install Debian's package postgresql, or set DATABASE_URL to an empty database");
  return found;
}

/**
 * Makes an empty cluster in `folder` and starts it through `start(name, command, args, options)`.
 * @returns {{url: string, version: string}}
 */
export function startPostgres({ folder, port, start }) {
  const bin = programs();
  // PostgreSQL refuses to run as root.
  const user = process.getuid() === 0
    ? { uid: Number(execFileSync("id", ["-u", "postgres"])), gid: Number(execFileSync("id", ["-g", "postgres"])) }
    : {};
  fs.mkdirSync(folder);
  if (user.uid) fs.chownSync(folder, user.uid, user.gid);
  execFileSync(path.join(bin, "initdb"), ["-D", path.join(folder, "data"), "-U", "proof", "-A", "trust", "-E", "UTF8", "--no-sync"], { ...user, cwd: folder, stdio: "ignore" });
  start("postgres", path.join(bin, "postgres"), ["-D", path.join(folder, "data"), "-p", String(port), "-h", "127.0.0.1", "-k", folder], { ...user, cwd: folder });
  return {
    url: `postgresql://proof@127.0.0.1:${port}/postgres`,
    version: execFileSync(path.join(bin, "postgres"), ["--version"]).toString().trim().replace(/^postgres \(PostgreSQL\) /, "PostgreSQL "),
  };
}
