//! The admission policies of the chart: the operator is held to its own Secrets,
//! people are kept from its finalizer, its records and its ownership.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::wait;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::chart::install;
use crate::harness::{Begin, Cluster, Namespace, SOON, Story, begin, client_of};

/// A cluster with the chart, and those who try things there.
struct Stage {
    cluster: Cluster,
    /// The operator's service account, as a thief would have it.
    operator: PathBuf,
    /// A cluster administrator.
    admin: PathBuf,
    /// One who is exempt.
    backup: PathBuf,
    namespace: Namespace,
}

impl Stage {
    async fn set() -> Result<Self> {
        let cluster = begin(Begin::Empty).await?;
        install(&cluster, &["--set=admission.exempt.users={backup}"]).await?;
        let established = ["wait", "--for=condition=Established", "crd", "--all"];
        cluster.kubectl(&established).await?;
        let operator = cluster.service_account_kubeconfig(NAMESPACE, "keylease");
        let operator = operator.await?;
        let admin = cluster.client_kubeconfig("admin", &["system:masters"])?;
        let backup = cluster.client_kubeconfig("backup", &["system:masters"])?;
        let client = client_of(cluster.kubeconfig()).await?;
        let namespace = Namespace::create(client, "team").await?;
        let stage = Self {
            cluster,
            operator,
            admin,
            backup,
            namespace,
        };
        // Policies are in force a moment after they were made, not all in the
        // same one. The other two are met later.
        let plain = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}});
        let (admin, operator) = (&stage.admin, &stage.operator);
        let probes = [
            (admin, forged_secret("probe"), "only Keylease"),
            (admin, forged_request("probe"), "only Keylease"),
            (operator, plain, "only Secrets that"),
        ];
        wait::until_ok("the policies", SOON, || async {
            for (who, object, words) in &probes {
                let tried = stage.dry_run(who, object).await;
                let refused = tried.err().context("not refused yet")?;
                let refusal = format!("{refused:#}");
                anyhow::ensure!(refusal.contains(words), "{refusal}");
            }
            Ok(())
        })
        .await?;
        Ok(stage)
    }

    async fn dry_run(&self, who: &Path, object: &Value) -> Result<String> {
        let file = self.cluster.logs_dir().join("object.json");
        std::fs::write(&file, object.to_string())?;
        let file = file.display().to_string();
        let args = ["create", "--dry-run=server", "-n", "team", "-f", &file];
        self.cluster.kubectl_with(who, &args).await
    }

    /// Runs kubectl in the team's namespace.
    async fn kubectl(&self, who: &Path, args: &[&str]) -> Result<String> {
        let args = [args, &["-n", "team"]].concat();
        self.cluster.kubectl_with(who, &args).await
    }

    /// The same, which has to be refused with these words.
    async fn refused(&self, who: &Path, args: &[&str], words: &str) -> Result<()> {
        let tried = self.kubectl(who, args).await;
        let refusal = tried
            .err()
            .with_context(|| format!("{args:?} was allowed"))?;
        let refusal = format!("{refusal:#}");
        anyhow::ensure!(refusal.contains(words), "{args:?}: {refusal}");
        Ok(())
    }
}

fn owner() -> Value {
    json!([{"apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "name": "app", "uid": "0f6c0a7e-0000-4000-8000-000000000000", "controller": true}])
}

fn forged_secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "ownerReferences": owner()}})
}

fn forged_request(name: &str) -> Value {
    json!({"apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "metadata": {"name": name, "finalizers": ["keylease.dev/revoke"]},
        "spec": {"roleRef": {"name": "any"}}})
}

