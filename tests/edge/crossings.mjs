// Counts calls over the boundary between JS and wasm, reads and writes of streams, and can make a call trap. Must be evaluated
// before the bundle is.
const calls = { imports: Object.create(null), exports: Object.create(null), streams: { reads: 0, writes: 0 } };

/** Calls since the last reset, by direction and name. */
export function counts() {
  const sum = (o) => Object.values(o).reduce((a, b) => a + b, 0);
  return { total: sum(calls.imports) + sum(calls.exports), ...calls };
}

/** Starts again at zero. */
export function resetCounts() {
  calls.imports = Object.create(null);
  calls.exports = Object.create(null);
  calls.streams = { reads: 0, writes: 0 };
}

for (const [what, { prototype }, method] of [["reads", ReadableStreamBYOBReader, "read"], ["writes", WritableStreamDefaultWriter, "write"]]) {
  const original = prototype[method];
  prototype[method] = function (...args) {
    calls.streams[what] += 1;
    return original.apply(this, args);
  };
}

let memory = null;

/** What the instance's memory has grown to; it never shrinks. */
export const memoryBytes = () => memory.buffer.byteLength;

let trapAt = null;

/** The next call of this export traps, as an unreachable instruction would. */
export function trapNext(name) {
  trapAt = name;
}

function counted(side, name, f) {
  if (typeof f !== "function") return f;
  const label = name.replace(/^__wbg_/, "").replace(/_[0-9a-f]{16}$/, "");
  return function (...args) {
    if (side === "exports" && name === trapAt) {
      trapAt = null;
      throw new WebAssembly.RuntimeError("unreachable");
    }
    calls[side][label] = (calls[side][label] ?? 0) + 1;
    return f.apply(this, args);
  };
}

function mapped(side, functions) {
  return Object.fromEntries(Object.entries(functions).map(([name, f]) => [name, counted(side, name, f)]));
}

const { Instance } = WebAssembly;
WebAssembly.Instance = function (module, imports = {}) {
  const given = Object.fromEntries(Object.entries(imports).map(([from, functions]) => [from, mapped("imports", functions)]));
  const { exports } = new Instance(module, given);
  memory = exports.memory;
  return { exports: mapped("exports", exports) };
};
