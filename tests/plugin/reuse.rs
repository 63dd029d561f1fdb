//! `--reuse`: many processes, one lease.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::wait;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::bed::{SOON, Said, Scene, signal};

/// Calls at the same time, as Terraform makes them of a `credential_process`.
const AT_ONCE: usize = 20;

fn shared<'a>(role: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["issue", role, "--name", "x", "--reuse", "-o", "process"];
    [&args[..], more].concat()
}

/// Runs as many at once. All must succeed with the same key, whose id this is.
async fn at_once(scene: &Scene, count: usize, args: &[&str]) -> Result<String> {
    let said = try_join_all((0..count).map(|_| scene.run(args))).await?;
    let mut keys = BTreeSet::new();
    for said in said {
        ensure!(said.code == Some(0), "{said:?}");
        keys.insert(id(&said)?);
    }
    ensure!(keys.len() == 1, "{keys:?}");
    keys.pop_first().context("no key")
}

fn id(said: &Said) -> Result<String> {
    let form: Value = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
    let id = form["AccessKeyId"].as_str();
    Ok(id.with_context(|| format!("{said:?}"))?.to_owned())
}

/// Users that were made for this namespace so far.
fn made(scene: &Scene) -> usize {
    let prefix = format!("keylease-{}-", scene.name);
    let journal = scene.bed.aws.journal();
    let made = journal.iter().filter(|c| c.op == "CreateUser");
    let ours = |name: &String| name.starts_with(&prefix);
    made.filter(|c| c.user.as_ref().is_some_and(ours)).count()
}

async fn until_phase(scene: &Scene, phase: Phase) -> Result<AwsCredentialRequest> {
    wait::until_ok("the phase", SOON, || async {
        let request = scene.requests().get("x").await?;
        let is = request.status.as_ref().and_then(|s| s.phase);
        ensure!(is == Some(phase), "{is:?}");
        Ok(request)
    })
    .await
}

#[tokio::test]
async fn of_twenty_calls_one_makes_the_request() -> Result<()> {
    let scene = Scene::set("r-twenty").await?;
    let key = at_once(&scene, AT_ONCE, &shared("r-twenty", &[])).await?;
    assert_eq!((scene.count().await?, made(&scene)), (1, 1));
    // And once more, of one that is there.
    assert_eq!(at_once(&scene, 5, &shared("r-twenty", &[])).await?, key);
    assert_eq!(made(&scene), 1);
    Ok(())
}

#[tokio::test]
async fn one_whose_lease_is_over_is_replaced_once() -> Result<()> {
    let scene = Scene::set("r-over").await?;
    let role = "r-over";
    // Expired.
    let first = at_once(&scene, 1, &shared(role, &["--ttl", "2s"])).await?;
    until_phase(&scene, Phase::Expired).await?;
    let second = at_once(&scene, AT_ONCE, &shared(role, &[])).await?;
    assert_ne!(first, second);
    assert_eq!(made(&scene), 2);
    // Revoked.
    scene.ok(&["revoke", "--role", role, "--yes"]).await?;
    until_phase(&scene, Phase::Revoked).await?;
    let third = at_once(&scene, 8, &shared(role, &[])).await?;
    assert_ne!(second, third);
    assert_eq!((scene.count().await?, made(&scene)), (1, 3));
    // Failed: for another reason than would hit the next one.
    scene.ok(&["revoke", "x"]).await?;
    let failing = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "metadata": {"name": "x", "namespace": role},
        "spec": {"roleRef": {"name": role}, "ttl": "700h"},
    });
    scene
        .bed
        .cluster
        .kubectl_apply(&failing.to_string())
        .await?;
    until_phase(&scene, Phase::Failed).await?;
    at_once(&scene, 8, &shared(role, &[])).await?;
    assert_eq!((scene.count().await?, made(&scene)), (1, 4));
    Ok(())
}

