#!/usr/bin/env bash
# Keeps what is made of the charts, and what the charts are made of, in step.
#
#   tools/chart.sh write   crds/ into the chart; the chart into deploy/; values into READMEs
#   tools/chart.sh check   fail if that would change anything
#   tools/chart.sh lint    lint, render every file of charts/*/ci, and a chart above
#
# The kustomization.yaml files of deploy/ and its namespace are written by hand: a
# chart has no namespace of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=charts/keylease
charts=(charts/keylease charts/keylease-config)
tools=${TOOLS_BIN:-target/tools/bin}
helm=$tools/helm
[ -x "$helm" ] || helm=$(command -v helm) ||
    { echo "helm is missing: run make tools" >&2; exit 1; }
python=${TOOLS_VENV:-target/tools/venv}/bin/python
[ -x "$python" ] || python=python3
# Kinds that a cluster may have or not.
kinds=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy
kinds+=,monitoring.coreos.com/v1/ServiceMonitor,monitoring.coreos.com/v1/PrometheusRule

# render FILE TEMPLATE...: one file of deploy/, without the labels that only a
# Helm release has.
render() {
    local file=$1 args=() template
    shift
    for template in "$@"; do args+=(-s "templates/$template.yaml"); done
    mkdir -p "$(dirname "$file")"
    {
        echo '# Made of charts/keylease by tools/chart.sh: change it there.'
        "$helm" template keylease "$chart" --namespace keylease-system \
            --api-versions "$kinds" "${args[@]}" |
            sed -e '/helm\.sh\/chart: /d' -e '/managed-by: Helm$/d' -e '/^# Source: /d' |
            cat -s
    } >"$file"
}

render_all() {
    render "$1/operator/rbac.yaml" serviceaccount rbac metrics-roles
    render "$1/operator/deployment.yaml" deployment pdb
    render "$1/operator/user-roles.yaml" user-roles
    render "$1/operator/admission.yaml" admission
    render "$1/operator/network.yaml" networkpolicy service
    render "$1/requester/requester.yaml" requester
}

readmes() {
    local chart
    for chart in "${charts[@]}"; do
        "$python" tools/chart/readme.py "$1" "$chart"
    done
}

facts() {
    local chart
    for chart in "${charts[@]}"; do "$python" tools/chart/facts.py "$chart"; done
}

versions() {
    local cargo chart
    cargo=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    for chart in "${charts[@]}"; do
        grep -qx "version: $cargo" "$chart/Chart.yaml" &&
            grep -qx "appVersion: \"$cargo\"" "$chart/Chart.yaml" ||
            { echo "$chart/Chart.yaml is not of version $cargo (Cargo.toml)" >&2; exit 1; }
    done
}

# A chart that has ours as a dependency, which a condition switches off.
umbrella() {
    local above=target/generated/umbrella rendered
    rm -rf "$above"
    mkdir -p "$above/charts"
    cp -R "$chart" "$above/charts/"
    printf '%s\n' 'apiVersion: v2' 'name: platform' 'version: 0.0.1' 'dependencies:' \
        '  - {name: keylease, version: "*", condition: keylease.enabled}' >"$above/Chart.yaml"
    rendered=$("$helm" template platform "$above")
    grep -q '^  name: platform-keylease$' <<<"$rendered" ||
        { echo "as a dependency the chart is not called after itself" >&2; exit 1; }
    rendered=$("$helm" template platform "$above" --set keylease.enabled=false)
    [ -z "$rendered" ] ||
        { echo "keylease.enabled=false leaves something" >&2; exit 1; }
    echo "ok as a dependency"
}

case ${1:-} in
write)
    cp crds/aws*.yaml "$chart/files/crds/"
    render_all deploy
    readmes write
    ;;
check)
    versions
    diff -ru --exclude=Kustomization crds "$chart/files/crds" ||
        { echo "$chart/files/crds is not current: run make chart" >&2; exit 1; }
    rm -rf target/generated/deploy
    render_all target/generated/deploy
    for part in operator requester; do
        for file in "target/generated/deploy/$part"/*; do
            diff -u "deploy/$part/$(basename "$file")" "$file" ||
                { echo "deploy/ is not current: run make chart" >&2; exit 1; }
        done
    done
    facts
    readmes check
    ;;
lint)
    versions
    for one in "${charts[@]}"; do
        "$helm" lint --quiet --strict "$one"
        for values in "$one"/ci/*.yaml; do
            "$helm" lint --quiet --strict "$one" --values "$values"
            "$helm" template keylease "$one" --namespace keylease-system \
                --api-versions "$kinds" --values "$values" >/dev/null
            echo "ok $values"
        done
    done
    umbrella
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
