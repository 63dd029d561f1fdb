#!/usr/bin/env bash
# The manifest by which krew installs the plugin.
#
#   tools/release/krew.sh render VERSION SHA256SUMS   print the manifest of a release
#   tools/release/krew.sh check                       render it for archives made here, let
#                                                     krew's own validation judge it, and
#                                                     install one with krew
#
# SHA256SUMS is what sha256sum writes. Environment: TOOLS_BIN (where krew is,
# default target/tools/bin), PLUGIN (the binary that check packs, default a script).
set -euo pipefail
cd "$(dirname "$0")/../.."
template=integrations/krew/keylease.yaml

# render VERSION SHA256SUMS: each archive of the template with its own sum.
render() {
    local version=$1 sums=$2 line name sum
    while IFS= read -r line; do
        line=${line//VERSION/$version}
        case $line in
        \#*) continue ;;
        *uri:*) name=${line##*/} ;;
        *sha256:*)
            sum=$(sed -n "s|^\([0-9a-f]\{64\}\)  \(\./\)\{0,1\}$name\$|\1|p" "$sums")
            [ -n "$sum" ] || { echo "$sums has no sum of $name" >&2; return 1; }
            line=${line/SHA256/$sum}
            ;;
        esac
        printf '%s\n' "$line"
    done <"$template"
}

check() {
    local bin=${TOOLS_BIN:-target/tools/bin} version=0.0.1 work platform archive here
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    printf '#!/bin/sh\necho "kubectl-keylease %s"\n' "$version" >"$work/kubectl-keylease"
    for platform in linux-amd64 linux-arm64 darwin-amd64 darwin-arm64; do
        archive=$work/dist/kubectl-keylease-$version-$platform.tar.gz
        tools/release/archive.py --epoch 1 --output "$archive" "${PLUGIN:-$work/kubectl-keylease}" >/dev/null
        tar -tzf "$archive" | grep -x LICENSE >/dev/null || { echo "$archive has no LICENSE" >&2; exit 1; }
    done
    (cd "$work/dist" && sha256sum ./*.tar.gz >SHA256SUMS)
    render "$version" "$work/dist/SHA256SUMS" >"$work/keylease.yaml"
    if grep -q 'VERSION\|SHA256' "$work/keylease.yaml"; then
        echo "a placeholder is left in the manifest" >&2
        exit 1
    fi
    # A release without one of the platforms is none.
    sed -i.bak /darwin-arm64/d "$work/dist/SHA256SUMS"
    if render "$version" "$work/dist/SHA256SUMS" >/dev/null 2>&1; then
        echo "a manifest was made without the sum of an archive" >&2
        exit 1
    fi
    "$bin/validate-krew-manifest" -manifest "$work/keylease.yaml" -skip-install
    case $(uname -s)-$(uname -m) in
    Linux-x86_64) here=linux-amd64 ;;
    Linux-aarch64) here=linux-arm64 ;;
    Darwin-x86_64) here=darwin-amd64 ;;
    *) here=darwin-arm64 ;;
    esac
    KREW_ROOT=$work/krew KREW_NO_UPGRADE_CHECK=1 "$bin/krew" install \
        --manifest "$work/keylease.yaml" --archive "$work/dist/kubectl-keylease-$version-$here.tar.gz"
    "$work/krew/bin/kubectl-keylease" --version
}

case ${1:-} in
render) render "$2" "$3" ;;
check) check ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
