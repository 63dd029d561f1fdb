//! The sweep at work: users that nobody accounts for go, and nothing else; what
//! others did to a user in AWS is noticed and made good.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use keylease_api::{AwsAccount, AwsCredentialRequest, Phase};
use keylease_core::plan::naming::{ClusterId, user_name};
use keylease_testbed::aws::{Outcome, UserView};
use keylease_testbed::{Fault, FaultKind, aws_cli, wait};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::harness::{Bed, KEYLEASE, LATER, SOON, Scene, Story, caller_of, iam_of};

/// Users younger than this are left alone.
const MIN_AGE: SignedDuration = SignedDuration::from_secs(4);

async fn scene(name: &str) -> Result<Scene> {
    let env = [
        ("KEYLEASE_SWEEP_INTERVAL", "1s"),
        ("KEYLEASE_SWEEP_MIN_AGE", "4s"),
    ];
    let scene = Scene::with_env(name, &env).await?;
    scene.role(json!({})).await?;
    Ok(scene)
}

/// The request vanishes with nobody there to see it: what is left of it is an
/// orphan.
async fn vanish(scene: &Scene, name: &str) -> Result<()> {
    let none = json!({"metadata": {"finalizers": null}});
    let params = PatchParams::default();
    let requests = scene.requests();
    requests.patch(name, &params, &Patch::Merge(&none)).await?;
    requests.delete(name, &DeleteParams::default()).await?;
    scene.gone(name).await
}