/// What can never be served fails for all, and is not made again and again.
#[tokio::test]
async fn what_fails_fails_for_all() -> Result<()> {
    let scene = Scene::set("r-fails").await?;
    let args = shared("r-fails", &["--ttl", "700h"]);
    for _ in 0..2 {
        let said = try_join_all((0..5).map(|_| scene.run(&args))).await?;
        for said in said {
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(said.err.contains("TtlAboveMaximum"), "{said:?}");
        }
    }
    assert_eq!((scene.count().await?, made(&scene)), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_request_of_another_role_is_refused() -> Result<()> {
    let scene = Scene::set("r-other").await?;
    scene
        .role("r-other-2", json!({"names": ["r-other"]}))
        .await?;
    scene.ok(&shared("r-other", &[])).await?;
    let said = scene.run(&shared("r-other-2", &[])).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("is for role r-other"), "{said:?}");
    Ok(())
}

/// One that makes the request, and others that wait with it.
async fn waiting(scene: &Scene, role: &str) -> Result<(Child, Vec<Child>)> {
    let start = || anyhow::Ok(scene.plugin(&shared(role, &[])).spawn()?);
    let before = scene.watches("x")?;
    let maker = start()?;
    wait::until_ok("the request", SOON, || async {
        scene.requests().get("x").await.map(|_| ())
    })
    .await?;
    let others = (0..3).map(|_| start()).collect::<Result<Vec<_>>>()?;
    wait::until_ok("all to wait", SOON, || async {
        let watches = scene.watches("x")?;
        ensure!(watches >= before + 4, "{watches} watches");
        Ok(())
    })
    .await?;
    Ok((maker, others))
}

#[tokio::test]
async fn the_end_of_the_maker_takes_the_lease_from_nobody() -> Result<()> {
    let scene = Scene::set("r-maker").await?;
    for (name, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let role = format!("r-maker-{}", name.to_lowercase());
        scene.role_that_waits(&role).await?;
        let (maker, others) = waiting(&scene, &role).await?;
        signal(name, maker.id()).await?;
        let said = Said::try_from(maker.wait_with_output().await?)?;
        assert_eq!(said.code, code, "{said:?}");
        if code.is_some() {
            assert!(said.err.contains("revoke x -n r-maker"), "{said:?}");
        }
        // Only now can it be served.
        scene.account(&role).await?;
        let mut keys = BTreeSet::new();
        for other in others {
            let output = tokio::time::timeout(SOON, other.wait_with_output()).await;
            let said = Said::try_from(output.context("it does not end")??)?;
            assert_eq!(said.code, Some(0), "SIG{name}: {said:?}");
            keys.insert(id(&said)?);
        }
        assert_eq!(keys.len(), 1, "SIG{name}: {keys:?}");
        scene.ok(&["revoke", "x"]).await?;
    }
    scene.empty().await
}

/// Whoever deletes the request takes it from nobody either: it is made again.
#[tokio::test]
async fn a_request_that_is_deleted_is_made_again() -> Result<()> {
    let scene = Scene::set("r-deleted").await?;
    let role = "r-deleted-later";
    scene.role_that_waits(role).await?;
    let (maker, others) = waiting(&scene, role).await?;
    let first = scene.requests().get("x").await?.metadata.uid;
    scene.ok(&["revoke", "x", "--no-wait"]).await?;
    scene.account(role).await?;
    for one in others.into_iter().chain([maker]) {
        let output = tokio::time::timeout(SOON, one.wait_with_output()).await;
        let said = Said::try_from(output.context("it does not end")??)?;
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    assert_ne!(scene.requests().get("x").await?.metadata.uid, first);
    assert_eq!((scene.count().await?, scene.users()), (1, 1));
    Ok(())
}

/// An SDK that did not wait finds the request at its next try.
#[tokio::test]
async fn what_was_not_waited_for_is_there_for_the_next_call() -> Result<()> {
    let scene = Scene::set("r-late").await?;
    let role = "r-late-later";
    scene.role_that_waits(role).await?;
    let said = scene.run(&shared(role, &["--timeout", "1s"])).await?;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("not done after 1s"), "{said:?}");
    assert!(
        said.err.contains("request x is left for the next call"),
        "{said:?}"
    );
    let uid = scene.requests().get("x").await?.metadata.uid;
    scene.account(role).await?;
    scene.ok(&shared(role, &[])).await?;
    assert_eq!(scene.requests().get("x").await?.metadata.uid, uid);
    Ok(())
}

#[tokio::test]
async fn commands_share_a_lease_that_outlives_them() -> Result<()> {
    let scene = Scene::set("r-exec").await?;
    let print = ["--", "sh", "-c", "echo $AWS_ACCESS_KEY_ID"];
    let args = [&["exec", "r-exec", "--name", "x", "--reuse"], &print[..]].concat();
    let said = try_join_all((0..4).map(|_| scene.ok(&args))).await?;
    let keys: BTreeSet<_> = said.into_iter().collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!((scene.count().await?, scene.users()), (1, 1));
    // Without --reuse it is this command's own, also under a name.
    let args = [&["exec", "r-exec", "--name", "own"], &print[..]].concat();
    scene.ok(&args).await?;
    wait::until_ok("the own one to go", Duration::from_secs(30), || async {
        let left = (scene.count().await?, scene.users());
        ensure!(left == (1, 1), "{left:?}");
        Ok(())
    })
    .await
}
