//! Signing in: from an account's credentials to clients that make calls.

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::config::SharedHttpClient;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use super::call::Calls;
use super::leading::Leading;
use crate::api::AssumeRole;
use crate::key_material::KeyMaterial;
use crate::leader::Leadership;
use crate::plan::account::{DEFAULT_REGION, SignIn};
use crate::plan::admission::AccountFacts;
use crate::plan::pacing::{Priority, Service};

/// Where the credentials for a sign-in come from.
pub enum Credentials {
    /// The SDK's default chain.
    Ambient,
    /// Given ones.
    Static(KeyMaterial),
}

/// Signs in. Holds the one HTTP client that all accounts share.
#[derive(Clone)]
pub struct Signer {
    http: SharedHttpClient,
    calls: Calls,
    leadership: Leadership,
}

/// A signed-in account: who we are there, and clients that act as that.
#[derive(Clone)]
pub struct Session {
    /// What decisions need to know of the account.
    pub facts: AccountFacts,
    pub(super) iam: aws_sdk_iam::Client,
    /// For the calls that hand out credentials.
    pub(super) sts: aws_sdk_sts::Client,
    /// For proofs, which act as the key that is proven and may be asked by
    /// whoever holds it, leader or not.
    pub(super) prover: aws_sdk_sts::Client,
    pub(super) config: SdkConfig,
    pub(super) calls: Calls,
}

/// Clients that are not yet known to work.
pub struct Candidate {
    config: SdkConfig,
    calls: Calls,
    leadership: Leadership,
}

impl Signer {
    /// A signer whose calls count into these, and whose sessions change nothing
    /// but while this instance leads.
    pub fn new(calls: Calls, leadership: Leadership) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        Self::over(http, calls, leadership)
    }

    /// The same over an HTTP client of the caller's, which answers in the place
    /// of AWS where answers are tried that no AWS gives.
    pub fn over(http: SharedHttpClient, calls: Calls, leadership: Leadership) -> Self {
        Self {
            http,
            calls,
            leadership,
        }
    }

    /// Prepares clients for these credentials. The region is the given one,
    /// else the environment's, else [`DEFAULT_REGION`].
    ///
    /// The SDK retries nothing: what is tried again, and when, is decided in
    /// `plan`, where one failure cannot become a storm.
    pub async fn prepare(
        &self,
        credentials: Credentials,
        region: Option<String>,
        chain: &[AssumeRole],
    ) -> Candidate {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .retry_config(RetryConfig::disabled());
        if let Ok(name) = AppName::new("keylease") {
            loader = loader.app_name(name);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Credentials::Static(key) = credentials {
            loader = loader.credentials_provider(static_provider(&key));
        }
        let mut config = loader.load().await;
        if config.region().is_none() {
            let region = Region::from_static(DEFAULT_REGION);
            config = config.into_builder().region(region).build();
        }
        for role in chain {
            config = assume(&config, role).await;
        }
        Candidate {
            config,
            calls: self.calls.clone(),
            leadership: self.leadership.clone(),
        }
    }
}

impl Candidate {
    /// Asks STS who these credentials are.
    pub async fn identify(&self) -> SignIn {
        let Some(provider) = self.config.credentials_provider() else {
            return SignIn::NoCredentials("the AWS SDK's default chain is empty".to_owned());
        };
        if let Err(error) = provider.provide_credentials().await {
            return SignIn::NoCredentials(format!(
                "the operator finds no AWS credentials in its surroundings ({error}); set up IRSA, \
                 Pod Identity or environment variables, or use credentials.secretRef"
            ));
        }
        let sts = aws_sdk_sts::Client::new(&self.config);
        let call = sts.get_caller_identity().send();
        match self.calls.sts("GetCallerIdentity", call).await {
            Ok(identity) => SignIn::Identity {
                account_id: identity.account.unwrap_or_default(),
                arn: identity.arn.unwrap_or_default(),
            },
            Err(fault) => SignIn::Failed(fault),
        }
    }

    /// The region that calls and issued Secrets use.
    pub fn region(&self) -> &str {
        self.config.region().map_or(DEFAULT_REGION, |r| r.as_ref())
    }

    /// The session, now that it is known whose it is.
    pub fn session(&self, facts: AccountFacts) -> Session {
        let gate = Leading::new(self.leadership.clone());
        let iam = aws_sdk_iam::config::Builder::from(&self.config).interceptor(gate.clone());
        let sts = aws_sdk_sts::config::Builder::from(&self.config).interceptor(gate);
        Session {
            calls: self.calls.of_account(&facts.account_id),
            facts,
            iam: aws_sdk_iam::Client::from_conf(iam.build()),
            sts: aws_sdk_sts::Client::from_conf(sts.build()),
            prover: aws_sdk_sts::Client::new(&self.config),
            config: self.config.clone(),
        }
    }
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

/// One link of the chain: the same settings, as that role. The SDK assumes it
/// when a call needs it, and again before the session ends.
async fn assume(config: &SdkConfig, role: &AssumeRole) -> SdkConfig {
    let name = role.session_name.as_deref().unwrap_or("keylease");
    let mut provider = AssumeRoleProvider::builder(&role.role_arn)
        .session_name(name)
        .configure(config);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    let provider = match config.credentials_provider() {
        Some(source) => provider.build_from_provider(source).await,
        None => provider.build().await,
    };
    config
        .to_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .identity_cache(IdentityCache::lazy().build())
        .build()
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
