// Counts what crosses between JS and wasm. Must be evaluated before the gateway's module: imported first.
export const counts = { wasmToJs: 0, jsToWasm: 0, objectCalls: 0, alarms: 0, rowsWritten: 0, kv: 0, d1: 0 };

export function counted(target, methods, name) {
  for (const method of methods) {
    const original = target[method];
    if (typeof original !== "function") continue;
    target[method] = function (...args) {
      counts[name]++;
      return original.apply(this, args);
    };
  }
}

const wrap = (functions, name) => Object.fromEntries(Object.entries(functions).map(([key, value]) => [key, typeof value !== "function" ? value
  : (...args) => { counts[name]++; return value(...args); }]));

const Instance = WebAssembly.Instance;
WebAssembly.Instance = function (module, imports) {
  const instance = new Instance(module, Object.fromEntries(Object.entries(imports).map(([from, functions]) => [from, wrap(functions, "wasmToJs")])));
  return { exports: wrap(instance.exports, "jsToWasm") };
};
