//! The definitions as people meet them: `kubectl explain`, `kubectl get`, the
//! files in `crds/`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

const KEYLEASE: &str = env!("CARGO_BIN_EXE_keylease");

fn crd(kind: &str) -> CustomResourceDefinition {
    let all = keylease_api::crds().into_iter();
    all.into_iter()
        .find(|crd| crd.spec.names.kind == kind)
        .expect("a kind of ours")
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let version = serde_json::to_value(&crd.spec.versions[0]).unwrap();
    version["schema"]["openAPIV3Schema"].clone()
}

/// Collects the paths of fields without a description.
fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) -> usize {
    let mut seen = 0;
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        seen += 1;
        if field["description"]
            .as_str()
            .is_none_or(|text| text.trim().is_empty())
        {
            found.push(path.clone());
        }
        // Types of Kubernetes: their words are not ours.
        if !["conditions", "selector"].contains(&name.as_str()) {
            seen += undescribed(field, &path, found);
            seen += undescribed(&field["items"], &path, found);
            seen += undescribed(&field["additionalProperties"], &path, found);
        }
    }
    seen
}

/// `kubectl explain` says something about every field of ours.
#[test]
fn every_field_is_described() {
    for crd in keylease_api::crds() {
        let kind = &crd.spec.names.kind;
        let mut missing = Vec::new();
        let seen = undescribed(&schema(&crd), kind, &mut missing);
        assert!(seen > 10, "only {seen} fields of {kind} were looked at");
        assert!(missing.is_empty(), "without description: {missing:?}");
    }
}

/// No field may be null: `has()` in a rule would take it for set.
#[test]
fn no_field_is_nullable() {
    for crd in keylease_api::crds() {
        let text = serde_json::to_string(&crd).unwrap();
        assert!(!text.contains("\"nullable\""), "{}", crd.spec.names.kind);
    }
}

/// The files in `crds/` are what this very binary writes, no more and no less.
#[test]
fn the_committed_files_are_what_the_command_writes() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crds");
    let run = Command::new(KEYLEASE)
        .arg("crds")
        .arg("--dir")
        .arg(&fresh)
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let committed = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds"));
    for (name, text) in files(&fresh) {
        let same = committed.get(&name) == Some(&text);
        assert!(same, "crds/{name} is not up to date: run `make crds`");
    }
    assert_eq!(committed.len(), 3, "{:?}", committed.keys());
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let yaml = entries.filter(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    yaml.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    })
    .collect()
}

/// What `keylease crds` prints can be piped into `kubectl apply`: the same
/// three definitions, one document each.
#[test]
fn the_printed_definitions_are_the_same() {
    let run = Command::new(KEYLEASE).arg("crds").output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    let printed: Vec<CustomResourceDefinition> = text
        .split("---\n")
        .filter(|document| !document.trim().is_empty())
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect();
    assert_eq!(printed, keylease_api::crds());
}

/// Names, short names, scope and category.
#[test]
fn kinds_have_their_short_names_and_scopes() {
    for (kind, short, scope) in [
        ("AwsAccount", "awsacct", "Cluster"),
        ("AwsRole", "awsrole", "Cluster"),
        ("AwsCredentialRequest", "awscr", "Namespaced"),
    ] {
        let spec = crd(kind).spec;
        assert_eq!(spec.group, "keylease.dev");
        assert_eq!(spec.versions[0].name, "v1alpha1");
        assert_eq!(spec.scope, scope, "{kind}");
        assert_eq!(
            spec.names.short_names,
            Some(vec![short.to_owned()]),
            "{kind}"
        );
        assert_eq!(
            spec.names.categories,
            Some(vec!["keylease".to_owned()]),
            "{kind}"
        );
        let subresources = spec.versions[0].subresources.as_ref().unwrap();
        assert!(
            subresources.status.is_some(),
            "{kind} has no status subresource"
        );
    }
}

/// `kubectl get awscr` shows role, phase, key id, expiry and age.
#[test]
fn requests_have_their_columns() {
    let columns = crd("AwsCredentialRequest").spec.versions[0].clone();
    let columns = columns.additional_printer_columns.unwrap();
    let usual = columns.iter().filter(|c| c.priority.unwrap_or(0) == 0);
    let usual: Vec<_> = usual
        .map(|c| (c.name.as_str(), c.json_path.as_str()))
        .collect();
    assert_eq!(
        usual,
        [
            ("Role", ".spec.roleRef.name"),
            ("Phase", ".status.phase"),
            ("Key ID", ".status.credential.accessKeyId"),
            ("Expires", ".status.lease.expiresAt"),
            ("Age", ".metadata.creationTimestamp"),
        ]
    );
}

/// Columns show something: every path leads to a field of the schema.
#[test]
fn columns_lead_to_fields() {
    for crd in keylease_api::crds() {
        let schema = schema(&crd);
        for column in crd.spec.versions[0]
            .additional_printer_columns
            .iter()
            .flatten()
        {
            let path = column.json_path.trim_start_matches('.');
            if path.starts_with("metadata.") {
                continue;
            }
            let first = path.split("[?").next().unwrap();
            let field = first
                .split('.')
                .fold(&schema, |at, name| &at["properties"][name]);
            assert!(field.is_object(), "{}: {path}", crd.spec.names.kind);
        }
    }
}
