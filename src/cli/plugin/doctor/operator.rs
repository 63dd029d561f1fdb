//! Whether the operator runs, as far as the person may see.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::super::client::Session;
use super::Finding;

/// What the chart and `deploy/` put on the operator's Deployment, whatever it
/// is called.
const LABEL: &str = "app.kubernetes.io/name=keylease";
/// Where most people install it: what is looked at by those who may not list
/// the Deployments of all namespaces.
const USUAL_NAMESPACE: &str = "keylease-system";

/// Looks in this namespace, or wherever the person may look.
pub(super) async fn check(session: &Session, namespace: Option<&str>) -> Vec<Finding> {
    if let Some(namespace) = namespace {
        return told(list(session, Some(namespace)).await, namespace);
    }
    match list(session, None).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            told(list(session, Some(USUAL_NAMESPACE)).await, USUAL_NAMESPACE)
        }
        everywhere => told(everywhere, "any namespace"),
    }
}

async fn list(session: &Session, namespace: Option<&str>) -> kube::Result<Vec<Deployment>> {
    let client = session.client.clone();
    let api: Api<Deployment> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let labelled = ListParams::default().labels(LABEL);
    Ok(api.list(&labelled).await?.items)
}

fn told(found: kube::Result<Vec<Deployment>>, place: &str) -> Vec<Finding> {
    let elsewhere = "name the operator's namespace with --operator-namespace; an operator outside \
                     the cluster cannot be seen";
    match found {
        Ok(found) if found.is_empty() => vec![Finding::warn(
            format!("no Deployment labelled {LABEL} in {place}"),
            elsewhere,
        )],
        Ok(found) => {
            let mut findings: Vec<Finding> = found.iter().map(judge).collect();
            if found.len() > 1 {
                findings.push(Finding::warn(
                    format!("{} operators are installed", found.len()),
                    "run one operator in a cluster: uninstall the others",
                ));
            }
            findings
        }
        Err(error) => {
            let why = match error {
                kube::Error::Api(status) => status.message,
                other => other.to_string(),
            };
            let what = format!("the operator's Deployment in {place} cannot be seen");
            vec![Finding::warn(what, format!("{why}; {elsewhere}"))]
        }
    }
}

fn judge(deployment: &Deployment) -> Finding {
    let namespace = deployment.namespace().unwrap_or_default();
    let name = deployment.name_any();
    let status = deployment.status.as_ref();
    if status.and_then(|s| s.available_replicas).unwrap_or(0) > 0 {
        return Finding::ok(format!("Deployment {namespace}/{name} is available"));
    }
    Finding::fail(
        format!("Deployment {namespace}/{name} is not available"),
        format!("kubectl -n {namespace} describe deployment {name}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Level;
    use super::*;

    fn deployment(name: &str, available: i32) -> Deployment {
        let deployment = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "aws"},
            "status": {"availableReplicas": available},
        }));
        deployment.unwrap()
    }

    fn seen(found: Vec<Deployment>) -> Vec<(Level, String)> {
        let findings = told(Ok(found), "any namespace").into_iter();
        findings.map(|f| (f.level, f.what)).collect()
    }

    #[test]
    fn an_operator_is_known_by_its_label_whatever_its_name() {
        let said = |level, what: &str| (level, what.to_owned());
        assert_eq!(
            seen(vec![deployment("leases", 2)]),
            [said(Level::Ok, "Deployment aws/leases is available")]
        );
        assert_eq!(
            seen(vec![deployment("leases", 0), deployment("other", 1)]),
            [
                said(Level::Fail, "Deployment aws/leases is not available"),
                said(Level::Ok, "Deployment aws/other is available"),
                said(Level::Warn, "2 operators are installed"),
            ]
        );
        let none = seen(Vec::new());
        assert_eq!(none[0].0, Level::Warn);
        assert!(none[0].1.contains("in any namespace"), "{none:?}");
    }
}
