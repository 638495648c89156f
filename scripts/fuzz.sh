#!/usr/bin/env bash
# Runs one fuzz target: scripts/fuzz.sh TARGET[:DIALECT] SECONDS, as in `scripts/fuzz.sh streams:anthropic 600`. Without a
# dialect the input chooses it. Stable Rust is enough: coverage is LLVM's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"
target="${1%%:*}" seconds="$2"
run="${1//:/-}"
case "$1" in *:*) export EDGEHOLD_FUZZ_DIALECT="${1#*:}" ;; esac
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}"
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=4 -Clto=off"
host="$(rustc -vV | sed -n 's/^host: //p')"
# Build scripts and macros are not to be instrumented: a target that is named keeps the flags from them.
cargo build --release --quiet --target "$host" --bin "$target"
mkdir -p "corpus/$run" "artifacts/$run"
exec "$CARGO_TARGET_DIR/$host/release/$target" "corpus/$run" "seeds/$target" \
  -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
  -artifact_prefix="artifacts/$run/" -print_final_stats=1