/// With the operator's token: other people's Secrets and workloads are out of
/// reach, but for reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_service_account_changes_no_secret_of_others() -> Story {
    let stage = Stage::set().await?;
    let admin = &stage.admin;
    let theirs = ["create", "secret", "generic", "app"];
    let theirs = [&theirs[..], &["--from-literal=password=theirs"]].concat();
    stage.kubectl(admin, &theirs).await?;
    let workload = [
        "create",
        "deployment",
        "app",
        "--image=registry.example/app",
    ];
    stage.kubectl(admin, &workload).await?;

    let thief = &stage.operator;
    let own = "only Secrets that an AwsCredentialRequest controls";
    let plain = ["create", "secret", "generic", "mine"];
    stage.refused(thief, &plain, own).await?;
    let claim = json!({"metadata": {"ownerReferences": owner()}}).to_string();
    let data = r#"{"stringData": {"password": "changed"}}"#;
    for patch in [data, &claim] {
        let patch = ["patch", "secret", "app", "--type=merge", "-p", patch];
        stage.refused(thief, &patch, own).await?;
    }
    stage
        .refused(thief, &["delete", "secret", "app"], own)
        .await?;
    // A token of any service account would be a way round everything.
    let mut token = forged_secret("token");
    token["type"] = json!("kubernetes.io/service-account-token");
    token["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "default"});
    let refusal = stage.dry_run(thief, &token).await.unwrap_err();
    assert!(format!("{refusal:#}").contains("Kubernetes's own types"));
    // What it is for goes through.
    stage.dry_run(thief, &forged_secret("lease")).await?;

    let pod = |what: Value| json!({"spec": {"template": what}});
    let image = pod(json!({"spec": {"containers": [{"name": "app", "image": "evil"}]}}));
    let note = pod(json!({"metadata": {"annotations": {"inject": "evil"}}}));
    let mark =
        pod(json!({"metadata": {"annotations": {"keylease.dev/access-key-id.0f6c": "AKIA"}}}));
    // kubectl reads before it patches, which the operator has no right to.
    let api: Api<Deployment> = Api::namespaced(client_of(thief).await?, "team");
    let patched = async |patch: Value| {
        let patch = Patch::Strategic(patch);
        let patched = api.patch("app", &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|e| e.to_string())
    };
    let refusal = patched(image).await.unwrap_err();
    assert!(refusal.contains("what a workload runs"), "{refusal}");
    let refusal = patched(note).await.unwrap_err();
    assert!(refusal.contains("only its own mark"), "{refusal}");
    assert_eq!(patched(mark).await, Ok(()));
    Ok(())
}

/// A request names whoever wrote its spec last, for the audit trail; nobody can
/// put the blame on another.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_who_asked() -> Story {
    let stage = Stage::set().await?;
    let admin = &stage.admin;
    let jane = stage
        .cluster
        .client_kubeconfig("jane", &["system:masters"])?;
    let name = ["get", "awscr", "app", "-o"];
    let name = [
        &name[..],
        &[r"jsonpath={.metadata.annotations.keylease\.dev/requested-by}"],
    ];
    let name = name.concat();
    stage.namespace.request("app", json!({})).await?;
    let ttl = std::sync::atomic::AtomicU32::new(1);
    // This policy, too, is in force a moment after it was made.
    wait::until_ok("the name of who asked", SOON, || async {
        let hours = ttl.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let spec = json!({"spec": {"ttl": format!("{hours}h")}}).to_string();
        let patch = ["patch", "awscr", "app", "--type=merge", "-p", &spec];
        stage.kubectl(&jane, &patch).await?;
        let asked = stage.kubectl(admin, &name).await?;
        anyhow::ensure!(asked == "jane", "{asked:?}");
        Ok(())
    })
    .await?;
    let note = ["annotate", "awscr", "app", "example.com/note=x"];
    stage.kubectl(admin, &note).await?;
    assert_eq!(stage.kubectl(admin, &name).await?, "jane");
    let blame = ["annotate", "--overwrite", "awscr", "app"];
    let blame = [&blame[..], &["keylease.dev/requested-by=joe"]].concat();
    stage.refused(admin, &blame, "another name").await?;
    // A name that comes with a new spec is replaced by the true one.
    let framed = r#"{"metadata": {"annotations": {"keylease.dev/requested-by": "joe"}},
        "spec": {"ttl": "90m"}}"#;
    let framed = ["patch", "awscr", "app", "--type=merge", "-p", framed];
    stage.kubectl(admin, &framed).await?;
    assert_eq!(stage.kubectl(admin, &name).await?, "admin");

    // Where nothing writes the name, nobody goes on under that of another.
    let binding = ["delete", "mutatingadmissionpolicybinding", "-l"];
    let binding = [&binding[..], &["app.kubernetes.io/name=keylease"]].concat();
    stage.kubectl(admin, &binding).await?;
    wait::until_ok("the old name to be refused", SOON, || async {
        let asked = stage.kubectl(admin, &name).await?;
        let other = if asked == "jane" { admin } else { &jane };
        let hours = ttl.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let spec = json!({"spec": {"ttl": format!("{hours}h")}}).to_string();
        let patch = ["patch", "awscr", "app", "--type=merge", "-p", &spec];
        stage.refused(other, &patch, "leaves no other name").await
    })
    .await?;
    Ok(())
}

