#!/usr/bin/env bash
# All tests, cheapest first, so that what is simple fails early. `make test`
# runs this after the tools are there.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$1"; }

step "decisions and crash points (no network)"
cargo test --lib --bins
step "rules of the custom resources (no cluster)"
cargo test --test rules
step "the test bed itself"
cargo test -p keylease-testbed
step "the operator against a real API server"
cargo test --test cluster
step "the kubectl plugin"
cargo test --test plugin
