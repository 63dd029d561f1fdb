//! The manifests in README and documentation are what the definitions take: no
//! field that there is not, and no rule broken.

use std::path::{Path, PathBuf};

use keylease_api::crds;
use serde_json::Value;

use crate::common_rules::Kind;
use crate::evaluated::judge;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The README and every page below `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    let mut folders = vec![Path::new(ROOT).join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The objects of ours in the YAML blocks of a page.
fn objects(page: &str) -> Vec<Value> {
    let blocks = page.split("\n```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("\n```"));
    let documents = blocks.flat_map(|(block, _)| block.split("\n---\n"));
    let ours = documents.filter(|text| text.starts_with("apiVersion: keylease.dev/v1alpha1\n"));
    ours.map(|text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}:\n{text}")))
        .collect()
}

/// Collects the fields that the schema does not have.
fn unknown(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                let field = &schema["properties"][name];
                let entry = &schema["additionalProperties"];
                match (field.is_object(), entry.is_object()) {
                    (true, _) => unknown(value, field, &path, found),
                    (false, true) => unknown(value, entry, &path, found),
                    (false, false) => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                unknown(item, &schema["items"], path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn each_manifest_on_a_page_is_taken() {
    let definitions = serde_json::to_value(crds()).unwrap();
    let definitions = definitions.as_array().unwrap();
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for object in objects(&text) {
            let page = page.display();
            let kinds = [Kind::Account, Kind::Role, Kind::Request];
            let kind = kinds.into_iter().find(|k| object["kind"] == k.name());
            let kind = kind.unwrap_or_else(|| panic!("{page}: no such kind: {object}"));
            let definition = definitions
                .iter()
                .find(|d| d["spec"]["names"]["kind"] == kind.name())
                .unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let mut fields = Vec::new();
            unknown(
                &object["spec"],
                &schema["properties"]["spec"],
                "spec",
                &mut fields,
            );
            assert!(
                fields.is_empty(),
                "{page}: there is no {fields:?}: {object}"
            );
            if let Err(error) = judge(kind, object.clone(), None) {
                panic!("{page}: {error}: {object}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} manifests were found");
}
