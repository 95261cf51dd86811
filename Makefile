# Runs on a machine with Rust and Python 3; the other tools are set up below .venv/ in pinned versions.

.DEFAULT_GOAL := help
.PHONY: help dev test clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: .venv/dev/.stamp ## run everything on this machine, with a demo page; Ctrl-C ends it
	@cargo run --locked --package local-stack

# All that must hold: formatting, lints, documentation, then the tests of the code and of the template.
test: .venv/test/.stamp .venv/dev/.stamp ## check and test everything
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	cargo build --locked -p mint-token -p create-source
	cargo test --workspace --locked --no-fail-fast
	.venv/test/bin/pytest tests/template

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

# `--clear`, so that nothing is left of a version that is no longer pinned.
.venv/test/.stamp: tests/requirements.txt
	python3 -m venv --clear .venv/test
	.venv/test/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

.venv/dev/.stamp: local/requirements.txt
	@echo "Setting up the tools of make dev (once; about two minutes)"
	python3 -m venv --clear .venv/dev
	.venv/dev/bin/pip install --quiet --disable-pip-version-check --requirement local/requirements.txt
	touch $@

clean: ## remove what was built and set up here
	cargo clean
	rm -rf .venv .aws-sam
