//! What `keylease iam-policy` prints is enough, and is what stands between the
//! operator and the rest: on moto, which checks who may do what, and is not of
//! our making.
//!
//! moto checks actions only. That resources and conditions confine them is shown
//! by all other tests, and by `confined.rs`, on our own stand-in.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use keylease_api::Phase;
use keylease_testbed::{Moto, MotoOptions, Operator, paths};
use serde_json::{Value, json};

use crate::harness::{Begin, KEYLEASE, LATER, Namespace, SOON, Story, begin, client_of, condition};

/// Calls that moto takes from anybody: the two users, their policies and keys.
const FREE_CALLS: u32 = 6;

/// The printed policy, with every resource: moto finds none by its name.
fn printed_policy() -> Result<Value> {
    let command = ["iam-policy", "--inline"];
    let output = Command::new(KEYLEASE).args(command).output()?;
    ensure!(output.status.success(), "{output:?}");
    let mut policy: Value = serde_json::from_slice(&output.stdout)?;
    for statement in policy["Statement"].as_array_mut().context("statements")? {
        statement["Resource"] = json!("*");
    }
    Ok(policy)
}

/// The same without one action.
fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().into_iter().flatten() {
        if let Some(actions) = statement["Action"].as_array_mut() {
            actions.retain(|a| a != action);
        }
    }
    policy
}

/// A user of the account with a key and this policy.
struct Member {
    key_id: String,
    secret: String,
}

impl Member {
    async fn make(moto: &Moto, name: &str, policy: &Value) -> Result<Self> {
        let name = format!("--user-name={name}");
        moto.aws_cli(&[], &["iam", "create-user", &name]).await?;
        let document = format!("--policy-document={policy}");
        let put = [
            "iam",
            "put-user-policy",
            &name,
            "--policy-name=p",
            &document,
        ];
        moto.aws_cli(&[], &put).await?;
        let create = ["iam", "create-access-key", &name];
        let key: Value = serde_json::from_str(&moto.aws_cli(&[], &create).await?)?;
        let field = |name: &str| key["AccessKey"][name].as_str().map(str::to_owned);
        Ok(Self {
            key_id: field("AccessKeyId").context("no id")?,
            secret: field("SecretAccessKey").context("no secret")?,
        })
    }

    fn env(&self) -> [(&str, &str); 2] {
        [
            ("AWS_ACCESS_KEY_ID", &self.key_id),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
        ]
    }
}

/// With the printed policy everything works. Without one of its actions it does
/// not, and says which; with that again, it ends what it could not.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_policy_is_enough_and_needed() -> Story {
    if let Some(missing) = paths::missing_python_tools() {
        panic!("this test needs moto and the AWS CLI, and {missing}");
    }
    let cluster = begin(Begin::Installed).await?;
    let options = MotoOptions {
        load_managed_policies: true,
        initial_no_auth_actions: Some(FREE_CALLS),
        ..MotoOptions::default()
    };
    let moto = Moto::start(options).await?;
    let everything = json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let policy = printed_policy()?;
    let admin = Member::make(&moto, "admin", &everything).await?;
    let operator = Member::make(&moto, "operator", &policy).await?;
    // Permissions are checked from here on.
    let foreign = moto.aws_cli(&operator.env(), &["iam", "list-roles"]).await;
    assert!(foreign.is_err(), "{foreign:?}");

    let bin = Path::new(KEYLEASE);
    let env = operator.env();
    let mut keylease = Operator::start(bin, cluster.kubeconfig(), &moto.endpoint(), &env, &[])?;
    keylease.wait_ready(SOON).await?;
    let namespace = Namespace::create(client_of(cluster.kubeconfig()).await?, "least").await?;
    let inline = json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]});
    namespace
        .role(json!({"iamUser": {"policyDocument": inline.to_string()}}))
        .await?;
    for name in ["app", "kept"] {
        namespace.request(name, json!({})).await?;
    }
    for name in ["app", "kept"] {
        namespace.ready(name).await?;
    }
    // Something of somebody else on the user, so that its removal looks at all.
    let status = namespace.requests().get("app").await?.status;
    let user = status.and_then(|s| s.credential).and_then(|c| c.user_name);
    let name = format!("--user-name={}", user.context("no user")?);
    let password = [
        "iam",
        "create-login-profile",
        &name,
        "--password=Ex4mple-only",
    ];
    moto.aws_cli(&admin.env(), &password).await?;
    namespace.delete("app").await?;
    namespace.gone("app").await?;
    let denied: Vec<_> = denials(&keylease.metrics().await?);
    assert!(denied.is_empty(), "{denied:?}");

    let put = |policy: &Value| {
        let document = format!("--policy-document={policy}");
        let (moto, admin) = (&moto, &admin);
        async move {
            let put = ["iam", "put-user-policy", "--user-name=operator"];
            let put = [&put[..], &["--policy-name=p", &document]].concat();
            moto.aws_cli(&admin.env(), &put).await
        }
    };
    put(&without(&policy, "iam:DeleteUser")).await?;
    namespace.delete("kept").await?;
    let stuck = |r: &keylease_api::AwsCredentialRequest| {
        let revoking = r.status.as_ref().and_then(|s| s.phase) == Some(Phase::Revoking);
        let ready = condition(r, "Ready");
        revoking && ready.is_some_and(|c| c.reason == "AwsAccessDenied")
    };
    let seen = namespace.until("denied", "kept", SOON, stuck).await?;
    let message = condition(&seen, "Ready").map(|c| c.message.clone());
    assert!(message.unwrap_or_default().contains("DeleteUser"));
    let denied = denials(&keylease.metrics().await?);
    assert!(
        denied.iter().all(|l| l.contains("DeleteUser")),
        "{denied:?}"
    );
    put(&policy).await?;
    namespace.gone_within("kept", LATER).await?;
    Ok(())
}

/// Calls to AWS that were refused, as metrics have them.
fn denials(metrics: &str) -> Vec<String> {
    let aws = metrics.lines().filter(|l| !l.contains("kubernetes"));
    aws.filter(|l| l.contains("access_denied"))
        .map(str::to_owned)
        .collect()
}
