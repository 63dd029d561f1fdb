//! What cannot work is told at the start, in a sentence, before anything is
//! served.

use std::path::Path;

use anyhow::Result;
use keylease_testbed::Operator;

use crate::harness::{KEYLEASE, SOON, Story};

/// The last line that an operator with this environment says before it ends.
async fn last_words(env: &[(&str, &str)]) -> Result<String> {
    let nowhere = Path::new("no-such-kubeconfig");
    let aws = "https://iam.invalid";
    let mut operator = Operator::start(Path::new(KEYLEASE), nowhere, aws, env, &[])?;
    let status = operator.wait_exit(SOON).await?;
    let log = operator.log_text();
    anyhow::ensure!(status.code() == Some(1), "{status}: {log}");
    Ok(log.lines().last().unwrap_or_default().to_owned())
}

/// Without root certificates every call to AWS would fail, one by one.
#[tokio::test]
async fn missing_root_certificates_are_told_with_what_to_mount() -> Story {
    let said = last_words(&[("SSL_CERT_FILE", "/nowhere/roots.pem")]).await?;
    let where_ = "there are no root certificates where SSL_CERT_FILE=/nowhere/roots.pem says";
    assert!(said.starts_with("keylease: "), "{said}");
    assert!(said.contains(where_), "{said}");
    assert!(said.contains("mount a bundle in PEM"), "{said}");
    Ok(())
}

/// Metrics are not shown to everybody because a demonstration was copied.
#[tokio::test]
async fn plain_metrics_for_others_have_to_be_asked_for() -> Story {
    let everywhere = ("KEYLEASE_METRICS_ADDR", "0.0.0.0:0");
    let said = last_words(&[("KEYLEASE_METRICS_ACCESS", "loopback"), everywhere]).await?;
    assert!(said.contains("--metrics-access reviewed"), "{said}");
    Ok(())
}

/// A port without a scheme is what people write, and no URL.
#[tokio::test]
async fn a_collector_of_traces_needs_a_url() -> Story {
    let said = last_words(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]).await?;
    assert!(said.contains("as in http://collector"), "{said}");
    Ok(())
}
