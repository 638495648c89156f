#!/usr/bin/env bash
# Every test: the crate's own, then the built Worker in workerd. The second runs also when the first fails.
set -euo pipefail
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"

start=$(now_ms)
failed=""
say "test: cargo test"
cargo test --locked --no-fail-fast || failed="cargo test"
say "test: cargo test took $(seconds "$start")"
if [ -n "$failed" ]; then warn "cargo test failed; see above. The edge tests run all the same."; fi

say "test: tests/edge (the built Worker in workerd)"
# Last, so that the runner's summary is what a reader sees at the end.
node tests/edge/run.mjs || failed="${failed:+$failed, }edge tests"
[ -z "$failed" ]
