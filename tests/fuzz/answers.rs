//! Answers of AWS, or of whatever stands in its place: any status, any body, to
//! calls that create, read and prove.

use aws_sdk_iam::config::{HttpClient, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use keylease::aws::{Calls, Credentials, Session, Signer, Tenure};
use keylease::leader::Leadership;
use keylease::metrics::Metrics;
use keylease_api::AwsAccountSpec;
use keylease_api::text;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Fault, FaultClass, Proof};
use keylease_core::plan::session_spec::{SessionCall, SessionSpec};

use crate::harness::{Told, did, fuzz};
use crate::samples;

const TOKENS: [&str; 20] = [
    "200\n",
    "400\n",
    "403\n",
    "404\n",
    "409\n",
    "429\n",
    "500\n",
    "503\n",
    "<Code>NoSuchEntity</Code>",
    "<Code>AccessDenied</Code>",
    "<Code>Throttling</Code>",
    "<Code>InvalidClientTokenId</Code>",
    "<CreateAccessKeyResult>",
    "</AccessKey>",
    "<AccessKeyId/>",
    "<SecretAccessKey></SecretAccessKey>",
    "<Expiration>2027-01-15T08:00:00Z</Expiration>",
    "<GetUserResult/>",
    "<![CDATA[",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
];

/// The user in whose name keys are asked for.
const USER: &str = "keylease-team-app-aaaaaaaaaaaaaaaaaaaa";

/// Answers everything with the same.
#[derive(Clone, Debug)]
struct Echo {
    status: u16,
    body: Vec<u8>,
}

impl HttpConnector for Echo {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = self.status.try_into().unwrap();
        let body = SdkBody::from(self.body.clone());
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

impl Echo {
    /// The first line is the status, the rest the body.
    fn read(input: &[u8]) -> Option<Self> {
        let end = input.iter().position(|b| *b == b'\n')?;
        let status = std::str::from_utf8(&input[..end]).ok()?.parse().ok()?;
        let body = input[end + 1..].to_vec();
        (200..600)
            .contains(&status)
            .then_some(Self { status, body })
    }

    /// A session that hears nothing else. Each has a budget of its own, or they
    /// would wait for each other.
    async fn session(&self, metrics: &Metrics) -> Session {
        let calls = Calls::new(metrics.clone());
        let http = SharedHttpClient::new(self.clone());
        let signer = Signer::over(http, calls, Leadership::alone());
        let key = Credentials::Static(key());
        let spec = AwsAccountSpec {
            region: Some("us-east-1".to_owned()),
            ..AwsAccountSpec::default()
        };
        let candidate = signer.prepare(key, &spec).await;
        candidate.session(samples::account(), Tenure::assumed())
    }
}

fn key() -> KeyMaterial {
    KeyMaterial::new("AKIA1".to_owned(), "secret".to_owned(), None)
}

/// What AWS did is concluded from what it said: from a success that cannot be
/// read follows nothing, and a key in hand is one that works or may.
async fn judge(echo: Echo, metrics: &Metrics) -> Told {
    let session = echo.session(metrics).await;
    let succeeded = (200..300).contains(&echo.status);
    let made = session.create_key(USER).await;
    if let Ok(key) = &made {
        ensure!(
            succeeded && key.is_whole(),
            "a key of {:?} from {}",
            key.id(),
            echo.status
        );
    }
    let found = session.get_user(USER).await;
    let missing = matches!(found, Ok(None));
    ensure!(
        !(succeeded && missing),
        "no user, by a success that names none"
    );
    let listed = session.list_keys(USER).await;
    let spec = SessionSpec {
        call: SessionCall::SessionToken,
        seconds: 900,
        policy_arns: Vec::new(),
        policy_document: None,
        groups: Vec::new(),
    };
    let issued = session.issue_session(&spec).await;
    if let Ok((key, _)) = &issued {
        ensure!(succeeded && key.is_whole(), "a session of {:?}", key.id());
    }
    let proof = session
        .prove_key(&key(), "arn:aws:iam::123456789012:user/a", false)
        .await;
    let said = String::from_utf8_lossy(&echo.body).contains("arn:aws:iam::123456789012:user/a");
    ensure!(
        proof != Ok(Proof::Accepted) || succeeded && said,
        "proven by {}",
        echo.status
    );
    did([
        outcome(made, succeeded)?,
        outcome(found, succeeded)?,
        outcome(listed, succeeded)?,
        outcome(issued, succeeded)?,
        outcome(proof, succeeded)?,
    ])
}

/// A fault's class, and nothing for a success.
fn outcome<T>(answer: Result<T, Fault>, succeeded: bool) -> Result<Option<FaultClass>, String> {
    let Err(fault) = answer else {
        return Ok(None);
    };
    let length = fault.message.len();
    ensure!(
        length <= text::MAX,
        "{length} bytes of somebody else's text"
    );
    ensure!(
        fault.class != FaultClass::Unsent,
        "the calls wait for each other"
    );
    let knows = succeeded && fault.class != FaultClass::NoAnswer;
    ensure!(
        !knows,
        "{:?} from a success that cannot be read",
        fault.class
    );
    Ok(Some(fault.class))
}

#[test]
fn answers() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let metrics = Metrics::default();
    fuzz("answers", &TOKENS, |input| match Echo::read(input) {
        Some(echo) => runtime.block_on(judge(echo, &metrics)),
        None => did("no answer"),
    });
}
