# shellcheck shell=sh disable=SC2154
# Builds one Go program of a tools module, unless it is up to date: next to
# each binary lies a stamp with a hash of what it was built from. To be sourced
# by the build.sh of the module, which is taken to its own folder (`here`), is
# told where the repository (`root`) and the binaries (`bin`) are, and sets
# `want` (the hash) and `ldflags` before each program.
#
# Environment: TOOLS_BIN (where to put binaries, default target/tools/bin).

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${TOOLS_BIN:-$root/target/tools/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$here" || exit

# go_build LABEL NAME PACKAGE HOW-LONG
go_build() {
    stamp=$bin/.$2.stamp
    if [ -x "$bin/$2" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
        echo "$1 $2: up to date"
        return
    fi
    printf '%s %s: building, the first time takes %s … ' "$1" "$2" "$4"
    began=$(date +%s)
    log=$(mktemp)
    if ! CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$ldflags" \
        -o "$bin/$2" "$3" >"$log" 2>&1; then
        echo failed
        tail -n 20 "$log" >&2
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
    printf '%s' "$want" >"$stamp"
    echo "done in $(($(date +%s) - began)) s"
}

# Linker flags with the version of k8s.io/kubernetes in go.mod, without which
# its programs call themselves v0.0.0-master.
kubernetes_ldflags() {
    version=$(sed -n 's|^[[:space:]]*k8s\.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod)
    major=${version#v} && major=${major%%.*}
    minor=${version#v"$major".} && minor=${minor%%.*}
    package=k8s.io/component-base/version
    printf -- '-s -w -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s' \
        "$package" "$version" "$package" "$major" "$package" "$minor"
}
