#!/usr/bin/env bash
# Keeps what is made of the chart, and what the chart is made of, in step.
#
#   tools/chart.sh write   crds/ into the chart; the chart into deploy/
#   tools/chart.sh check   fail if that would change anything
#   tools/chart.sh lint    lint, and render every file of charts/keylease/ci
#
# deploy/namespace.yaml and deploy/kustomization.yaml are written by hand: a
# chart has no namespace of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=charts/keylease
helm=${TOOLS_BIN:-target/tools/bin}/helm
[ -x "$helm" ] || helm=$(command -v helm) ||
    { echo "helm is missing: run make tools" >&2; exit 1; }

# render FILE TEMPLATE...: one file of deploy/, without the labels that only a
# Helm release has.
render() {
    local file=$1 args=() template
    shift
    for template in "$@"; do args+=(-s "templates/$template.yaml"); done
    {
        echo '# Made of charts/keylease by tools/chart.sh: change it there.'
        "$helm" template keylease "$chart" --namespace keylease-system "${args[@]}" |
            sed -e '/helm\.sh\/chart: /d' -e '/managed-by: Helm$/d' -e '/^# Source: /d' |
            cat -s
    } >"$file"
}

render_all() {
    mkdir -p "$1"
    render "$1/rbac.yaml" serviceaccount rbac metrics-roles
    render "$1/deployment.yaml" deployment pdb
    render "$1/user-roles.yaml" user-roles
    render "$1/admission.yaml" admission
    render "$1/network.yaml" networkpolicy monitoring
}

versions() {
    local cargo
    cargo=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    grep -qx "version: $cargo" "$chart/Chart.yaml" &&
        grep -qx "appVersion: \"$cargo\"" "$chart/Chart.yaml" ||
        { echo "$chart/Chart.yaml is not of version $cargo (Cargo.toml)" >&2; exit 1; }
}

case ${1:-} in
write)
    cp crds/aws*.yaml "$chart/files/crds/"
    render_all deploy
    ;;
check)
    versions
    diff -ru --exclude=Kustomization --exclude=kustomization.yaml crds "$chart/files/crds" ||
        { echo "$chart/files/crds is not current: run make chart" >&2; exit 1; }
    rm -rf target/generated/deploy
    render_all target/generated/deploy
    for file in target/generated/deploy/*; do
        diff -u "deploy/$(basename "$file")" "$file" ||
            { echo "deploy/ is not current: run make chart" >&2; exit 1; }
    done
    ;;
lint)
    versions
    "$helm" lint --quiet --strict "$chart"
    for values in "$chart"/ci/*.yaml; do
        "$helm" lint --quiet --strict "$chart" --values "$values"
        "$helm" template keylease "$chart" --namespace keylease-system \
            --values "$values" >/dev/null
        echo "ok $values"
    done
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
