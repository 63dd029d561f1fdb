#!/usr/bin/env bash
# What people do with Vault's AWS secrets engine, done with Keylease, step by
# step, and checked. Exits non-zero at the first thing that is not as it says.
#
# Works on the cluster of the current kubeconfig, in a namespace and with an
# AwsAccount that it makes and removes. Needs kubectl, kubectl-keylease, jq and
# a running operator that may sign in as an IAM user with a long-term key (or
# else federation and session tokens are left out). `tools/walkthrough.sh`
# brings all that along. Environment:
#
#   AWS_ENDPOINT_URL      the AWS to ask; unset: the real one
#   WALKTHROUGH_ROLE_ARN  the IAM role for assumedRole
#   OPERATOR_NAMESPACE    where the operator runs; default keylease-system
#
# The caller of the AWS CLI must be allowed to make two IAM users and a policy,
# which the script removes again.
set -euo pipefail

space=keylease-walkthrough
account=keylease-walkthrough
role=developer-access
adopted=keylease-walkthrough-legacy
root=keylease-walkthrough-root
operator_space=${OPERATOR_NAMESPACE:-keylease-system}
types=(assumed-role federation-token session-token)
here=$(cd "$(dirname "$0")/.." && pwd)
number=0

step() {
    number=$((number + 1))
    printf '\n%d. Vault:    %s\n   Keylease: %s\n' "$number" "$1" "$2"
}

# Shows a command as a person would type it, then runs it.
show() {
    case $1 in
    k) set -- kubectl -n "$space" "${@:2}" ;;
    lease) set -- kubectl keylease -n "$space" "${@:2}" ;;
    esac
    printf '$ %s\n' "$*"
    "$@"
}

die() {
    printf 'walkthrough: %s\n' "$1" >&2
    exit 1
}

# expect WHAT IS WANTED
expect() {
    [ "$2" = "$3" ] || die "$1 is \"$2\" and should be \"$3\""
    printf '  ok: %s is %s\n' "$1" "${2:-nothing}"
}

# until_is SECONDS WHAT WANTED COMMAND…: waits for a command to print that.
until_is() {
    local end=$((SECONDS + $1)) what=$2 wanted=$3 is=''
    shift 3
    while is=$("$@" 2>/dev/null) || true; [ "$is" != "$wanted" ]; do
        [ "$SECONDS" -lt "$end" ] || die "$what is \"$is\" and should be \"$wanted\""
        sleep 0.2
    done
    printf '  ok: %s is %s\n' "$what" "${is:-nothing}"
}

k() { kubectl -n "$space" "$@"; }
lease() { kubectl keylease -n "$space" "$@"; }
# field REQUEST PATH: a field of a request, empty where there is none.
field() { k get awscr "$1" -o jsonpath="{$2}"; }
key_id() { field "$1" .status.credential.accessKeyId; }
users() { aws iam list-users --path-prefix /keylease/ --query 'length(Users)' --output text; }
secret_exists() { k get secret "$1" --ignore-not-found -o name; }

# request NAME ROLE [more of the spec as YAML in one line]
request() {
    k apply -f - <<YAML
apiVersion: keylease.dev/v1alpha1
kind: AwsCredentialRequest
metadata: {name: $1}
spec: {roleRef: {name: $2}${3:+, $3}}
YAML
}

ready() { k wait --for=condition=Ready "awscr/$1" --timeout=60s; }

# as REQUEST COMMAND…: runs a command with the key in the request's Secret and
# with nothing else.
as() {
    local file="$tmp/$1.credentials" name=$1 code=0
    shift
    [ -s "$file" ] ||
        k get secret "$name" -o jsonpath='{.data.credentials}' | base64 -d >"$file"
    env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN -u AWS_PROFILE \
        AWS_SHARED_CREDENTIALS_FILE="$file" AWS_CONFIG_FILE=/dev/null "$@" || code=$?
    return "$code"
}
forget() { rm -f "$tmp/$1.credentials"; }
caller() { as "$1" aws sts get-caller-identity --query Arn --output text; }
# Whether AWS refuses the key that the request's Secret held when it was last used.
refused() { if caller "$1" >/dev/null 2>&1; then echo no; else echo yes; fi; }

# A user of AWS's own making, not of Keylease's: two steps need one.
keys_of() { aws iam list-access-keys --user-name "$1" --query 'AccessKeyMetadata[].AccessKeyId' --output text; }
remove_user() {
    local key
    aws iam get-user --user-name "$1" >/dev/null 2>&1 || return 0
    for key in $(keys_of "$1"); do
        aws iam delete-access-key --user-name "$1" --access-key-id "$key"
    done
    aws iam detach-user-policy --user-name "$1" --policy-arn "$root_policy" 2>/dev/null || true
    aws iam delete-user --user-name "$1"
}

