# Runs on a machine with Rust and Python 3; the other tools are set up below .venv/ in pinned versions.

.PHONY: test

# All that must hold: formatting, lints, documentation, then the tests of the code and of the template.
test: .venv/test/.stamp
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	cargo build --locked -p mint-token -p create-source
	cargo test --workspace --locked --no-fail-fast
	.venv/test/bin/pytest tests/template

# `--clear`, so that nothing is left of a version that is no longer pinned.
.venv/test/.stamp: tests/requirements.txt
	python3 -m venv --clear .venv/test
	.venv/test/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@
