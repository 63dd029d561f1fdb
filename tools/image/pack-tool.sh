#!/bin/sh
# Packs a static program of the tests for this machine's architecture.
#
#   tools/image/pack-tool.sh NAME:TAG BINARY ARCHIVE
set -eu
[ $# = 3 ] || { echo "usage: $0 NAME:TAG BINARY ARCHIVE" >&2; exit 2; }
case $(uname -m) in
aarch64) architecture=arm64 ;;
*) architecture=amd64 ;;
esac
mkdir -p "$(dirname "$3")"
python3 "$(dirname "$0")/pack.py" --name "$1" --binary "$2" --output "$3" \
    --architecture "$architecture" --revision '' --version 1 --epoch 0 >/dev/null