clean_up() {
    trap - EXIT
    kubectl delete namespace "$space" --ignore-not-found --timeout=60s >/dev/null || true
    kubectl delete awsrole "$role" "$adopted" "${types[@]}" --ignore-not-found --wait=false >/dev/null || true
    kubectl delete awsaccount "$account" "$root" --ignore-not-found --wait=false >/dev/null || true
    kubectl -n "$operator_space" delete secret "$root" --ignore-not-found >/dev/null || true
    remove_user "$adopted"
    remove_user "$root"
    aws iam delete-policy --policy-arn "$root_policy" 2>/dev/null || true
    rm -rf "$tmp"
}

# gone KIND NAME…: deletes and waits. A role or an account stays as long as it
# has leases.
gone() {
    local kind=$1
    shift
    kubectl delete "$kind" "$@" --ignore-not-found --timeout=30s
}

for tool in kubectl kubectl-keylease jq; do
    command -v "$tool" >/dev/null || die "$tool is not on the PATH"
done
# Without the AWS CLI nothing here could be proven from AWS's side.
command -v aws >/dev/null || die 'the AWS CLI is not on the PATH'
for kind in namespace/$space awsaccount/$account awsrole/$role; do
    kubectl get "$kind" >/dev/null 2>&1 && die "$kind exists already; this script makes and deletes it"
done

step 'vault secrets enable aws' 'kubectl apply -k deploy/ (here: the definitions, if they are missing)'
if kubectl get crd awscredentialrequests.keylease.dev >/dev/null 2>&1; then
    echo '  the definitions are installed'
else
    show kubectl apply -k "$here/crds"
fi
kubectl wait --for=condition=Established --timeout=30s \
    crd/awsaccounts.keylease.dev crd/awsroles.keylease.dev crd/awscredentialrequests.keylease.dev

tmp=$(mktemp -d "${TMPDIR:-/tmp}/keylease-walkthrough.XXXXXX")
users_before=$(users)
account_id=$(aws sts get-caller-identity --query Account --output text)
root_policy=arn:aws:iam::$account_id:policy/$root
trap clean_up EXIT
kubectl create namespace "$space" >/dev/null

step 'vault write aws/config/root access_key=… secret_key=… region=us-east-1' 'an AwsAccount'
kubectl apply -f - <<YAML
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: $account}
spec:
  region: us-east-1
  expectedAccountId: "$account_id"
  credentials: {ambient: {}}
YAML
show kubectl wait --for=condition=Ready "awsaccount/$account" --timeout=30s
operator_arn=$(kubectl get awsaccount "$account" -o jsonpath='{.status.arn}')
expect 'status.accountId' "$(kubectl get awsaccount "$account" -o jsonpath='{.status.accountId}')" "$account_id"

step 'vault write -f aws/config/rotate-root' 'AwsAccount.spec.rootRotation (at work from here on, looked at in the end)'
aws iam create-user --user-name "$root" >/dev/null
root_arn=$(aws iam get-user --user-name "$root" --query User.Arn --output text)
kubectl keylease iam-policy --account-id "$account_id" --root-user-arn "$root_arn" >"$tmp/root.json"
aws iam create-policy --policy-name "$root" --policy-document "file://$tmp/root.json" >/dev/null
aws iam attach-user-policy --user-name "$root" --policy-arn "$root_policy"
# From one program to the other, never on a command line that others can read.
aws iam create-access-key --user-name "$root" --query AccessKey --output json |
    jq --arg name "$root" '{apiVersion: "v1", kind: "Secret", metadata: {name: $name},
        stringData: {AWS_ACCESS_KEY_ID: .AccessKeyId, AWS_SECRET_ACCESS_KEY: .SecretAccessKey}}' |
    kubectl -n "$operator_space" apply -f -
root_key=$(keys_of "$root")
kubectl apply -f - <<YAML
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: $root}
spec:
  region: us-east-1
  credentials: {secretRef: {name: $root}}
  rootRotation: {period: 1m}
YAML
show kubectl wait --for=condition=Ready "awsaccount/$root" --timeout=60s

step 'an IAM policy by hand for user/vault-*' 'kubectl keylease iam-policy'
kubectl keylease iam-policy --account-id "$account_id" >"$tmp/policy.json"
expect 'resource of CreateUsers' \
    "$(jq -r '.Statement[] | select(.Sid == "CreateUsers").Resource' "$tmp/policy.json")" \
    "arn:aws:iam::$account_id:user/keylease/*"

