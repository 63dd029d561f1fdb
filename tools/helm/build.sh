#!/bin/sh
# Builds helm from its Go module, once: next to it lies a stamp with a hash of
# what it was built from. A helm in KUBEBUILDER_ASSETS is used as it is.
#
# Environment: TOOLS_BIN (where to put it, default target/tools/bin).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${TOOLS_BIN:-$root/target/tools/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$here"

want=$(cat go.mod go.sum build.sh | cksum)
stamp=$bin/.helm.stamp

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/helm" ]; then
    echo "helm: from KUBEBUILDER_ASSETS"
    exit
fi
if [ -x "$bin/helm" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    echo "helm: up to date"
    exit
fi
version=$(sed -n 's|^[[:space:]]*helm\.sh/helm/v4 \(v[0-9.]*\).*|\1|p;s|^require helm\.sh/helm/v4 \(v[0-9.]*\).*|\1|p' go.mod)
printf 'helm: building, the first time takes 2–5 minutes … '
began=$(date +%s)
CGO_ENABLED=0 go build -mod=readonly -trimpath \
    -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" \
    -o "$bin/helm" helm.sh/helm/v4/cmd/helm
printf '%s' "$want" >"$stamp"
echo "done in $(($(date +%s) - began)) s"
