#!/usr/bin/env bash
# Runs examples/walkthrough.sh on a test bed of its own: a control plane, the
# AWS fake, the operator with the rights of deploy/rbac.yaml, the plugin. The
# transcript goes to stdout, what the parts log to a temporary folder.
#
# Needs what `make tools` and `cargo build` make. Environment: KEYLEASE_BIN,
# PLUGIN_BIN, TESTBED_BIN (default: target/debug, then target/release).
set -euo pipefail
cd "$(dirname "$0")/.."

tmp=$(mktemp -d "${TMPDIR:-/tmp}/keylease-walkthrough-bed.XXXXXX")
testbed_pid='' operator_pid=''

die() {
    printf 'walkthrough: %s\n' "$1" >&2
    exit 1
}

# binary NAME [PATH]: that one, or the one that was built.
binary() {
    local candidate
    for candidate in "${2:-}" "target/debug/$1" "target/release/$1"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            realpath "$candidate"
            return
        fi
    done
    die "there is no $1 yet; build it with: cargo build -p keylease -p keylease-testbed"
}

# Asks a child to end, and makes it after ten seconds.
stop() {
    local pid=$1 tenths=0
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$tenths" -lt 100 ] || kill -KILL "$pid" 2>/dev/null || true
        tenths=$((tenths + 1))
        sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
}

on_exit() {
    local code=$?
    trap '' INT TERM
    if [ "$code" -ne 0 ] && [ "$code" -ne 130 ]; then
        printf '\nThe walk-through failed. The last lines of the logs:\n' >&2
        tail -n 30 "$tmp/testbed.log" "$tmp/operator.log" >&2 2>/dev/null || true
    fi
    stop "$operator_pid"
    stop "$testbed_pid"
    rm -rf "$tmp"
    exit "$code"
}
trap on_exit EXIT
trap 'exit 130' INT TERM

keylease=$(binary keylease "${KEYLEASE_BIN:-}")
plugin=$(binary kubectl-keylease "${PLUGIN_BIN:-}")
testbed=$(binary testbed "${TESTBED_BIN:-}")
# Where the kernel can do it, the operator dies with this script even on kill -9.
with_us=()
if setpriv --pdeathsig KILL -- true 2>/dev/null; then
    with_us=(setpriv --pdeathsig KILL --)
fi

"$testbed" up --dir "$tmp/bed" --aws fake --exit-with-parent $$ >"$tmp/testbed.log" 2>&1 &
testbed_pid=$!
until [ -e "$tmp/bed/ready" ]; do
    kill -0 "$testbed_pid" 2>/dev/null || die 'the test bed did not start; see make tools'
    sleep 0.1
done
# shellcheck source=/dev/null
source "$tmp/bed/env"

{
    kubectl apply -k crds/
    kubectl apply -f deploy/namespace.yaml -f deploy/rbac.yaml
    kubectl wait --for=condition=Established crd --all --timeout=30s
} >"$tmp/apply.log"

# The operator has the rights of its service account, and no others.
operator_config=$tmp/operator.kubeconfig
install -m 600 "$KUBECONFIG" "$operator_config"
token=$(kubectl create token keylease -n keylease-system --duration=1h)
kubectl --kubeconfig "$operator_config" config set-credentials keylease --token="$token" >/dev/null
kubectl --kubeconfig "$operator_config" config set-context --current --user=keylease >/dev/null
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
metrics_port=$(free_port)
KUBECONFIG=$operator_config KEYLEASE_HTTP_ADDR=127.0.0.1:$port \
    KEYLEASE_METRICS_ADDR=127.0.0.1:$metrics_port KEYLEASE_METRICS_ACCESS=loopback \
    ${with_us[@]+"${with_us[@]}"} "$keylease" controller >"$tmp/operator.log" 2>&1 &
operator_pid=$!
until python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' \
    "http://127.0.0.1:$port/readyz" 2>/dev/null; do
    kill -0 "$operator_pid" 2>/dev/null || die 'the operator did not start'
    [ "$SECONDS" -lt 120 ] || die 'the operator is not ready after two minutes'
    sleep 0.1
done

mkdir "$tmp/bin"
ln -s "$plugin" "$tmp/bin/kubectl-keylease"
PATH="$tmp/bin:$PATH" examples/walkthrough.sh
