//! What changes a lease: `revoke`, `renew`, `rotate`.
//!
//! Of renewal, rotation and revocation by role only the fields are checked
//! that the plugin sets: what the operator makes of them is its own tests'.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

use crate::bed::Scene;

#[tokio::test]
async fn revoke_waits_until_aws_holds_nothing() -> Result<()> {
    let scene = Scene::set("c-revoke").await?;
    scene.issue(&["--name", "one"]).await?;
    assert_eq!(scene.users(), 1);
    assert_eq!(scene.ok(&["revoke", "one"]).await?, "one revoked\n");
    assert_eq!((scene.count().await?, scene.users()), (0, 0));
    let said = scene.run(&["revoke", "one"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err
            .contains("no awscredentialrequests.keylease.dev named one"),
        "{said:?}"
    );
    scene.issue(&["--name", "two"]).await?;
    assert_eq!(
        scene.ok(&["revoke", "two", "--no-wait"]).await?,
        "two is being revoked\n"
    );
    scene.empty().await
}

#[tokio::test]
async fn revoke_of_a_role_sets_its_mark() -> Result<()> {
    let scene = Scene::set("c-role").await?;
    let before = Timestamp::now();
    scene.ok(&["revoke", "--role", "c-role"]).await?;
    let mark = || async {
        let role = scene.roles().get("c-role").await?;
        anyhow::Ok(role.spec.revoke_before.context("no mark")?.0)
    };
    let first = mark().await?;
    // After all that was issued so far, and not so far ahead as to catch more.
    let ahead = first.duration_since(before);
    assert!(
        ahead > SignedDuration::ZERO && ahead < SignedDuration::from_secs(10),
        "{ahead}"
    );
    // Never turned back.
    let later = first.checked_add(SignedDuration::from_secs(3600))?;
    let patch = format!(r#"{{"spec": {{"revokeBefore": "{later}"}}}}"#);
    scene
        .bed
        .cluster
        .kubectl(&["patch", "awsrole", "c-role", "--type=merge", "-p", &patch])
        .await?;
    scene.ok(&["revoke", "--role", "c-role"]).await?;
    assert_eq!(mark().await?, later);
    let said = scene.run(&["revoke", "--role", "no-such-role"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    let said = scene.run(&["revoke", "--all"]).await?;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("add --yes"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn renew_sets_the_field_anew_each_time() -> Result<()> {
    let scene = Scene::set("c-renew").await?;
    let issued = scene.issue(&["--name", "one", "--ttl", "30m"]).await?;
    assert_eq!(issued["lease"]["renewable"], true);
    let mut times = Vec::new();
    for args in [&["--increment", "1.5h"][..], &[]] {
        let args = [&["renew", "one", "--timeout", "3s"], args].concat();
        let said = scene.run(&args).await?;
        let renew = scene
            .requests()
            .get("one")
            .await?
            .spec
            .renew
            .context("not set")?;
        let increment = renew.increment.map(|i| i.0);
        assert_eq!(
            increment.as_deref(),
            (args.len() > 4).then_some("1h30m"),
            "{said:?}"
        );
        times.push(renew.at.0);
    }
    assert!(times[0] < times[1], "{times:?}");
    let said = scene.run(&["renew", "no-such"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn rotate_sets_the_annotation() -> Result<()> {
    let scene = Scene::set("c-rotate").await?;
    scene.issue(&["--name", "one"]).await?;
    let before = Timestamp::now().checked_sub(Duration::from_secs(1))?;
    scene.run(&["rotate", "one", "--timeout", "2s"]).await?;
    let request = scene.requests().get("one").await?;
    let annotations = request.metadata.annotations.unwrap_or_default();
    let at: Timestamp = annotations["keylease.dev/rotate-at"].parse()?;
    assert!(at >= before, "{at}");
    Ok(())
}
