#!/bin/sh
# Builds Prometheus and promtool from their Go module, and our own reader of
# dashboards, if they are not up to date. Without the web pages, which are not
# in the module, and without service discovery, which nothing here needs and
# which is most of the build.
#
# Environment: TOOLS_BIN (where to put them, default target/tools/bin).
set -eu

# shellcheck source=tools/go-build.sh
. "$(dirname "$0")/../go-build.sh"

GOFLAGS="${GOFLAGS:-} -tags=remove_all_sd"
export GOFLAGS
commands=github.com/prometheus/prometheus/cmd
# The module's version v0.3xx.y is release 3.xx.y.
version=$(sed -n 's|^[[:space:]]*github\.com/prometheus/prometheus v0\.\([0-9]\)\([0-9.]*\).*|\1.\2|p' go.mod)
ldflags="-s -w -X github.com/prometheus/common/version.Version=$version"

want=$(cat go.mod go.sum build.sh | cksum)
go_build '[1/3]' prometheus "$commands/prometheus" '2–4 minutes'
go_build '[2/3]' promtool "$commands/promtool" '1–3 minutes'
ldflags='-s -w'
want=$(cat go.mod go.sum build.sh dashboard/*.go | cksum)
go_build '[3/3]' dashboard ./dashboard '10 seconds'
