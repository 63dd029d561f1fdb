//! Whether the custom resources are installed, and in this plugin's version.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::Value;

use super::super::client::Session;
use super::Finding;

const INSTALL: &str =
    "install Keylease: helm install keylease charts/keylease, or kubectl apply -k deploy/";

/// Checks the definitions; by the API's discovery where the person may not
/// read them.
pub(super) async fn check(session: &Session) -> Vec<Finding> {
    let api: Api<CustomResourceDefinition> = Api::all(session.client.clone());
    let mut findings = Vec::new();
    for ours in keylease_api::crds() {
        let name = ours.metadata.name.clone().unwrap_or_default();
        findings.push(match api.get_opt(&name).await {
            Ok(Some(theirs)) => compare(&name, &ours, &theirs),
            Ok(None) => Finding::fail(format!("{name} is not installed"), INSTALL),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return vec![discover(session).await];
            }
            Err(error) => Finding::fail(format!("{name} cannot be read: {error}"), INSTALL),
        });
    }
    findings
}

async fn discover(session: &Session) -> Finding {
    let version = format!("{}/v1alpha1", keylease_api::GROUP);
    match session.client.list_api_group_resources(&version).await {
        Ok(list) => {
            let known: BTreeSet<_> = list.resources.iter().map(|r| r.name.as_str()).collect();
            let plurals = ["awsaccounts", "awsroles", "awscredentialrequests"];
            match plurals.iter().find(|p| !known.contains(**p)) {
                Some(missing) => Finding::fail(format!("{missing} is not installed"), INSTALL),
                None => Finding::ok(format!("{version} is installed")),
            }
        }
        Err(error) => Finding::fail(format!("{version} is not served: {error}"), INSTALL),
    }
}

fn compare(
    name: &str,
    ours: &CustomResourceDefinition,
    theirs: &CustomResourceDefinition,
) -> Finding {
    let (wanted, found) = (fields(ours), fields(theirs));
    if found.is_empty() {
        return Finding::fail(format!("{name} does not serve v1alpha1"), INSTALL);
    }
    let lacks: Vec<_> = wanted.difference(&found).cloned().collect();
    let more: Vec<_> = found.difference(&wanted).cloned().collect();
    if !lacks.is_empty() {
        let remedy = "it is older than this plugin: kubectl apply -f crds/";
        return Finding::fail(format!("{name} does not know {}", lacks.join(", ")), remedy);
    }
    if !more.is_empty() {
        let remedy = "it is newer than this plugin: update kubectl-keylease";
        return Finding::warn(format!("{name} knows {}", more.join(", ")), remedy);
    }
    Finding::ok(format!("{name} is installed in this version"))
}

/// The paths of all fields that v1alpha1 has. Empty if it is not served.
fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let version = crd
        .spec
        .versions
        .iter()
        .find(|v| v.name == "v1alpha1" && v.served);
    let schema = version.and_then(|v| v.schema.as_ref()?.open_api_v3_schema.as_ref());
    let mut paths = BTreeSet::new();
    if let Some(schema) = schema.and_then(|s| serde_json::to_value(s).ok()) {
        collect(&schema, "", &mut paths);
    }
    paths
}

fn collect(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, inner) in properties {
            let path = format!("{path}.{name}");
            // These are every object's, and the API server fills them in.
            if ![".apiVersion", ".kind", ".metadata"].contains(&path.as_str()) {
                paths.insert(path.clone());
                collect(inner, &path, paths);
            }
        }
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{path}[]"), paths);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_missing_field_is_named() {
        let ours = &keylease_api::crds()[2];
        assert_eq!(compare("x", ours, ours).level, Level::Ok);
        let mut text = serde_json::to_value(ours).unwrap();
        let schema = &mut text["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = schema["properties"]["spec"]["properties"]
            .as_object_mut()
            .unwrap();
        assert!(spec.remove("ttl").is_some());
        let older = serde_json::from_value(text).unwrap();
        let finding = compare("x", ours, &older);
        assert_eq!(
            (finding.level, finding.what.as_str()),
            (Level::Fail, "x does not know .spec.ttl")
        );
        assert_eq!(compare("x", &older, ours).level, Level::Warn);
    }
}
