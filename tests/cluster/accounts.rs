//! Signing in: what goes wrong is told, requests wait, and what is put right
//! is noticed without a restart.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use keylease_api::{AwsAccount, AwsCredentialRequest, Phase};
use keylease_testbed::aws_cli::{ROOT_KEY_ID, ROOT_SECRET};
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::wait;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::harness::{LATER, SOON, Scene, Settings, Story};

/// Waits until the account's `Ready` has this reason; the message.
pub async fn account_says(scene: &Scene, name: &str, reason: &str) -> Result<String> {
    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    let what = format!("account {name} to say {reason}");
    wait::until_ok(&what, SOON, || async {
        let account = api.get(name).await.map_err(|e| e.to_string())?;
        let conditions = account.status.map(|s| s.conditions).unwrap_or_default();
        match conditions.into_iter().find(|c| c.type_ == "Ready") {
            Some(ready) if ready.reason == reason => Ok(ready.message),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Writes the Secret that an account of this name refers to.
pub async fn root_secret(scene: &Scene, name: &str, data: Value) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
    });
    let params = PatchParams::apply("a-platform-team").force();
    api.patch(name, &params, &Patch::Apply(secret)).await?;
    Ok(())
}

/// An account from a Secret: missing, incomplete, wrong, right. The request
/// that waits for it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_an_account_is_followed() -> Story {
    let scene = Scene::shared("account-secret").await?;
    let name = "account-secret";
    scene
        .account(name, json!({"credentials": {"secretRef": {"name": name}}}))
        .await?;
    let message = account_says(&scene, name, "NoCredentials").await?;
    let says = "there is no Secret account-secret in namespace keylease-system";
    assert!(message.contains(says), "{message}");
    scene.role(json!({"accountRef": {"name": name}})).await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "AccountNotReady").await?;

    root_secret(&scene, name, json!({"AWS_ACCESS_KEY_ID": ROOT_KEY_ID})).await?;
    wait::until_ok("the message to name the missing half", SOON, || async {
        let message = account_says(&scene, name, "NoCredentials").await;
        let message = message.map_err(|e| e.to_string())?;
        if message.contains("AWS_SECRET_ACCESS_KEY") {
            Ok(())
        } else {
            Err(message)
        }
    })
    .await?;

    let wrong = json!({"AWS_ACCESS_KEY_ID": ROOT_KEY_ID, "AWS_SECRET_ACCESS_KEY": "wrong"});
    root_secret(&scene, name, wrong).await?;
    let message = account_says(&scene, name, "CredentialsRejected").await?;
    assert!(
        message.contains("AWS does not accept the credentials"),
        "{message}"
    );
    scene.refused("app", "AccountNotReady").await?;
    assert!(scene.calls("app").is_empty(), "AWS was asked");

    // `echo` leaves a newline at the end.
    let right = format!("{ROOT_SECRET}\n");
    let right = json!({"AWS_ACCESS_KEY_ID": ROOT_KEY_ID, "AWS_SECRET_ACCESS_KEY": right});
    root_secret(&scene, name, right).await?;
    account_says(&scene, name, "SignedIn").await?;
    scene.ready("app").await?;
    scene.expect_one_key("app").await?;
    Ok(())
}

/// Credentials of another AWS account than expected are not used.
#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_account_is_not_worked_in() -> Story {
    let scene = Scene::shared("account-wrong").await?;
    let name = "account-wrong";
    scene
        .account(name, json!({"expectedAccountId": "999999999999"}))
        .await?;
    let message = account_says(&scene, name, "WrongAccount").await?;
    assert!(
        message.contains("123456789012") && message.contains("999999999999"),
        "{message}"
    );
    scene.role(json!({"accountRef": {"name": name}})).await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "AccountNotReady").await?;
    assert!(
        message.contains("account-wrong is not ready (WrongAccount)"),
        "{message}"
    );
    assert!(scene.calls("app").is_empty(), "AWS was asked");

    scene
        .account(name, json!({"expectedAccountId": "123456789012"}))
        .await?;
    scene.ready("app").await?;
    Ok(())
}

