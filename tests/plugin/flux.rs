//! A request that is in Git, on a cluster that Flux keeps like Git: what people do
//! with the plugin is not undone, and what Git says is not lost. Flux is its own
//! library here, with the clean-up of foreign field managers that kustomize-controller
//! does (`tools/integrations/fluxapply`).

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::{paths, wait};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::bed::{SOON, Scene};

/// The field manager of the plugin.
const PLUGIN: &str = "keylease-cli";

/// A repository with a role and a request of it.
struct Git<'a> {
    scene: &'a Scene,
    role: Value,
    request: Value,
}

impl<'a> Git<'a> {
    /// A role of this name, for the scene's namespace, and a request `app`.
    fn new(scene: &'a Scene, role: &str) -> Self {
        let role = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
            "metadata": {"name": role},
            "spec": {
                "accountRef": {"name": "default"},
                "iamUser": {"policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
                "ttl": {"default": "30m", "max": "2h"},
                "allowedNamespaces": {"names": [scene.name]},
            },
        });
        let request = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "app", "namespace": scene.name},
            "spec": {"roleRef": role["metadata"], "ttl": "30m"},
        });
        Self {
            scene,
            role,
            request,
        }
    }

    /// One reconciliation: what was done with the role and with the request.
    async fn reconcile(&self) -> Result<(String, String)> {
        let tool = paths::tool("fluxapply").context("tools/integrations/build.sh builds it")?;
        let mut flux = Command::new(tool)
            .env("KUBECONFIG", self.scene.bed.cluster.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut input = flux.stdin.take().context("no stdin")?;
        let manifests = format!("{}\n---\n{}\n", self.role, self.request);
        input.write_all(manifests.as_bytes()).await?;
        drop(input);
        let output = flux.wait_with_output().await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{complaint}");
        let lines = String::from_utf8(output.stdout)?;
        let of = |kind: &str| {
            let line = lines.lines().find(|l| l.starts_with(kind));
            let done = line.and_then(|l| l.rsplit(' ').next());
            done.map(str::to_owned).with_context(|| lines.clone())
        };
        Ok((of("AwsRole/")?, of("AwsCredentialRequest/")?))
    }

    /// Flux finds everything as Git has it, and writes nothing.
    async fn finds_nothing_to_do(&self) -> Result<()> {
        let done = self.reconcile().await?;
        ensure!(
            done == ("unchanged".to_owned(), "unchanged".to_owned()),
            "{done:?}"
        );
        Ok(())
    }

    async fn app(&self) -> Result<AwsCredentialRequest> {
        Ok(self.scene.requests().get("app").await?)
    }

    async fn in_phase(&self, phase: Phase) -> Result<AwsCredentialRequest> {
        wait::until_ok(&format!("app to be {phase:?}"), SOON, || async {
            let app = self.app().await?;
            let status = app.status.clone().unwrap_or_default();
            let seen = status.observed_generation == app.metadata.generation;
            ensure!(status.phase == Some(phase) && seen, "{status:?}");
            Ok(app)
        })
        .await
    }
}

/// What people asked for, and what they got.
fn asked_and_got(app: &AwsCredentialRequest) -> Value {
    let annotations = app.metadata.annotations.clone().unwrap_or_default();
    let status = app.status.clone().unwrap_or_default();
    json!({
        "renew": app.spec.renew,
        "rotate": annotations.get("keylease.dev/rotate-at"),
        "intent": annotations.get("keylease.dev/intent"),
        "finalizers": app.metadata.finalizers,
        "key": status.credential.map(|c| c.access_key_id),
        "lease": status.lease,
    })
}

/// Who wrote something of the object, apart from its status.
fn writers(app: &AwsCredentialRequest) -> Vec<String> {
    let managed = app.metadata.managed_fields.clone().unwrap_or_default();
    let managed = managed.into_iter().filter(|m| m.subresource.is_none());
    managed.filter_map(|m| m.manager).collect()
}

