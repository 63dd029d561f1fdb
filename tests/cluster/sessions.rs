//! The credential types that are sessions: one STS call, nothing to delete.

use anyhow::Context;
use keylease_api::Phase;
use serde_json::{Value, json};

use crate::harness::{READ_ONLY, SOON, Scene, Story};

/// Asks for a credential of a role of that type, uses it with the AWS CLI, and
/// returns the Secret and the ARN that it acts as.
async fn used(scene: &Scene, role: Value, spec: Value) -> anyhow::Result<(Value, String)> {
    let mut role = role;
    role["accountRef"] = json!({"name": "default"});
    role["allowedNamespaces"] = json!({"names": [scene.name]});
    let object = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
        "metadata": {"name": scene.name}, "spec": role,
    });
    scene.bed.cluster.kubectl_apply(&object.to_string()).await?;
    scene.request("app", spec).await?;
    let request = scene.ready("app").await?;
    assert!(
        request.metadata.finalizers.is_none(),
        "a session needs no finalizer"
    );
    let secret = scene.secret("app").await?.context("no Secret")?;
    let path = tempfile::NamedTempFile::new()?;
    std::fs::write(path.path(), &secret["credentials"])?;
    let file = path.path().to_string_lossy().into_owned();
    // An empty variable counts as none: only the file can be meant.
    let env = [
        ("AWS_SHARED_CREDENTIALS_FILE", file.as_str()),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
    ];
    let arguments = [
        "sts",
        "get-caller-identity",
        "--query",
        "Arn",
        "--output",
        "text",
    ];
    let answer = scene.bed.aws.aws_cli(&env, &arguments).await?;
    Ok((json!(secret), answer.trim().to_owned()))
}

/// `AssumeRole` with tags, and the JSON of a `credential_process`.
#[tokio::test(flavor = "multi_thread")]
async fn an_assumed_role_is_used_by_the_aws_cli() -> Story {
    let scene = Scene::shared("s-assume").await?;
    let role = json!({"assumedRole": {
        "roleArns": ["arn:aws:iam::123456789012:role/dev"],
        "sessionTags": {"team": "{{namespace}}"},
    }});
    let spec = json!({"roleSessionName": "me", "secret": {"credentialProcess": {}}});
    let (secret, arn) = used(&scene, role, spec).await?;
    assert!(
        arn.starts_with("arn:aws:sts::123456789012:assumed-role/dev/me-"),
        "{arn}"
    );
    let text = secret["credential_process.json"]
        .as_str()
        .context("process")?;
    let process: Value = serde_json::from_str(text)?;
    assert_eq!(process["Version"], 1);
    assert_eq!(process["SessionToken"], secret["AWS_SESSION_TOKEN"]);
    let journal = scene.bed.aws.journal();
    let call = journal
        .iter()
        .find(|c| c.op == "AssumeRole" && c.params.values().any(|v| v.starts_with("me-")));
    let params = &call.context("no AssumeRole")?.params;
    assert!(params.values().any(|v| v == "s-assume"), "{params:?}");
    Ok(())
}

/// The policies of groups, attached and inline, go into the session.
#[tokio::test(flavor = "multi_thread")]
async fn policies_of_groups_narrow_a_session() -> Story {
    let scene = Scene::shared("s-groups").await?;
    let aws = &scene.bed.aws;
    aws.add_group("readers");
    let group = ["--group-name", "readers"];
    let attach = ["iam", "attach-group-policy", "--policy-arn", READ_ONLY];
    aws.aws_cli(&[], &[&attach[..], &group].concat()).await?;
    let document = r#"{"Version":"2012-10-17","Statement":[{"Sid":"One","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let put = [
        "iam",
        "put-group-policy",
        "--policy-name",
        "objects",
        "--policy-document",
        document,
    ];
    aws.aws_cli(&[], &[&put[..], &group].concat()).await?;
    let role = json!({"federationToken": {"groups": ["readers"]}});
    used(&scene, role, json!({})).await?;
    let journal = aws.journal();
    let ours = |v: &String| v.starts_with("s-groups-");
    let call = journal
        .iter()
        .find(|c| c.op == "GetFederationToken" && c.params.values().any(ours));
    let params = &call.context("no GetFederationToken")?.params;
    assert!(params.values().any(|v| v == READ_ONLY), "{params:?}");
    let narrowed = params
        .values()
        .any(|v| v.contains("s3:GetObject") && !v.contains("Sid"));
    assert!(narrowed, "{params:?}");
    Ok(())
}

/// A group that is not there is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_group_is_named() -> Story {
    let scene = Scene::shared("s-no-group").await?;
    let object = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
        "metadata": {"name": scene.name}, "spec": {
            "accountRef": {"name": "default"},
            "federationToken": {"groups": ["nobody"]},
            "allowedNamespaces": {"names": [scene.name]},
        },
    });
    scene.bed.cluster.kubectl_apply(&object.to_string()).await?;
    scene.request("app", json!({})).await?;
    let told = scene.refused("app", "RefusedByAws").await?;
    assert!(told.contains("group nobody"), "{told}");
    Ok(())
}

/// `GetFederationToken`, narrowed by a policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_federation_token_is_used_by_the_aws_cli() -> Story {
    let scene = Scene::shared("s-federate").await?;
    let role = json!({"federationToken": {"policyArns": [READ_ONLY]}});
    let (_, arn) = used(&scene, role, json!({})).await?;
    assert!(arn.contains(":federated-user/s-federate-app-"), "{arn}");
    Ok(())
}

/// `GetSessionToken`; the session ends as `Expired` and the Secret goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_is_used_by_the_aws_cli() -> Story {
    let scene = Scene::shared("s-token").await?;
    let (_, arn) = used(&scene, json!({"sessionToken": {}}), json!({})).await?;
    assert!(arn.ends_with(":user/keylease-operator"), "{arn}");
    let request = scene.requests().get("app").await?;
    assert_eq!(request.status.context("status")?.phase, Some(Phase::Ready));
    scene.delete("app").await?;
    scene.gone("app").await?;
    keylease_testbed::wait::until("the Secret to go", SOON, || async {
        scene.secret("app").await.ok()?.is_none().then_some(())
    })
    .await?;
    Ok(())
}

/// A choice among several roles has to be made, and made right.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_choice_of_role_is_named() -> Story {
    let scene = Scene::shared("s-choice").await?;
    let arns = [
        "arn:aws:iam::123456789012:role/a",
        "arn:aws:iam::123456789012:role/b",
    ];
    let object = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
        "metadata": {"name": "s-choice"}, "spec": {
            "accountRef": {"name": "default"}, "assumedRole": {"roleArns": arns},
            "allowedNamespaces": {"names": ["s-choice"]},
        },
    });
    scene.bed.cluster.kubectl_apply(&object.to_string()).await?;
    scene.request("none", json!({})).await?;
    let message = scene.refused("none", "InvalidRequest").await?;
    assert!(message.contains("role/a, arn"), "{message}");
    scene
        .request("short", json!({"roleArn": arns[1], "ttl": "5m"}))
        .await?;
    let message = scene.refused("short", "InvalidRequest").await?;
    assert!(message.contains("shorter than 15m"), "{message}");
    scene.request("right", json!({"roleArn": arns[1]})).await?;
    scene.ready("right").await?;
    Ok(())
}
