//! What only looks: `leases`, `describe`, `roles`, and what needs no cluster.

use anyhow::{Context, Result};
use keylease_testbed::wait;
use serde_json::{Value, json};

use crate::bed::{SOON, Said, Scene};

#[tokio::test]
async fn leases_and_describe_show_a_lease() -> Result<()> {
    let scene = Scene::set("v-lease").await?;
    let said = scene.run(&["leases"]).await?;
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(
        said.err.contains("no leases in namespace v-lease"),
        "{said:?}"
    );

    let key = scene.issue(&["--name", "one"]).await?;
    let id = key["accessKeyId"].as_str().context("no id")?;
    let secret = key["secretAccessKey"].as_str().context("no secret")?;
    let table = scene.ok(&["leases"]).await?;
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0].join(" "),
        "NAMESPACE NAME ROLE PHASE KEY-ID EXPIRES-IN RENEWALS"
    );
    assert_eq!(lines[1][..5], ["v-lease", "one", "v-lease", "Ready", id]);
    assert!(lines[1][5].starts_with("59m"), "{table}");
    assert!(!table.contains('\x1b'), "colours in a pipe");

    let wide = scene.ok(&["leases", "-o", "wide"]).await?;
    assert!(wide.contains("keylease-v-lease-one-"), "{wide}");
    assert!(
        scene
            .ok(&["leases", "-A", "--role", "v-lease"])
            .await?
            .contains(id)
    );
    assert_eq!(scene.ok(&["leases", "--role", "other"]).await?, "");
    assert_eq!(scene.ok(&["leases", "--phase", "Failed"]).await?, "");
    let list: Value = serde_json::from_str(&scene.ok(&["leases", "-o", "json"]).await?)?;
    assert_eq!(list["items"][0]["status"]["credential"]["accessKeyId"], id);
    assert_eq!(list["items"][0]["kind"], "AwsCredentialRequest");
    assert!(
        scene
            .ok(&["leases", "-o", "yaml"])
            .await?
            .contains(&format!("accessKeyId: {id}"))
    );

    let text = wait::until_ok("the event", SOON, || async {
        let text = scene.ok(&["describe", "one"]).await?;
        if text.contains("Normal") {
            Ok(text)
        } else {
            Err(anyhow::anyhow!(text))
        }
    })
    .await?;
    for part in [
        "Role:          v-lease",
        id,
        "keylease.dev/creds/v-lease/",
        "Usable",
        "proven to work",
        "123456789012",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains(secret));
    let said = scene.run(&["describe", "two"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("named two in namespace v-lease"),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test]
async fn roles_say_who_may_use_them() -> Result<()> {
    let scene = Scene::set("v-roles").await?;
    scene
        .role("v-elsewhere", json!({"names": ["elsewhere"]}))
        .await?;
    scene
        .role(
            "v-labelled",
            json!({"selector": {"matchLabels": {"team": "v"}}}),
        )
        .await?;
    let label = ["label", "namespace", "v-roles", "team=v"];
    scene.bed.cluster.kubectl(&label).await?;
    let table = scene.ok(&["roles"]).await?;
    let row = |name: &str| -> Vec<String> {
        let line = table.lines().find(|l| l.starts_with(&format!("{name} ")));
        line.unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let seen = row("v-roles");
    assert_eq!(seen[1..5], ["iamUser", "default", "1h", "2h"], "{table}");
    assert_eq!(seen[6..], ["True", "yes"], "{table}");
    assert_eq!(row("v-elsewhere")[7], "no", "{table}");
    assert_eq!(row("v-labelled")[7], "yes", "{table}");
    Ok(())
}

#[tokio::test]
async fn what_needs_no_cluster_works_without() -> Result<()> {
    let scene = Scene::set("v-alone").await?;
    let nowhere = std::path::Path::new("/no/kubeconfig");
    let said = Said::of(scene.plugin_as(nowhere, &["iam-policy"])).await?;
    let policy: Value = serde_json::from_str(&said.out)?;
    assert_eq!(policy["Version"], "2012-10-17");
    for shell in ["bash", "zsh", "fish"] {
        let said = Said::of(scene.plugin_as(nowhere, &["completion", shell])).await?;
        assert!(said.out.contains("kubectl-keylease"), "{said:?}");
    }
    let said = Said::of(scene.plugin_as(nowhere, &["leases"])).await?;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no cluster to talk to"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn kubectl_finds_the_plugin() -> Result<()> {
    let scene = Scene::set("v-kubectl").await?;
    let kubectl = keylease_testbed::paths::tool("kubectl")?;
    let dir = std::path::Path::new(crate::bed::PLUGIN)
        .parent()
        .context("no folder")?;
    let mut command = tokio::process::Command::new(kubectl);
    command
        .args(["keylease", "roles", "-n", "v-kubectl"])
        .env("PATH", dir)
        .env("KUBECONFIG", scene.bed.cluster.kubeconfig());
    let said = Said::of(command).await?;
    assert!(said.out.contains("v-kubectl"), "{said:?}");
    Ok(())
}