/// The account's region is the one in the Secret.
#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_region_is_in_the_secret() -> Story {
    let scene = Scene::shared("account-region").await?;
    scene
        .account("account-region", json!({"region": "eu-central-1"}))
        .await?;
    scene
        .role(json!({"accountRef": {"name": "account-region"}}))
        .await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let secret = scene.secret("app").await?.context("no Secret")?;
    assert_eq!(secret["AWS_REGION"], "eu-central-1");
    assert!(secret["credentials"].contains("region = eu-central-1\n"));
    Ok(())
}

/// A deleted account takes its leases with it: they are revoked while there is
/// still somebody who can, and then the account itself goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_takes_its_leases_with_it() -> Story {
    let scene = Scene::shared("account-deleted").await?;
    let name = "account-deleted";
    scene.role(json!({"accountRef": {"name": name}})).await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "AccountNotFound").await?;
    scene.account(name, json!({})).await?;
    scene.ready("app").await?;
    scene.held("AwsAccount", name).await?;

    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    api.delete(name, &DeleteParams::default()).await?;
    let revoked =
        |r: &AwsCredentialRequest| r.status.as_ref().and_then(|s| s.phase) == Some(Phase::Revoked);
    scene.until("Revoked", "app", SOON, revoked).await?;
    let told = serde_json::to_string(&scene.requests().get("app").await?.status)?;
    let says = "revoked, because AwsAccount account-deleted was deleted";
    assert!(told.contains(says), "{told}");
    scene.expect_nothing_left("app").await?;
    wait::until("the account's end", SOON, || async {
        api.get_opt(name).await.ok()?.is_none().then_some(())
    })
    .await?;
    Ok(())
}

/// The account is held before its first lease begins: whoever deletes it in that
/// very moment does not take away what the lease is revoked with.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_held_before_its_first_lease_begins() -> Story {
    let scene = Scene::shared("account-held").await?;
    let name = "account-held";
    scene.role(json!({"accountRef": {"name": name}})).await?;
    scene.account(name, json!({})).await?;
    account_says(&scene, name, "SignedIn").await?;
    let accounts: Api<AwsAccount> = Api::all(scene.client.clone());
    scene.request("app", json!({})).await?;
    let begun = await_condition(
        scene.requests(),
        "app",
        |found: Option<&AwsCredentialRequest>| {
            found.is_some_and(|request| !request.finalizers().is_empty())
        },
    );
    begun.await?;
    let account = accounts.get(name).await?;
    let held = account
        .finalizers()
        .iter()
        .any(|f| f == "keylease.dev/leases");
    assert!(held, "not held: {:?}", account.finalizers());

    // It goes when nothing is left that it is needed for.
    accounts.delete(name, &DeleteParams::default()).await?;
    wait::until("the account's end", SOON, || async {
        accounts.get_opt(name).await.ok()?.is_none().then_some(())
    })
    .await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// An account that lost its credentials does not hold up revocation while
