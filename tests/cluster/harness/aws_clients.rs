//! The holder of a Secret, as an AWS SDK sees it.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_sts::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use keylease_testbed::aws_cli::{ADMIN_KEY_ID, ADMIN_SECRET, REGION};

/// Asks STS once, with the key of that Secret and no second try, who it
/// belongs to: the ARN.
pub async fn caller_of(secret: &BTreeMap<String, String>, endpoint: &str) -> Result<String> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let credentials = Credentials::new(
        &secret["AWS_ACCESS_KEY_ID"],
        &secret["AWS_SECRET_ACCESS_KEY"],
        None,
        None,
        "the Secret",
    );
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(credentials)
        .region(Region::new(secret["AWS_REGION"].clone()))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .build();
    let answer = aws_sdk_sts::Client::from_conf(config)
        .get_caller_identity()
        .send()
        .await?;
    Ok(answer.arn.unwrap_or_default())
}

/// The account's administrator: may do everything, and is not the operator.
pub fn iam_of(endpoint: &str) -> aws_sdk_iam::Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let root = Credentials::new(ADMIN_KEY_ID, ADMIN_SECRET, None, None, "the account's root");
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(root)
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .build();
    aws_sdk_iam::Client::from_conf(config)
}