async fn users_gone(scene: &Scene, name: &str) -> Result<()> {
    wait::until_ok(&format!("the user of {name} to go"), LATER, || async {
        let left = scene.users(name);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await
}

/// Waits until the account's condition `Swept` has this reason.
async fn swept(scene: &Scene, reason: &str) -> Result<AwsAccount> {
    swept_and_told(scene, reason, "").await
}

/// The same, where a former sweep may have had the same reason and told of
/// something else.
async fn swept_and_told(scene: &Scene, reason: &str, what: &str) -> Result<AwsAccount> {
    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    let waited = format!("the account to be {reason} {what}");
    wait::until_ok(&waited, LATER, || async {
        let account = api.get("default").await.map_err(|e| e.to_string())?;
        let conditions = account.status.iter().flat_map(|s| &s.conditions);
        let told = conditions.clone().find(|c| c.type_ == "Swept");
        match told.is_some_and(|c| c.reason == reason && c.message.contains(what)) {
            true => Ok(account.clone()),
            false => Err(format!("{told:?}")),
        }
    })
    .await
}

/// `keylease sweep`, with the operator's rights.
async fn sweep(scene: &Scene, args: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(KEYLEASE);
    command.arg("sweep").args(args).env_clear();
    command.env("KUBECONFIG", scene.bed.cluster.kubeconfig());
    command.envs(aws_cli::env(&scene.bed.aws.endpoint()));
    Ok(command.output().await?)
}

async fn cluster_id(scene: &Scene) -> Result<ClusterId> {
    let api: Api<Namespace> = Api::all(scene.client.clone());
    let uid = api.get("kube-system").await?.uid();
    Ok(ClusterId(uid.context("kube-system has no uid")?))
}

/// A user as another operator, or a person, would make it.
async fn make_user(bed: &Arc<Bed>, path: &str, name: &str, tags: &[(&str, &str)]) -> Result<()> {
    let mut call = iam_of(&bed.aws.endpoint())
        .create_user()
        .user_name(name)
        .path(path);
    for (key, value) in tags {
        let tag = aws_sdk_iam::types::Tag::builder().key(*key).value(*value);
        call = call.tags(tag.build()?);
    }
    call.send().await?;
    Ok(())
}

/// Orphans are removed with all that is on them, once they are old enough.
/// Users of another cluster, of people, and those that only look like ours stay,
/// and so do all leases, which the sweep costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_go_and_nothing_else() -> Story {
    let scene = scene("sweep-orphans").await?;
    let aws = &scene.bed.aws;
    for name in ["lost", "laden", "kept"] {
        scene.request(name, json!({})).await?;
    }
    for name in ["lost", "laden", "kept"] {
        scene.ready(name).await?;
    }
    let kept = scene.requests().get("kept").await?;
    scene.kill().await?;
    vanish(&scene, "lost").await?;
    vanish(&scene, "laden").await?;
    aws.encumber_user(&scene.users("laden")[0].name)?;

    let cluster = cluster_id(&scene).await?;
    let ours = format!("/keylease/{}/", cluster.0);
    let neighbour = ClusterId("another-cluster".into());
    let neighbours = user_name(&neighbour, "ns", "app", "uid");
    let of_neighbour = [("keylease.dev/cluster", "another-cluster")];
    make_user(
        &scene.bed,
        "/keylease/another-cluster/",
        &neighbours,
        &of_neighbour,
    )
    .await?;
    make_user(&scene.bed, &ours, "a-person", &[]).await?;
    let forged = user_name(&cluster, "ns", "forged", "uid");
    make_user(
        &scene.bed,
        &ours,
        &forged,
        &[("keylease.dev/cluster", &cluster.0)],
    )
    .await?;
    // One removal fails at first, and stops no other.
    let denied = FaultKind::error(403, "AccessDenied", "not now");
    let prefix = scene.user_prefix("lost");
    aws.add_fault(Fault::on("DeleteUser", denied).user(&prefix).times(1));
    aws.clear_journal();
    scene.start_again().await?;

    users_gone(&scene, "laden").await?;
    users_gone(&scene, "lost").await?;
    for call in aws.journal().iter().filter(|c| c.op == "DeleteUser") {
        let made = kept.metadata.creation_timestamp.as_ref().context("time")?;
        assert!(
            call.at.duration_since(made.0) >= MIN_AGE,
            "too young: {call:?}"
        );
    }
    // The forged one is told of, and not touched.
    let account = swept_and_told(&scene, "SweepIncomplete", &forged).await?;
    let told = serde_json::to_string(&account.status)?;
    assert!(told.contains("not the operator's"), "{told}");
    for name in [neighbours.as_str(), "a-person", &forged] {
        assert!(aws.user(name).is_some(), "{name}");
        let touched = aws
            .journal()
            .into_iter()
            .filter(|c| c.user.as_deref() == Some(name));
        let changes = touched.filter(|c| !c.op.starts_with("Get") && c.op != "CreateUser");
        assert_eq!(changes.count(), 0, "{name}");
    }
    let listed = aws.journal().into_iter().filter(|c| c.op == "ListUsers");
    assert!(listed.clone().count() > 0);
    for call in listed {
        assert_eq!(call.params["PathPrefix"], ours);
    }
    assert_eq!(scene.requests().get("kept").await?, kept);
    assert!(scene.calls("kept").is_empty(), "a lease costs nothing");
    scene.expect_one_key("kept").await?;
    // What was removed is not in the list of the sweep after that.
    wait::until_ok("the metrics to tell of the last sweep", LATER, || async {
        let operator = scene.bed.operator.lock().await;
        let metrics = operator.metrics().await.map_err(|e| e.to_string())?;
        let wanted = [
            "keylease_sweep_removed_total 2\n",
            "keylease_sweep_users 3\n",
        ];
        match wanted.iter().all(|line| metrics.contains(line)) {
            true => Ok(()),
            false => Err(metrics),
        }
    })
    .await?;
    Ok(())
}

/// What others do to users in AWS: a key deleted, a key added, a password set,
/// the user deleted. Each lease ends up with one key, and its Secret has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_did_in_aws_is_made_good() -> Story {
    let scene = scene("sweep-doubts").await?;
    let bed = &scene.bed;
    let iam = iam_of(&bed.aws.endpoint());
    let names = ["keyless", "stray", "laden", "userless", "calm"];
    let mut before = BTreeMap::new();
    for name in names {
        scene.request(name, json!({})).await?;
    }
    for name in names {
        let status = scene.ready(name).await?.status.context("status")?;
        before.insert(name, status);
    }
    let user = |name: &str| scene.users(name)[0].name.clone();
    let key = |name: &str| scene.users(name)[0].keys[0].id.clone();
    let delete_key = |name: &str| {
        let call = iam.delete_access_key().user_name(user(name));
        call.access_key_id(key(name)).send()
    };
    delete_key("keyless").await?;
    iam.create_access_key()
        .user_name(user("stray"))
        .send()
        .await?;
    bed.aws.encumber_user(&user("laden"))?;
    delete_key("userless").await?;
    let detach = iam.detach_user_policy().user_name(user("userless"));
    detach.policy_arn(crate::harness::READ_ONLY).send().await?;
    iam.delete_user().user_name(user("userless")).send().await?;

    let good = |name: &'static str, same_key: bool| {
        let (scene, before) = (&scene, &before[name]);
        async move {
            let what = format!("{name} to be made good");
            let request: AwsCredentialRequest = wait::until_ok(&what, LATER, || async {
                let user = scene
                    .expect_one_key(name)
                    .await
                    .map_err(|e| e.to_string())?;
                let request = scene
                    .requests()
                    .get(name)
                    .await
                    .map_err(|e| e.to_string())?;
                let status = request.status.as_ref();
                let key = before.credential.as_ref().map(|c| c.access_key_id.as_str());
                let same = Some(user.keys[0].id.as_str()) == key;
                let ready = status.and_then(|s| s.phase) == Some(Phase::Ready);
                if ready && same == same_key && !user.login_profile && user.attached.len() == 1 {
                    Ok(request)
                } else {
                    Err(format!("{user:?} {status:?}"))
                }
            })
            .await?;
            let end = |s: &keylease_api::AwsCredentialRequestStatus| {
                s.lease.as_ref().map(|l| l.expires_at.clone())
            };
            let after = request.status.context("status")?;
            ensure!(end(&after) == end(before), "the lease has another end");
            let secret = scene.secret(name).await?.context("Secret")?;
            let arn = caller_of(&secret, &scene.bed.aws.endpoint()).await?;
            ensure!(arn.ends_with(&scene.users(name)[0].name), "{arn}");
            anyhow::Ok(())
        }
    };
    good("keyless", false).await?;
    good("stray", true).await?;
    good("laden", true).await?;
    good("userless", false).await?;
    good("calm", true).await?;
    let told = |name: &'static str| scene.events(name);
    for (name, reason) in [("keyless", "KeyLost"), ("laden", "StrayRemoved")] {
        let events = told(name).await?;
        assert!(
            events.contains(&("Warning".into(), reason.into())),
            "{events:?}"
        );
    }
    assert!(
        !told("calm")
            .await?
            .iter()
            .any(|(kind, _)| kind == "Warning")
    );
    Ok(())
}

