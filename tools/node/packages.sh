#!/bin/sh
# What a node needs that is no Go module: runc (with seccomp, so in C), nft and
# the CNI plugins. What the system has is used; the rest is taken out of Debian's
# packages into target/tools/debian. Nothing is installed.
#
# Environment: TOOLS_BIN (where the commands go, default target/tools/bin).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${TOOLS_BIN:-$root/target/tools/bin}
debian=$root/target/tools/debian
mkdir -p "$bin" "$debian"
bin=$(cd "$bin" && pwd)
PATH=$PATH:/usr/sbin:/sbin

# take PACKAGE…: unpacks them below target/tools/debian
take() {
    for tool in apt-get dpkg-deb; do
        command -v "$tool" >/dev/null || {
            echo "node packages: no $tool here; install $1 with your system's package manager" >&2
            exit 1
        }
    done
    tmp=$(mktemp -d)
    # apt drops its rights and could not write to a folder that only root can enter.
    chmod 755 "$tmp"
    if ! (cd "$tmp" && apt-get download -q "$@" >log 2>&1); then
        echo "node packages: apt-get download $* failed (apt-get update?):" >&2
        tail -n 5 "$tmp/log" >&2
        rm -rf "$tmp"
        exit 1
    fi
    for package in "$tmp"/*.deb; do
        dpkg-deb -x "$package" "$debian"
    done
    rm -rf "$tmp"
}

# say NAME WHERE
say() { echo "node package $1: $2"; }

if [ -x "$bin/runc" ] || command -v runc >/dev/null; then
    say runc 'there'
else
    take runc
    ln -sf "$debian/usr/sbin/runc" "$bin/runc"
    say runc 'unpacked'
fi

if [ -x "$bin/nft" ] || command -v nft >/dev/null; then
    say nft 'there'
else
    take nftables libnftables1 libnftnl11 libjansson4 libedit2
    # Its libraries are not where the loader looks.
    cat >"$bin/nft" <<END
#!/bin/sh
LD_LIBRARY_PATH=\$(echo $debian/usr/lib/*-linux-gnu) exec $debian/usr/sbin/nft "\$@"
END
    chmod +x "$bin/nft"
    say nft 'unpacked'
fi

if [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || [ -x "$debian/usr/lib/cni/bridge" ]; then
    say CNI 'there'
else
    take containernetworking-plugins
    say CNI 'unpacked'
fi
