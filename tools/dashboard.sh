#!/usr/bin/env bash
# The dashboard, looked at: an operator with a day's work in two minutes, a
# Prometheus that scrapes it, and what every panel of
# charts/keylease/files/dashboard.json then shows. Fails if a query has no data.
# docs/dashboard.md keeps what it printed.
#
#   tools/dashboard.sh          print it and clean up
#   KEEP=1 tools/dashboard.sh   leave it running, Prometheus too
#
# Needs what `make tools` and `cargo build` make. Environment: see tools/bed.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tools/bed.sh
source tools/bed.sh

# Seconds from one scrape to the next.
scrape=2
page=charts/keylease/files/dashboard.json
tools=${TOOLS_BIN:-target/tools/bin}

step() { printf '%4d s  %s\n' "$SECONDS" "$1" >&2; }

# until_true SECONDS WHAT COMMAND…
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || die "$what did not come about"
        sleep 0.3
    done
}

# Whether Prometheus has something that this asks for.
seen() { [ -n "$("$tools/promtool" query instant "$prometheus" "$1")" ]; }
until_seen() { until_true "$1" "$2" seen "$2"; }

phase() { [ "$(kubectl get awscr -n "$1" "$2" -o jsonpath='{.status.phase}')" = "$3" ]; }

# request NAMESPACE NAME ROLE [more of the spec, in one line of YAML]
request() {
    cat <<END
---
apiVersion: keylease.dev/v1alpha1
kind: AwsCredentialRequest
metadata: {name: $2, namespace: $1}
spec: {roleRef: {name: $3}${4:+, $4}}
END
}

# secret NAME: of the operator's namespace, with the access key on stdin.
secret() {
    jq --arg name "$1" '{apiVersion: "v1", kind: "Secret", metadata: {name: $name},
        stringData: {AWS_ACCESS_KEY_ID: .AccessKeyId, AWS_SECRET_ACCESS_KEY: .SecretAccessKey}}' |
        kubectl -n keylease-system apply -f - >/dev/null
}

bed_open dashboard
step 'control plane, and an AWS that is slow and lets little through'
bed_start none
bed_run aws "$(binary testbed "${TESTBED_BIN:-}")" fake-aws --exit-with-parent $$ \
    --latency 30ms --key-delay 1s --key-delay-max 4s --rate 6 --burst 12
until_true 10 'the fake of AWS' grep -qs AWS_ENDPOINT_URL "$tmp/aws.log"
# shellcheck source=/dev/null
source <(grep '^export' "$tmp/aws.log")
bed_install >"$tmp/apply.log"
bed_plugin
# Every 24 s, the first time after 2 s; nobody waits an hour here.
bed_operator KEYLEASE_SWEEP_INTERVAL=24s KEYLEASE_SWEEP_MIN_AGE=10s

step 'Prometheus, with our alerts'
cat >"$tmp/prometheus.yml" <<END
global: {scrape_interval: ${scrape}s, evaluation_interval: ${scrape}s}
rule_files: [$PWD/charts/keylease/files/alerts.yaml]
scrape_configs:
  - job_name: keylease
    static_configs: [{targets: ["127.0.0.1:$metrics_port"]}]
END
"$tools/promtool" check config "$tmp/prometheus.yml" >"$tmp/check.log"
address=127.0.0.1:$(free_port)
prometheus=http://$address
bed_run prometheus "$tools/prometheus" --config.file="$tmp/prometheus.yml" \
    --storage.tsdb.path="$tmp/tsdb" --web.listen-address="$address"
bed_until_answers "$bed_pid" "$prometheus/-/ready" Prometheus
began=$SECONDS
until_seen 30 'up == 1'

step 'accounts: a good one, one that rotates its own key, one that AWS does not know'
aws iam create-user --user-name root >/dev/null
root=$(aws iam get-user --user-name root --query User.Arn --output text)
kubectl keylease iam-policy --account-id "$(aws sts get-caller-identity --query Account --output text)" \
    --root-user-arn "$root" >"$tmp/root.json"
policy=$(aws iam create-policy --policy-name root --policy-document "file://$tmp/root.json" \
    --query Policy.Arn --output text)