/// etcd goes back to a state that knows none of the requests. So many users are
/// not believed to be orphans: nothing is removed until a person has looked and
/// said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_waits_for_a_word_and_is_then_tidied_up() -> Story {
    const LEASES: usize = 12;
    let scene = scene("sweep-restored").await?;
    let aws = &scene.bed.aws;
    let backup = scene.bed.cluster.backup_etcd().await?;
    for n in 0..LEASES {
        scene.request(&format!("r{n}"), json!({})).await?;
    }
    for n in 0..LEASES {
        scene.ready(&format!("r{n}")).await?;
    }
    scene.kill().await?;
    scene.bed.cluster.restore_etcd(&backup).await?;
    // A halt tells of the orphans that were there when it began.
    wait::until_ok("all users to be old enough", SOON, || async {
        let users = aws.users_under("/keylease/").into_iter();
        let young = |user: &UserView| Timestamp::now().duration_since(user.created) < MIN_AGE;
        match users.filter(young).count() {
            0 => Ok(()),
            young => Err(young),
        }
    })
    .await?;
    scene.start_again().await?;

    let account = swept(&scene, "SweepHalted").await?;
    let halt = account
        .status
        .and_then(|s| s.sweep_halt)
        .context("no halt")?;
    assert_eq!(halt.orphans, LEASES as i32);
    aws.clear_journal();
    let dry = sweep(&scene, &["--dry-run", "--sweep-min-age", "1s"]).await?;
    let text = String::from_utf8(dry.stdout)?;
    println!("{text}{}", String::from_utf8_lossy(&dry.stderr));
    assert_eq!(dry.status.code(), Some(2));
    assert!(
        text.contains("12 IAM users, 12 without a request"),
        "{text}"
    );
    assert!(text.contains("halted"), "{text}");
    let approve = [
        "--approve",
        "3",
        "--account",
        "default",
        "--sweep-min-age",
        "1s",
    ];
    assert_eq!(sweep(&scene, &approve).await?.status.code(), Some(2));
    let deleted = |op: &str| aws.journal().iter().filter(|c| c.op == op).count();
    assert_eq!(deleted("DeleteAccessKey") + deleted("DeleteUser"), 0);
    assert_eq!(aws.users_under("/keylease/").len(), LEASES);

    let yes = json!({"metadata": {"annotations": {
        "keylease.dev/sweep-approved": halt.since.0.to_string(),
    }}});
    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    let params = PatchParams::default();
    api.patch("default", &params, &Patch::Merge(&yes)).await?;
    let account = swept(&scene, "Swept").await?;
    assert!(account.status.and_then(|s| s.sweep_halt).is_none());
    assert!(aws.users_under("/keylease/").is_empty());
    let idle = sweep(&scene, &["--dry-run"]).await?;
    assert_eq!(idle.status.code(), Some(0));
    assert!(sweep(&scene, &["--account", "none"]).await?.status.code() == Some(1));
    Ok(())
}

