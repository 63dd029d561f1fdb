//! A second opinion: the AWS stand-in that everybody uses, and the AWS CLI.

use std::path::Path;

use anyhow::{Context, Result};
use keylease_testbed::{Moto, MotoOptions, Operator, paths};
use serde_json::{Value, json};

use crate::harness::{Begin, KEYLEASE, LATER, Namespace, READ_ONLY, SOON, Story, begin, client_of};

/// What the AWS CLI says of itself with the key in this Secret.
async fn caller(moto: &Moto, namespace: &Namespace, secret: &str) -> Result<Value> {
    let data = namespace.secret(secret).await?.context("no Secret")?;
    let env: Vec<(&str, &str)> = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
        .into_iter()
        .map(|name| (name, data[name].as_str()))
        .collect();
    let answer = moto.aws_cli(&env, &["sts", "get-caller-identity"]).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// The names of all IAM users but the one that marks the cluster's identity.
async fn users(moto: &Moto) -> Result<Vec<String>> {
    let answer: Value = serde_json::from_str(&moto.aws_cli(&[], &["iam", "list-users"]).await?)?;
    let users = answer["Users"].as_array().context("no list")?;
    Ok(users
        .iter()
        .map(|u| u["UserName"].as_str().unwrap_or_default().to_owned())
        .filter(|name| !name.starts_with("keylease-cluster-"))
        .collect())
}

/// Issue, use with the AWS CLI, delete. Then moto is away for a while and
/// comes back with nothing of what it knew: the old lease ends in peace and
/// new ones are served.
#[tokio::test(flavor = "multi_thread")]
async fn the_main_road_holds_on_moto_too() -> Story {
    if let Some(missing) = paths::missing_python_tools() {
        panic!("this test needs moto and the AWS CLI, and {missing}");
    }
    let cluster = begin(Begin::Installed).await?;
    let moto = Moto::start(MotoOptions {
        load_managed_policies: true,
        ..MotoOptions::default()
    });
    let moto = moto.await?;
    let bin = Path::new(KEYLEASE);
    let mut operator = Operator::start(bin, cluster.kubeconfig(), &moto.endpoint(), &[], &[])?;
    operator.wait_ready(SOON).await?;
    let client = client_of(cluster.kubeconfig()).await?;
    let namespace = Namespace::create(client, "moto").await?;
    namespace.role(json!({})).await?;

    for name in ["gone", "kept"] {
        namespace.request(name, json!({})).await?;
    }
    let request = namespace.ready("gone").await?;
    namespace.ready("kept").await?;
    let credential = request
        .status
        .and_then(|s| s.credential)
        .context("no credential")?;
    let user = credential.user_name.context("no user")?;
    let arn = caller(&moto, &namespace, "gone").await?["Arn"].clone();
    assert_eq!(arn.as_str(), credential.arn.as_deref());
    let args = ["iam", "list-attached-user-policies", "--user-name", &user];
    let attached = moto.aws_cli(&[], &args).await?;
    assert!(attached.contains(READ_ONLY), "{attached}");

    assert_eq!(users(&moto).await?.len(), 2);
    namespace.delete("gone").await?;
    namespace.gone("gone").await?;
    let left = users(&moto).await?;
    assert!(left.len() == 1 && left[0] != user, "{left:?}");

    moto.stop();
    namespace.request("late", json!({})).await?;
    namespace.delete("kept").await?;
    moto.start_again().await?;
    namespace.ready_within("late", LATER).await?;
    namespace.gone_within("kept", LATER).await?;
    let arn = caller(&moto, &namespace, "late").await?["Arn"].clone();
    assert!(arn.as_str().context("no ARN")?.contains("late"), "{arn}");
    assert_eq!(users(&moto).await?.len(), 1);
    Ok(())
}
