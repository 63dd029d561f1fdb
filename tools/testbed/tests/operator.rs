//! The guard around the operator, with a shell script in the operator's place.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use keylease_testbed::{Operator, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(20);

fn script(dir: &Path, text: &str) -> Result<PathBuf> {
    let path = dir.join("keylease");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn start(bin: &Path) -> Result<Operator> {
    let env = [("AWS_REGION", "eu-west-1")];
    Operator::start(
        bin,
        Path::new("kube.config"),
        "http://aws",
        &env,
        &["--flag"],
    )
}

async fn log_has(operator: &Operator, text: &str, times: usize) -> Result<()> {
    let what = format!("{times} times {text:?} in the log");
    wait::until_ok(&what, SOON, || async {
        let log = operator.log_text();
        if log.matches(text).count() == times {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_environment_is_ours_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bin = script(
        dir.path(),
        "echo args: \"$@\"; env; echo end of env; sleep 60",
    )?;
    let operator = start(&bin)?;
    log_has(&operator, "end of env", 1).await?;
    let log = operator.log_text();
    for line in [
        "args: controller --flag",
        "KUBECONFIG=kube.config",
        "AWS_ENDPOINT_URL=http://aws",
        "AWS_REGION=eu-west-1",
        "POD_NAMESPACE=keylease-system",
    ] {
        assert!(log.lines().any(|seen| seen == line), "{line}: {log}");
    }
    assert!(!log.contains("CARGO"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_crashes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bin = script(
        dir.path(),
        "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    )?;
    let mut operator = start(&bin)?;
    log_has(&operator, "up", 1).await?;
    let first = operator.pid();
    operator.restart().await?;
    log_has(&operator, "up", 2).await?;
    assert_ne!(operator.pid(), first);
    operator.kill_hard()?;
    operator.start_again()?;
    log_has(&operator, "up", 3).await?;
    assert_eq!(operator.log_text().matches("bye").count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_what_it_says() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut operator = start(&script(dir.path(), "sleep 60")?)?;
    // The test answers in the script's place: first 503, then 200.
    let listener = TcpListener::bind(operator.http_addr()).await?;
    let server = tokio::spawn(async move {
        for status in ["503 Wait", "200 OK"] {
            let (mut stream, _) = listener.accept().await?;
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await?;
            let answer = format!("HTTP/1.0 {status}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await?;
        }
        std::io::Result::Ok(())
    });
    operator.wait_ready(SOON).await?;
    server.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_before_readiness_shows_the_log() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut operator = start(&script(dir.path(), "echo no such account >&2; exit 7")?)?;
    let error = operator.wait_ready(Duration::from_secs(600)).await;
    let message = format!("{:#}", error.expect_err("it died"));
    assert!(message.contains("no such account"), "{message}");
    Ok(())
}
