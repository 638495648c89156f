#!/usr/bin/env bash
# Known mistakes, one at a time, in a copy of the tree: the tests of src/admit must notice each.
# Usage: scripts/mutants.sh [NAME…]; writes the table of docs/simulation.md if all ran.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec python3 scripts/mutants.py "$@"
