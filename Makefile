# Every target works from a fresh clone: what it needs is installed first, inside the checkout.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build dev test lint bench burst kill versions sim mutants fuzz compare deploy clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## install what building and testing needs (Rust's wasm target, wasm-bindgen, npm packages); quick when done before
	@bash scripts/setup.sh

build: setup ## build the Worker: build/index.js and build/index_bg.wasm (EDGEHOLD_BUILD=dev: fast, not optimised)
	@bash scripts/build.sh

dev: export EDGEHOLD_BUILD ?= dev
dev: build ## run the gateway on this machine, with a demo customer and key
	@PATH="$$PWD/node_modules/.bin:$$PATH" node scripts/dev.mjs

test: setup ## run every test: the crate natively, then the built Worker in workerd with real SDKs and a live model
	@bash scripts/setup_python.sh
	@bash scripts/setup_live_model.sh || echo "WARNING: no live model here; the tests that need one are skipped" >&2
	@bash scripts/build.sh
	@bash scripts/test.sh

lint: setup ## check formatting, lints, syntax, pinned versions, licences and advisories
	@bash scripts/lint.sh

bench: build ## measure the gateway against its anchors
	@PATH="$$PWD/node_modules/.bin:$$PATH" bash bench/run.sh

burst: build ## prove that a budget holds: 500 requests at once, four isolates, and the provider's own bill (docs/proof.md; ARGS="--seed 7")
	@PATH="$$PWD/node_modules/.bin:$$PATH" node scripts/burst.mjs $(ARGS)

kill: build ## prove that nothing is lost: 50 times kill -9 under load (docs/proof.md; ARGS="--kills 5")
	@PATH="$$PWD/node_modules/.bin:$$PATH" node scripts/kill.mjs $(ARGS)

versions: build ## prove that old and new versions work side by side: Worker and object of two commits (docs/proof.md)
	@bash scripts/versions.sh $(ARGS)

sim: ## simulate thousands of isolates and one object; fails if a limit is overspent (SIM_ARGS="--seed 7"; writes docs/sim.svg and the table of docs/simulation.md)
	@cargo run --quiet --locked --profile sim --example sim -- --write $(SIM_ARGS)

mutants: ## put known mistakes into the ledger and the wallet, one at a time, and show that a test notices each
	@bash scripts/mutants.sh

DIALECTS := openai_chat openai_responses anthropic gemini bedrock cohere
FUZZ_TARGETS ?= framers surfaces tasks $(foreach kind,requests answers streams,$(addprefix $(kind):,$(DIALECTS)))
fuzz: ## look for input that breaks a reader, ten minutes for each: 3.5 hours (FUZZ_SECONDS=60, FUZZ_TARGETS="streams requests:cohere")
	@for target in $(FUZZ_TARGETS); do bash scripts/fuzz.sh "$$target" "$(or $(FUZZ_SECONDS),600)"; done

compare: ## compare what chat clients are told with what LiteLLM tells them of the same recorded bytes (installs LiteLLM, 340 MB; docs/differential.md)
	@bash scripts/compare.sh $(ARGS)

deploy: build ## deploy to your Cloudflare account (DRY_RUN=1: show what would be uploaded, touch nothing)
	@DRY_RUN="$(DRY_RUN)" bash scripts/deploy.sh

clean: ## remove what was built (CLEAN=all: also what setup installed)
	@rm -rf build target .wrangler .dev
	@if [ "$(CLEAN)" = all ]; then rm -rf .tools node_modules .venv .venv-openai2 .venv-model .venv-clients; fi
