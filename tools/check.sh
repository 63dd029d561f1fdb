#!/usr/bin/env bash
# What a reviewer should not have to say: format, lints, generated files.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$1"; }

step "format"
cargo fmt --all -- --check
step "lints"
cargo clippy --workspace --all-targets -- -D warnings
step "decisions know no client"
stands_on=$(cargo tree -p keylease-core -e normal --prefix none)
if grep -E '^(tokio|hyper|tower|kube-client|kube-runtime|aws-)' <<<"$stands_on"; then
    echo "crates/core stands on these; docs/decisions/0044-crates-as-layers.md says why it must not"
    exit 1
fi
step "documentation builds"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items -q
step "generated files are current"
cargo build --workspace --bins -q
target/debug/keylease crds --dir target/generated/crds
for file in target/generated/crds/*.yaml; do
    diff -u "crds/$(basename "$file")" "$file" ||
        { echo "crds/ is not current: run make crds"; exit 1; }
done
rm -rf target/generated/reference
target/debug/keylease reference --dir target/generated/reference
# The two that are left out are written by hand.
diff -ru --exclude=reasons.md --exclude=annotations.md docs/reference target/generated/reference ||
    { echo "docs/reference/ is not current: run make reference"; exit 1; }
step "the documentation: links, paths, table of contents, and the AWS commands of the set-up pages"
tools/docs.py
tools/python/setup.sh
tools/aws-pages.sh
step "the chart, and deploy/ which is made of it"
tools/helm/build.sh
tools/python/setup.sh
tools/chart.sh lint
tools/chart.sh check
step "alerts, each on series where it fires and where it does not; the dashboard's structure"
tools/prometheus/build.sh
(cd tools/prometheus && go test -tags=remove_all_sd ./dashboard)
tools=${TOOLS_BIN:-target/tools/bin}
"$tools/promtool" check rules --lint-fatal charts/keylease/files/alerts.yaml
"$tools/promtool" test rules tests/alerts.yaml
"$tools/dashboard" check charts/keylease/files/dashboard.json
step "files for other tools: Argo CD, Flux, k9s, Kyverno, krew"
tools/integrations/build.sh
tools/python/setup.sh
tools/integrations.sh check
PATH=$(realpath "$tools"):$PATH
step "the documentation as a site"
if command -v mdbook >/dev/null; then
    mdbook build
else
    echo "SKIPPED: no mdbook, so the site was not built (cargo install mdbook --locked --root target/tools)"
fi
step "licences and bans"
if command -v cargo-deny >/dev/null; then
    cargo deny --offline check --hide-inclusion-graph licenses bans sources
else
    echo "skipped: no cargo-deny (cargo install cargo-deny --locked --root target/tools)"
fi
