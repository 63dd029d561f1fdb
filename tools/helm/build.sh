#!/bin/sh
# Builds helm from its Go module, if it is not up to date. A helm in
# KUBEBUILDER_ASSETS is used as it is.
#
# Environment: TOOLS_BIN (where to put it, default target/tools/bin).
set -eu

# shellcheck source=tools/go-build.sh
. "$(dirname "$0")/../go-build.sh"

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/helm" ]; then
    echo "helm: from KUBEBUILDER_ASSETS"
    exit
fi
want=$(cat go.mod go.sum build.sh | cksum)
version=$(sed -n 's|^[[:space:]]*helm\.sh/helm/v4 \(v[0-9.]*\).*|\1|p;s|^require helm\.sh/helm/v4 \(v[0-9.]*\).*|\1|p' go.mod)
ldflags="-s -w -X helm.sh/helm/v4/internal/version.version=$version"
go_build '[1/1]' helm helm.sh/helm/v4/cmd/helm '2–5 minutes'
