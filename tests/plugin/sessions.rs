//! Credentials that are sessions, from the plugin to AWS: their third part, the
//! session token, must arrive in every form.

use anyhow::{Context, Result};
use keylease_testbed::paths;
use serde_json::{Value, json};

use crate::bed::{Said, Scene};

/// A namespace whose role hands out sessions of the IAM role `dev`.
async fn scene(name: &str) -> Result<Scene> {
    let scene = Scene::set(name).await?;
    let role = json!({
        "accountRef": {"name": "default"},
        "assumedRole": {"roleArns": ["arn:aws:iam::123456789012:role/dev"]},
        "ttl": {"default": "15m", "max": "1h"},
        "allowedNamespaces": {"names": [name]},
    });
    scene.role_of(&session(name), role).await?;
    Ok(scene)
}

fn session(name: &str) -> String {
    format!("{name}-session")
}

/// Who somebody with these three is, as AWS says.
async fn caller(scene: &Scene, key: [&str; 3]) -> Result<String> {
    let names = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ];
    let env: Vec<_> = names.into_iter().zip(key).collect();
    let asked = [
        "sts",
        "get-caller-identity",
        "--query",
        "Arn",
        "--output",
        "text",
    ];
    let answer = scene.bed.aws.aws_cli(&env, &asked).await?;
    Ok(answer.trim().to_owned())
}

#[tokio::test]
async fn every_form_carries_the_session_token() -> Result<()> {
    let scene = scene("t-forms").await?;
    let role = session(&scene.name);
    let dev = "arn:aws:sts::123456789012:assumed-role/dev/";

    let json: Value = serde_json::from_str(&scene.ok(&["issue", &role, "-o", "json"]).await?)?;
    let field = |name: &str| json[name].as_str().unwrap_or_default();
    let key = ["accessKeyId", "secretAccessKey", "sessionToken"].map(field);
    assert!(caller(&scene, key).await?.starts_with(dev));

    let process = scene.ok(&["issue", &role, "-o", "process"]).await?;
    let process: Value = serde_json::from_str(&process)?;
    let field = |name: &str| process[name].as_str().unwrap_or_default();
    let key = ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(field);
    assert!(caller(&scene, key).await?.starts_with(dev));

    let file = scene.ok(&["issue", &role, "-o", "credentials"]).await?;
    let token = file
        .lines()
        .find_map(|line| line.strip_prefix("aws_session_token"));
    token.with_context(|| "no session token in the file")?;

    let env = scene.ok(&["issue", &role]).await?;
    assert!(env.contains("AWS_SESSION_TOKEN="), "no token for the shell");
    Ok(())
}

#[tokio::test]
async fn a_command_runs_in_a_session() -> Result<()> {
    let scene = scene("t-exec").await?;
    let role = session(&scene.name);
    let aws = paths::venv_program("aws")?.display().to_string();
    let command = scene.plugin(&["exec", &role, "--", &aws, "sts", "get-caller-identity"]);
    let said = Said::of(command).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(":assumed-role/dev/"), "{said:?}");
    scene.empty().await
}

/// AWS cannot lengthen a session: it is said, and the way out with it.
#[tokio::test]
async fn a_session_is_not_renewed() -> Result<()> {
    let scene = scene("t-renew").await?;
    let role = session(&scene.name);
    scene.ok(&["issue", &role, "--name", "one"]).await?;
    let said = scene.run(&["renew", "one"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("issue a new credential"), "{said:?}");
    Ok(())
}
