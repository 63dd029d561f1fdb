#!/usr/bin/env python3
"""Checks the k9s files: each column's path is in the definition of its kind, and
each plugin runs a command that `kubectl keylease` has, with flags that it has."""

import os
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
K9S = ROOT / "integrations/k9s"
PLUGIN = os.environ.get("PLUGIN", str(ROOT / "target/debug/kubectl-keylease"))
COMMAND = re.compile(r'kubectl keylease --context "\$CONTEXT"(?: -n "\$NAMESPACE")? ([a-z]+)((?: (?:--?[a-z-]+|-[A-Z]))*)')


def schema(plural: str) -> dict:
    definition = yaml.safe_load((ROOT / f"crds/{plural}.yaml").read_text())
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def has(node: dict, path: str) -> bool:
    """Whether a JSON path of the forms that k9s.yaml uses leads anywhere."""
    for part in filter(None, re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[]", path).split(".")):
        name, listed = re.fullmatch(r"(\w+)(\[\])?", part).groups()
        if name not in node.get("properties", {}):
            return False
        node = node["properties"][name]
        node = node["items"] if listed else node
    return True


def views() -> list[str]:
    wrong = []
    for view, settings in yaml.safe_load((K9S / "views.yaml").read_text())["views"].items():
        group, version, plural = view.split("/")
        kind = schema(plural)
        names = [column.split(":")[0].split("|")[0] for column in settings["columns"]]
        if settings["sortColumn"].split(":")[0] not in names:
            wrong.append(f"{view} is sorted by a column that it has not")
        for column in settings["columns"]:
            _, _, path = column.partition(":")
            path = re.sub(r"\|[NTWSLRH]*$", "", path)
            if path and not has(kind, path):
                wrong.append(f"{view}: there is no {path}")
    return wrong


def help_of(command: str) -> str:
    run = subprocess.run([PLUGIN, command, "--help"], capture_output=True, text=True)
    return run.stdout if run.returncode == 0 else ""


def plugins() -> list[str]:
    wrong, seen = [], set()
    for name, plugin in yaml.safe_load((K9S / "plugins.yaml").read_text())["plugins"].items():
        for scope in plugin["scopes"]:
            if (scope, plugin["shortCut"]) in seen:
                wrong.append(f"{name}: {plugin['shortCut']} is taken in {scope}")
            seen.add((scope, plugin["shortCut"]))
            schema(scope)
        found = COMMAND.search(plugin["args"][-1])
        text = help_of(found.group(1)) if found else ""
        if not text:
            wrong.append(f"{name} runs no command of the plugin")
            continue
        for flag in found.group(2).split():
            if not re.search(rf"(^|[ ,]){re.escape(flag)}\b", text, re.MULTILINE):
                wrong.append(f"{name}: {found.group(1)} has no {flag}")
    return wrong


problems = views() + plugins()
print("\n".join(problems) or "k9s: every column and every command is there")
sys.exit(bool(problems))