step "vault write aws/roles/$role credential_type=iam_user policy_arns=…ReadOnlyAccess" "AwsRole $role"
kubectl apply -f - <<YAML
apiVersion: keylease.dev/v1alpha1
kind: AwsRole
metadata: {name: $role}
spec:
  accountRef: {name: $account}
  iamUser: {policyArns: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}
  ttl: {default: 1h, max: 24h}
  allowedNamespaces: {names: [$space]}
YAML
show kubectl wait --for=condition=Ready "awsrole/$role" --timeout=30s

step "vault read aws/creds/$role" 'an AwsCredentialRequest: a Secret, and the lease in its status'
request app "$role"
show k wait --for=condition=Ready awscr/app --timeout=60s
k get awscr app -o jsonpath='{.status.lease}' | jq .
expect 'lease.duration' "$(field app .status.lease.duration)" 1h
expect 'lease.renewable' "$(field app .status.lease.renewable)" true
expect 'keys of the Secret' "$(k get secret app -o json | jq -r '.data | keys | join(" ")')" \
    'AWS_ACCESS_KEY_ID AWS_DEFAULT_REGION AWS_REGION AWS_SECRET_ACCESS_KEY credentials expiration'

step "vault read -format=json aws/creds/$role" "kubectl keylease issue $role --output json"
lease issue "$role" --name printed --output json >"$tmp/issued.json"
expect 'printed key id' "$(jq -r '.. | strings | select(startswith("AKIA"))' "$tmp/issued.json" | head -n 1)" \
    "$(key_id printed)"

