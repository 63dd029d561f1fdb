"""The README of a chart: README.template.md with a table of values.yaml in it.

    readme.py write CHART
    readme.py check CHART     fails if README.md is not what write would make

What a value is stands in the comment above it, its default in values.yaml, its
type in values.schema.json. Lines that begin with `#  ` below a value are an
example. A value without a comment, or in one of the two files only, is an error.
"""

import json
import re
import sys
from pathlib import Path

import yaml

MARK = "<!-- values -->"


class Undocumented(Exception):
    """What is to be mended in values.yaml or values.schema.json."""


def flow(value):
    """A value on one line, as one would write it in values.yaml."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("...\n").strip()


def cell(text):
    """Prose for a table; outside of code, < would begin a tag."""
    parts = re.split(r"(`[^`]*`)", text)
    parts = [p if p.startswith("`") else p.replace("<", "&lt;") for p in parts]
    return "".join(parts).replace("|", "\\|")


class Chart:
    def __init__(self, folder):
        text = (folder / "values.yaml").read_text()
        self.lines = text.splitlines()
        self.root = yaml.compose(text)
        self.values = yaml.safe_load(text)
        self.schema = json.loads((folder / "values.schema.json").read_text())

    def resolved(self, schema):
        name = schema.get("$ref", "").removeprefix("#/definitions/")
        return self.schema["definitions"][name] if name else schema

    def kind(self, schema):
        """The type in words."""
        schema = self.resolved(schema)
        if "enum" in schema:
            words = (one if isinstance(one, str) else flow(one) for one in schema["enum"])
            return " or ".join(f"`{word}`" for word in words if word)
        if "anyOf" in schema:
            return " or ".join(self.kind(one) for one in schema["anyOf"])
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return " or ".join({"object": "map", "array": "list"}.get(t, t) for t in types)

    def above(self, line, column):
        """The comment that ends above a line."""
        words = []
        begins = " " * column + "# "
        while line > 0 and self.lines[line - 1].startswith(begins):
            if self.lines[line - 1].startswith(begins + " "):
                break
            line -= 1
            words.insert(0, self.lines[line][len(begins):])
        return " ".join(words)

    def below(self, line, column):
        """The example that begins below a line, as a value."""
        begins = " " * column + "#  "
        example = []
        while line + 1 < len(self.lines) and self.lines[line + 1].startswith(begins):
            line += 1
            example.append(self.lines[line][len(begins):])
        return yaml.safe_load("\n".join(example))

    def rows(self, node, values, schema, path=""):
        """One row for each value below a node."""
        known = set(schema["properties"]) - ({"global"} if not path else set())
        if known != set(values):
            odd = ", ".join(sorted(path + name for name in known ^ set(values)))
            raise Undocumented(f"in one of values.yaml and values.schema.json only: {odd}")
        for key, value in node.value:
            name = key.value
            here = self.resolved(schema["properties"][name])
            group = isinstance(value, yaml.MappingNode) and not value.flow_style
            if group and "properties" in here:
                yield from self.rows(value, values[name], here, f"{path}{name}.")
                continue
            at = key.start_mark
            what = self.above(at.line, at.column)
            if not what:
                raise Undocumented(f"{path}{name} has no comment above it in values.yaml")
            example = None if group else self.below(value.end_mark.line, at.column)
            if example is not None:
                what += f" As in `{flow(example)}`."
            yield (
                f"| `{path}{name}` | {self.kind(here)} | `{cell(flow(values[name]))}` "
                f"| {cell(what)} |"
            )

    def table(self):
        head = ["| Value | Type | Default | What it is |", "| --- | --- | --- | --- |"]
        return "\n".join(head + list(self.rows(self.root, self.values, self.schema)))


def main(job, folder):
    chart = Path(folder)
    try:
        table = Chart(chart).table()
    except Undocumented as what:
        return f"{folder}: {what}"
    template = (chart / "README.template.md").read_text()
    made = "<!-- Made of README.template.md and values.yaml: make chart -->\n"
    made += template.replace(MARK, table)
    readme = chart / "README.md"
    if job == "write":
        readme.write_text(made)
    elif not readme.exists() or readme.read_text() != made:
        return f"{readme} is not current: run make chart"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "check"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