aws iam attach-user-policy --user-name root --policy-arn "$policy"
aws iam create-access-key --user-name root --query AccessKey --output json | secret root
echo '{"AccessKeyId": "AKIAXXXXXXXXXXXXXXXX", "SecretAccessKey": "of nobody"}' | secret nobody
kubectl apply -f - >/dev/null <<END
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: default}
spec: {region: us-east-1}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: root}
spec:
  region: us-east-1
  credentials: {secretRef: {name: root}}
  rootRotation: {period: 1m}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: nobody}
spec:
  region: us-east-1
  credentials: {secretRef: {name: nobody}}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsRole
metadata: {name: developer-access}
spec:
  accountRef: {name: default}
  iamUser: {policyArns: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}
  ttl: {default: 1h, max: 24h}
  allowedNamespaces: {names: [shop, billing]}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsRole
metadata: {name: deployer}
spec:
  accountRef: {name: default}
  assumedRole: {roleArns: ["arn:aws:iam::123456789012:role/deployer"]}
  allowedNamespaces: {names: [shop]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: billing}
END
kubectl wait --for=condition=Ready awsaccount/default awsaccount/root --timeout=60s >/dev/null
kubectl wait --for=condition=Ready awsrole --all --timeout=60s >/dev/null

step 'a burst of requests: users, sessions, and some that cannot be'
{
    for n in $(seq 16); do request shop "web-$n" developer-access; done
    for n in $(seq 4); do request billing "report-$n" developer-access; done
    for n in $(seq 3); do request shop "deploy-$n" deployer 'ttl: 15m'; done
    request shop brief developer-access 'ttl: 15s'
    request shop worker developer-access 'ttl: 30s, onExpiry: Rotate, rotation: {overlap: 5s}'
    request billing stranger deployer
    request billing lost-role no-such-role
} | kubectl apply -f - >/dev/null
for n in $(seq 16); do until_true 120 "web-$n being Ready" phase shop "web-$n" Ready; done
for n in $(seq 4); do until_true 60 "report-$n being Ready" phase billing "report-$n" Ready; done

step 'renewed, rotated, revoked, deleted, expired'
kubectl keylease -n shop renew web-1 --increment 2h >/dev/null
kubectl keylease -n shop rotate web-2 >/dev/null
kubectl keylease -n shop revoke web-3 >/dev/null
credential() { kubectl -n shop get awscr "$1" -o jsonpath="{.status.credential.$2}"; }
aws iam get-user --user-name "$(credential web-4 userName)" --query User --output json >"$tmp/left.json"
kubectl -n shop delete awscr web-4 web-5 web-6 web-7 >/dev/null
until_true 60 'the short lease being over' phase shop brief Expired

step 'a user without a request, and a key that somebody deleted in AWS'
jq '{UserName, Path, Tags}' "$tmp/left.json" >"$tmp/again.json"
aws iam create-user --cli-input-json "file://$tmp/again.json" >/dev/null
aws iam delete-access-key --user-name "$(credential web-9 userName)" \
    --access-key-id "$(credential web-9 accessKeyId)"
until_seen 90 'keylease_sweep_removed_total > 0'
until_seen 90 'keylease_request_transitions_total{reason="KeyLost"} > 0'
until_seen 90 'keylease_request_transitions_total{reason="Rotated"} > 1'
until_seen 90 'changes(keylease_root_key_rotated_timestamp_seconds[5m]) > 0'

step 'a role revoked, and all of one namespace gone'
kubectl keylease revoke --role developer-access >/dev/null
kubectl -n billing delete awscr --all >/dev/null
until_seen 60 'sum(keylease_leases{phase="Revoked"}) > 10 unless sum(keylease_leases{role="developer-access",phase=~"Ready|Revoking"}) > 1'
until_seen 60 'ALERTS{alertname="KeyleaseAccountNotReady"}'

step 'what the panels show'
"$tools/dashboard" show --prometheus "$prometheus" --scrape-interval "${scrape}s" \
    --since "$((SECONDS - began))s" "$page"
printf '\nAlerts\n'
"$tools/promtool" query instant "$prometheus" 'sum by (alertname, alertstate) (ALERTS)' | sed 's/^/  /'
finished=yes
if [ -n "${KEEP:-}" ]; then
    printf '\nPrometheus answers at %s, the operator at http://127.0.0.1:%s/metrics.\n' "$prometheus" "$metrics_port"
    printf 'In another shell: source %s/bed/env. Ctrl-C here ends it all.\n' "$tmp"
    bed_keep
fi
