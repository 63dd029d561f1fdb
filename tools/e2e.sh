#!/usr/bin/env bash
# The end-to-end story (tests/e2e): the released image, installed with the chart,
# on a node that runs pods.
#
#   tools/e2e.sh node         on a node of its own (tools/node); needs root
#   tools/e2e.sh kubeconfig   on the cluster of KUBECONFIG. It installs and
#                             uninstalls Keylease there, definitions too: only
#                             for clusters that serve nothing else.
#
# With `kubeconfig`: KEYLEASE_E2E_ADDRESS is an address of this machine that
# pods can reach, at which the AWS stand-in then listens. If there is `kind`, it
# loads the images (KIND_CLUSTER, default kind); else the nodes have them.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

where=${1:-node}
case $where in
node)
    # Before a quarter of an hour is spent on building.
    code=0
    tools/node/inside.sh true || code=$?
    [ "$code" != 75 ] || exit 0
    [ "$code" = 0 ] || exit "$code"
    ;;
kubeconfig)
    : "${KUBECONFIG:?names the cluster to run on}"
    : "${KEYLEASE_E2E_ADDRESS:?an address of this machine that pods can reach}"
    ;;
*)
    echo "usage: $0 node|kubeconfig" >&2
    exit 2
    ;;
esac

step 'tools'
tools/controlplane/build.sh
tools/helm/build.sh
tools/python/setup.sh
[ "$where" != node ] || tools/node/build.sh

step 'the image that is released'
tools/image/build.sh

step 'the image of an application'
bin=$PWD/target/tools/bin
(cd tests/e2e/app && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags '-s -w' -o "$bin/e2e-app" .)
tools/image/pack-tool.sh keylease.test/app:e2e "$bin/e2e-app" target/image/e2e-app.tar

step 'the story'
cargo test --workspace --test e2e --no-run
story=(cargo test --offline --workspace --test e2e -- --nocapture)
if [ "$where" = node ]; then
    KEYLEASE_E2E=node tools/node/inside.sh "${story[@]}"
else
    if command -v kind >/dev/null; then
        for image in target/image/keylease-*.tar target/image/e2e-app.tar; do
            kind load image-archive "$image" --name "${KIND_CLUSTER:-kind}"
        done
    fi
    KEYLEASE_E2E=kubeconfig "${story[@]}"
fi
step 'done'
