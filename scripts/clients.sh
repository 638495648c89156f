#!/usr/bin/env bash
# Frameworks that people call gateways with, against the built Worker and fake providers of every dialect: LangChain,
# LlamaIndex, instructor, OpenAI's Agents, Vercel's ai. Not part of `make test`: they bring 150 packages (400 MB, in
# .venv-clients). Prints the table of docs/clients.md; wants `make build` before.
set -euo pipefail
# shellcheck source=scripts/python_env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python_env.sh"
lock clients
python_env .venv-clients scripts/requirements-clients.txt
npm_packages=(ai@7.0.173 @ai-sdk/openai@4.0.118 @ai-sdk/anthropic@4.0.105 @ai-sdk/google@4.0.121 @ai-sdk/openai-compatible@3.0.92 zod@4.6.7)
if [ "$(cat .venv-clients/npm/.installed 2>/dev/null)" != "${npm_packages[*]}" ]; then
  mkdir -p .venv-clients/npm
  printf '{"private":true}\n' >.venv-clients/npm/package.json
  npm install --prefix .venv-clients/npm --no-audit --no-fund --loglevel=error "${npm_packages[@]}"
  printf '%s\n' "${npm_packages[*]}" >.venv-clients/npm/.installed
fi
node tests/frameworks/run.mjs .venv-clients
