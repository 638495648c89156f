#!/usr/bin/env bash
# Python environments for the SDK tests: .venv has the newest major of OpenAI's SDK, .venv-openai2 the one before.
# Made again only when their requirements change.
set -euo pipefail
# shellcheck source=scripts/python_env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python_env.sh"
lock setup_python
python_env .venv tests/requirements.txt
python_env .venv-openai2 scripts/requirements-openai2.txt
