#!/usr/bin/env bash
# The demo: a credential from nothing to a working key and back to nothing, in
# a Kubernetes control plane of its own, against moto, a public stand-in for
# AWS. moto and not our own fake, so that what you see was not written to
# please us; the test bed has it load AWS's managed policies, so that
# ReadOnlyAccess exists.
#
#   tools/demo.sh          run it and clean up
#   KEEP=1 tools/demo.sh   run it, then leave it running until Ctrl-C
#
# Needs what `make tools` and `cargo build` make. Environment: KEYLEASE_BIN and
# TESTBED_BIN (default: target/release, then target/debug).
set -euo pipefail
cd "$(dirname "$0")/.."

bold='' dim='' red='' plain=''
if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/keylease-demo.XXXXXX")
testbed_pid='' operator_pid='' finished=''
number=0

step() {
    number=$((number + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"
}

# Shows a command as a person would type it, then runs it.
show() {
    printf '%s$ %s%s\n' "$dim" "$1" "$plain"
    eval "$1"
}

# Shows a command that has to fail with this error, because the thing is gone.
gone() {
    local answer
    printf '%s$ %s%s\n' "$dim" "$2" "$plain"
    answer=$(eval "$2" 2>&1) || true
    printf '%s\n' "$answer" | sed '/^$/d'
    [[ $answer == *"$1"* ]] || die 'that should be gone and is not'
}

die() {
    printf '%sdemo: %s%s\n' "$red" "$1" "$plain" >&2
    exit 1
}

# The first of these that can be run.
first_of() {
    local candidate
    for candidate in "$@"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "there is no ${candidate##*/} yet; build it with: cargo build -p keylease -p keylease-testbed"
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
    if [ -z "$finished" ] && [ "$code" -ne 0 ] && [ "$code" -ne 130 ]; then
        printf '\n%sThe demo failed. The last lines of the logs:%s\n' "$red" "$plain" >&2
        tail -n 20 "$tmp/testbed.log" "$tmp/operator.log" >&2 2>/dev/null || true
    fi
    stop "$operator_pid"
    stop "$testbed_pid"
    rm -rf "$tmp"
    exit "$code"
}
trap on_exit EXIT
# In KEEP mode Ctrl-C is the way to end, not a failure.
trap 'if [ -n "$finished" ]; then exit 0; else exit 130; fi' INT TERM

keylease=$(first_of "${KEYLEASE_BIN:-}" target/release/keylease target/debug/keylease)
testbed=$(first_of "${TESTBED_BIN:-}" target/release/testbed target/debug/testbed)
# Where the kernel can do it, the operator dies with this script even on kill -9.
with_us=()
if setpriv --pdeathsig KILL -- true 2>/dev/null; then
    with_us=(setpriv --pdeathsig KILL --)
fi

step 'Start a Kubernetes control plane and moto, a stand-in for AWS'
"$testbed" up --dir "$tmp/bed" --aws moto --exit-with-parent $$ >"$tmp/testbed.log" 2>&1 &
testbed_pid=$!
until [ -e "$tmp/bed/ready" ]; do
    kill -0 "$testbed_pid" 2>/dev/null || die 'the test bed did not start; see make tools'
    sleep 0.1
done
grep '^starting' "$tmp/testbed.log"
# shellcheck source=/dev/null
source "$tmp/bed/env"
show 'kubectl version | tail -1'
show 'aws iam get-policy --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess --query Policy.PolicyName'

step 'Install the definitions and the operator'"'"'s rights'
show 'kubectl apply -k crds/'
show 'kubectl apply -f deploy/namespace.yaml -f deploy/rbac.yaml'
kubectl wait --for=condition=Established crd --all --timeout=30s >/dev/null

step 'Run the operator: outside the cluster, with the rights of its service account only'
cp "$KUBECONFIG" "$tmp/operator.kubeconfig"
chmod 600 "$tmp/operator.kubeconfig"
token=$(kubectl create token keylease -n keylease-system --duration=12h)
kubectl --kubeconfig "$tmp/operator.kubeconfig" config set-credentials keylease --token="$token" >/dev/null
kubectl --kubeconfig "$tmp/operator.kubeconfig" config set-context --current --user=keylease >/dev/null
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
metrics_port=$(free_port)
# shellcheck disable=SC2016
printf '%s$ KUBECONFIG=$tmp/operator.kubeconfig keylease controller &%s\n' "$dim" "$plain"
KUBECONFIG=$tmp/operator.kubeconfig KEYLEASE_HTTP_ADDR=127.0.0.1:$port \
    KEYLEASE_METRICS_ADDR=127.0.0.1:$metrics_port KEYLEASE_METRICS_ACCESS=loopback \
    ${with_us[@]+"${with_us[@]}"} "$keylease" controller >"$tmp/operator.log" 2>&1 &
operator_pid=$!
until python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' \
    "http://127.0.0.1:$port/readyz" 2>/dev/null; do
    kill -0 "$operator_pid" 2>/dev/null || die 'the operator did not start'
    [ "$SECONDS" -lt 120 ] || die 'the operator is not ready after two minutes'
    sleep 0.1
done
echo 'ready'

step 'Platform team: an account, and a role with AWS'"'"'s ReadOnlyAccess'
show 'kubectl apply -f deploy/examples/account.yaml -f deploy/examples/role.yaml'
show 'kubectl wait --for=condition=Ready awsaccount/default awsrole/developer-access --timeout=30s'
show 'kubectl get awsaccount,awsrole'

step 'Application team: a request, and a Secret comes back'
show 'cat deploy/examples/request.yaml'
show 'kubectl apply -f deploy/examples/request.yaml'
show 'kubectl wait --for=condition=Ready awscr/app --timeout=60s'
show 'kubectl get awscr'
show "kubectl get awscr app -o jsonpath='{.status.lease}' | python3 -m json.tool"
show "kubectl describe secret app | sed -n '/^Data/,\$p'"

step 'Use the key from the Secret'
# shellcheck disable=SC2016
{
    show "kubectl get secret app -o jsonpath='{.data.credentials}' | base64 -d >\$tmp/credentials"
    show 'export AWS_SHARED_CREDENTIALS_FILE=$tmp/credentials'
    show 'aws --profile default sts get-caller-identity'
    show 'aws --profile default iam list-users --query "Users[].UserName"'
}

step 'What AWS holds, as its administrator sees it'
show "user=\$(kubectl get awscr app -o jsonpath='{.status.credential.userName}')"
# shellcheck disable=SC2016
{
    show 'aws iam list-user-tags --user-name $user --query "Tags[].[Key,Value]" --output text'
    show 'aws iam list-attached-user-policies --user-name $user --query "AttachedPolicies[].PolicyArn"'
    show 'aws iam list-access-keys --user-name $user --query "AccessKeyMetadata[].AccessKeyId"'
}

step 'Delete the request: the key, the Secret and the IAM user go with it'
show 'kubectl delete -f deploy/examples/request.yaml'
gone '(NotFound)' 'kubectl get secret app'
# shellcheck disable=SC2016
gone '(NoSuchEntity)' 'aws iam get-user --user-name $user'
show 'aws iam list-users --query "Users[].UserName"'

printf '\n%sDone in %d seconds.%s\n' "$bold" "$SECONDS" "$plain"
finished=yes
if [ -n "${KEEP:-}" ]; then
    cat <<END

It is all still running. In another shell:

  source $tmp/bed/env                      # kubectl and aws, as administrators
  kubectl apply -f deploy/examples/request.yaml
  kubectl get awscr -w
  tail -f $tmp/operator.log
  python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:$metrics_port/metrics").read().decode())'

Ctrl-C here ends and removes everything.
END
    # Ends by Ctrl-C, or when either of the two dies.
    while kill -0 "$testbed_pid" 2>/dev/null && kill -0 "$operator_pid" 2>/dev/null; do
        sleep 1
    done
    die 'the operator or the test bed ended by itself'
fi
