//! The charts: what they render is what the API server takes, values that make no
//! sense are refused, and an upgrade keeps everything.

use std::path::{Path, PathBuf};

use anyhow::Result;
use keylease_testbed::ControlPlane;
use keylease_testbed::operator::NAMESPACE;
use serde_json::json;

use crate::harness::{Begin, Namespace, Story, begin, client_of};

/// The operator's chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/keylease");
/// The chart of accounts and roles.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/keylease-config");

/// Kinds of others that the chart makes objects of.
const FOREIGN: [(&str, &str, &str); 3] = [
    ("monitoring.coreos.com", "ServiceMonitor", "servicemonitors"),
    ("monitoring.coreos.com", "PrometheusRule", "prometheusrules"),
    ("cert-manager.io", "Certificate", "certificates"),
];

/// What the files of values name and the API server wants to have seen.
const NAMED: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: keylease, namespace: keylease-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: leases, namespace: keylease-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: keylease-leases, namespace: team-a}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: gvisor}
handler: runsc
"#;

/// Installs the chart as `keylease`, with these flags.
pub async fn install(cluster: &ControlPlane, flags: &[&str]) -> Result<()> {
    let args = ["install", "keylease", CHART, "-n", NAMESPACE];
    let args = [&args[..], &["--create-namespace"], flags].concat();
    cluster.helm(&args).await.map(drop)
}

/// Waits until what was defined is served.
pub async fn established(cluster: &ControlPlane) -> Result<()> {
    let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
    let wait = [&wait[..], &["crd", "--all"]].concat();
    cluster.kubectl(&wait).await.map(drop)
}

/// Definitions of these kinds of others (group, kind, plural), as far as the chart
/// needs them: that they exist.
pub fn foreign_kinds(kinds: &[(&str, &str, &str)]) -> String {
    let definition = |(group, kind, plural): &(&str, &str, &str)| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                    "openAPIV3Schema": {"type": "object",
                        "x-kubernetes-preserve-unknown-fields": true},
                }}],
            },
        })
    };
    let items: Vec<_> = kinds.iter().map(definition).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The values that a chart is tried with.
fn value_files(chart: &str) -> Result<Vec<PathBuf>> {
    let folder = Path::new(chart).join("ci");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Field by field, for every file of values of both charts.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_what_the_charts_render() -> Story {
    let cluster = begin(Begin::Empty).await?;
    cluster.kubectl_apply(&foreign_kinds(&FOREIGN)).await?;
    for name in [NAMESPACE, "team-a", "team-b", "monitoring"] {
        cluster.kubectl(&["create", "namespace", name]).await?;
    }
    cluster.kubectl_apply(NAMED).await?;
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    cluster.kubectl(&["apply", "-f", definitions]).await?;
    established(&cluster).await?;

    let served = FOREIGN.map(|(group, kind, _)| format!("{group}/v1/{kind}"));
    let mutating = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
    let served = format!("{},{mutating}", served.join(","));
    let mut files = value_files(CHART)?;
    files.extend(value_files(CONFIG)?);
    for file in files {
        let chart = if file.starts_with(CONFIG) {
            CONFIG
        } else {
            CHART
        };
        let values = file.display().to_string();
        let args = ["template", "keylease", chart, "-n", NAMESPACE, "-f"];
        let args = [&args[..], &[&*values, "--api-versions", &*served]].concat();
        let rendered = cluster.helm(&args).await?;
        if rendered.trim().is_empty() {
            continue;
        }
        let apply = ["apply", "--server-side", "--dry-run=server"];
        let apply = [&apply[..], &["--validate=strict", "-f", "-"]].concat();
        // The definitions above are kubectl's, those of the chart are Helm's.
        let apply = [&apply[..], &["--force-conflicts"]].concat();
        let taken = cluster.kubectl_stdin(&apply, &rendered).await;
        taken.map_err(|refused| refused.context(values))?;
    }
    Ok(())
}

/// Misspelt, impossible or dangerous values are refused before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_make_no_sense_are_refused() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let of_the_operator = [
        "replicaCount=3",
        "replicas=two",
        "replicas=-1",
        "enabled=false",
        "fullnameOverride=Leases",
        "namespaceOverride=a.b",
        "terminationGracePeriodSeconds=10",
        "image.digest=latest",
        "image.pullPolicy=Sometimes",
        "watchNamespaces={Team_A}",
        "watchNamespaces={a,a}",
        "sweep.interval=hourly",
        "log.format=xml",
        "serviceAccount.label.team=a",
        "openshift.adaptSecurityContext=yes",
        "livenessProbe.httpGet.path=/",
        "dnsPolicy=ClusterLast",
        "podDisruptionBudget.maxUnavailable=most",
        "podDisruptionBudget.maxUnavailable=101%",
        "proxy.httpsProxy=proxy:3128",
        "proxy.httpsProxy=http://user:password@proxy:3128",
        "proxy.http_proxy=http://proxy:3128",
        "networkPolicy.egressPorts={70000}",
        "networkPolicy.dns.port=53",
        "tracing.endpoint=collector:4318",
        "tracing.samplerRatio=2",
        "metrics.secure=maybe",
        "metrics.readers=prometheus",
        "metrics.tls.certManager.enabled=true",
        "metrics.tls.certManager.enabled=true,metrics.tls.certManager.issuerRef.name=ca,\
         metrics.tls.existingSecret=other",
        "metrics.service.ipFamilies={IPv5}",
        "metrics.serviceMonitor.enable=true",
        "metrics.serviceMonitor.enabled=sometimes",
        "metrics.prometheusRule.alerts.KeyleaseSlowIsue.enabled=false",
        "metrics.prometheusRule.alerts.KeyleaseSlowIssue.severity=info",
        "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.namespace=other,\
         metrics.tls.existingSecret=tls",
        "admission.exempt.users=velero",
        "accounts.default.region=eu-central-1",
    ];
    let of_accounts = ["account.default.region=eu-central-1", "roles.My_Role.x=y"];
    let of_both = [(CHART, &of_the_operator[..]), (CONFIG, &of_accounts[..])];
    for (chart, wrong) in of_both {
        for wrong in wrong {
            let flag = format!("--set={wrong}");
            let refused = cluster.helm(&["template", "keylease", chart, &flag]).await;
            assert!(refused.is_err(), "{wrong} was taken");
        }
    }
    Ok(())
}

