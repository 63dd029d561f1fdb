//! No byte of a secret key appears anywhere but in Secrets (O5): not in the
//! log at its most talkative, in events, in any object of ours, in metrics.

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use keylease_testbed::aws_cli::ROOT_SECRET;
use keylease_testbed::{Fault, FaultKind};
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::{LATER, SOON, Scene, Story};

async fn scene(name: &str) -> Result<Scene> {
    let scene = Scene::with_env(name, &[("KEYLEASE_LOG", "trace")]).await?;
    scene.role(json!({})).await?;
    Ok(scene)
}

/// Everything that can be read without reading Secrets, by where it is.
async fn what_can_be_read(scene: &Scene) -> Result<Vec<(&'static str, String)>> {
    let cluster = &scene.bed.cluster;
    let ours = "awscredentialrequests,awsroles,awsaccounts";
    let get = |kinds| ["get", kinds, "-A", "-o", "json", "--show-managed-fields"];
    let operator = scene.bed.operator.lock().await;
    Ok(vec![
        ("the log", operator.log_text()),
        ("the metrics", operator.metrics().await?),
        ("an event", cluster.kubectl(&get("events")).await?),
        ("an object", cluster.kubectl(&get(ours)).await?),
    ])
}

/// The forms in which a secret may slip out.
fn forms(secret: &str) -> [String; 3] {
    let base64 = serde_json::to_string(&ByteString(secret.into())).expect("JSON");
    let escaped = secret.replace('/', "%2F").replace('+', "%2B");
    [
        secret.to_owned(),
        base64.trim_matches('"').to_owned(),
        escaped,
    ]
}

async fn expect_no_secret(scene: &Scene) -> Result<()> {
    let read = what_can_be_read(scene).await?;
    let secrets = scene.bed.aws.all_secrets();
    assert!(
        secrets.iter().any(|s| s == ROOT_SECRET),
        "nothing to look for"
    );
    for secret in secrets {
        for form in forms(&secret) {
            for (place, text) in &read {
                let found = text.find(&form);
                let around =
                    found.map(|at| &text[text.floor_char_boundary(at.saturating_sub(200))..at]);
                assert!(found.is_none(), "a secret is in {place} after …{around:?}");
            }
        }
    }
    Ok(())
}

/// A life with everything that goes wrong on the way.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_anywhere() -> Story {
    let scene = scene("canary").await?;
    let aws = &scene.bed.aws;
    // Well and to the end.
    scene.request("short", json!({"ttl": "2s"})).await?;
    scene.request("long", json!({})).await?;
    let key = scene.ready("long").await?.status.and_then(|s| s.credential);
    let key = key.context("no key")?.access_key_id;
    scene.expired("short").await?;
    // Refused by Kubernetes, and by AWS.
    scene.foreign_secret("taken", json!({})).await?;
    scene.request("taken", json!({})).await?;
    scene.refused("taken", "SecretConflict").await?;
    let unknown = "arn:aws:iam::123456789012:policy/unknown";
    scene
        .role_named("canary-bad", json!({"iamUser": {"policyArns": [unknown]}}))
        .await?;
    scene
        .request("refused", json!({"roleRef": {"name": "canary-bad"}}))
        .await?;
    scene.refused("refused", "RefusedByAws").await?;
    // The answer with the secret in it comes too late, or never.
    let slow = FaultKind::DelayReply(std::time::Duration::from_secs(11));
    for (name, fault) in [("late", slow), ("lost", FaultKind::LostReply)] {
        let fault = Fault::on("CreateAccessKey", fault).user(&scene.user_prefix(name));
        aws.add_fault(fault.times(1));
        scene.request(name, json!({})).await?;
        scene.ready_within(name, LATER).await?;
    }
    // The Secret is lost and made again.
    scene
        .secrets()
        .delete("long", &DeleteParams::default())
        .await?;
    let other = |r: &keylease_api::AwsCredentialRequest| {
        let credential = r.status.as_ref().and_then(|s| s.credential.as_ref());
        credential.is_some_and(|c| c.access_key_id != key)
    };
    scene.until("made again", "long", LATER, other).await?;
    scene.delete("long").await?;
    scene.gone("long").await?;

    let log = scene.bed.operator.lock().await.log_text();
    assert!(
        log.contains("TRACE") && log.contains(&key),
        "the log says too little to prove a thing"
    );
    expect_no_secret(&scene).await?;
    Ok(())
}

/// An admission policy sees the Secret and quotes it in its refusal. The
/// condition tells the refusal, and not the quotation.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_quotes_the_secret_is_not_passed_on() -> Story {
    let scene = scene("canary-quoted").await?;
    let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: talkative}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}
  validations:
  - expression: "!has(object.data) || !('AWS_SECRET_ACCESS_KEY' in object.data)"
    messageExpression: "'no place for ' + string(object.data['AWS_SECRET_ACCESS_KEY'])"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: talkative}
spec:
  policyName: talkative
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: canary-quoted}}
"#;
    scene.bed.cluster.kubectl_apply(policy).await?;
    // In force once it refuses a Secret of our own making.
    let probe = "apiVersion: v1\nkind: Secret\nmetadata: {name: probe}\nstringData: {AWS_SECRET_ACCESS_KEY: x}";
    keylease_testbed::wait::until("the policy to be in force", SOON, || async {
        let args = [
            "create",
            "--dry-run=server",
            "-n",
            "canary-quoted",
            "-f",
            "-",
        ];
        let answer = scene.bed.cluster.kubectl_stdin(&args, probe).await;
        let refusal = answer.err()?;
        format!("{refusal:#}")
            .contains("no place for")
            .then_some(())
    })
    .await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "SecretRefused").await?;
    assert!(message.contains("no place for"), "{message}");
    expect_no_secret(&scene).await?;
    Ok(())
}
