#!/usr/bin/env bash
# Measures the gateway in build/ against its anchors and a peer; see README.md here. Linux with two cores or more.
#   bench/run.sh [--quick] [--rounds N] [--only js-pass,edgehold,…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PATH="$PWD/../node_modules/.bin:$PATH"

for tool in cargo npm node taskset; do
  command -v "$tool" >/dev/null || { echo "bench: no $tool found" >&2; exit 1; }
done
# Of different cores, so that load and upstream never take time from what is measured.
[ "$(nproc)" -ge 2 ] || { echo "bench: this machine has one core; it takes two" >&2; exit 1; }

cargo build --release --locked --quiet
# No install scripts: the peer's own would patch packages that it does not patch.
[ node_modules/.package-lock.json -nt package-lock.json ] ||
  npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
exec taskset -c 1 node run.mjs "$@"
