#!/usr/bin/env bash
# Runs examples/walkthrough.sh on a test bed of its own: a control plane, the
# AWS fake, the operator with the rights of deploy/rbac.yaml, the plugin. The
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
bed_operator
bed_plugin
examples/walkthrough.sh
