#!/bin/sh
# Builds the control plane of the test bed from Go modules: etcd,
# kube-apiserver, kube-controller-manager and kubectl. One at a time, and only
# what is not up to date.
#
# Binaries that KUBEBUILDER_ASSETS (see setup-envtest) has are not built.
#
# Environment: TOOLS_BIN (where to put them, default target/tools/bin).
set -eu

# shellcheck source=tools/go-build.sh
. "$(dirname "$0")/../go-build.sh"

want=$(cat go.mod go.sum build.sh | cksum)
ldflags=$(kubernetes_ldflags)

# build NUMBER NAME PACKAGE HOW-LONG
build() {
    if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$2" ]; then
        echo "[$1/4] $2: from KUBEBUILDER_ASSETS"
        return
    fi
    go_build "[$1/4]" "$2" "$3" "$4"
}

build 1 etcd go.etcd.io/etcd/server/v3 '1 minute, after a download'
build 2 kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver '4–7 minutes'
build 3 kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager '2 minutes'
build 4 kubectl k8s.io/kubernetes/cmd/kubectl '1 minute'
