#!/usr/bin/env bash
# All tests, cheapest first, so that what is simple fails early. `make test`
# runs this after the tools are there. Always the whole workspace: another
# selection of packages would be another set of features, and a rebuild.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$1"; }

step "building"
cargo test --workspace --no-run
step "decisions and crash points (no network)"
# With what they print: how many crash points and schedules were played.
cargo test --workspace --lib --bins -- --nocapture
step "rules of the custom resources (no cluster)"
cargo test --workspace --test rules
step "what comes from outside, fuzzed for a moment"
cargo test --workspace --test fuzz -- --nocapture
step "the test bed itself"
cargo test --workspace --test command --test control_plane --test fake_aws --test moto --test operator
step "the kubectl plugin"
cargo test --workspace --test plugin -- --test-threads=6
step "the operator against a real API server"
# More than there are cores: most tests wait. How many have a control plane to
# themselves at a time is bounded in tests/cluster/harness/planes.rs.
cargo test --workspace --test cluster -- --test-threads=12
step "the operator under kill -9, on a bad day of AWS"
cargo test --workspace --test chaos -- --nocapture
step "what people do with Vault, done with Keylease"
tools/walkthrough.sh
