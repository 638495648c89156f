#!/usr/bin/env bash
# Builds the Worker: build/index.js and build/index_bg.wasm, from the crate and src/edge/entry.js, in four steps.
#   cargo        → target/…/edgehold.wasm
#   wasm-bindgen → build/pkg/edgehold.js + edgehold_bg.wasm   (adds __wbg_reset_state: a fresh instance after a panic)
#   wasm-opt     → build/opt/edgehold_bg.wasm                 (not in dev builds)
#   esbuild      → build/index.js + build/index_bg.wasm
# A step whose inputs did not change is skipped. EDGEHOLD_BUILD=dev (or --no-opt) compiles fast and minifies nothing.
set -euo pipefail
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"

mode="${EDGEHOLD_BUILD:-}"
if [ -z "$mode" ]; then
  # wrangler says for which of its commands it runs this.
  case "${WRANGLER_COMMAND:-}" in dev) mode=dev ;; *) mode=release ;; esac
fi
case "${1:-}" in
  "") ;;
  --no-opt) mode=dev ;;
  *) die "usage: scripts/build.sh [--no-opt]" ;;
esac
case "$mode" in release | dev) ;; *) die "EDGEHOLD_BUILD is '$mode'; it can be release or dev" ;; esac

way="$(rust_way)"
if [ -z "$way" ] || [ ! -x node_modules/.bin/esbuild ] || ! have wasm-bindgen; then
  die "the tools are not set up; run: make setup"
fi
lock build
all_start=$(now_ms)
mkdir -p build/pkg build/opt
skipped=""

# step NAME DIGEST OUTPUT COMMAND…: runs the command unless the output is there and was made from the same digest.
step() {
  local name="$1" wanted="$2" output="$3" start
  shift 3
  if [ -e "$output" ] && [ "$(cat "build/.$name" 2>/dev/null)" = "$wanted" ]; then
    skipped="$skipped $name"
    return 0
  fi
  start=$(now_ms)
  rm -f "build/.$name"
  "$@" || die "$name failed"
  printf '%s' "$wanted" >"build/.$name"
  say "build: $name $(seconds "$start")"
}

# ── cargo ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
cargo_args=(build --target "$WASM_TARGET" --locked --lib)
if [ "$mode" = dev ]; then
  profile=edge-dev
  cargo_args+=(--profile edge-dev --config 'profile.edge-dev.inherits="release"' --config 'profile.edge-dev.opt-level=1'
    --config 'profile.edge-dev.lto=false' --config 'profile.edge-dev.codegen-units=16' --config 'profile.edge-dev.incremental=true')
else
  profile=release
  cargo_args+=(--release)
fi
# Cargo's progress is for a person watching; a log wants only its warnings and errors.
[ -t 2 ] || cargo_args+=(--quiet)
start=$(now_ms)
wasm_env "$way" cargo "${cargo_args[@]}" || die "cargo failed"
say "build: cargo $(seconds "$start") ($mode)"
target_dir="${CARGO_TARGET_DIR:-target}"
if [ "$way" = debian ]; then target_dir="$DEBIAN_TARGET_DIR"; fi
cargo_wasm="$target_dir/$WASM_TARGET/$profile/edgehold.wasm"
[ -f "$cargo_wasm" ] || die "cargo made no $cargo_wasm"

# ── wasm-bindgen ──────────────────────────────────────────────────────────────────────────────────────────────────────
bindgen_version="$(locked_version wasm-bindgen)"
[ "$(wasm-bindgen --version)" = "wasm-bindgen $bindgen_version" ] || die "wasm-bindgen is not $bindgen_version; run: make setup"
run_bindgen() {
  rm -rf build/pkg && mkdir -p build/pkg
  wasm-bindgen --target web --no-typescript --out-dir build/pkg --out-name edgehold \
    --experimental-reset-state-function --omit-default-module-path "$cargo_wasm"
}
# The digest is of this script too: other flags make other output.
this_script="$(digest scripts/build.sh)"
step wasm-bindgen "$this_script $bindgen_version $(digest "$cargo_wasm")" build/pkg/edgehold_bg.wasm run_bindgen

# ── wasm-opt ──────────────────────────────────────────────────────────────────────────────────────────────────────────
final_wasm=build/pkg/edgehold_bg.wasm
if [ "$mode" = release ]; then
  final_wasm=build/opt/edgehold_bg.wasm
  # What rustc's wasm32 target has switched on since 1.82 (https://doc.rust-lang.org/rustc/platform-support/wasm32-unknown-unknown.html,
  # read 2026-11-21); wasm-opt refuses a module that uses a feature it was not told of.
  features=(--enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int --enable-bulk-memory
    --enable-reference-types --enable-multivalue)
  step wasm-opt "$this_script $(digest package-lock.json build/pkg/edgehold_bg.wasm)" "$final_wasm" \
    wasm-opt -O3 "${features[@]}" --strip-debug --strip-producers --strip-target-features \
    build/pkg/edgehold_bg.wasm -o "$final_wasm"
fi

# ── esbuild ───────────────────────────────────────────────────────────────────────────────────────────────────────────
run_esbuild() {
  local minify=(--minify --legal-comments=none)
  if [ "$mode" = dev ]; then minify=(); fi
  # The wasm is not code to be bundled: `copy` keeps it a file next to index.js and rewrites the import to ./index_bg.wasm.
  esbuild src/edge/entry.js --bundle --format=esm --platform=neutral --target=es2024 ${minify[@]+"${minify[@]}"} \
    '--external:cloudflare:*' '--external:node:*' --loader:.wasm=copy --asset-names=index_bg --outfile=build/index.js --log-level=warning &&
    { cmp -s "$final_wasm" build/index_bg.wasm || cp "$final_wasm" build/index_bg.wasm; }
}
edge_sources="$(find src/edge build/pkg -name '*.js' -type f -print | LC_ALL=C sort | while IFS= read -r f; do digest "$f"; done)"
[ -f build/index_bg.wasm ] || rm -f build/.esbuild
step esbuild "$mode $this_script $(digest package-lock.json "$final_wasm") $edge_sources" build/index.js run_esbuild

bytes() { wc -c <"$1" | tr -d ' '; }
say "build: done in $(seconds "$all_start"): index.js $(($(bytes build/index.js) / 1024)) KiB, wasm $(($(bytes build/index_bg.wasm) / 1024)) KiB, gzipped together $(($(cat build/index.js build/index_bg.wasm | gzip -c | wc -c) / 1024)) KiB${skipped:+ (unchanged:$skipped)}"
