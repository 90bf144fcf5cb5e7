SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint fuzz interop image-check bench fleet fleet-all generate kubernetes-schemas clean tools

# Runs what follows under one control plane, which all test binaries share (SEALIFT_E2E_KUBECONFIG), and ends it.
on_control_plane := cargo run --quiet --package sealift-e2e --bin testenv -- run --

help: ## Print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Show push, verify and apply, then tampering, a wrong key and a replay refused
	@testenv/build demo
	@cargo build --package sealift --package sealift-controller --package sealift-e2e --bins
	@bash e2e/demo.sh

test: tools ## Run every test on a real control plane, real registries and a real cosign
	@if [[ "$${CI:-}" == true && ! -d ../shared ]]; then echo "make test: ../shared is missing, which CI needs" >&2; exit 1; fi
	cargo build --workspace --all-targets
	$(on_control_plane) cargo test --workspace --no-fail-fast

tools:
	@testenv/build test

lint: ## Check format, clippy, and with cargo-deny licences, bans and sources
	@testenv/build lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@cargo fetch --locked --quiet # clippy fetched what this platform needs; licences are those of all
	"$$(testenv/build path)/cargo-deny" --offline check bans licenses sources

fuzz: ## Mutate everything the verifier reads, a minute a target (cargo test does it for 3 seconds)
	SEALIFT_FUZZ_SECONDS="$${SEALIFT_FUZZ_SECONDS:-60}" cargo test --package sealift-verify --test fuzz

interop: ## Run the tests that need heavier programs as well: the readers of other tools
	@testenv/build interop
	cargo build --workspace --all-targets
	SEALIFT_INTEROP=1 $(on_control_plane) cargo test --workspace --no-fail-fast

image-check: tools ## Build the images' static binaries for amd64 and arm64, and run each with what its image has (ARCHS="amd64 arm64")
	cargo build --package sealift --package sealift-controller --package sealift-e2e --bins
	e2e/image-check.sh

bench: ## Measure release builds, beside oras and cosign (PARTS="push copy poll …", ROUNDS=9)
	@testenv/build bench
	cargo build --release --package sealift --package sealift-controller --package sealift-e2e --bins
	$(if $(ROUNDS),SEALIFT_BENCH_ROUNDS=$(ROUNDS) )$(on_control_plane) "$${CARGO_TARGET_DIR:-target}/release/bench" $(PARTS)

fleet: ## Measure many small applications (APPS=100 ARTIFACTS=shared|each VALIDATION=dryRun|none REPLICAS=1), beside two limits
	@testenv/build test
	cargo build --release --package sealift --package sealift-controller
	cargo build --release --package sealift-e2e --bin fleet
	cargo build --package sealift-e2e --bins
	SEALIFT_BIN_DIR="$$(cd "$${CARGO_TARGET_DIR:-target}/release" && pwd)" $(on_control_plane) "$${CARGO_TARGET_DIR:-target}/release/fleet" $(SCENARIOS)

fleet-all: ## Measure every scenario with 100 to 5,000 applications, which takes half an hour, and print tables
	@testenv/build test
	cargo build --release --package sealift --package sealift-controller
	cargo build --release --package sealift-e2e --bin fleet
	cargo build --package sealift-e2e --bins
	SEALIFT_BIN_DIR="$$(cd "$${CARGO_TARGET_DIR:-target}/release" && pwd)" TESTENV="$${CARGO_TARGET_DIR:-target}/debug/testenv" e2e/bench/fleet/all.sh

generate: ## Write the generated files of deploy/ anew
	UPDATE_GENERATED=1 cargo test --workspace generated

kubernetes-schemas: ## Write push/schemas/kubernetes.json anew, from published modules
	cd testenv && go run ./cmd/kubernetes-schemas > ../push/schemas/kubernetes.json.new
	mv push/schemas/kubernetes.json.new push/schemas/kubernetes.json

clean: ## Remove what cargo built; the tools stay (testenv/build path says where)
	cargo clean
