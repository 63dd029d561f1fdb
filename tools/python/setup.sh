#!/bin/sh
# Makes the Python environment of the test bed: moto (an AWS stand-in) and the
# AWS CLI, both pinned in requirements.txt, in target/tools/venv. A second run
# finds the stamp of the same requirements and does nothing.
#
# Environment: TOOLS_VENV (where to put it), PYTHON (default python3).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=${TOOLS_VENV:-$root/target/tools/venv}
python=${PYTHON:-python3}

stamp=$venv/.stamp
want=$(cat "$here/requirements.txt" "$here/setup.sh" | cksum)

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    echo "python tools: up to date"
    exit 0
fi

printf 'python tools: installing moto and the AWS CLI (about a minute) … '
began=$(date +%s)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
mkdir -p "$(dirname "$venv")"
if ! { "$python" -m venv --clear "$venv" &&
       "$venv/bin/pip" install --quiet --disable-pip-version-check \
           --requirement "$here/requirements.txt"; } >"$log" 2>&1; then
    echo failed
    tail -n 20 "$log" >&2
    exit 1
fi
printf '%s' "$want" >"$stamp"
echo "done in $(($(date +%s) - began)) s"
