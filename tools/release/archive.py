#!/usr/bin/env python3
"""Packs binaries into an archive of a release, with the licence beside them.

Owners, times and order are fixed: the same input gives the same bytes. Standard
library only, because tar of macOS cannot fix them.
"""

import argparse
import gzip
import io
import pathlib
import tarfile

LICENSE = pathlib.Path(__file__).resolve().parents[2] / "LICENSE"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epoch", type=int, required=True, help="seconds since 1970")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a .tar.gz")
    parser.add_argument("binary", type=pathlib.Path, nargs="+")
    args = parser.parse_args()

    files = {path.name: (0o755, path) for path in args.binary}
    if len(files) != len(args.binary):
        parser.error("two binaries have the same name")
    files[LICENSE.name] = (0o644, LICENSE)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            mode, path = files[name]
            content = path.read_bytes()
            info = tarfile.TarInfo(name)
            info.mode, info.mtime, info.size = mode, args.epoch, len(content)
            archive.addfile(info, io.BytesIO(content))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(gzip.compress(out.getvalue(), compresslevel=9, mtime=0))
    print(args.output)


if __name__ == "__main__":
    main()
