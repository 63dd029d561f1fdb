//! `issue`.

use std::time::Duration;

use anyhow::{Context, Result};
use keylease_testbed::wait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::bed::{PLUGIN, Said, Scene, signal};

#[tokio::test]
async fn json_has_a_key_that_works_and_its_lease() -> Result<()> {
    let scene = Scene::set("p-json").await?;
    let key = scene.issue(&["--ttl", "0.5h"]).await?;
    let text = |field: &str| key[field].as_str().unwrap_or_default();
    let arn = scene
        .caller(text("accessKeyId"), text("secretAccessKey"))
        .await?;
    assert!(arn.contains("/keylease-p-json-p-json-"), "{arn}");
    assert_eq!(key["lease"]["duration"], "30m");
    assert_eq!(key["expiration"], key["lease"]["expiresAt"]);
    assert_eq!(key["region"], "us-east-1");
    let request = key["request"]["name"].as_str().context("no request")?;
    assert!(request.starts_with("p-json-"), "{request}");
    scene.ok(&["revoke", request]).await?;
    scene.empty().await
}

#[tokio::test]
async fn env_is_for_a_shell() -> Result<()> {
    let scene = Scene::set("p-env").await?;
    let said = scene.run(&["issue", "p-env", "--name", "mine"]).await?;
    assert!(
        said.err.contains("kubectl keylease revoke mine -n p-env"),
        "{said:?}"
    );
    let script = format!(
        "{}printf '%s\\n' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\"",
        said.out
    );
    let shell = tokio::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .await?;
    let shell = String::from_utf8(shell.stdout)?;
    let words: Vec<&str> = shell.lines().collect();
    let arn = scene.caller(words[0], words[1]).await?;
    assert!(arn.contains("p-env-mine"), "{arn}");
    assert!(!said.err.contains(words[1]), "a secret on stderr");
    Ok(())
}

#[tokio::test]
async fn credentials_is_a_file_that_the_aws_cli_reads() -> Result<()> {
    let scene = Scene::set("p-file").await?;
    let file = scene.ok(&["issue", "p-file", "-o", "credentials"]).await?;
    let path = std::env::temp_dir().join(format!("keylease-plugin-{}", std::process::id()));
    std::fs::write(&path, file)?;
    let arn = ask_cli(&scene, "AWS_SHARED_CREDENTIALS_FILE", &path).await;
    std::fs::remove_file(&path)?;
    let arn = arn?;
    assert!(arn.contains("keylease-p-file-"), "{arn}");
    Ok(())
}

#[tokio::test]
async fn process_serves_the_aws_cli_from_one_lease() -> Result<()> {
    let scene = Scene::set("p-process").await?;
    let path = std::env::temp_dir().join(format!("keylease-plugin-config-{}", std::process::id()));
    let kubeconfig = scene.bed.cluster.kubeconfig().display();
    let config = format!(
        "[default]\nregion = us-east-1\ncredential_process = {PLUGIN} --kubeconfig {kubeconfig} \
         -n p-process issue p-process --name laptop --reuse --output process\n"
    );
    std::fs::write(&path, config)?;
    let first = ask_cli(&scene, "AWS_CONFIG_FILE", &path).await;
    let second = ask_cli(&scene, "AWS_CONFIG_FILE", &path).await;
    std::fs::remove_file(&path)?;
    assert!(first?.contains("keylease-p-process-laptop-"));
    second?;
    assert_eq!(
        (scene.count().await?, scene.users()),
        (1, 1),
        "each call made a lease"
    );
    Ok(())
}