/// another one is signed in to the same AWS account.
#[tokio::test(flavor = "multi_thread")]
async fn any_sign_in_to_the_aws_account_can_revoke() -> Story {
    let scene = Scene::shared("account-lost").await?;
    let name = "account-lost";
    let right = json!({"AWS_ACCESS_KEY_ID": ROOT_KEY_ID, "AWS_SECRET_ACCESS_KEY": ROOT_SECRET});
    root_secret(&scene, name, right.clone()).await?;
    scene
        .account(name, json!({"credentials": {"secretRef": {"name": name}}}))
        .await?;
    scene.role(json!({"accountRef": {"name": name}})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;

    let wrong = json!({"AWS_ACCESS_KEY_ID": ROOT_KEY_ID, "AWS_SECRET_ACCESS_KEY": "wrong"});
    root_secret(&scene, name, wrong).await?;
    account_says(&scene, name, "CredentialsRejected").await?;
    // `default` is signed in to the same AWS account.
    scene.delete("app").await?;
    scene.gone_within("app", LATER).await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// AWS is away for a while. What is asked for meanwhile is issued afterwards,
/// what is to end ends, and nobody has to help.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_aws_is_made_good() -> Story {
    let scene = Scene::alone(Settings::default(), "outage").await?;
    let aws = &scene.bed.aws;
    scene.role(json!({})).await?;
    for (name, ttl) in [("stays", "1h"), ("deleted", "1h"), ("expires", "20s")] {
        scene.request(name, json!({"ttl": ttl})).await?;
    }
    for name in ["stays", "deleted", "expires"] {
        scene.ready(name).await?;
    }
    let key = scene.expect_one_key("stays").await?.keys;

    aws.set_down(true);
    scene.request("late", json!({})).await?;
    scene.delete("deleted").await?;
    // Told as it comes: each of the three has seen that AWS is away.
    for name in ["late", "deleted", "expires"] {
        let told = |r: &keylease_api::AwsCredentialRequest| {
            let ready = crate::harness::condition(r, "Ready");
            let reasons = ["AwsUnavailable", "AccountNotReady"];
            ready.is_some_and(|c| reasons.contains(&c.reason.as_str()))
        };
        scene.until("without AWS", name, SOON, told).await?;
    }
    account_says(&scene, "default", "Unreachable").await?;

    aws.set_down(false);
    account_says(&scene, "default", "SignedIn").await?;
    scene.ready_within("late", LATER).await?;
    scene.gone_within("deleted", LATER).await?;
    scene.expired("expires").await?;
    scene.expect_one_key("late").await?;
    assert_eq!(
        scene.expect_one_key("stays").await?.keys,
        key,
        "a lease was issued anew"
    );
    scene.expect_nothing_left("deleted").await?;
    scene.expect_nothing_left("expires").await?;
    assert_eq!(aws.users_under("/keylease/").len(), 2, "{:?}", aws.users());
    Ok(())
}

/// A status that the API server did not take is told as soon as it takes it, not
/// at the next sign-in, an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_was_refused_is_told_again() -> Story {
    let scene = Scene::shared("account-untold").await?;
    let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: account-untold}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [keylease.dev]
      apiVersions: ["*"]
      operations: [UPDATE]
      resources: [awsaccounts/status]
      resourceNames: [account-untold, account-untold-probe]
  validations:
  - {expression: "false", message: not now, reason: Forbidden}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: account-untold}
spec: {policyName: account-untold, validationActions: [Deny]}
"#;
    scene.bed.cluster.kubectl_apply(policy).await?;
    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    scene.account("account-untold-probe", json!({})).await?;
    wait::until("the policy to be in force", SOON, || async {
        let change = Patch::Merge(json!({"status": {"accountId": "000000000000"}}));
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let answer = api.patch_status("account-untold-probe", &params, &change);
        answer.await.err()
    })
    .await?;
    let refused = r#"operation="report_account",outcome="access_denied""#;
    scene.account("account-untold", json!({})).await?;
    wait::until_ok("the status to be refused", SOON, || async {
        let metrics = scene.bed.operator.lock().await.metrics().await;
        let metrics = metrics.map_err(|e| e.to_string())?;
        let account = api.get("account-untold").await.map_err(|e| e.to_string())?;
        let seen = account.status.as_ref().and_then(|s| s.observed_generation);
        match seen == Some(-1) && metrics.contains(refused) {
            true => Ok(()),
            false => Err(format!("{:?}", account.status)),
        }
    })
    .await?;
    let binding = [
        "delete",
        "validatingadmissionpolicybinding",
        "account-untold",
    ];
    scene.bed.cluster.kubectl(&binding).await?;
    account_says(&scene, "account-untold", "SignedIn").await?;
    Ok(())
}