/// On an empty cluster each chart is installed once, accounts and roles too.
/// Values of an older release are taken by the present chart; requests, roles,
/// accounts and their definitions outlive the upgrade and the uninstallation.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_keeps_what_people_made() -> Story {
    let cluster = begin(Begin::Empty).await?;
    let first = format!("{CHART}/ci/from-0.1.0.yaml");
    install(&cluster, &["-f", &first]).await?;
    established(&cluster).await?;
    let config = format!("{CONFIG}/ci/both-kinds.yaml");
    let accounts = ["install", "config", CONFIG, "-n", NAMESPACE, "-f", &config];
    cluster.helm(&accounts).await?;
    let namespace = Namespace::create(client_of(cluster.kubeconfig()).await?, "team").await?;
    namespace.role(json!({})).await?;
    let before = namespace.request("kept", json!({})).await?;

    let upgrade = ["upgrade", "keylease", CHART, "-n", NAMESPACE, "-f", &first];
    let upgrade = [&upgrade[..], &["--set=replicas=3"]].concat();
    cluster.helm(&upgrade).await?;
    let replicas = ["get", "deployment", "keylease", "-n", NAMESPACE];
    let replicas = [&replicas[..], &["-o=jsonpath={.spec.replicas}"]].concat();
    assert_eq!(cluster.kubectl(&replicas).await?, "3");
    // A role that is taken off the list goes on serving its leases.
    let fewer = [
        "upgrade",
        "config",
        CONFIG,
        "-n",
        NAMESPACE,
        "--reset-values",
    ];
    cluster.helm(&fewer).await?;

    for release in ["config", "keylease"] {
        let uninstall = ["uninstall", release, "-n", NAMESPACE];
        cluster.helm(&uninstall).await?;
    }
    let after = namespace.requests().get("kept").await?;
    assert_eq!(after.metadata.uid, before.metadata.uid);
    let accounts = ["get", "awsaccounts", "default", "static", "-o", "name"];
    cluster.kubectl(&accounts).await?;
    let roles = [
        "get",
        "awsroles",
        "developer-access",
        "deploy",
        "-o",
        "name",
    ];
    cluster.kubectl(&roles).await?;
    let gone = ["get", "deployment", "keylease", "-n", NAMESPACE];
    assert!(cluster.kubectl(&gone).await.is_err());
    Ok(())
}
