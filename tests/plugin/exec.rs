//! `exec`.

use std::process::Stdio;

use anyhow::{Context, Result};
use keylease_testbed::paths;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::bed::{SOON, Said, Scene, signal};

#[tokio::test]
async fn the_command_gets_a_key_that_works_and_no_other_source() -> Result<()> {
    let scene = Scene::set("x-key").await?;
    let aws = paths::venv_program("aws")?.display().to_string();
    let mut command = scene.plugin(&["exec", "x-key", "--", &aws, "sts", "get-caller-identity"]);
    // Any of these would break it.
    command
        .env("AWS_PROFILE", "work")
        .env("AWS_SESSION_TOKEN", "left over")
        .env("AWS_ACCESS_KEY_ID", "AKIAOTHER")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let said = Said::of(command).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("/keylease-x-key-"), "{said:?}");
    scene.empty().await
}

#[tokio::test]
async fn exit_codes_pass_through_and_the_lease_ends() -> Result<()> {
    let scene = Scene::set("x-code").await?;
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
        let said = scene
            .run(&["exec", "x-code", "--", "sh", "-c", script])
            .await?;
        assert_eq!(said.code, Some(code), "{script}: {said:?}");
        assert_eq!(said.out, "", "{said:?}");
    }
    let said = scene
        .run(&["exec", "x-code", "--", "/no/such/program"])
        .await?;
    assert_eq!(said.code, Some(127), "{said:?}");
    scene.empty().await?;
    let said = scene.run(&["exec", "x-code", "--", "/etc/passwd"]).await?;
    assert_eq!(said.code, Some(126), "{said:?}");
    // Deleted already when it ends, not some time later, unless it says so.
    if !said.err.contains("still pending") {
        assert_eq!((scene.count().await?, scene.users()), (0, 0));
    }
    scene.empty().await
}

#[tokio::test]
async fn keep_leaves_the_lease() -> Result<()> {
    let scene = Scene::set("x-keep").await?;
    let said = scene
        .run(&["exec", "x-keep", "--keep", "--ttl", "10m", "--", "true"])
        .await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!((scene.count().await?, scene.users()), (1, 1));
    Ok(())
}

/// Starts a script under `exec`, sends the plugin a signal when the script has
/// said that it listens, and answers how all ended.
async fn signalled(scene: &Scene, script: &str, name: &str) -> Result<(Vec<String>, Option<i32>)> {
    let mut command = scene.plugin(&["exec", &scene.name, "--", "sh", "-c", script]);
    let mut child = command.stderr(Stdio::inherit()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    assert_eq!(lines.next_line().await?.as_deref(), Some("ready"));
    signal(name, child.id()).await?;
    let mut said = Vec::new();
    let end = async {
        while let Some(line) = lines.next_line().await? {
            said.push(line);
        }
        anyhow::Ok(child.wait().await?.code())
    };
    let code = tokio::time::timeout(SOON, end).await;
    let code = code.with_context(|| format!("it does not end by SIG{name}"))??;
    Ok((said, code))
}

#[tokio::test]
async fn signals_reach_the_command_and_the_lease_ends() -> Result<()> {
    let scene = Scene::set("x-signal").await?;
    let patient = "trap 'echo heard; exit 7' INT TERM HUP USR1; echo ready; \
                   while :; do sleep 0.1; done";
    for name in ["INT", "TERM", "HUP", "USR1"] {
        let (said, code) = signalled(&scene, patient, name).await?;
        assert_eq!((said, code), (vec!["heard".to_owned()], Some(7)), "{name}");
        scene.empty().await.context(name)?;
    }
    // One that ends of it.
    let (_, code) = signalled(&scene, "echo ready; exec sleep 60", "INT").await?;
    assert_eq!(code, Some(130));
    let (_, code) = signalled(&scene, "echo ready; exec sleep 60", "TERM").await?;
    assert_eq!(code, Some(143));
    // And one that does not care: it is not killed, and its code is its own.
    let stubborn = "trap '' INT; echo ready; sleep 1; exit 3";
    let (_, code) = signalled(&scene, stubborn, "INT").await?;
    assert_eq!(code, Some(3));
    scene.empty().await
}
