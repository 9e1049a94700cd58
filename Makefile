# Every task of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help demo test e2e cluster image quick lint bench docs manifests build clickhouse tools faults soak clean

help: ## List all tasks
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build clickhouse ## Receive simulated records and ask for them with SQL; no root needed, ends by itself
	@scripts/demo

test: tools clickhouse ## All checks and tests, against a real ClickHouse, Kubernetes and exporters; needs root
	@scripts/build-kubernetes >/dev/null & kubernetes=$$!; \
	$(MAKE) --no-print-directory lint; \
	cargo build --release --workspace --all-targets; \
	wait $$kubernetes
	scripts/build-images
	@scripts/test

e2e: tools clickhouse ## The Kubernetes scenarios alone; CLICKHOUSE_IMAGE=NAME pulls a real server's image for them; needs root
	scripts/build-kubernetes >/dev/null
	scripts/build-images
	cargo test --release --workspace --test kubernetes

cluster: tools clickhouse ## A real Kubernetes with our image, for a person: until Ctrl-C; needs root
	@scripts/build-images
	cargo build --release --workspace --bins
	@target/release/cluster up

image: ## The container image, target/images/qoe.tar; needs buildah
	@scripts/build-images qoe
	@echo target/images/qoe.tar

quick: lint ## Formatting, lints and the tests that need no ClickHouse: for every commit
	cargo test --release -p ipfix -p crds -p dictionaries -p receiver -p simulator
	cargo test --release -p schema --lib --test drift

lint: ## Formatting and lints
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	scripts/check-text

bench: tools clickhouse ## Measure tier by tier, and other programs beside; TIERS="t4 t5" for some of it
	@$(if $(TIERS),BENCH_TIERS="$(TIERS)") scripts/bench

faults: clickhouse ## The fault tests with longer outages and more seeds
	cargo build --release --workspace --all-targets
	QOE_FAULTS_LONG=1 QOE_FUZZ_SECONDS=300 cargo test --release -p e2e -p ipfix -p receiver

soak: build clickhouse ## An hour of records at a steady rate; ends with the balances
	@scripts/soak

docs: ## Write the generated files again: references, schema dump, CRDs
	QOE_UPDATE=1 cargo test --release --workspace --test drift

manifests: ## Render manifests/ from the Helm chart and copy the CRDs; builds Helm once
	scripts/render-manifests

build: ## The qoe binary, target/release/qoe
	cargo build --release -p qoe

clickhouse: ## Fetch the embedded ClickHouse engine (libchdb) into the cache
	@scripts/fetch-clickhouse >/dev/null

tools: ## Install what tests use: exporters, etcd, containerd, buildah (Debian packages; root)
	@scripts/install-test-tools

clean: ## Remove what was built; the cache of the engine and of Kubernetes stays
	cargo clean
