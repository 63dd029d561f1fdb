//! Signing in: from an account's credentials to clients that make calls.

use aws_config::retry::RetryConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::SharedHttpClient;
use jiff::Timestamp;
use tokio::time::timeout;

use super::broken_link::{BrokenLink, Cause, broken_link};
use super::call::Calls;
use super::chain::{Expiry, LIMITS, with_chain};
use super::leading::Leading;
use super::tenure::Tenure;
use crate::leader::Leadership;
use keylease_api::AwsAccountSpec;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::account::{DEFAULT_REGION, region_hints};
use keylease_core::plan::admission::AccountFacts;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::pacing::{Priority, Service};
use keylease_core::plan::sign_in::{Failure, SignIn, SignInStep, default_region};
use keylease_core::time::CALL_TIMEOUT;

/// Where the credentials for a sign-in come from.
pub enum Credentials {
    /// The SDK's default chain.
    Ambient,
    /// Given ones.
    Static(KeyMaterial),
}

/// Signs in. Holds the HTTP clients that all accounts share.
#[derive(Clone)]
pub struct Signer {
    http: SharedHttpClient,
    apart: SharedHttpClient,
    calls: Calls,
    leadership: Leadership,
}

/// A signed-in account: who we are there, and clients that act as that.
#[derive(Clone)]
pub struct Session {
    /// What decisions need to know of the account.
    pub facts: AccountFacts,
    pub(super) iam: aws_sdk_iam::Client,
    /// For the marker, by which it is found out whether other calls may be made.
    pub(super) identity: aws_sdk_iam::Client,
    /// Whether they may.
    pub(super) tenure: Tenure,
    leading: Leading,
    /// For the calls that hand out credentials.
    pub(super) sts: aws_sdk_sts::Client,
    /// For proofs, which act as the key that is proven and may be asked by
    /// whoever holds it, leader or not.
    pub(super) prover: aws_sdk_sts::Client,
    /// Makes a connection of its own for each call: a proof that is to come from
    /// another server than the last.
    pub(super) apart: SharedHttpClient,
    pub(super) config: SdkConfig,
    pub(super) calls: Calls,
    expiry: Expiry,
}

/// Clients that are not yet known to work.
pub struct Candidate {
    config: SdkConfig,
    expiry: Expiry,
    /// What could not even be set up.
    broken: Option<SignIn>,
    apart: SharedHttpClient,
    calls: Calls,
    leadership: Leadership,
}

impl Signer {
    /// A signer whose calls count into these, and whose sessions change nothing
    /// but while this instance leads.
    ///
    /// They go over that HTTP client: [`http::client`](super::http::client), or
    /// one that answers in the place of AWS, where answers are tried that no AWS
    /// gives.
    pub fn over(http: SharedHttpClient, calls: Calls, leadership: Leadership) -> Self {
        Self {
            apart: http.clone(),
            http,
            calls,
            leadership,
        }
    }

    /// The same with a client for proofs that makes a connection of its own for
    /// each call: [`http::apart`](super::http::apart).
    #[must_use]
    pub fn proving_over(self, apart: SharedHttpClient) -> Self {
        Self { apart, ..self }
    }

    /// Prepares clients for these credentials. The region is the account's, else
    /// the environment's, else one of the partition that the account's ARNs name.
    ///
    /// The SDK retries nothing: what is tried again, and when, is decided in
    /// `plan`, where one failure cannot become a storm.
    pub async fn prepare(&self, credentials: Credentials, spec: &AwsAccountSpec) -> Candidate {
        let (mut config, broken) =
            match timeout(CALL_TIMEOUT, self.settings(&credentials, spec)).await {
                Ok(config) => (config, None),
                Err(_) => (SdkConfig::builder().build(), Some(settings_hang(spec))),
            };
        let mut expiry = Expiry::default();
        if broken.is_none() {
            let metrics = self.calls.metrics();
            (config, expiry) = with_chain(config, &spec.assume_roles, LIMITS, metrics).await;
        }
        Candidate {
            config,
            expiry,
            broken,
            apart: self.apart.clone(),
            calls: self.calls.clone(),
            leadership: self.leadership.clone(),
        }
    }

    /// The SDK's settings with the source of the credentials. It may ask a
    /// metadata service for the region.
    async fn settings(&self, credentials: &Credentials, spec: &AwsAccountSpec) -> SdkConfig {
        let region = spec.region.clone().map(Region::new);
        let config = self.loader(credentials, region).load().await;
        if config.region().is_some() {
            return config;
        }
        // Once more: the source was set up without a region too.
        let web_identity = std::env::var("AWS_ROLE_ARN").ok();
        let region = default_region(region_hints(spec).chain(web_identity.as_deref()));
        let region = Region::from_static(region);
        self.loader(credentials, Some(region)).load().await
    }

    fn loader(&self, credentials: &Credentials, region: Option<Region>) -> ConfigLoader {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .retry_config(RetryConfig::disabled());
        if let Ok(name) = AppName::new("keylease") {
            loader = loader.app_name(name);
        }
        if let Some(region) = region {
            loader = loader.region(region);
        }
        if let Credentials::Static(key) = credentials {
            loader = loader.credentials_provider(static_provider(key));
        }
        loader
    }
}

