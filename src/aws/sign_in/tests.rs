//! Sign-ins over the real SDK, with canned answers in the place of AWS.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_iam::config::HttpClient;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::aws::chain::Limits;
use crate::metrics::Metrics;
use keylease_api::{AssumeRole, AwsAccount};
use keylease_core::plan::account::judge;

/// Answers by the text of the request: status and body, or never.
#[derive(Clone)]
struct Canned(Arc<Answer>);

/// Status and body for the text of a request; `None`: no answer.
type Answer = dyn Fn(&str) -> Option<(u16, String)> + Send + Sync;

impl std::fmt::Debug for Canned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = request.body().bytes().unwrap_or_default();
        match (self.0)(&String::from_utf8_lossy(asked)) {
            Some((status, body)) => HttpConnectorFuture::ready(Ok(HttpResponse::new(
                status.try_into().unwrap(),
                SdkBody::from(body),
            ))),
            None => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

impl HttpClient for Canned {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn error(status: u16, code: &str, message: &str) -> Option<(u16, String)> {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
         </Error><RequestId>1</RequestId></ErrorResponse>"
    );
    Some((status, body))
}

fn assumed(end: &str) -> Option<(u16, String)> {
    let body = format!(
        "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser>\
         <Arn>arn:aws:sts::123456789012:assumed-role/r/keylease</Arn>\
         <AssumedRoleId>AROA1:keylease</AssumedRoleId></AssumedRoleUser><Credentials>\
         <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    );
    Some((200, body))
}

fn identity() -> Option<(u16, String)> {
    let body = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
        <Arn>arn:aws:iam::123456789012:user/operator</Arn><UserId>AIDA1</UserId>\
        <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    Some((200, body.to_owned()))
}

const FIRST: &str = "arn:aws:iam::123456789012:role/first";
const SECOND: &str = "arn:aws:iam::210987654321:role/second";

/// An account that goes by these roles.
fn account(roles: &[&str]) -> AwsAccount {
    let roles = roles.iter().map(|arn| AssumeRole {
        role_arn: (*arn).to_owned(),
        ..AssumeRole::default()
    });
    let spec = AwsAccountSpec {
        region: Some("eu-west-1".into()),
        assume_roles: roles.collect(),
        ..AwsAccountSpec::default()
    };
    AwsAccount::new("default", spec)
}

fn signer(
    answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
) -> (Signer, Metrics) {
    let metrics = Metrics::default();
    let http = SharedHttpClient::new(Canned(Arc::new(answer)));
    let calls = Calls::new(metrics.clone());
    (Signer::over(http, calls, Leadership::alone()), metrics)
}

async fn prepared(
    roles: &[&str],
    answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Candidate {
    let key = KeyMaterial::new("AKIA1".into(), "secret".into(), None);
    let (signer, _) = signer(answer);
    let spec = account(roles).spec;
    signer.prepare(Credentials::Static(key), &spec).await
}

/// Signs in from a Secret; what came of it and what the account says.
async fn sign_in(
    roles: &[&str],
    answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
) -> (SignIn, &'static str, String) {
    let outcome = prepared(roles, answer).await.identify().await;
    let verdict = judge(&account(roles), &outcome);
    assert!(
        !verdict.message.contains("surroundings"),
        "{}",
        verdict.message
    );
    (outcome, verdict.reason, verdict.message)
}

fn step(outcome: &SignIn) -> &SignInStep {
    match outcome {
        SignIn::Failed(failure) => &failure.step,
        other => panic!("{other:?}"),
    }
}

/// Limits that a test can wait for.
const SHORT: Limits = Limits {
    source: Duration::from_millis(200),
    roles: Duration::from_millis(200),
    load: Duration::from_secs(5),
};
const LATER: &str = "2099-01-01T00:00:00Z";

#[tokio::test]
async fn the_link_that_is_denied_is_named_with_what_aws_says() {
    let denial = "User: arn:aws:sts::123456789012:assumed-role/first/keylease is not authorized to \
                  perform: sts:AssumeRole on resource: arn:aws:iam::210987654321:role/second";
    let (outcome, reason, message) = sign_in(&[FIRST, SECOND], move |asked| {
        match asked.contains("role%2Fsecond") {
            true => error(403, "AccessDenied", denial),
            false => assumed(LATER),
        }
    })
    .await;
    assert_eq!(*step(&outcome), SignInStep::Role(1, SECOND.into()));
    assert_eq!(reason, "AccessDenied");
    let told = format!("spec.assumeRoles[1] ({SECOND}): AccessDenied: {denial}");
    assert!(message.ends_with(&told), "{message}");
}

#[tokio::test]
async fn a_key_that_is_not_known_breaks_the_link_that_uses_it() {
    let (outcome, reason, message) = sign_in(&[FIRST, SECOND], |_| {
        let text = "The security token included in the request is invalid.";
        error(403, "InvalidClientTokenId", text)
    })
    .await;
    assert_eq!(*step(&outcome), SignInStep::Role(0, FIRST.into()));
    assert_eq!(reason, "CredentialsRejected");
    assert!(
        message.contains("eu-west-1 may not be enabled"),
        "{message}"
    );
    assert!(message.contains("spec.assumeRoles[0]"), "{message}");
}

#[tokio::test]
async fn an_outage_is_told_as_one_at_whichever_step() {
    for roles in [&[][..], &[FIRST]] {
        let (outcome, reason, message) =
            sign_in(roles, |_| error(503, "ServiceUnavailable", "later")).await;
        assert_eq!(reason, "Unreachable", "{outcome:?}");
        assert!(message.contains("ServiceUnavailable: later"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_awss_is_judged_by_its_status() {
    let page = |_: &str| Some((403, "<html>Blocked by proxy</html>".to_owned()));
    let (outcome, reason, message) = sign_in(&[FIRST], page).await;
    assert_eq!(*step(&outcome), SignInStep::Role(0, FIRST.into()));
    assert_eq!(reason, "AccessDenied");
    assert!(message.contains("HTTP status 403"), "{message}");
}

#[tokio::test]
async fn the_last_step_is_the_question_who_it_is() {
    let (outcome, reason, _) = sign_in(&[FIRST], |asked| {
        match asked.contains("Action=AssumeRole") {
            true => assumed(LATER),
            false => error(
                403,
                "AccessDenied",
                "explicit deny in a service control policy",
            ),
        }
    })
    .await;
    assert_eq!(*step(&outcome), SignInStep::Identity);
    assert_eq!(reason, "AccessDenied");
}

#[tokio::test]
async fn the_end_of_what_was_assumed_is_known() {
    let answer = |asked: &str| match asked.contains("Action=AssumeRole") {
        true => assumed(LATER),
        false => identity(),
    };
    let candidate = prepared(&[FIRST, SECOND], answer).await;
    assert!(matches!(
        candidate.identify().await,
        SignIn::Identity { .. }
    ));
    assert_eq!(candidate.expiry.get(), LATER.parse().ok());
    let candidate = prepared(&[], answer).await;
    candidate.identify().await;
    assert_eq!(candidate.expiry.get(), None, "a long-term key");
}

/// A denial of `AssumeRole` within an IAM call is no denial of that call.
#[tokio::test]
async fn a_call_without_credentials_was_not_sent() {
    let answer = |_: &str| error(403, "AccessDenied", "not authorized");
    let candidate = prepared(&[FIRST], answer).await;
    let account = account(&[FIRST]);
    let facts = keylease_core::plan::account::facts(&account, "123456789012", "", "eu-west-1");
    let fault = candidate
        .session(facts, crate::aws::Tenure::assumed())
        .list_keys("a")
        .await
        .unwrap_err();
    assert_eq!(fault.class, FaultClass::Unavailable);
    let told = format!("spec.assumeRoles[0] ({FIRST}): AccessDenied: not authorized");
    assert!(fault.message.ends_with(&told), "{}", fault.message);
}

/// A source of credentials as the SDK's default chain may have one.
#[derive(Debug)]
enum Source {
    Key,
    Hangs,
    Has(fn() -> CredentialsError),
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self {
            Self::Key | Self::Hangs => future::ProvideCredentials::new(std::future::pending()),
            Self::Has(error) => future::ProvideCredentials::ready(Err(error())),
        }
    }
}

/// A sign-in from that source, with limits as short as a test's; and what was
/// counted.
async fn from_source(
    source: Source,
    roles: &[&str],
    answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
) -> (SignIn, String) {
    let (signer, metrics) = signer(answer);
    let key = KeyMaterial::new("AKIA1".into(), "secret".into(), None);
    let spec = account(roles).spec;
    let config = signer.settings(&Credentials::Static(key), &spec).await;
    let config = match source {
        Source::Key => config,
        source => {
            let provider = SharedCredentialsProvider::new(source);
            config.into_builder().credentials_provider(provider).build()
        }
    };
    let (config, expiry) = with_chain(config, &spec.assume_roles, SHORT, &metrics).await;
    let candidate = Candidate {
        config,
        expiry,
        apart: signer.apart.clone(),
        broken: None,
        calls: signer.calls.clone(),
        leadership: Leadership::alone(),
    };
    (candidate.identify().await, metrics.render())
}

#[tokio::test]
async fn a_source_that_hangs_is_given_up_and_blamed() {
    for roles in [&[][..], &[FIRST, SECOND]] {
        let (outcome, counted) = from_source(Source::Hangs, roles, |_| identity()).await;
        assert_eq!(*step(&outcome), SignInStep::Source);
        assert_eq!(judge(&account(roles), &outcome).reason, "Unreachable");
        let counter = "service=\"credentials\",operation=\"Source\",outcome=\"no_answer\"";
        assert!(counted.contains(counter), "{counted}");
    }
}

#[tokio::test]
async fn a_role_that_hangs_is_given_up_and_blamed() {
    let (outcome, counted) = from_source(Source::Key, &[FIRST, SECOND], |asked| {
        match asked.contains("role%2Fsecond") {
            true => None,
            false => assumed(LATER),
        }
    })
    .await;
    assert_eq!(*step(&outcome), SignInStep::Role(1, SECOND.into()));
    let counter = "service=\"credentials\",operation=\"AssumeRole\",outcome=\"no_answer\"";
    assert!(counted.contains(counter), "{counted}");
}

#[tokio::test]
async fn what_is_missing_is_told_with_where_it_was_looked_for() {
    let nothing = || CredentialsError::not_loaded("no providers in chain provided credentials");
    let (outcome, _) = from_source(Source::Has(nothing), &[FIRST], |_| identity()).await;
    let SignIn::NoCredentials(what) = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(what.contains("no providers in chain"), "{what}");
    let no_file = || {
        let error = std::io::Error::new(std::io::ErrorKind::NotFound, "no /var/run/token");
        CredentialsError::provider_error(error)
    };
    let (outcome, _) = from_source(Source::Has(no_file), &[], |_| identity()).await;
    let told = matches!(&outcome, SignIn::NoCredentials(what) if what.contains("/var/run/token"));
    assert!(told, "{outcome:?}");
}
