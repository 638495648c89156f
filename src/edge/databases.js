// Which D1 databases are bound.

/** How many databases besides DB hold ledgers: LEDGER_DB_0, LEDGER_DB_1, … without a gap. */
export function ledgerDatabases(env) {
  let count = 0;
  while (env[`LEDGER_DB_${count}`] !== undefined) count++;
  return count;
}

/** The database of a binding. */
export function database(env, name) {
  const found = name === "DB" ? env.DB : env[name];
  if (found === undefined) throw new Error(`no database is bound as ${name}`);
  return found;
}