fn settings_hang(spec: &AwsAccountSpec) -> SignIn {
    let seconds = CALL_TIMEOUT.as_secs();
    SignIn::Failed(Failure {
        step: SignInStep::Source,
        region: spec.region.clone().unwrap_or_default(),
        fault: Fault {
            class: FaultClass::NoAnswer,
            message: format!("the AWS SDK's settings were not read within {seconds} s"),
        },
    })
}

impl Candidate {
    /// Asks STS who these credentials are, and gets them for that.
    pub async fn identify(&self) -> SignIn {
        if let Some(broken) = &self.broken {
            return broken.clone();
        }
        if self.config.credentials_provider().is_none() {
            return SignIn::NoCredentials("the AWS SDK's default chain is empty".to_owned());
        }
        let sts = aws_sdk_sts::Client::new(&self.config);
        let mut broken = None;
        let call = async {
            let answer = sts.get_caller_identity().send().await;
            let error = answer.as_ref().err();
            broken = error.and_then(|e| broken_link(e)).map(|l| self.broke(l));
            answer
        };
        let answer = self.calls.sts("GetCallerIdentity", call).await;
        match (answer, broken) {
            (Ok(identity), _) => SignIn::Identity {
                account_id: identity.account.unwrap_or_default(),
                arn: identity.arn.unwrap_or_default(),
            },
            (Err(_), Some(broken)) => broken,
            (Err(fault), None) => self.failed(SignInStep::Identity, fault),
        }
    }

    fn broke(&self, link: &BrokenLink) -> SignIn {
        match &link.cause {
            // Of the source, and nothing else is looked for.
            Cause::Missing(what) => SignIn::NoCredentials(format!(
                "the operator finds no AWS credentials in its surroundings ({what}); set up IRSA, \
                 Pod Identity or environment variables, or use credentials.secretRef"
            )),
            Cause::Fault(fault) => self.failed(link.step.clone(), fault.clone()),
        }
    }

    fn failed(&self, step: SignInStep, fault: Fault) -> SignIn {
        SignIn::Failed(Failure {
            step,
            region: self.region().to_owned(),
            fault,
        })
    }

    /// The region that calls and issued Secrets use.
    pub fn region(&self) -> &str {
        self.config.region().map_or(DEFAULT_REGION, |r| r.as_ref())
    }

    /// The session, now that it is known whose it is. It makes calls only while
    /// this cluster holds its identity there.
    pub fn session(&self, facts: AccountFacts, tenure: Tenure) -> Session {
        let leading = Leading::new(self.leadership.clone());
        let identity =
            aws_sdk_iam::config::Builder::from(&self.config).interceptor(leading.clone());
        let (iam, sts) = gated(&self.config, leading.clone().with(tenure.clone()));
        Session {
            calls: self.calls.of_account(&facts.account_id),
            facts,
            identity: aws_sdk_iam::Client::from_conf(identity.build()),
            tenure,
            leading,
            iam,
            sts,
            prover: aws_sdk_sts::Client::new(&self.config),
            apart: self.apart.clone(),
            config: self.config.clone(),
            expiry: self.expiry.clone(),
        }
    }
}

/// The clients whose calls pass this gate.
fn gated(config: &SdkConfig, gate: Leading) -> (aws_sdk_iam::Client, aws_sdk_sts::Client) {
    let iam = aws_sdk_iam::config::Builder::from(config).interceptor(gate.clone());
    let sts = aws_sdk_sts::config::Builder::from(config).interceptor(gate);
    (
        aws_sdk_iam::Client::from_conf(iam.build()),
        aws_sdk_sts::Client::from_conf(sts.build()),
    )
}

impl Session {
    /// The same session, its calls at that place in the line. Without this
    /// they go first, as the operator's own.
    pub fn at(&self, priority: Priority) -> Self {
        Self {
            calls: self.calls.at(priority),
            ..self.clone()
        }
    }

    /// When its credentials end, if they do by themselves. The SDK has others
    /// before that, if they can be had.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expiry.get()
    }

    /// The same session, of an account whose settings changed, and with them
    /// perhaps the path under which the cluster has to hold its identity.
    pub fn with_facts(&self, facts: AccountFacts, tenure: Tenure) -> Self {
        let (iam, sts) = gated(&self.config, self.leading.clone().with(tenure.clone()));
        Self {
            facts,
            tenure,
            iam,
            sts,
            ..self.clone()
        }
    }

    /// The right by which it makes calls.
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// How many calls a second a service takes from this account at present.
    pub fn per_second(&self, service: Service) -> f64 {
        let budget = self.calls.budget();
        budget.map_or(f64::INFINITY, |b| b.gate(service).per_second())
    }

    /// Sets the most IAM calls a second in this session's AWS account.
    pub(super) fn set_cap(&self, cap: Option<u32>) {
        if let Some(budget) = self.calls.budget() {
            budget.gate(Service::Iam).set_cap(cap.map(f64::from));
        }
    }
}

/// A provider of fixed credentials. The SDK's own copy is wiped on drop too.
pub(super) fn static_provider(key: &KeyMaterial) -> SharedCredentialsProvider {
    let credentials = aws_credential_types::Credentials::new(
        key.id(),
        key.expose(),
        key.session_token().map(str::to_owned),
        None,
        "keylease",
    );
    SharedCredentialsProvider::new(credentials)
}

#[cfg(test)]
mod tests;