/// Scenario 19: whoever holds the key makes another one in the moment in which
/// the user is taken down. `DeleteUser` is refused, what is on the user is
/// looked at again, and it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_during_the_teardown_goes_too() -> Story {
    let scene = Scene::shared("sweep-race").await?;
    let aws = &scene.bed.aws;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let user = scene.users("app")[0].name.clone();
    let iam = iam_of(&aws.endpoint());
    let slow = FaultKind::Delay(std::time::Duration::from_secs(6));
    aws.add_fault(Fault::on("DetachUserPolicy", slow).user(&user).times(1));
    scene.delete("app").await?;
    wait::until("the first key to go", SOON, || async {
        scene.users("app")[0].keys.is_empty().then_some(())
    })
    .await?;
    iam.create_access_key().user_name(&user).send().await?;
    aws.encumber_user(&user)?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    let refused = scene.calls("app").into_iter();
    let refused = refused.filter(|c| c.op == "DeleteUser" && c.outcome != Outcome::Applied);
    assert_eq!(refused.count(), 1);
    Ok(())
}

/// Without the right to the credential report the sweep goes on, and says what
/// it cannot see.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_goes_on_without_the_report() -> Story {
    let scene = scene("sweep-denied").await?;
    let aws = &scene.bed.aws;
    scene.request("lost", json!({})).await?;
    scene.request("kept", json!({})).await?;
    scene.ready("lost").await?;
    scene.ready("kept").await?;
    scene.kill().await?;
    vanish(&scene, "lost").await?;
    let denied = FaultKind::error(403, "AccessDenied", "no reports for you");
    aws.add_fault(Fault::on("GenerateCredentialReport", denied));
    scene.start_again().await?;
    users_gone(&scene, "lost").await?;
    let account = swept(&scene, "SweptWithoutReport").await?;
    let told = serde_json::to_string(&account.status)?;
    assert!(told.contains("no reports for you"), "{told}");
    scene.expect_one_key("kept").await?;
    assert!(account.status.and_then(|s| s.sweep_halt).is_none());
    Ok(())
}
