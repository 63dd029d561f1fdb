#!/usr/bin/env bash
# Runs the AWS commands of the set-up pages (their ```bash blocks, in order)
# against moto, so that no command is misspelt, and looks at the elements of each
# policy document itself, because moto takes any trust policy.
#
# Needs the Python tools (tools/python/setup.sh) and a built `keylease`.
# Environment: KEYLEASE_BIN (default target/debug/keylease), TOOLS_VENV.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(realpath "${TOOLS_VENV:-target/tools/venv}")
keylease=$(realpath "${KEYLEASE_BIN:-target/debug/keylease}")
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$tmp/moto.log" 2>&1 &
server=$!

export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
unset AWS_PROFILE AWS_SESSION_TOKEN
mkdir "$tmp/bin"
ln -s "$venv/bin/aws" "$tmp/bin/aws"
# `kubectl keylease iam-policy` is the same code as `keylease iam-policy`.
printf '#!/bin/sh\nshift\nexec "%s" "$@"\n' "$keylease" >"$tmp/bin/kubectl"
chmod +x "$tmp/bin/kubectl"
export PATH=$tmp/bin:$PATH

# The elements of the policies in the folder. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
cat >"$tmp/grammar.py" <<'END'
import glob, json, sys
KNOWN = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
for name in glob.glob("*.json"):
    document, trust = json.load(open(name)), name.startswith("trust-")
    for statement in document["Statement"]:
        whom = {"Principal", "NotPrincipal"} & set(statement)
        what = {"Resource", "NotResource"} & set(statement)
        right = (document["Version"] == "2012-10-17" and set(statement) <= KNOWN
                 and statement["Effect"] in ("Allow", "Deny") and len({"Action", "NotAction"} & set(statement)) == 1
                 and len(whom if trust else what) == 1 and not (what if trust else whom))
        if not right:
            sys.exit(f"{name}: this is no statement of IAM's: {json.dumps(statement)}")
END

for _ in $(seq 100); do
    curl --silent --output /dev/null "$AWS_ENDPOINT_URL/moto-api/" && break
    sleep 0.1
done

for page in eks self-managed; do
    curl --silent --fail --output /dev/null --request POST "$AWS_ENDPOINT_URL/moto-api/reset"
    aws eks create-cluster --name production --role-arn arn:aws:iam::123456789012:role/cluster \
        --resources-vpc-config subnetIds=subnet-1 >/dev/null
    mkdir "$tmp/$page"
    awk '/^```bash$/ { inside = 1; next } /^```$/ { inside = 0 } inside' \
        "docs/tasks/$page.md" >"$tmp/$page/commands"
    [ -s "$tmp/$page/commands" ] || { echo "docs/tasks/$page.md has no commands"; exit 1; }
    (cd "$tmp/$page" && { bash -euo pipefail commands >answers && python3 "$tmp/grammar.py"; } 2>errors) ||
        { echo "docs/tasks/$page.md:"; cat "$tmp/$page/errors"; exit 1; }
    echo "docs/tasks/$page.md: $(grep -c '^ *aws\|(aws' "$tmp/$page/commands") AWS commands answered"
done
