#!/usr/bin/env bash
# Runs examples/walkthrough.sh on a test bed of its own: a control plane, the
# AWS fake, the operator with the rights of deploy/operator/rbac.yaml and the policy that
# `keylease iam-policy` prints for what the story uses, the plugin. The
# transcript goes to stdout, what the parts log to a temporary folder.
#
# Needs what `make tools` and `cargo build` make. Environment: see tools/bed.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tools/bed.sh
source tools/bed.sh

bed_open walkthrough
bed_start fake
bed_install >"$tmp/apply.log"

# The operator's identity, made as docs/tasks/self-managed.md says.
account=$(aws sts get-caller-identity --query Account --output text)
"$(binary keylease "${KEYLEASE_BIN:-}")" iam-policy --account-id "$account" --federation \
    --assume-role "arn:aws:iam::$account:role/walkthrough" \
    --static-user "arn:aws:iam::$account:user/keylease-walkthrough-legacy" >"$tmp/policy.json"
aws iam create-user --user-name the-operator >/dev/null
policy=$(aws iam create-policy --policy-name the-operator --policy-document "file://$tmp/policy.json" \
    --query Policy.Arn --output text)
aws iam attach-user-policy --user-name the-operator --policy-arn "$policy"
(umask 077; aws iam create-access-key --user-name the-operator --query AccessKey --output json >"$tmp/key.json")
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$tmp/key.json" "$1"; }
bed_operator AWS_ACCESS_KEY_ID="$(field AccessKeyId)" AWS_SECRET_ACCESS_KEY="$(field SecretAccessKey)"
bed_plugin
examples/walkthrough.sh
