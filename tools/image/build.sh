#!/usr/bin/env bash
# Builds the image without a container engine: a static binary, and a tar that
# `ctr images import`, `docker load` and `skopeo` take. The same commit gives
# the same bytes.
#
# Output: target/image/keylease-<version>-<arch>.tar; prints size and digest.
# Needs: rustup target add x86_64-unknown-linux-musl, and musl-gcc (Debian:
# musl-tools), because ring has some C.
#
# Environment: ARCH, amd64 (default) or arm64, where a linker for that is set up.
set -euo pipefail
cd "$(dirname "$0")/../.."

arch=${ARCH:-amd64}
case $arch in
amd64) target=x86_64-unknown-linux-musl ;;
arm64) target=aarch64-unknown-linux-musl ;;
*) echo "ARCH is amd64 or arm64, not $arch" >&2; exit 2 ;;
esac

sysroot=$(rustc --print sysroot)
[ -d "$sysroot/lib/rustlib/$target" ] ||
    { echo "the target is missing: rustup target add $target" >&2; exit 1; }
if [ "$arch" = amd64 ] && ! command -v musl-gcc >/dev/null; then
    echo "musl-gcc is missing (Debian: apt-get install musl-tools)" >&2
    exit 1
fi

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
KEYLEASE_COMMIT=${KEYLEASE_COMMIT:-$(git rev-parse HEAD)}
export SOURCE_DATE_EPOCH KEYLEASE_COMMIT
# No path of the machine that built it.
export RUSTFLAGS="--remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"

cargo build --release --locked --target "$target" --bin keylease
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
mkdir -p target/image
python3 tools/image/pack.py \
    --binary "target/$target/release/keylease" \
    --name "ghcr.io/keylease/keylease:$version" \
    --architecture "$arch" \
    --revision "$KEYLEASE_COMMIT" \
    --version "$version" \
    --epoch "$SOURCE_DATE_EPOCH" \
    --output "target/image/keylease-$version-$arch.tar"
