//! The chain of credentials: the source, and each role that is assumed from what
//! comes before it. Each link has a limit of its own, is counted, and says which
//! it is when it breaks.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::broken_link::{BrokenLink, Cause, broken_link, causes};
use super::error::fault_of;
use crate::metrics::Metrics;
use keylease_api::AssumeRole;
use keylease_api::text::cut;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::sign_in::SignInStep;

/// How long getting credentials may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The source: metadata services are asked several times.
    pub source: Duration,
    /// How much longer the last link may take, which waits for all before it.
    pub roles: Duration,
    /// The SDK's own, for all of it.
    pub load: Duration,
}

/// Within the limit of the call that wants the credentials, so that the link is
/// blamed and not the call.
pub(super) const LIMITS: Limits = Limits {
    source: Duration::from_secs(7),
    roles: Duration::from_secs(2),
    load: Duration::from_millis(9_500),
};

impl Limits {
    /// That of one link: a little more than those before it have.
    fn of(self, index: usize, roles: usize) -> Duration {
        let share = u32::try_from(index).unwrap_or(u32::MAX);
        let all = u32::try_from(roles).unwrap_or(u32::MAX).max(1);
        self.source + self.roles * share / all
    }
}

/// When the credentials end that were handed out last.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiry(Arc<Mutex<Option<Timestamp>>>);

impl Expiry {
    /// The time; `None` if they do not end by themselves, or there are none.
    pub fn get(&self) -> Option<Timestamp> {
        *self.0.lock()
    }
}

/// The settings with the chain as their provider of credentials.
pub(super) async fn with_chain(
    config: SdkConfig,
    roles: &[AssumeRole],
    limits: Limits,
    metrics: &Metrics,
) -> (SdkConfig, Expiry) {
    let expiry = Expiry::default();
    let Some(source) = config.credentials_provider() else {
        return (config, expiry);
    };
    let link = |index: usize, step, inner| Link {
        step,
        inner,
        limit: limits.of(index, roles.len()),
        metrics: metrics.clone(),
        expiry: (index == roles.len()).then(|| expiry.clone()),
    };
    let mut provider = SharedCredentialsProvider::new(link(0, SignInStep::Source, source));
    for (index, role) in roles.iter().enumerate() {
        let assumed = SharedCredentialsProvider::new(assume(&config, role, provider).await);
        let step = SignInStep::Role(index, role.role_arn.clone());
        provider = SharedCredentialsProvider::new(link(index + 1, step, assumed));
    }
    let config = config
        .into_builder()
        .credentials_provider(provider)
        .identity_cache(IdentityCache::lazy().load_timeout(limits.load).build())
        .build();
    (config, expiry)
}

/// The SDK assumes a role when a call needs it, and again before the session
/// ends.
async fn assume(
    config: &SdkConfig,
    role: &AssumeRole,
    source: SharedCredentialsProvider,
) -> AssumeRoleProvider {
    let name = role.session_name.as_deref().unwrap_or("keylease");
    let mut provider = AssumeRoleProvider::builder(&role.role_arn)
        .session_name(name)
        .configure(config);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    provider.build_from_provider(source).await
}

/// One link.
struct Link {
    step: SignInStep,
    inner: SharedCredentialsProvider,
    limit: Duration,
    metrics: Metrics,
    /// Of the last link: where it notes the end of what it hands out.
    expiry: Option<Expiry>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("step", &self.step).finish()
    }
}

impl ProvideCredentials for Link {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

impl Link {
    async fn provide(&self) -> provider::Result {
        let provided = timeout(self.limit, self.inner.provide_credentials()).await;
        let provided =
            provided.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(self.limit)));
        let operation = match self.step {
            SignInStep::Role(..) => "AssumeRole",
            SignInStep::Source | SignInStep::Identity => "Source",
        };
        let count = |outcome| self.metrics.call("credentials", operation, outcome);
        match provided {
            Ok(credentials) => {
                count("ok");
                if let Some(expiry) = &self.expiry {
                    let end = credentials.expiry();
                    *expiry.0.lock() = end.and_then(|end| Timestamp::try_from(end).ok());
                }
                Ok(credentials)
            }
            // The link before this one broke.
            Err(error) if broken_link(&error).is_some() => {
                count("broken");
                Err(error)
            }
            Err(error) => {
                let cause = cause(&error);
                count(match &cause {
                    Cause::Missing(_) => "missing",
                    Cause::Fault(fault) => fault.class.as_str(),
                });
                Err(CredentialsError::provider_error(BrokenLink {
                    step: self.step.clone(),
                    cause,
                    source: error,
                }))
            }
        }
    }
}

/// Why a provider has no credentials.
fn cause(error: &CredentialsError) -> Cause {
    let asked = causes(error).find_map(|cause| {
        of_call::<AssumeRoleError>(cause)
            .or_else(|| of_call::<AssumeRoleWithWebIdentityError>(cause))
    });
    if let Some(fault) = asked {
        return Cause::Fault(fault);
    }
    let fault = |class| {
        Cause::Fault(Fault {
            class,
            message: told(error),
        })
    };
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Cause::Missing(told(error)),
        CredentialsError::ProviderTimedOut(_) => fault(FaultClass::NoAnswer),
        CredentialsError::InvalidConfiguration(_) => fault(FaultClass::Refused),
        _ if names_no_file(error) => Cause::Missing(told(error)),
        _ => fault(FaultClass::Unavailable),
    }
}

fn of_call<E>(error: &(dyn Error + 'static)) -> Option<Fault>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    error.downcast_ref::<SdkError<E>>().map(fault_of)
}

/// A token or a file of settings that is not there.
fn names_no_file(error: &CredentialsError) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// What an error and its causes say, each once.
fn told(error: &CredentialsError) -> String {
    let mut told: Vec<String> = Vec::new();
    for text in causes(error).map(ToString::to_string) {
        if !told.iter().any(|earlier| earlier.contains(&text)) {
            told.push(text);
        }
    }
    cut(&told.join(": "))
}
