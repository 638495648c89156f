#!/usr/bin/env bash
# Everything that can be said about the code without running it. All checks run; the exit status is 1 if one failed.
# A check that cannot run here (no clippy, no network) is skipped, and that is said in the last line.
set -euo pipefail
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"
failed=""
skipped=""
all_start=$(now_ms)

# check NAME COMMAND…
check() {
  local name="$1" start rc=0
  shift
  start=$(now_ms)
  "$@" || rc=$?
  case $rc in
    0) say "lint: $name: fine ($(seconds "$start"))" ;;
    3) skip "$name" "see the warning above" ;;
    *)
      say "lint: $name: FAILED ($(seconds "$start"))"
      failed="$failed${failed:+, }$name" ;;
  esac
}
skip() {
  warn "lint: $1: SKIPPED, $2"
  skipped="$skipped${skipped:+, }$1"
}

# cargo_tool NAME: is this part of the toolchain here, or can rustup fetch it?
cargo_tool() {
  cargo "$1" --version >/dev/null 2>&1 && return 0
  have rustup && rustup component add "$2" >/dev/null 2>&1 && cargo "$1" --version >/dev/null 2>&1
}

sources() { find src/edge scripts tests/edge bench -type d -name node_modules -prune -o -type f \( -name '*.js' -o -name '*.mjs' \) -print 2>/dev/null | LC_ALL=C sort; }
javascript() {
  local files=() file warnings
  while IFS= read -r file; do files+=("$file"); done < <(sources)
  if [ ${#files[@]} -eq 0 ]; then return 0; fi
  for file in "${files[@]}"; do node --check "$file" || return 1; done
  # esbuild's parser also warns: a constant assigned to, a key given twice, a comparison that is never true.
  warnings="$(esbuild "${files[@]}" --outdir=build/lint --log-level=warning --log-limit=0 --color=false 2>&1 >/dev/null)" || true
  rm -rf build/lint
  [ -z "$warnings" ] || { printf '%s\n' "$warnings"; return 1; }
}
shell_scripts() {
  local file
  for file in scripts/*.sh .ci/run bench/*.sh; do
    [ -f "$file" ] || continue
    bash -n "$file" || return 1
  done
}
python_scripts() {
  local file
  while IFS= read -r file; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$file" || return 1
  done < <(find scripts tests bench -name '*.py' -type f -not -path '*/node_modules/*' 2>/dev/null)
}

check "versions pinned" node scripts/audit.mjs pins
check "licences" node scripts/audit.mjs licences
check "advisories" node scripts/audit.mjs advisories
check "javascript" javascript
check "shell" shell_scripts
if have python3; then check "python" python_scripts; else skip "python" "no python3 here"; fi

# cargo fmt does not see modules that a macro declares, nor other crates.
formatted() {
  cargo fmt --check && rustfmt --check --edition 2024 --config-path . src/provider/*.rs && cargo fmt --check --manifest-path fuzz/Cargo.toml
}
if cargo_tool fmt rustfmt; then check "cargo fmt" formatted; else skip "cargo fmt" "this Rust has no rustfmt"; fi
# Compiled, not linked: that takes no C++ compiler. They are run by hand, and should not have stopped compiling meanwhile.
fuzz_targets() {
  CARGO_TARGET_DIR="$PWD/target" cargo check --quiet --locked --no-default-features --manifest-path fuzz/Cargo.toml
}
check "fuzz targets" fuzz_targets
if cargo_tool clippy clippy; then
  check "clippy" cargo clippy --quiet --locked --all-targets -- -D warnings
  way="$(rust_way)"
  if [ "$way" = path ]; then
    check "clippy for wasm" cargo clippy --quiet --locked --target "$WASM_TARGET" -- -D warnings
  else
    # Clippy reads only libraries of its own compiler's making, and Debian's compiler comes without a clippy.
    skip "clippy for wasm" "the clippy on PATH has no wasm standard library (the wasm is built with: ${way:-nothing})"
  fi
else
  skip "clippy" "this Rust has no clippy"
  skip "clippy for wasm" "this Rust has no clippy"
fi

if [ -n "$failed" ]; then
  say "lint: FAILED: $failed${skipped:+; SKIPPED: $skipped} ($(seconds "$all_start"))"
  exit 1
fi
say "lint: fine${skipped:+, but SKIPPED: $skipped} ($(seconds "$all_start"))"
