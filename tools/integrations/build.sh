#!/bin/sh
# Builds, if they are not up to date, what asks other people's code about our
# objects: kstatus, Flux's server-side apply, krew and its validation.
#
# Environment: TOOLS_BIN (where to put them, default target/tools/bin).
set -eu

# shellcheck source=tools/go-build.sh
. "$(dirname "$0")/../go-build.sh"

ldflags='-s -w'
want=$(cat go.mod go.sum build.sh kstatus/*.go fluxapply/*.go | cksum)
go_build '[1/4]' kstatus ./kstatus '1 minute'
go_build '[2/4]' fluxapply ./fluxapply '2–4 minutes'
go_build '[3/4]' krew sigs.k8s.io/krew/cmd/krew '1 minute'
go_build '[4/4]' validate-krew-manifest sigs.k8s.io/krew/cmd/validate-krew-manifest '10 seconds'
