//! The fake against a client that is not ours: the AWS CLI.

use std::time::Duration;

use anyhow::{Context, Result};
use keylease_testbed::aws::{FakeAws, FakeConfig, Fault, FaultKind, KeyDelay, Outcome};
use keylease_testbed::{http, paths, wait};
use serde_json::Value;

/// Says loudly why a test did not run.
macro_rules! skip_if_missing {
    ($missing:expr) => {
        if let Some(why) = $missing {
            eprintln!("\n*** SKIPPED {}: {why}\n", module_path!());
            return Ok(());
        }
    };
}

async fn json(fake: &FakeAws, args: &[&str]) -> Result<Value> {
    json_as(fake, &[], args).await
}

async fn json_as(fake: &FakeAws, env: &[(&str, &str)], args: &[&str]) -> Result<Value> {
    let text = fake.aws_cli(env, args).await?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("aws {args:?}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_user() -> Result<()> {
    skip_if_missing!(paths::missing_python_tools());
    let fake = FakeAws::start(FakeConfig::default())?;
    fake.add_policy("arn:aws:iam::123456789012:policy/boundary");

    let created = json(
        &fake,
        &[
            "iam",
            "create-user",
            "--user-name=web",
            "--path=/keylease/c1/",
            "--permissions-boundary=arn:aws:iam::123456789012:policy/boundary",
            "--tags=Key=keylease.dev/uid,Value=u-1",
        ],
    )
    .await?;
    let arn = "arn:aws:iam::123456789012:user/keylease/c1/web";
    assert_eq!(created["User"]["Arn"], arn);
    assert_eq!(created["User"]["Tags"][0]["Value"], "u-1");
    assert_eq!(
        created["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"],
        "arn:aws:iam::123456789012:policy/boundary"
    );

    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"a & <b>"}]}"#;
    let put = format!("--policy-document={document}");
    let put = [
        "iam",
        "put-user-policy",
        "--user-name=web",
        "--policy-name=p",
        &put,
    ];
    json(&fake, &put).await?;
    let get = [
        "iam",
        "get-user-policy",
        "--user-name=web",
        "--policy-name=p",
    ];
    let inline = json(&fake, &get).await?;
    assert_eq!(
        inline["PolicyDocument"]["Statement"][0]["Resource"],
        "a & <b>"
    );

    let key = json(&fake, &["iam", "create-access-key", "--user-name=web"]).await?;
    let id = key["AccessKey"]["AccessKeyId"].as_str().context("an id")?;
    let secret = key["AccessKey"]["SecretAccessKey"]
        .as_str()
        .context("a secret")?;
    assert_eq!(fake.secret_of(id).as_deref(), Some(secret));
    let env = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    let whoami = ["sts", "get-caller-identity"];
    assert_eq!(json_as(&fake, &env, &whoami).await?["Arn"], arn);

    let wrong = [
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let refused = json_as(&fake, &wrong, &whoami).await;
    let message = refused.expect_err("a wrong secret").to_string();
    assert!(message.contains("SignatureDoesNotMatch"), "{message}");

    fake.encumber_user("web")?;
    let mfa = json(&fake, &["iam", "list-mfa-devices", "--user-name=web"]).await?;
    // A virtual one, and a passkey.
    assert_eq!(mfa["MFADevices"].as_array().map(Vec::len), Some(2));
    let refused = json(&fake, &["iam", "delete-user", "--user-name=web"]).await;
    let message = refused.expect_err("a conflict").to_string();
    assert!(message.contains("DeleteConflict"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() -> Result<()> {
    skip_if_missing!(paths::missing_python_tools());
    let fake = FakeAws::start(FakeConfig::default())?;
    for name in ["a", "b", "c", "d", "e"] {
        let name = format!("--user-name={name}");
        json(&fake, &["iam", "create-user", &name, "--path=/keylease/"]).await?;
    }
    let list = [
        "iam",
        "list-users",
        "--path-prefix=/keylease/",
        "--page-size=2",
    ];
    fake.clear_journal();
    let listed = json(&fake, &list).await?;
    let names: Vec<_> = listed["Users"]
        .as_array()
        .context("users")?
        .iter()
        .filter_map(|user| user["UserName"].as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(fake.count("ListUsers"), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_work() -> Result<()> {
    skip_if_missing!(paths::missing_python_tools());
    let fake = FakeAws::start(FakeConfig::default())?;
    let role = [
        "sts",
        "assume-role",
        "--role-arn=arn:aws:iam::123456789012:role/r",
        "--role-session-name=ses",
    ];
    let answer = json(&fake, &role).await?;
    let part = |name: &str| answer["Credentials"][name].as_str().unwrap_or_default();
    let env = [
        ("AWS_ACCESS_KEY_ID", part("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", part("SecretAccessKey")),
        ("AWS_SESSION_TOKEN", part("SessionToken")),
    ];
    let identity = json_as(&fake, &env, &["sts", "get-caller-identity"]).await?;
    assert_eq!(
        identity["Arn"],
        "arn:aws:sts::123456789012:assumed-role/r/ses"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_need_their_time() -> Result<()> {
    skip_if_missing!(paths::missing_python_tools());
    let fake = FakeAws::start(FakeConfig::default())?;
    json(&fake, &["iam", "create-user", "--user-name=web"]).await?;
    let key_after = async |delay: u64| {
        fake.set_config(|c| c.key_delay = KeyDelay::fixed(Duration::from_secs(delay)));
        json(&fake, &["iam", "create-access-key", "--user-name=web"]).await
    };
    let whoami = async |key: &Value| {
        let part = |name: &str| key["AccessKey"][name].as_str().unwrap_or_default();
        let env = [
            ("AWS_ACCESS_KEY_ID", part("AccessKeyId")),
            ("AWS_SECRET_ACCESS_KEY", part("SecretAccessKey")),
        ];
        json_as(&fake, &env, &["sts", "get-caller-identity"]).await
    };
    let slow = key_after(600).await?;
    let early = whoami(&slow).await;
    let message = early.expect_err("too early").to_string();
    assert!(message.contains("InvalidClientTokenId"), "{message}");
    let quick = key_after(2).await?;
    wait::until_ok("the key", Duration::from_secs(60), || whoami(&quick)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_applied_and_an_outage_is_not() -> Result<()> {
    skip_if_missing!(paths::missing_python_tools());
    let fake = FakeAws::start(FakeConfig::default())?;
    let once = [("AWS_MAX_ATTEMPTS", "1")];
    let create = ["iam", "create-user", "--user-name=web"];

    fake.set_down(true);
    assert!(json_as(&fake, &once, &create).await.is_err());
    fake.set_down(false);
    assert_eq!(fake.user("web"), None);

    fake.add_fault(Fault::on("CreateUser", FaultKind::LostReply).user("web"));
    assert!(json_as(&fake, &once, &create).await.is_err());
    fake.clear_faults();
    assert!(fake.user("web").is_some());
    let outcomes: Vec<_> = fake
        .journal()
        .into_iter()
        .map(|call| call.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Lost]);
    Ok(())
}

#[tokio::test]
async fn scripts_can_look_inside() -> Result<()> {
    let fake = FakeAws::start(FakeConfig::default())?;
    let endpoint = fake.endpoint();
    let addr = endpoint.strip_prefix("http://").context("an address")?;
    let users = http::get(addr, "/_fake/users").await?;
    assert_eq!(users.status, 200);
    assert!(users.body.contains("keylease-operator"), "{}", users.body);
    assert_eq!(http::get(addr, "/_fake/journal").await?.body.trim(), "[]");
    assert_eq!(http::get(addr, "/_fake/nothing").await?.status, 404);
    Ok(())
}