step 'export the keys, run aws …' 'mount the Secret, or kubectl keylease exec'
expect 'the caller, says AWS,' "$(caller app)" "$(field app .status.credential.arn)"
who=$(show lease exec "$role" --ttl 15m -- aws sts get-caller-identity --query Arn --output text | tail -n 1)
case $who in
*:user/keylease/*) echo "  ok: exec ran as $who" ;;
*) die "exec ran as \"$who\"" ;;
esac
until_is 20 'number of leases after exec' '2' sh -c \
    "kubectl get awscr --namespace $space --no-headers | wc -l | tr -d ' '"

step "vault list sys/leases/lookup/aws/creds/$role" 'kubectl get awscr -A; kubectl keylease leases'
show kubectl get awscr -A
show lease leases --role "$role"
expect 'leases that the plugin lists' "$(lease leases --role "$role" -o json | jq '.items | length')" 2

step 'vault lease renew -increment=2h ID' 'kubectl keylease renew app --increment 2h'
before=$(field app .status.lease.expiresAt)
show lease renew app --increment 2h
expect 'lease.renewals' "$(field app .status.lease.renewals)" 1
[[ $(field app .status.lease.expiresAt) > $before ]] || die "the lease still ends at $before"
expect 'the end in the Secret' "$(k get secret app -o jsonpath='{.data.expiration}' | base64 -d)" \
    "$(field app .status.lease.expiresAt)"

step 'vault lease revoke ID' 'kubectl keylease revoke app (or kubectl delete awscr app)'
show lease revoke app
expect 'Secret app' "$(secret_exists app)" ''
until_is 20 'the key being refused' yes refused app

step "vault lease revoke -prefix aws/creds/$role" "kubectl keylease revoke --role $role"
request one "$role"
request two "$role"
request always "$role" 'onExpiry: Rotate'
for name in one two always; do ready "$name" >/dev/null; done
caller one >/dev/null
old=$(key_id always)
show lease revoke --role "$role"
for name in one two printed; do
    until_is 20 "phase of $name" Revoked field "$name" .status.phase
    expect "Secret of $name" "$(secret_exists "$name")" ''
done
until_is 20 'the key being refused' yes refused one
# What rotates gets a new credential, issued after the mark.
until_is 30 'always having a new key' yes sh -c "
    key=\$(kubectl --namespace $space get awscr always -o jsonpath='{.status.credential.accessKeyId}')
    mark=\$(kubectl get awsrole $role -o jsonpath='{.spec.revokeBefore}')
    issued=\$(kubectl --namespace $space get awscr always -o jsonpath='{.status.lease.issuedAt}')
    test -n \"\$key\" && test \"\$key\" != $old && ! test \"\$issued\" \\< \"\$mark\" && echo yes"
show k get awscr

step 'rotation: nothing, or Vault Agent and a new user' 'onExpiry: Rotate, the same user, a second key, an overlap'
request worker "$role" 'ttl: 40s, onExpiry: Rotate, rotation: {overlap: 12s}'
ready worker >/dev/null
old=$(key_id worker)
arn=$(caller worker)
show lease rotate worker
new=$(key_id worker)
[ "$new" != "$old" ] || die 'the key is the same'
expect 'the key that lives on' "$(field worker .status.previous.accessKeyId)" "$old"
expect 'the caller with the old key' "$(caller worker)" "$arn"
cp "$tmp/worker.credentials" "$tmp/old.credentials"
forget worker
expect 'the caller with the new key' "$(caller worker)" "$arn"
until_is 30 'the key that lives on' '' field worker .status.previous.accessKeyId
until_is 20 'the old key being refused' yes refused old
until_is 40 'another key, by itself, before the lease ends' yes sh -c "
    key=\$(kubectl --namespace $space get awscr worker -o jsonpath='{.status.credential.accessKeyId}')
    test -n \"\$key\" && test \"\$key\" != $new && echo yes"
expect 'phase of worker' "$(field worker .status.phase)" Ready

step 'credential_type=assumed_role, federation_token, session_token' 'AwsRole with assumedRole, federationToken, sessionToken'
role_arn=${WALKTHROUGH_ROLE_ARN:-arn:aws:iam::$account_id:role/walkthrough}
for type in "${types[@]}"; do
    case $type in
    assumed-role) spec="assumedRole: {roleArns: [\"$role_arn\"]}" want=":assumed-role/${role_arn##*/}/" ;;
    federation-token) spec='federationToken: {policyArns: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}' want=':federated-user/' ;;
    session-token) spec='sessionToken: {}' want="$operator_arn" ;;
    esac
    if [ "$type" != assumed-role ] && [[ $operator_arn != *:user/* ]]; then
        echo "  left out: $type needs an operator that signs in as an IAM user"
        continue
    fi
    kubectl apply -f - <<YAML
apiVersion: keylease.dev/v1alpha1
kind: AwsRole
metadata: {name: $type}
spec:
  accountRef: {name: $account}
  $spec
  ttl: {default: 15m}
  allowedNamespaces: {names: [$space]}
YAML
    request "$type" "$type"
    ready "$type"
    who=$(caller "$type")
    [[ $who == *"$want"* ]] || die "the $type acts as \"$who\""
    printf '  ok: %s acts as %s\n' "$type" "$who"
    [ -n "$(k get secret "$type" -o jsonpath='{.data.AWS_SESSION_TOKEN}')" ] || die 'the Secret has no session token'
done
show kubectl get awscr -A

step "vault write aws/static-roles/legacy username=… rotation_period=24h" 'AwsRole with staticUser'
aws iam create-user --user-name "$adopted" >/dev/null
kubectl apply -f - <<YAML
apiVersion: keylease.dev/v1alpha1
kind: AwsRole
metadata: {name: $adopted}
spec:
  accountRef: {name: $account}
  staticUser: {userName: $adopted, rotationPeriod: 24h}
  allowedNamespaces: {names: [$space]}
YAML
request legacy "$adopted"
ready legacy
expect 'the caller' "$(caller legacy)" "$(aws iam get-user --user-name "$adopted" --query User.Arn --output text)"
show lease revoke legacy
expect "keys of $adopted, which lives on," "$(keys_of "$adopted")" ''
until_is 20 'the key being refused' yes refused legacy

step 'vault write -f aws/config/rotate-root' 'a minute is over: the key of the second account is another one'
until_is 90 'another key in the Secret' yes sh -c "
    key=\$(kubectl --namespace $operator_space get secret $root -o jsonpath='{.data.AWS_ACCESS_KEY_ID}' | base64 -d)
    test -n \"\$key\" && test \"\$key\" != $root_key && echo yes"
# The first key goes as soon as the second is at work.
until_is 60 'the keys in AWS being the one in the Secret' yes sh -c "
    key=\$(kubectl --namespace $operator_space get secret $root -o jsonpath='{.data.AWS_ACCESS_KEY_ID}' | base64 -d)
    test \"\$(aws iam list-access-keys --user-name $root --query 'AccessKeyMetadata[].AccessKeyId' --output text)\" = \"\$key\" && echo yes"
show kubectl get awsaccount "$root" -o jsonpath='{.status.rootKey}{"\n"}'

step 'vault delete aws/roles/…, vault secrets disable aws' 'delete requests, role, account'
show k delete awscr --all --timeout=60s
# A session's Secret goes when Kubernetes collects what the request owned.
until_is 60 'number of Secrets of ours' 0 sh -c \
    "kubectl get secrets --namespace $space -l app.kubernetes.io/managed-by=keylease -o name | wc -l | tr -d ' '"
gone awsrole "$role" "$adopted" "${types[@]}"
gone awsaccount "$account" "$root"
# The last account takes the user along that marks the cluster.
until_is 60 'number of IAM users that are left' "$users_before" users
printf '\nDone: %d steps in %d s.\n' "$number" "$SECONDS"
