//! Answers that no AWS gives, from a proxy or from somebody who means harm: any
//! status, any body. Each becomes an outcome, and none says more than it knows.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sdk_iam::config::{BehaviorVersion, HttpClient, Region, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use proptest::prelude::*;

use super::error::fault;
use crate::plan::effect::{Fault, FaultClass};
use crate::text;

/// A case that fails is added here.
const CORPUS: [&str; 10] = [
    "",
    "<",
    "<html><body>502 Bad Gateway</body></html>",
    "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>",
    "<ErrorResponse><Error><Code></Code></Error></ErrorResponse>",
    "<ErrorResponse><Error><Code>&#0;&lol;</Code><Message>]]></Message></Error></ErrorResponse>",
    "<Error><Code>NoSuchEntity</Code></Error>",
    "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>u</UserName>",
    "{\"__type\": \"Throttling\"}",
    "\u{feff}<?xml version=\"1.0\" encoding=\"utf-16\"?><a/>",
];

/// Answers everything with the same.
#[derive(Clone, Debug)]
struct Echo {
    status: u16,
    body: Arc<[u8]>,
}

impl HttpConnector for Echo {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = self.status.try_into().unwrap();
        let body = SdkBody::from(self.body.to_vec());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body)))
    }
}

impl HttpClient for Echo {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// An IAM that answers so.
fn iam(status: u16, body: &[u8]) -> aws_sdk_iam::Client {
    let echo = Echo {
        status,
        body: body.into(),
    };
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("AKIAEXAMPLE", "x", None, None, "test"))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .http_client(SharedHttpClient::new(echo));
    aws_sdk_iam::Client::from_conf(config.build())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(CORPUS.as_slice());
    let code = prop_oneof!["[A-Za-z]{0,20}", any::<String>()];
    prop_oneof![
        known.prop_map(|text| text.as_bytes().to_vec()),
        any::<Vec<u8>>(),
        "[<>/a-zA-Z&;!\\[\\] =\"]{0,200}".prop_map(String::into_bytes),
        (code, any::<String>(), 0..5000_usize).prop_map(|(code, message, times)| {
            let message = message.repeat(times / (message.len() + 1));
            format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            )
            .into_bytes()
        }),
    ]
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![Just(200_u16), Just(400), Just(403), Just(404), 200..600_u16]
}

/// What two calls make of the answer: one that creates, one that reads.
fn outcomes(status: u16, body: &[u8]) -> [Option<Fault>; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let iam = iam(status, body);
    runtime.block_on(async {
        [
            iam.create_access_key().send().await.err().map(fault),
            iam.get_user().send().await.err().map(fault),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_of_aws_becomes_an_outcome(status in status(), body in body()) {
        for fault in outcomes(status, &body).into_iter().flatten() {
            prop_assert!(fault.message.len() <= text::MAX, "{} bytes", fault.message.len());
            // What succeeded and cannot be read may have been applied: nothing
            // may be concluded from it.
            if (200..300).contains(&status) {
                prop_assert_eq!(fault.class, FaultClass::NoAnswer);
            }
        }
    }
}
