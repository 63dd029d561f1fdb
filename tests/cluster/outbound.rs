//! The way out of a closed network: through a proxy, to AWS with roots of one's
//! own.

use std::fs;

use anyhow::{Context, Result};
use keylease_testbed::pki::Pki;
use keylease_testbed::{FakeAws, FakeConfig, ForwardProxy, Operator, TlsFront, aws_cli, wait};
use serde_json::{Value, json};

use crate::harness::{Bed, Begin, KEYLEASE, LATER, Namespace, SOON, Story, begin, client_of};

/// A name of AWS that no server of names knows, as on closed networks.
const NAME: &str = "aws.test";

/// A request is served, and gone again, by an operator with this environment.
async fn lives(aws: &FakeAws, env: &[(&str, &str)], namespace: &str) -> Result<String> {
    let cluster = begin(Begin::Installed).await?;
    let bin = std::path::Path::new(KEYLEASE);
    let debug = ("KEYLEASE_LOG", "keylease=debug,info");
    let env: Vec<_> = std::iter::once(debug).chain(env.iter().copied()).collect();
    let kubeconfig = cluster.kubeconfig();
    let mut operator = Operator::start(bin, kubeconfig, &aws.endpoint(), &env, &[])?;
    operator.wait_ready(SOON).await?;
    let client = client_of(cluster.kubeconfig()).await?;
    let place = Namespace::create(client, namespace).await?;
    place.role(json!({})).await?;
    place.request("app", json!({})).await?;
    place.ready("app").await?;
    place.delete("app").await?;
    place.gone_within("app", LATER).await?;
    Ok(operator.log_text())
}

/// Every call to AWS goes through the proxy, with the name and the password of its
/// URL; the API server is reached directly. Nothing shows the password.
#[tokio::test(flavor = "multi_thread")]
async fn calls_to_aws_go_through_the_proxy() -> Story {
    let aws = FakeAws::start(FakeConfig::default())?;
    let proxy = ForwardProxy::start().await?;
    let url = format!("http://user:hunter2@{}", proxy.addr());
    let endpoint = aws.endpoint().replace("127.0.0.1", NAME);
    let env = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("HTTP_PROXY", url.as_str()),
        ("https_proxy", url.as_str()),
    ];
    let log = lives(&aws, &env, "by-proxy").await?;
    let asked = proxy.asked();
    assert!(!asked.is_empty(), "nothing went through the proxy");
    for head in &asked {
        assert!(head.starts_with(&format!("POST {endpoint}")), "{head}");
        let basic = "proxy-authorization: Basic dXNlcjpodW50ZXIy".to_lowercase();
        assert!(head.to_lowercase().contains(&basic), "{head}");
    }
    assert!(log.contains("go through a proxy"), "{log}");
    assert!(!log.contains("hunter2"), "the password is in the log");
    Ok(())
}

/// With TLS it is a tunnel, and whom to trust comes from `AWS_CA_BUNDLE`.
#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_through_a_tunnel_and_trusts_the_bundle() -> Story {
    let aws = FakeAws::start(FakeConfig::default())?;
    let dir = tempfile::tempdir()?;
    let pki = Pki::create(dir.path(), &[])?;
    let identity = pki.server(NAME)?;
    let behind = aws.endpoint().replace("http://", "");
    let front = TlsFront::start(&identity, &behind).await?;
    let proxy = ForwardProxy::start().await?;
    let url = format!("http://{}", proxy.addr());
    let endpoint = format!("https://{NAME}:{}", front.port());
    let bundle = pki.file("ca.crt");
    let env = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("HTTPS_PROXY", url.as_str()),
        ("AWS_CA_BUNDLE", bundle.as_str()),
    ];
    lives(&aws, &env, "by-tunnel").await?;
    let asked = proxy.asked();
    let tunnel = format!("CONNECT {NAME}:{} HTTP/1.1", front.port());
    assert!(!asked.is_empty(), "nothing went through the proxy");
    assert!(
        asked.iter().all(|head| head.starts_with(&tunnel)),
        "{asked:?}"
    );
    Ok(())
}

/// From outside its cluster the API server is behind the proxy as well, for the
/// operator as for the sweep, whatever `NO_PROXY` says of the proxy itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_reached_through_the_proxy_from_outside() -> Story {
    let name = "api.k8s.test";
    let cluster = begin(Begin::Installed).await?;
    let aws = FakeAws::start(FakeConfig::default())?;
    let proxy = ForwardProxy::start().await?;
    let mut file: Value = serde_json::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    let entry = &mut file["clusters"][0]["cluster"];
    entry["server"] = json!(cluster.server_url().replace("127.0.0.1", name));
    entry["tls-server-name"] = json!("localhost");
    let dir = tempfile::tempdir()?;
    let kubeconfig = dir.path().join("config");
    fs::write(&kubeconfig, file.to_string())?;
    let url = format!("http://{}", proxy.addr());
    let env = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.1,,")];
    let bin = std::path::Path::new(KEYLEASE);
    let mut operator = Operator::start(bin, &kubeconfig, &aws.endpoint(), &env, &[])?;
    operator.wait_ready(SOON).await?;
    operator.kill_hard()?;
    let asked = proxy.asked().len();
    assert!(asked > 0, "the operator did not ask the proxy");
    let list = std::env::join_paths(["/no/such/file".as_ref(), kubeconfig.as_path()])?;
    let mut sweep = tokio::process::Command::new(KEYLEASE);
    sweep
        .args(["sweep", "--dry-run"])
        .env_clear()
        .env("KUBECONFIG", list)
        .envs(aws_cli::env(&aws.endpoint()))
        .envs(env);
    let said = sweep.output().await?;
    assert!(said.status.success(), "{said:?}");
    let all = proxy.asked();
    assert!(all.len() > asked, "the sweep did not ask the proxy");
    let tunnel = format!("CONNECT {name}:");
    assert!(all.iter().all(|head| head.starts_with(&tunnel)), "{all:?}");
    Ok(())
}

/// What is near is not asked of the proxy: here all of AWS, on this machine.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_near_is_reached_directly() -> Story {
    let aws = FakeAws::start(FakeConfig::default())?;
    let proxy = ForwardProxy::start().await?;
    let url = format!("http://{}", proxy.addr());
    lives(&aws, &[("ALL_PROXY", url.as_str())], "direct").await?;
    assert_eq!(proxy.asked(), Vec::<String>::new());
    Ok(())
}

/// A setting that cannot be used ends the start, with its name and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_at_the_start() -> Story {
    let bed = Bed::shared().await?;
    for (name, value, told) in [
        (
            "HTTPS_PROXY",
            "ftp://user:hunter2@proxy:21",
            "HTTPS_PROXY is of a kind that is not known",
        ),
        (
            "ALL_PROXY",
            "socks5://proxy:1080",
            "ALL_PROXY names socks5://proxy:1080",
        ),
        (
            "AWS_CA_BUNDLE",
            "/nowhere.pem",
            "AWS_CA_BUNDLE=/nowhere.pem cannot be used",
        ),
    ] {
        let bin = std::path::Path::new(KEYLEASE);
        let kubeconfig = bed.cluster.kubeconfig();
        let endpoint = bed.aws.endpoint();
        let mut operator = Operator::start(bin, kubeconfig, &endpoint, &[(name, value)], &[])?;
        wait::until_ok("the operator's end", SOON, || async {
            let log = operator.log_text();
            if log.contains(told) { Ok(()) } else { Err(log) }
        })
        .await
        .with_context(|| name)?;
        assert!(!operator.log_text().contains("hunter2"));
        operator.kill_hard()?;
    }
    Ok(())
}
