#!/usr/bin/env python3
"""Checks what the Markdown of this repository points at.

    tools/docs.py            all checks; exit code 1 where one fails

- Every relative link, and every anchor in it, leads somewhere.
- Every path of the repository that stands in backticks exists; one of a Rust
  file may leave out the folders that it begins with. CHANGELOG.md is left out:
  it tells of the past.
- Every source file that a manifest names, as the reason for a right, exists.
- Every page below docs/ is in docs/SUMMARY.md once, and nothing else is.
- docs/reference/annotations.md names every keylease.dev/ key that the source
  has, and no other.
- docs/concepts.md and its picture have every stage of a request that the source
  has.

The standard library alone, so that it runs wherever Python does.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
KEYS_PAGE = DOCS / "reference" / "annotations.md"
# Where keys are written: the product's source and the chart, tests left out.
KEY_SOURCES = ("src/", "crates/", "charts/keylease/templates/")
NO_KEY = {"v1alpha1", "alpha1"}

FENCE = re.compile(r"^\s*(```|~~~)")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
HTML_LINK = re.compile(r"(?:src|srcset|href)=\"([^\"]+)\"")
CODE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
PATH = re.compile(r"^[\w.@*{},-]+(/[\w.@*{},-]*)*$")
STAGE = re.compile(r"Self::\w+(?:\(_\))? => \"([A-Z]\w*)\"")
SOURCE = re.compile(r"\bsrc/[\w/]+\.rs\b")
KEY = re.compile(r"keylease\.dev/([a-z][a-z0-9-]*)")


def tracked(pattern=None):
    """Files of the work tree that git knows or would add, as paths from the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(
        command + (["--", pattern] if pattern else []),
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def prose(text):
    """Numbered lines outside of fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(path, cache={}):
    """The anchors that GitHub and mdBook give the headings of a page."""
    if path not in cache:
        seen, found = Counter(), set()
        for _, line in prose(path.read_text(encoding="utf-8")):
            if heading := HEADING.match(line):
                text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2])
                slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
                found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
                seen[slug] += 1
        cache[path] = found
    return cache[path]


def check_links(pages):
    for name in pages:
        page = ROOT / name
        # One text, because the words of a link may go over the end of a line.
        lines = dict(prose(page.read_text(encoding="utf-8")))
        text = "\n".join(CODE.sub("", lines.get(n, "")) for n in range(1, max(lines, default=0) + 1))
        for link in [*LINK.finditer(text), *HTML_LINK.finditer(text)]:
            target, number = link[1], text.count("\n", 0, link.start(1)) + 1
            if SCHEME.match(target) or target.startswith("//"):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or ROOT not in (file, *file.parents):
                yield f"{name}:{number}: {target}: there is no such file"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield f"{name}:{number}: {target}: no heading has that anchor"


def alternatives(pattern):
    """`a/{b,c}.rs` as `a/b.rs` and `a/c.rs`."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if not braces:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end():]
    return [p for part in braces[1].split(",") for p in alternatives(before + part + after)]


def check_paths(pages, files):
    folders = {str(parent) for file in files for parent in Path(file).parents}
    top = {file.split("/")[0] for file in files if "/" in file}
    for name in pages:
        if name == "CHANGELOG.md":
            continue
        for number, line in prose((ROOT / name).read_text(encoding="utf-8")):
            for code in CODE.findall(line):
                path = code.strip().rstrip("/")
                whole = path.split("/")[0] in top
                if not PATH.match(code.strip()) or "/" not in code or not (whole or path.endswith(".rs")):
                    continue
                for wanted in alternatives(path):
                    if not whole:
                        there = any(file.endswith(f"/{wanted}") for file in files)
                    else:
                        there = any(ROOT.glob(wanted)) if "*" in wanted else wanted in folders or wanted in files
                    if not there:
                        yield f"{name}:{number}: `{code}`: there is no such path"


def check_manifests(files):
    for name in sorted(files):
        if name.startswith(("charts/", "deploy/")) and name.endswith((".yaml", ".tpl")):
            for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
                for path in SOURCE.findall(line):
                    if path not in files:
                        yield f"{name}:{number}: {path}: there is no such file"


def check_summary():
    summary = DOCS / "SUMMARY.md"
    text = summary.read_text(encoding="utf-8")
    listed = Counter(t.partition("#")[0] for t in LINK.findall(text) if not SCHEME.match(t))
    pages = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md") if p != summary}
    for page in sorted(pages - set(listed)):
        yield f"docs/SUMMARY.md: {page} is missing"
    for page, times in sorted(listed.items()):
        if times > 1:
            yield f"docs/SUMMARY.md: {page} is listed {times} times"


def check_keys(files):
    def keys(text):
        return {key for key in KEY.findall(text) if key not in NO_KEY}

    source = set()
    for name in files:
        if name.startswith(KEY_SOURCES) and not re.search(r"(^|[/_])tests?([/_.]|$)", name):
            text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
            source |= keys(text.split("#[cfg(test)]")[0] if name.endswith(".rs") else text)
    page = keys(KEYS_PAGE.read_text(encoding="utf-8"))
    where = KEYS_PAGE.relative_to(ROOT)
    for key in sorted(source - page):
        yield f"{where}: keylease.dev/{key} is in the source and not on the page"
    for key in sorted(page - source):
        yield f"{where}: keylease.dev/{key} is on the page and not in the source"


def check_stages(files):
    source = [name for name in files if name.startswith(("src/", "crates/")) and name.endswith("/stage.rs")]
    stages = {stage for name in source for stage in STAGE.findall((ROOT / name).read_text(encoding="utf-8"))}
    if not stages:
        yield "no stage.rs has the names of the stages; correct check_stages"
    for where in ("docs/concepts.md", "docs/pictures/states.svg"):
        text = (ROOT / where).read_text(encoding="utf-8")
        for stage in sorted(stages):
            if not re.search(rf"[`>]{stage}[`<]", text):
                yield f"{where}: the stage {stage} is missing"


def main():
    files = set(tracked())
    pages = sorted(f for f in files if f.endswith(".md"))
    checks = (
        check_links(pages), check_paths(pages, files), check_manifests(files),
        check_summary(), check_keys(files), check_stages(files),
    )
    problems = [problem for check in checks for problem in check]
    print("\n".join(problems) or f"{len(pages)} pages: links, paths and the table of contents are right")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
