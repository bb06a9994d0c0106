# Every target is plain cargo that anyone can paste.

# Where the tests look for the binary, also with a target directory of your own.
export PORTCULLIS_BIN ?= $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/portcullis

# Nothing here can run beside something else: cargo holds one lock.
.NOTPARALLEL:
.PHONY: help run build test conformance check fmt clippy doc deny advisories bench cargo-deny

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: ## builds and starts the gateway: ./portcullis.yaml if there is one, else the built-in default
	cargo run --bin portcullis -- serve

build: ## builds the release binary: target/release/portcullis
	cargo build --release --bin portcullis

# Which kernel is fastest on a GPU that is played by the processor is not worth
# finding out.
test: export CUBECL_AUTOTUNE_LEVEL = minimal
test: export XDG_RUNTIME_DIR ?= /tmp
test: ## installs what the tests talk to, then runs all of them, the real binary's too
	tests/setup.sh
	cargo test --workspace --no-fail-fast

conformance: ## runs the official conformance suite alone, and writes docs/conformance.md from it
	tests/setup.sh
	cargo build --bin portcullis
	CONFORMANCE=write cargo test -p portcullis-tests --test conformance

check: fmt clippy test doc deny ## everything that must pass before a change is merged

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

doc: export RUSTDOCFLAGS = -D warnings
doc:
	cargo doc --workspace --no-deps

deny: cargo-deny
	cargo deny check bans licenses sources

advisories: cargo-deny ## known vulnerabilities in dependencies; fetches their database
	cargo deny check advisories

bench: ## what the gateway costs: the decision alone, then the whole process beside a bare proxy
	cargo bench -p portcullis-gateway --bench decision
	cargo bench -p portcullis-gateway --bench load

cargo-deny:
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny@0.20.2
