# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tfgrid-ledger

# CI has a fresh clone each time: kept outside, what was built of others' code is there next time.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif
PROGRAMS = $(or $(CARGO_TARGET_DIR),target)/debug

# With what `make setup` found out about the wasm toolchain.
CARGO = set -a; . "$(CACHE)/wasm.env"; set +a; cargo

# Mounts, networks and firewall are root's.
ifneq ($(shell id -u),0)
AS_ROOT = sudo env "PATH=$$PATH"
RUN_TESTS_AS_ROOT = export CARGO_TARGET_$(shell uname -m | tr a-z A-Z)_UNKNOWN_LINUX_GNU_RUNNER="$(AS_ROOT)";
endif

.PHONY: help
help: ## Show this menu
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: requirements nextest ## Install what is missing: packages, wasm target, cargo-nextest, polkadot-js

.PHONY: build
build: requirements ## Build the programs: chain, agent, command line
	$(CARGO) build --locked --workspace --bins

.PHONY: demo
demo: build ## Take a workload from its JSON to its bill, on a grid that is gone afterwards
	@$(AS_ROOT) $(PROGRAMS)/demo

.PHONY: dev
dev: build ## Run a grid to try things on, until Ctrl-C
	@$(AS_ROOT) $(PROGRAMS)/dev

.PHONY: test
test: setup ## Run all tests; this is what CI does
	cargo fmt --all --check
	$(CARGO) build --locked --workspace --bins
	$(RUN_TESTS_AS_ROOT) $(CARGO) nextest run --locked --workspace
	set -a; . "$(CACHE)/wasm.env"; set +a; $(AS_ROOT) $(PROGRAMS)/with-engine \
		cargo nextest run --locked --workspace --run-ignored only -E 'binary(drivers)'

.PHONY: metadata
metadata: requirements ## Write client/metadata.scale anew, after a change of the runtime
	$(CARGO) build --locked --workspace --bins --examples
	$(PROGRAMS)/examples/metadata client/metadata.scale

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -rf tests/js/node_modules

.PHONY: requirements
requirements: tests/js/node_modules/.package-lock.json
	@scripts/setup-packages.sh
	@scripts/setup-wasm.sh >/dev/null

.PHONY: nextest
nextest:
	@cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest

tests/js/node_modules/.package-lock.json: tests/js/package-lock.json
	npm ci --prefix tests/js --no-audit --no-fund --loglevel=error
	@touch $@
