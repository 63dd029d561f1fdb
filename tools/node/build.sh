#!/bin/sh
# Builds what the node of the test bed is made of: containerd and its shim, ctr,
# kubelet, kube-proxy, kube-scheduler, CoreDNS and the pause process, from Go
# modules.
# One at a time, and only what is not up to date.
#
# Environment: TOOLS_BIN (where to put them, default target/tools/bin).
set -eu

# shellcheck source=tools/go-build.sh
. "$(dirname "$0")/../go-build.sh"

want=$(cat go.mod go.sum build.sh pause/main.go | cksum)
containerd=github.com/containerd/containerd/v2/cmd
kubernetes=k8s.io/kubernetes/cmd

ldflags='-s -w'
go_build '[1/8]' containerd "$containerd/containerd" '2 minutes'
go_build '[2/8]' containerd-shim-runc-v2 "$containerd/containerd-shim-runc-v2" '10 seconds'
go_build '[3/8]' ctr "$containerd/ctr" '20 seconds'
go_build '[4/8]' pause ./pause 'a second'
ldflags=$(kubernetes_ldflags)
go_build '[5/8]' kubelet "$kubernetes/kubelet" '3 minutes'
go_build '[6/8]' kube-proxy "$kubernetes/kube-proxy" '30 seconds'
go_build '[7/8]' kube-scheduler "$kubernetes/kube-scheduler" '30 seconds'

cd "$here/dns"
want=$(cat go.mod go.sum main.go | cksum)
ldflags='-s -w'
go_build '[8/8]' coredns . '1 minute'
cd "$here"

"$root/tools/image/pack-tool.sh" keylease.test/pause:1 "$bin/pause" "$root/target/image/pause.tar"
"$here/packages.sh"
