# syntax=docker/dockerfile:1
# The image: one static binary and the root certificates, as user 65532.
#
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg KEYLEASE_COMMIT=$(git rev-parse HEAD) \
#     --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
#     --tag ghcr.io/keylease/keylease:0.1.0 .
#
# Both platforms are compiled on the builder's own (no emulation). Without Docker:
# tools/image/build.sh. Before a release, what it is built with is pinned by
# digest (tools/image/bases.sh, docs/release.md).
FROM --platform=$BUILDPLATFORM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --no-install-recommends -y ca-certificates clang lld musl-tools \
    && rm -rf /var/lib/apt/lists/*
ARG TARGETARCH
ARG KEYLEASE_COMMIT=""
ARG SOURCE_DATE_EPOCH=""
WORKDIR /src
# clang compiles ring's C and rust-lld links, for either platform.
ENV CC_x86_64_unknown_linux_musl=clang \
    CC_aarch64_unknown_linux_musl=clang \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
COPY . .
RUN case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-musl ;; \
      arm64) target=aarch64-unknown-linux-musl ;; \
      *) echo "no such platform: $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && rustup target add "$target" \
    && cargo build --release --locked --target "$target" --bin keylease \
    && cp "target/$target/release/keylease" /keylease

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chmod=0755 /keylease /usr/local/bin/keylease
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/keylease"]
