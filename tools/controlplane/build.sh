#!/bin/sh
# Builds the control plane of the test bed from Go modules: etcd,
# kube-apiserver, kube-controller-manager and kubectl. One at a time, and only
# what is not up to date: next to each binary lies a stamp with a hash of what
# it was built from.
#
# Binaries that KUBEBUILDER_ASSETS (see setup-envtest) has are not built.
#
# Environment: TOOLS_BIN (where to put them, default target/tools/bin).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${TOOLS_BIN:-$root/target/tools/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$here"

want=$(cat go.mod go.sum build.sh | cksum)

# Without these, servers and kubectl call themselves v0.0.0-master.
version=$(sed -n 's|^[[:space:]]*k8s\.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod)
major=${version#v} && major=${major%%.*}
minor=${version#v"$major".} && minor=${minor%%.*}
package=k8s.io/component-base/version
ldflags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"

# build NUMBER NAME PACKAGE HOW-LONG
build() {
    label="[$1/4] $2"
    stamp=$bin/.$2.stamp
    if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$2" ]; then
        echo "$label: from KUBEBUILDER_ASSETS"
        return
    fi
    if [ -x "$bin/$2" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
        echo "$label: up to date"
        return
    fi
    printf '%s: building, the first time takes %s … ' "$label" "$4"
    began=$(date +%s)
    log=$(mktemp)
    if ! CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$ldflags" \
        -o "$bin/$2" "$3" >"$log" 2>&1; then
        echo failed
        tail -n 20 "$log" >&2
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
    printf '%s' "$want" >"$stamp"
    echo "done in $(($(date +%s) - began)) s"
}

build 1 etcd go.etcd.io/etcd/server/v3 '1 minute, after a download'
build 2 kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver '4–7 minutes'
build 3 kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager '2 minutes'
build 4 kubectl k8s.io/kubernetes/cmd/kubectl '1 minute'
