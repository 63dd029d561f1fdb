#!/usr/bin/env bash
# Keeps integrations/ true.
#
#   tools/integrations.sh write   make integrations/argocd/argocd-cm.yaml of the Lua files
#   tools/integrations.sh check   Argo CD's Lua, kstatus, Flux's CEL and Kubernetes' CEL on our
#                                 test data; krew's validation; k9s' columns and commands
#
# Environment: TOOLS_BIN (default target/tools/bin), PYTHON (a Python with PyYAML, default that
# of target/tools/venv), PLUGIN (the plugin, default target/debug/kubectl-keylease).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=integrations/argocd
python=${PYTHON:-target/tools/venv/bin/python}

# The health checks and actions as settings of Argo CD, for as long as it does not
# have them itself.
config() {
    local health kind
    echo "# Made of resource_customizations/ by tools/integrations.sh: change it there."
    echo "# kubectl patch configmap argocd-cm -n argocd --type merge --patch-file argocd-cm.yaml"
    echo "data:"
    for health in "$folder"/resource_customizations/keylease.dev/*/health.lua; do
        kind=$(basename "$(dirname "$health")")
        echo "  resource.customizations.health.keylease.dev_$kind: |"
        sed 's/^\(.\)/    \1/' "$health"
        [ -d "$(dirname "$health")/actions" ] || continue
        echo "  resource.customizations.actions.keylease.dev_$kind: |"
        actions "$(dirname "$health")/actions" | sed 's/^\(.\)/    \1/'
    done
}

actions() {
    local action
    echo "discovery.lua: |"
    sed 's/^\(.\)/  \1/' "$1/discovery.lua"
    echo "definitions:"
    for action in "$1"/*/action.lua; do
        echo "- name: $(basename "$(dirname "$action")")"
        echo "  action.lua: |"
        sed 's/^\(.\)/    \1/' "$action"
    done
}

case ${1:-} in
write)
    config >"$folder/argocd-cm.yaml"
    ;;
check)
    config | diff -u "$folder/argocd-cm.yaml" - ||
        { echo "$folder/argocd-cm.yaml is not current: tools/integrations.sh write" >&2; exit 1; }
    # Go knows nothing of files outside of its module: without -count=1 it would
    # show the result of another day.
    (cd tools/integrations && go vet ./... && go test -count=1 ./...)
    "$python" tools/integrations/k9s.py
    tools/release/krew.sh check
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
