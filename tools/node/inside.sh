#!/usr/bin/env bash
# Runs a command in namespaces of its own (network, mounts, processes), where a
# node can be started that touches nothing of this machine:
#
#   tools/node/inside.sh target/debug/testbed up --node
#
# - The network has no way out. Build what you need before.
# - /run, /var/lib and /var/log are empty and private; so are all mounts that
#   kubelet and containerd make.
# - When the command ends, or this script is killed, the kernel kills every
#   process inside, containers too, and their mounts go with them. Only empty
#   cgroups can be left, and the next run removes those.
#
# Exit code 75 and `*** SKIPPED` when this machine cannot do it.
set -euo pipefail

skip() {
    echo "*** SKIPPED: no node here: $1" >&2
    exit 75
}

[ "$(uname)" = Linux ] || skip 'it needs Linux'
[ "$(id -u)" = 0 ] || skip 'it needs root'
for tool in unshare setpriv ip mount; do
    command -v "$tool" >/dev/null || skip "there is no $tool (util-linux, iproute2)"
done
unshare --net --mount --pid --fork --kill-child --mount-proc true 2>/dev/null ||
    skip 'unshare cannot make namespaces'
case $(cd "$(dirname "$0")/../.." && pwd) in
/run/* | /var/lib/* | /var/log/*) skip 'the repository is below a folder that is private inside' ;;
esac

# The roots of all cgroup hierarchies: one with cgroup v2, several with v1.
hierarchies() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
    fi
}
cgroup=keylease-node-$$

# Processes that were killed leave their cgroups a moment later.
remove_cgroups() {
    local dir tries=0
    for dir in $(hierarchies); do
        while [ -d "$dir/$1" ] && ! find "$dir/$1" -depth -type d -exec rmdir {} + 2>/dev/null; do
            tries=$((tries + 1))
            [ "$tries" -lt 50 ] || break
            sleep 0.1
        done
    done
}

for left in $(hierarchies | while read -r dir; do ls "$dir"; done | grep '^keylease-node-' | sort -u); do
    kill -0 "${left##*-}" 2>/dev/null || remove_cgroups "$left"
done
hierarchies | while read -r dir; do
    mkdir "$dir/$cgroup" 2>/dev/null || skip "no cgroup can be made in $dir"
done
trap 'remove_cgroups "$cgroup"' EXIT

# The network from outside, so that the test bed can see that it is in another.
TESTBED_OUTER_NET=$(readlink /proc/self/ns/net)
export TESTBED_OUTER_NET TESTBED_CGROUP=/$cgroup
# The shell stays as the first process, because that one has to reap the orphans
# that containers leave.
# shellcheck disable=SC2016
setpriv --pdeathsig KILL -- \
    unshare --net --mount --pid --fork --kill-child --mount-proc -- bash -c '
        set -e
        for dir in /run /var/lib /var/log; do
            mount -t tmpfs -o mode=755 keylease-node "$dir"
        done
        code=0
        "$@" || code=$?
        exit "$code"
    ' inside "$@" <&0 &
child=$!
# unshare does not pass signals on; its end is the end of all.
trap 'kill -KILL "$child" 2>/dev/null || true' INT TERM
code=0
wait "$child" || code=$?
exit "$code"
