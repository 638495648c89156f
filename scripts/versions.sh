#!/usr/bin/env bash
# Builds the Worker of an older commit and runs it beside the present build: old Worker with new object, and the reverse,
# on one disk, under load. VERSIONS_OLD names the commit (by default the first whose wire is recorded in tests/fixtures).
# --mixed: clients and providers of several formats; the older commit must know them (2209394 does).
# --record: writes tests/fixtures/wire from what that older build says, instead.
set -euo pipefail
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"

old="${VERSIONS_OLD:-1700b07}"
commit="$(git rev-parse --verify --quiet "$old^{commit}")" || die "no commit $old here (a shallow clone has no history: git fetch --unshallow)"
tree="$ROOT/target/versions/$commit"
if [ ! -f "$tree/build/index_bg.wasm" ]; then
  say "versions: building $old"
  rm -rf "$tree" && mkdir -p "$tree"
  git archive "$commit" | tar -x -C "$tree"
  ln -s "$ROOT/node_modules" "$tree/node_modules"
  ln -s "$TOOLS" "$tree/.tools"
  # Its dependencies are mostly those of the present version: they are compiled once.
  CARGO_TARGET_DIR="$ROOT/target/versions/cargo" EDGEHOLD_BUILD="${EDGEHOLD_BUILD:-release}" bash "$tree/scripts/build.sh"
fi
exec node scripts/versions.mjs --old "$tree" --name "$old" "$@"
