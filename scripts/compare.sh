#!/usr/bin/env bash
# What the gateway and LiteLLM make of the same recorded bytes (docs/differential.md). Installs LiteLLM into .tools/litellm
# (340 MB), again only when its requirements change.
# Usage: scripts/compare.sh [FIXTURES]
set -euo pipefail
# shellcheck source=scripts/python_env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python_env.sh"
lock compare
python_env .tools/litellm scripts/requirements-compare.txt
cargo build --quiet --example translate
exec .tools/litellm/bin/python scripts/differential.py "$@"
