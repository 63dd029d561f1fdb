//! What changes a lease: `revoke`, `renew`, `rotate`.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::wait;

use crate::bed::{SOON, Scene};

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
        anyhow::Ok(role.spec.revoke_before.context("no mark")?.get()?)
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
async fn revoke_of_a_role_ends_its_leases() -> Result<()> {
    let scene = Scene::set("c-end").await?;
    scene.issue(&["--name", "one"]).await?;
    // In the second of the issue at the worst, which counts as before.
    scene.ok(&["revoke", "--role", "c-end"]).await?;
    wait::until_ok("the revocation", SOON, || async {
        let request = scene.requests().get("one").await?;
        match phase(&request) {
            Some(Phase::Revoked) if scene.users() == 0 => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })
    .await?;
    let said = scene.run(&["renew", "one"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no lease to renew"), "{said:?}");
    let said = scene.run(&["rotate", "one"]).await?;
    assert!(said.err.contains("no key to rotate"), "{said:?}");
    Ok(())
}

/// On a cluster of its own: it would end the leases of every other test.
#[tokio::test]
async fn revoke_of_all_ends_the_leases_of_every_role() -> Result<()> {
    let scene = Scene::alone("c-all").await?;
    let allowed = serde_json::json!({"names": [scene.name]});
    scene.role("c-all-other", allowed).await?;
    scene.issue(&["--name", "one"]).await?;
    scene.ok(&["issue", "c-all-other", "--name", "two"]).await?;
    assert_eq!(scene.users(), 2);
    let said = scene.ok(&["revoke", "--all", "--yes"]).await?;
    for role in ["c-all:", "c-all-other:"] {
        let line = said.lines().find(|line| line.starts_with(role));
        let line = line.with_context(|| said.clone())?;
        assert!(line.contains("is revoked"), "{line}");
    }
    wait::until_ok("the revocation", SOON, || async {
        for name in ["one", "two"] {
            let request = scene.requests().get(name).await?;
            anyhow::ensure!(phase(&request) == Some(Phase::Revoked), "{name} lives");
        }
        anyhow::ensure!(scene.users() == 0, "{} users", scene.users());
        Ok(())
    })
    .await?;
    // Those that come later are served.
    scene.issue(&["--name", "three"]).await?;
    Ok(())
}

fn phase(request: &AwsCredentialRequest) -> Option<Phase> {
    request.status.as_ref()?.phase
}

#[tokio::test]
async fn renew_lengthens_up_to_the_maximum() -> Result<()> {
    let scene = Scene::set("c-renew").await?;
    let issued = scene.issue(&["--name", "one", "--ttl", "30m"]).await?;
    assert_eq!(issued["lease"]["renewable"], true);
    let before = scene.requests().get("one").await?;
    let lease = |r: &AwsCredentialRequest| r.status.clone().and_then(|s| s.lease);
    let old = lease(&before).context("no lease")?;

    let said = scene.run(&["renew", "one", "--increment", "1.5h"]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.err, "", "nothing was cut");
    let request = scene.requests().get("one").await?;
    let asked = request.spec.renew.clone().context("not set")?;
    assert_eq!(asked.increment.map(|i| i.0).as_deref(), Some("1h30m"));
    let new = lease(&request).context("no lease")?;
    assert!(new.expires_at.0 > old.expires_at.0, "{new:?}");
    assert!(said.out.contains(&new.expires_at.0.to_string()), "{said:?}");

    // Without an increment the one of last time is taken away.
    let said = scene.run(&["renew", "one"]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let again = scene
        .requests()
        .get("one")
        .await?
        .spec
        .renew
        .context("not set")?;
    assert!(
        again.increment.is_none() && again.at.0 > asked.at.0,
        "{again:?}"
    );

    let said = scene.run(&["renew", "one", "--increment", "5h"]).await?;
    assert!(said.err.contains("capped: "), "{said:?}");
    assert!(
        said.out.contains(&old.max_expires_at.0.to_string()),
        "{said:?}"
    );
    let said = scene.run(&["renew", "one"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("refused: the lease ends at"), "{said:?}");
    let said = scene.run(&["renew", "no-such"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn rotate_brings_a_new_key() -> Result<()> {
    let scene = Scene::set("c-rotate").await?;
    let old = scene.issue(&["--name", "one"]).await?;
    let said = scene.run(&["rotate", "one"]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let new = scene.issue(&["--name", "one", "--reuse"]).await?;
    assert_ne!(old["accessKeyId"], new["accessKeyId"]);
    let text = |field: &str| new[field].as_str().unwrap_or_default();
    assert!(said.out.contains(text("accessKeyId")), "{said:?}");
    let who = scene.caller(text("accessKeyId"), text("secretAccessKey"));
    assert!(who.await?.contains("c-rotate-one"));
    Ok(())
}
