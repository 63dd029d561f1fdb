#!/bin/sh
# Makes an image of one static binary and this machine's CA certificates, as an
# archive that `docker load`, `ctr images import` and `kind load image-archive`
# take. The same files give the same archive.
#
#   tools/node/image.sh NAME:TAG BINARY ARCHIVE
set -eu
[ $# = 3 ] || { echo "usage: $0 NAME:TAG BINARY ARCHIVE" >&2; exit 2; }

# Debian's and Fedora's place; inside the image it is the first one, where TLS
# libraries look.
for certificates in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    [ ! -r "$certificates" ] || break
done
[ -r "$certificates" ] || { echo "$0: no CA certificates here; install ca-certificates" >&2; exit 1; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
program=$(basename "$2")
mkdir "$tmp/root" "$tmp/image"
install -m 0755 "$2" "$tmp/root/$program"
install -D -m 0644 "$certificates" "$tmp/root/etc/ssl/certs/ca-certificates.crt"

# pack ARCHIVE FOLDER FILE…
pack() {
    archive=$1 && shift
    tar --create --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        --file "$archive" --directory "$@"
}

chmod -R u=rwX,go=rX "$tmp/root"
pack "$tmp/image/layer.tar" "$tmp/root" "$program" etc
layer=$(sha256sum "$tmp/image/layer.tar" | cut -d ' ' -f 1)
case $(uname -m) in
aarch64) architecture=arm64 ;;
*) architecture=amd64 ;;
esac
cat >"$tmp/image/config.json" <<END
{"architecture":"$architecture","os":"linux","config":{"Entrypoint":["/$program"],"User":"65532:65532"},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
END
cat >"$tmp/image/manifest.json" <<END
[{"Config":"config.json","RepoTags":["$1"],"Layers":["layer.tar"]}]
END
mkdir -p "$(dirname "$3")"
pack "$3" "$tmp/image" config.json layer.tar manifest.json
