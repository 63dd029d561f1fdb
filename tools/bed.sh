# shellcheck shell=bash disable=SC2034
# What the demo, the walk-through and the dashboard stand on: a control plane, a
# stand-in for AWS, and the operator with the rights of its service account and
# no others. To be sourced by a script that stands in the repository's root.
#
#   bed_open NAME             a temporary folder $tmp, and an end to everything
#   bed_start AWS             control plane and moto, fake or none (testbed up)
#   bed_install               definitions and rights, shown as one would type it
#   bed_operator [NAME=VALUE] the operator, ready, with this in its environment
#   bed_plugin                kubectl keylease, found by kubectl
#   bed_run LOG COMMAND…      anything else that is to end with the script
#   bed_keep                  stay until Ctrl-C
#
# Environment: KEYLEASE_BIN, PLUGIN_BIN, TESTBED_BIN (default: of target/debug
# and target/release what was built last).

bed_bold='' bed_dim='' bed_red='' bed_plain=''
if [ -t 1 ]; then
    bed_bold=$'\e[1m' bed_dim=$'\e[2m' bed_red=$'\e[31m' bed_plain=$'\e[0m'
fi
# Set to yes by a script that is done, so that Ctrl-C afterwards is no failure.
finished=''
bed_pids=()

die() {
    printf '%s%s: %s%s\n' "$bed_red" "$bed_name" "$1" "$bed_plain" >&2
    exit 1
}

# Shows a command as a person would type it, then runs it.
show() {
    printf '%s$ %s%s\n' "$bed_dim" "$1" "$bed_plain"
    eval "$1"
}

bed_open() {
    bed_name=$1
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/keylease-$bed_name.XXXXXX")
    trap bed_close EXIT
    trap 'if [ -n "$finished" ]; then exit 0; else exit 130; fi' INT TERM
    # Where the kernel can do it, children die with this script even on kill -9.
    bed_with_us=()
    if setpriv --pdeathsig KILL -- true 2>/dev/null; then
        bed_with_us=(setpriv --pdeathsig KILL --)
    fi
}

# binary NAME [PATH]: that path, or what was built of that name last.
binary() {
    local path=${2:-} built
    if [ -z "$path" ]; then
        for built in "target/release/$1" "target/debug/$1"; do
            if [ -x "$built" ] && { [ -z "$path" ] || [ "$built" -nt "$path" ]; }; then
                path=$built
            fi
        done
    fi
    [ -x "$path" ] || die "there is no $1 yet; build it with: make build"
    realpath "$path"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Whether this address answers with success.
answers() {
    python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' "$1" 2>/dev/null
}

# bed_until_answers PID ADDRESS WHAT
bed_until_answers() {
    local end=$((SECONDS + 120))
    until answers "$2"; do
        kill -0 "$1" 2>/dev/null || die "$3 did not start"
        [ "$SECONDS" -lt "$end" ] || die "$3 is not ready after two minutes"
        sleep 0.1
    done
}

# Leaves the process id in $bed_pid.
bed_run() {
    local log=$tmp/$1.log
    shift
    ${bed_with_us[@]+"${bed_with_us[@]}"} "$@" >"$log" 2>&1 &
    bed_pid=$!
    bed_pids=("$bed_pid" ${bed_pids[@]+"${bed_pids[@]}"})
}

bed_start() {
    local testbed
    testbed=$(binary testbed "${TESTBED_BIN:-}")
    bed_run testbed "$testbed" up --dir "$tmp/bed" --aws "$1" --exit-with-parent $$
    until [ -e "$tmp/bed/ready" ]; do
        kill -0 "$bed_pid" 2>/dev/null || die 'the test bed did not start; see make tools'
        sleep 0.1
    done
    # shellcheck source=/dev/null
    source "$tmp/bed/env"
}

bed_install() {
    show 'kubectl apply -k crds/'
    show 'kubectl apply -f deploy/operator/namespace.yaml -f deploy/operator/rbac.yaml'
    kubectl wait --for=condition=Established crd --all --timeout=30s >/dev/null
}

# Leaves the ports of its health and its metrics in $port and $metrics_port.
bed_operator() {
    local keylease config=$tmp/operator.kubeconfig token
    keylease=$(binary keylease "${KEYLEASE_BIN:-}")
    install -m 600 "$KUBECONFIG" "$config"
    token=$(kubectl create token keylease -n keylease-system --duration=12h)
    kubectl --kubeconfig "$config" config set-credentials keylease --token="$token" >/dev/null
    kubectl --kubeconfig "$config" config set-context --current --user=keylease >/dev/null
    port=$(free_port)
    metrics_port=$(free_port)
    bed_run operator env KUBECONFIG="$config" KEYLEASE_HTTP_ADDR="127.0.0.1:$port" \
        KEYLEASE_METRICS_ADDR="127.0.0.1:$metrics_port" KEYLEASE_METRICS_ACCESS=loopback "$@" \
        "$keylease" controller
    bed_until_answers "$bed_pid" "http://127.0.0.1:$port/readyz" 'the operator'
}

bed_plugin() {
    local plugin
    plugin=$(binary kubectl-keylease "${PLUGIN_BIN:-}")
    mkdir "$tmp/bin"
    ln -s "$plugin" "$tmp/bin/kubectl-keylease"
    PATH=$tmp/bin:$PATH
}

# Stays until Ctrl-C, or until a child ends.
bed_keep() {
    local pid
    while true; do
        for pid in "${bed_pids[@]}"; do
            kill -0 "$pid" 2>/dev/null || die 'a part of it ended by itself'
        done
        sleep 1
    done
}

# Asks a child to end, and makes it after ten seconds.
bed_stop() {
    local pid=$1 tenths=0
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$tenths" -lt 100 ] || kill -KILL "$pid" 2>/dev/null || true
        tenths=$((tenths + 1))
        sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
}

# Newest first: the operator before what it talks to.
bed_close() {
    local code=$? pid
    trap '' INT TERM
    if [ -z "$finished" ] && [ "$code" -ne 0 ] && [ "$code" -ne 130 ]; then
        printf '\n%s%s failed. The last lines of the logs:%s\n' "$bed_red" "$bed_name" "$bed_plain" >&2
        tail -n 20 "$tmp"/*.log >&2 2>/dev/null || true
    fi
    for pid in ${bed_pids[@]+"${bed_pids[@]}"}; do bed_stop "$pid"; done
    rm -rf "$tmp"
    exit "$code"
}