/// Not even an administrator by mistake; whoever restores backups can be exempt.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_strips_the_finalizer_or_forges_ownership() -> Story {
    let stage = Stage::set().await?;
    let Stage {
        operator, admin, ..
    } = &stage;
    stage.namespace.request("app", json!({})).await?;
    let merge = |patch| ["patch", "awscr", "app", "--type=merge", "-p", patch];
    let begun = r#"{"metadata": {"finalizers": ["keylease.dev/revoke", "example.com/other"],
        "annotations": {"keylease.dev/intent": "{}"}}}"#;
    stage.refused(admin, &merge(begun), "only Keylease").await?;
    stage.kubectl(operator, &merge(begun)).await?;

    let stripped = r#"{"metadata": {"finalizers": null}}"#;
    let message = "takes its finalizer off";
    stage.refused(admin, &merge(stripped), message).await?;
    let forged = r#"{"metadata": {"annotations": {"keylease.dev/intent": "{\"a\":1}"}}}"#;
    stage
        .refused(admin, &merge(forged), "keylease.dev/intent")
        .await?;
    let said = r#"{"status": {"phase": "Ready"}}"#;
    let said = [&merge(said)[..], &["--subresource=status"]].concat();
    stage.refused(admin, &said, "writes the status").await?;
    // What is theirs goes through: the spec, other finalizers, other notes.
    let theirs = r#"{"metadata": {"finalizers": ["keylease.dev/revoke"],
        "annotations": {"example.com/note": "x"}}, "spec": {"ttl": "2h"}}"#;
    stage.kubectl(admin, &merge(theirs)).await?;

    for (kind, name) in [("secret", "lease"), ("secret", "other")] {
        stage
            .kubectl(admin, &["create", kind, "generic", name])
            .await?;
    }
    let label = [
        "label",
        "secret",
        "other",
        "app.kubernetes.io/managed-by=keylease",
    ];
    stage.refused(admin, &label, "writes the label").await?;
    let claim = json!({"metadata": {"ownerReferences": owner()}}).to_string();
    let claim = ["patch", "secret", "lease", "--type=merge", "-p", &claim];
    stage.refused(admin, &claim, "belongs to").await?;
    stage.kubectl(&stage.backup, &claim).await?;
    let note = [
        "annotate",
        "secret",
        "lease",
        "keylease.dev/access-key-id=AKIA",
    ];
    stage.refused(admin, &note, "annotations under").await?;
    let free = r#"{"metadata": {"ownerReferences": null}}"#;
    let free = ["patch", "secret", "lease", "--type=merge", "-p", free];
    stage.refused(admin, &free, "belongs to").await?;
    stage
        .kubectl(admin, &["annotate", "secret", "lease", "example.com/a=b"])
        .await?;

    stage.kubectl(&stage.backup, &merge(stripped)).await?;
    Ok(())
}
