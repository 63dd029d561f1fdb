#!/usr/bin/env python3
"""A preprocessor of mdBook: links as the site needs them.

mdBook runs it with the book as JSON (book.toml). Pages link as the forge wants
it: to files beside docs/ (`../charts/keylease/values.yaml`), which the site does
not have, and to README.md, which it calls index.html.
"""

import json
import posixpath
import re
import sys

LINK = re.compile(r"(\]\()([^)\s#]+)")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")


def adapted(page, content, repository):
    """The page's text: links that leave docs/ lead to the repository."""
    def link(match):
        before, path = match.groups()
        if SCHEME.match(path):
            return match[0]
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), path))
        if not target.startswith("docs/"):
            return f"{before}{repository}/blob/main/{target}"
        if posixpath.basename(path) == "README.md":
            return before + path.removesuffix("README.md") + "index.html"
        return match[0]

    return LINK.sub(link, content)


def walk(items, repository):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            if chapter.get("path"):
                chapter["content"] = adapted(chapter["path"], chapter["content"], repository)
            walk(chapter["sub_items"], repository)


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    repository = context["config"]["output"]["html"]["git-repository-url"]
    # The list of chapters is called `items` from mdBook 0.5 on, `sections` before.
    walk(book.get("items") or book.get("sections") or [], repository)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