#[tokio::test]
async fn flux_undoes_no_renewal_and_no_rotation() -> Result<()> {
    let scene = Scene::set("c-flux").await?;
    let mut git = Git::new(&scene, "c-flux-git");
    let created = "created".to_owned();
    assert_eq!(git.reconcile().await?, (created.clone(), created));
    git.in_phase(Phase::Ready).await?;
    git.finds_nothing_to_do().await?;

    scene.ok(&["renew", "app", "--increment", "1h"]).await?;
    scene.ok(&["rotate", "app"]).await?;
    let before = git.app().await?;
    assert!(writers(&before).iter().any(|w| w == PLUGIN), "{before:?}");
    git.finds_nothing_to_do().await?;
    let after = git.app().await?;
    assert_eq!(asked_and_got(&after), asked_and_got(&before));
    assert_eq!(writers(&after), writers(&before));

    // Git goes on, and what people asked for stays beside it.
    git.request["spec"]["ttl"] = json!("45m");
    assert_eq!(git.reconcile().await?.1, "configured");
    let edited = git.in_phase(Phase::Ready).await?;
    assert_eq!(edited.spec.ttl.as_ref().map(|t| t.0.as_str()), Some("45m"));
    assert_eq!(asked_and_got(&edited), asked_and_got(&before));
    scene.ok(&["renew", "app", "--increment", "1h"]).await?;
    Ok(())
}

/// What kubectl itself writes is undone: its field managers begin with `kubectl`,
/// which is why ours does not.
#[tokio::test]
async fn flux_undoes_what_kubectl_wrote() -> Result<()> {
    let scene = Scene::set("c-flux-kubectl").await?;
    let git = Git::new(&scene, "c-flux-kubectl-git");
    git.reconcile().await?;
    git.in_phase(Phase::Ready).await?;
    let patch = r#"{"spec": {"onExpiry": "Rotate"}}"#;
    let args = ["patch", "awscredentialrequest", "app", "-n", &scene.name];
    let args = [&args[..], &["--type=merge", "-p", patch]].concat();
    scene.bed.cluster.kubectl(&args).await?;
    assert!(git.app().await?.spec.on_expiry.is_some());
    assert_eq!(git.reconcile().await?.1, "configured");
    assert_eq!(git.app().await?.spec.on_expiry, None);
    git.in_phase(Phase::Ready).await?;
    Ok(())
}

/// A revocation of a role that Git still has: its mark stays, the lease is gone for
/// good, and the request, which Git has too, stays as it ended.
#[tokio::test]
async fn flux_brings_back_nothing_that_was_revoked() -> Result<()> {
    let scene = Scene::set("c-flux-revoke").await?;
    let git = Git::new(&scene, "c-flux-revoke-git");
    git.reconcile().await?;
    git.in_phase(Phase::Ready).await?;
    scene.ok(&["revoke", "--role", "c-flux-revoke-git"]).await?;
    git.in_phase(Phase::Revoked).await?;
    assert_eq!(scene.users(), 0);
    let mark = scene
        .roles()
        .get("c-flux-revoke-git")
        .await?
        .spec
        .revoke_before;
    assert!(mark.is_some());
    git.finds_nothing_to_do().await?;
    let role = scene.roles().get("c-flux-revoke-git").await?;
    assert_eq!(role.spec.revoke_before, mark);
    git.in_phase(Phase::Revoked).await?;
    assert_eq!(scene.users(), 0);
    Ok(())
}

/// One lease that Git still has: deleted by the plugin, it is made anew, with another
/// key. That is Flux's word and not ours: take it out of Git first.
#[tokio::test]
async fn flux_makes_a_request_anew_that_was_revoked_by_name() -> Result<()> {
    let scene = Scene::set("c-flux-anew").await?;
    let git = Git::new(&scene, "c-flux-anew-git");
    git.reconcile().await?;
    let first = git.in_phase(Phase::Ready).await?;
    scene.ok(&["revoke", "app"]).await?;
    assert_eq!(scene.users(), 0);
    assert_eq!(git.reconcile().await?.1, "created");
    let second = git.in_phase(Phase::Ready).await?;
    assert_ne!(second.metadata.uid, first.metadata.uid);
    assert_eq!(scene.users(), 1);
    Ok(())
}
