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
# Needs what `make tools` and `cargo build` make. Environment: see
# tools/bed.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tools/bed.sh
source tools/bed.sh

number=0

step() {
    number=$((number + 1))
    printf '\n%s%d. %s%s\n' "$bed_bold" "$number" "$1" "$bed_plain"
}

# Shows a command that has to fail with this error, because the thing is gone.
gone() {
    local answer
    printf '%s$ %s%s\n' "$bed_dim" "$2" "$bed_plain"
    answer=$(eval "$2" 2>&1) || true
    printf '%s\n' "$answer" | sed '/^$/d'
    [[ $answer == *"$1"* ]] || die 'that should be gone and is not'
}

bed_open demo

step 'Start a Kubernetes control plane and moto, a stand-in for AWS'
bed_start moto
grep '^starting' "$tmp/testbed.log"
show 'kubectl version | tail -1'
show 'aws iam get-policy --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess --query Policy.PolicyName'

step 'Install the definitions and the operator'"'"'s rights'
bed_install

step 'Run the operator: outside the cluster, with the rights of its service account only'
# shellcheck disable=SC2016
printf '%s$ KUBECONFIG=$tmp/operator.kubeconfig keylease controller &%s\n' "$bed_dim" "$bed_plain"
bed_operator
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
printf '\nOne user stays, without a key: it marks this cluster, so that a copy of it would be noticed.\n'
show 'aws iam list-users --query "Users[].UserName"'

printf '\n%sDone in %d seconds.%s\n' "$bed_bold" "$SECONDS" "$bed_plain"
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
    bed_keep
fi
