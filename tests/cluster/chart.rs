//! The chart: what it renders is what the API server takes, values that make no
//! sense are refused, and an upgrade keeps everything.

use std::path::{Path, PathBuf};

use anyhow::Result;
use keylease_testbed::ControlPlane;
use keylease_testbed::operator::NAMESPACE;
use serde_json::json;

use crate::harness::{Begin, Namespace, Story, begin, client_of};

/// The chart.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/keylease");

/// Installs the chart as `keylease`, with these flags.
pub async fn install(cluster: &ControlPlane, flags: &[&str]) -> Result<()> {
    let args = ["install", "keylease", CHART, "-n", NAMESPACE];
    let args = [&args[..], &["--create-namespace"], flags].concat();
    cluster.helm(&args).await.map(drop)
}

/// The values that the chart is tried with.
fn value_files() -> Result<Vec<PathBuf>> {
    let folder = Path::new(CHART).join("ci");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Definitions of the Prometheus Operator's kinds, as far as the chart needs
/// them: that they exist.
fn monitoring_kinds() -> String {
    let definition = |kind: &str, plural: &str| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                    "openAPIV3Schema": {"type": "object",
                        "x-kubernetes-preserve-unknown-fields": true},
                }}],
            },
        })
    };
    let items = [
        definition("ServiceMonitor", "servicemonitors"),
        definition("PrometheusRule", "prometheusrules"),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Field by field, for every file of values.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_what_the_chart_renders() -> Story {
    let cluster = begin(Begin::Empty).await?;
    cluster.kubectl_apply(&monitoring_kinds()).await?;
    for name in [NAMESPACE, "team-a", "team-b"] {
        cluster.kubectl(&["create", "namespace", name]).await?;
    }
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    cluster.kubectl(&["apply", "-f", definitions]).await?;
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    cluster.kubectl(&established).await?;

    for file in value_files()? {
        let values = file.display().to_string();
        let args = [
            "template", "keylease", CHART, "-n", NAMESPACE, "-f", &values,
        ];
        let rendered = cluster.helm(&args).await?;
        let apply = ["apply", "--server-side", "--dry-run=server"];
        let apply = [&apply[..], &["--validate=strict", "-f", "-"]].concat();
        // The definitions above are kubectl's, those of the chart are Helm's.
        let apply = [&apply[..], &["--force-conflicts"]].concat();
        cluster.kubectl_stdin(&apply, &rendered).await?;
    }
    Ok(())
}

/// Misspelt, impossible or dangerous values are refused before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_make_no_sense_are_refused() -> Story {
    let cluster = begin(Begin::Empty).await?;
    for wrong in [
        "replicaCount=3",
        "replicas=two",
        "replicas=-1",
        "image.digest=latest",
        "image.pullPolicy=Sometimes",
        "watchNamespaces={Team_A}",
        "watchNamespaces={a,a}",
        "sweep.interval=hourly",
        "log.format=xml",
        "networkPolicy.egressPorts={70000}",
        "tracing.endpoint=collector:4318",
        "tracing.samplerRatio=2",
        "metrics.serviceMonitor.enable=true",
        "metrics.secure=maybe",
        "metrics.readers=prometheus",
        "admission.exempt.users={}x",
    ] {
        let flag = format!("--set={wrong}");
        let refused = cluster.helm(&["template", "keylease", CHART, &flag]).await;
        assert!(refused.is_err(), "{wrong} was taken");
    }
    Ok(())
}

/// Values of an older release are taken by the present chart; requests, roles,
/// accounts and their definitions outlive the upgrade and the uninstallation.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_keeps_what_people_made() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let first = format!("{CHART}/ci/from-0.1.0.yaml");
    install(&cluster, &["-f", &first]).await?;
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    cluster.kubectl(&established).await?;
    let namespace = Namespace::create(client_of(cluster.kubeconfig()).await?, "team").await?;
    namespace.role(json!({})).await?;
    let before = namespace.request("kept", json!({})).await?;

    let upgrade = ["upgrade", "keylease", CHART, "-n", NAMESPACE, "-f", &first];
    let account = "--set=accounts.default.region=eu-central-1";
    let upgrade = [&upgrade[..], &["--set=replicas=3", account]].concat();
    cluster.helm(&upgrade).await?;
    let replicas = ["get", "deployment", "keylease", "-n", NAMESPACE];
    let replicas = [&replicas[..], &["-o=jsonpath={.spec.replicas}"]].concat();
    assert_eq!(cluster.kubectl(&replicas).await?, "3");

    cluster
        .helm(&["uninstall", "keylease", "-n", NAMESPACE])
        .await?;
    let after = namespace.requests().get("kept").await?;
    assert_eq!(after.metadata.uid, before.metadata.uid);
    cluster.kubectl(&["get", "awsaccount", "default"]).await?;
    let gone = ["get", "deployment", "keylease", "-n", NAMESPACE];
    assert!(cluster.kubectl(&gone).await.is_err());
    Ok(())
}
