"""Facts that a chart repeats, compared with where they come from.

    facts.py CHART

What Artifact Hub shows (definitions, examples, images, icon) is of this version,
and the schema knows every alert by its name.
"""

import json
import sys
from pathlib import Path

import yaml

OURS = "https://raw.githubusercontent.com/keylease/keylease/main/"


def definitions(chart):
    """Kind, version and name of each definition in the chart."""
    for file in sorted((chart / "files/crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        for version in crd["spec"]["versions"]:
            yield crd["spec"]["names"]["kind"], version["name"], crd["metadata"]["name"]


def alerts(chart):
    """Names of the alerts in the chart."""
    file = chart / "files/alerts.yaml"
    groups = yaml.safe_load(file.read_text())["groups"] if file.exists() else []
    return [rule["alert"] for group in groups for rule in group["rules"]]


def faults(chart):
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    hub = {
        name.removeprefix("artifacthub.io/"): text
        for name, text in about["annotations"].items()
    }
    icon = about["icon"].removeprefix(OURS)
    if not Path(icon).is_file():
        yield f"the icon {about['icon']} is no file of this repository"

    there = sorted(definitions(chart))
    told = yaml.safe_load(hub.get("crds", "[]"))
    if there != sorted((crd["kind"], crd["version"], crd["name"]) for crd in told):
        yield f"artifacthub.io/crds should name {there}"
    examples = yaml.safe_load(hub.get("crdsExamples", "[]"))
    shown = {(e["kind"], e["apiVersion"].split("/")[1]) for e in examples}
    if shown != {(kind, version) for kind, version, _ in there}:
        yield "artifacthub.io/crdsExamples should have one of each kind"
    for image in yaml.safe_load(hub.get("images", "[]")):
        if not image["image"].endswith(f":{about['appVersion']}"):
            yield f"artifacthub.io/images: {image['image']} is not {about['appVersion']}"

    schema = json.loads((chart / "values.schema.json").read_text())
    if "metrics" in schema["properties"]:
        rule = schema["properties"]["metrics"]["properties"]["prometheusRule"]
        named = rule["properties"]["alerts"]["propertyNames"]["enum"]
        if sorted(named) != sorted(alerts(chart)):
            odd = ", ".join(sorted(set(named) ^ set(alerts(chart))))
            yield f"values.schema.json and files/alerts.yaml do not name the same alerts: {odd}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = [f"{sys.argv[1]}: {fault}" for fault in faults(Path(sys.argv[1]))]
    sys.exit("\n".join(found) or None)
