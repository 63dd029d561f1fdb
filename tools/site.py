#!/usr/bin/env python3
"""A preprocessor of mdBook: links that leave docs/ lead to the repository.

mdBook runs it with the book as JSON (book.toml). Pages link to files beside
docs/, as the forge wants it (`../charts/keylease/values.yaml`); the site has no
such files.
"""

import json
import posixpath
import re
import sys

LINK = re.compile(r"(\]\()(\.\.?/[^)\s]*)")


def moved(page, content, repository):
    """The page's text, with links of other files of the repository made absolute."""
    def absolute(match):
        path, hash_sign, anchor = match[2].partition("#")
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), path))
        if target == "docs" or target.startswith("docs/"):
            return match[0]
        return f"{match[1]}{repository}/blob/main/{target}{hash_sign}{anchor}"

    return LINK.sub(absolute, content)


def walk(items, repository):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            if chapter.get("path"):
                chapter["content"] = moved(chapter["path"], chapter["content"], repository)
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