/// Who the AWS CLI is with the settings of that file alone.
async fn ask_cli(scene: &Scene, variable: &str, path: &std::path::Path) -> Result<String> {
    let cli = keylease_testbed::paths::venv_program("aws")?;
    let mut command = tokio::process::Command::new(cli);
    command
        .args(["sts", "get-caller-identity"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("AWS_ENDPOINT_URL", scene.bed.aws.endpoint())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(variable, path)
        .kill_on_drop(true);
    let said = Said::of(command).await?;
    let answer: Value = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
    Ok(answer["Arn"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_refusal_is_told_and_leaves_nothing() -> Result<()> {
    let scene = Scene::set("p-refused").await?;
    scene
        .role("p-not-for-you", serde_json::json!({"names": ["elsewhere"]}))
        .await?;
    let said = scene.run(&["issue", "p-not-for-you"]).await?;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.err.contains("NamespaceNotAllowed"), "{said:?}");
    assert!(said.err.contains("was deleted"), "{said:?}");
    let said = scene.run(&["issue", "p-refused", "--ttl", "3h"]).await?;
    assert!(said.err.contains("TtlAboveMaximum"), "{said:?}");
    let said = scene.run(&["issue", "no-such-role"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err
            .contains("no awsroles.keylease.dev named no-such-role"),
        "{said:?}"
    );
    let said = scene.run(&["issue", "p-refused", "--ttl", "800h"]).await?;
    assert!(said.err.contains("768h"), "{said:?}");
    let said = scene.run(&["issue", "p-refused", "--ttl", "soon"]).await?;
    assert_eq!(said.code, Some(2), "{said:?}");
    scene.empty().await
}

#[tokio::test]
async fn ctrl_c_while_waiting_deletes_the_request() -> Result<()> {
    let scene = Scene::set("p-ctrl-c").await?;
    // An account that does not exist keeps the request pending.
    let role = r#"{"apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
        "metadata": {"name": "p-never"}, "spec": {"accountRef": {"name": "nowhere"},
        "iamUser": {}, "allowedNamespaces": {"names": ["*"]}}}"#;
    scene.bed.cluster.kubectl_apply(role).await?;
    let child = scene.plugin(&["issue", "p-never"]).spawn()?;
    wait::until_ok("the request", Duration::from_secs(20), || async {
        match scene.count().await {
            Ok(1) => Ok(()),
            other => Err(other),
        }
    })
    .await?;
    signal("INT", child.id()).await?;
    let said = Said::try_from(child.wait_with_output().await?)?;
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(
        said.err.contains("interrupted; its request p-never-"),
        "{said:?}"
    );
    let said = scene.run(&["issue", "p-never", "--timeout", "1s"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("not done after 1s"), "{said:?}");
    scene.empty().await
}

#[tokio::test]
async fn rm_after_ends_the_lease_with_the_process() -> Result<()> {
    let scene = Scene::set("p-rm-after").await?;
    let args = ["issue", "p-rm-after", "--rm-after", "-o", "env"];
    let mut child = scene.plugin(&args).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let first = lines.next_line().await?.context("no key")?;
    assert!(first.starts_with("export AWS_ACCESS_KEY_ID="), "{first}");
    assert_eq!(scene.users(), 1);
    signal("TERM", child.id()).await?;
    let said = Said::try_from(child.wait_with_output().await?)?;
    assert_eq!(said.code, Some(0), "{said:?}");
    scene.empty().await
}

#[tokio::test]
async fn a_name_is_taken_once() -> Result<()> {
    let scene = Scene::set("p-name").await?;
    let first = scene.issue(&["--name", "one"]).await?;
    let said = scene.run(&["issue", "p-name", "--name", "one"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("add --reuse"), "{said:?}");
    let again = scene.issue(&["--name", "one", "--reuse"]).await?;
    assert_eq!(first["accessKeyId"], again["accessKeyId"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_right_is_named_and_leaves_nothing() -> Result<()> {
    let scene = Scene::set("p-rights").await?;
    let nobody = scene.person("p-nobody", serde_json::json!([])).await?;
    let said = Said::of(scene.plugin_as(&nobody, &["issue", "p-rights"])).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains(
            "no right to create awscredentialrequests.keylease.dev in namespace p-rights"
        ),
        "{said:?}"
    );
    // May ask, may not read Secrets.
    let rules = serde_json::json!([{
        "apiGroups": ["keylease.dev"], "resources": ["awscredentialrequests"], "verbs": ["*"],
    }]);
    let blind = scene.person("p-blind", rules).await?;
    let said = Said::of(scene.plugin_as(&blind, &["issue", "p-rights"])).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err
            .contains("no right to get secrets in namespace p-rights"),
        "{said:?}"
    );
    scene.empty().await
}
