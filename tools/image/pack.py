#!/usr/bin/env python3
"""Packs a static binary into a container image, with the standard library only.

The tar is an OCI image layout and has Docker's manifest.json beside it, so that
`ctr images import`, `skopeo copy oci-archive:` and `docker load` all take it.
Owners, times and order are fixed: the same input gives the same bytes.

In the image, besides the binary: the root certificates of this machine (TLS to
AWS is checked against them) and the user 65532. No shell, no libc.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import tarfile

USER = 65532
PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
OCI = "application/vnd.oci.image"


def tar(files: dict[str, tuple[int, bytes]], epoch: int) -> bytes:
    """A tar of these files (mode and content, by path), with their folders."""
    folders = {str(p) for name in files for p in pathlib.PurePosixPath(name).parents}
    folders.discard(".")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(folders | set(files)):
            info = tarfile.TarInfo(name)
            info.mtime = epoch
            if name in files:
                info.mode, content = files[name]
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
    return out.getvalue()


def encode(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--name", required=True, help="repository:tag")
    parser.add_argument("--architecture", choices=["amd64", "arm64"], required=True)
    parser.add_argument("--revision", required=True, help="the commit")
    parser.add_argument("--version", required=True)
    parser.add_argument("--epoch", type=int, required=True, help="seconds since 1970")
    parser.add_argument("--certificates", type=pathlib.Path, default=CERTIFICATES)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    args = parser.parse_args()

    program = f"/usr/local/bin/{args.binary.name}"
    layer = tar(
        {
            "etc/passwd": (0o644, PASSWD.encode()),
            CERTIFICATES.lstrip("/"): (0o644, args.certificates.read_bytes()),
            program.lstrip("/"): (0o755, args.binary.read_bytes()),
        },
        args.epoch,
    )
    packed = gzip.compress(layer, compresslevel=9, mtime=0)
    created = datetime.datetime.fromtimestamp(args.epoch, datetime.timezone.utc)
    labels = {
        "org.opencontainers.image.title": args.binary.name,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.revision": args.revision,
        "org.opencontainers.image.version": args.version,
    }
    config = encode(
        {
            "architecture": args.architecture,
            "os": "linux",
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "config": {
                "User": f"{USER}:{USER}",
                "Entrypoint": [program],
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    )

    def blob(media_type: str, content: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": blob(f"{OCI}.config.v1+json", config),
            "layers": [blob(f"{OCI}.layer.v1.tar+gzip", packed)],
            "annotations": labels,
        }
    )
    platform = {"architecture": args.architecture, "os": "linux"}
    names = {
        "io.containerd.image.name": args.name,
        "org.opencontainers.image.ref.name": args.name.rpartition(":")[2],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.index.v1+json",
        "manifests": [
            blob(f"{OCI}.manifest.v1+json", manifest)
            | {"platform": platform, "annotations": names}
        ],
    }

    def path(content: bytes) -> str:
        return "blobs/" + digest(content).replace(":", "/")

    docker = [{"Config": path(config), "RepoTags": [args.name], "Layers": [path(packed)]}]
    files = {
        "oci-layout": encode({"imageLayoutVersion": "1.0.0"}),
        "index.json": encode(index),
        "manifest.json": encode(docker),
        path(config): config,
        path(packed): packed,
        path(manifest): manifest,
    }
    args.output.write_bytes(tar({n: (0o644, c) for n, c in files.items()}, args.epoch))
    mib = 1 << 20
    print(f"image      {args.name} ({args.architecture})")
    print(f"digest     {digest(manifest)}")
    print(f"unpacked   {len(layer) / mib:.1f} MiB")
    print(f"to pull    {len(packed) / mib:.1f} MiB")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
