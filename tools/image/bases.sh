#!/usr/bin/env bash
# The images that the Dockerfile is built with (FROM, and its own syntax), by
# digest: a tag can mean other bytes tomorrow.
#
#   tools/image/bases.sh check   fail if one is named without a digest
#   tools/image/bases.sh pin     write behind each name what its tag means today
#                                (asks the registry with docker buildx)
#
# Environment: DOCKERFILE (default: that of the repository).
set -euo pipefail
cd "$(dirname "$0")/../.."

file=${DOCKERFILE:-Dockerfile}

# Every image that is pulled: not scratch, and no stage of the file itself.
images() {
    awk '
        /^# syntax=/ { sub(/^# syntax=/, ""); print; next }
        toupper($1) == "FROM" {
            image = ""
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^--/) continue
                if (image == "") image = $i
                else if (toupper($i) == "AS") stage[$(i + 1)] = 1
            }
            if (image != "scratch" && !(image in stage)) print image
        }' "$file"
}

without_digest() { images | grep -v '@sha256:[0-9a-f]\{64\}$' || true; }

case ${1:-} in
check)
    missing=$(without_digest)
    [ -z "$missing" ] || {
        printf '%s names no digest for: %s\nRun tools/image/bases.sh pin and commit it.\n' \
            "$file" "${missing//$'\n'/, }" >&2
        exit 1
    }
    ;;
pin)
    for image in $(without_digest); do
        digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
        [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "$image: not a digest: $digest" >&2; exit 1; }
        sed -i "s,\([ =]\)$image\( \|\$\),\1$image@$digest\2," "$file"
        echo "$image@$digest"
    done
    ;;
*)
    sed -n '5,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
