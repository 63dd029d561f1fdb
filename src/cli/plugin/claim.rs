//! A request that this process made or shares, from its creation to its end.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::client::{MANAGER, Session, check_name, on_role};
use super::error::{Call, Failure};
use super::key::IssuedKey;
use super::shared::{self, Followed};
use super::signals::Signals;
use super::wait::{self, Judgement, Patience};
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, AwsCredentialRequestSpec, GoDuration, NameRef, Phase};

/// How long a request that nobody ends stays after its lease, so that those of
/// a plugin that was killed do not pile up.
const TTL_AFTER_EXPIRY: &str = "1h";
/// How long the API server may take to accept a deletion.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked for.
pub(super) struct Order {
    /// The `AwsRole`.
    pub role: String,
    /// The request's name; without one the API server makes one up.
    pub name: Option<String>,
    /// Share the request of that name with whoever else asks for it.
    pub reuse: bool,
    /// The lease's length.
    pub ttl: Option<GoDuration>,
    /// What a shared lease has to have left.
    pub min_left: SignedDuration,
}

/// A request and whether it is ours to delete.
pub(super) struct Claim {
    session: Session,
    request: AwsCredentialRequest,
    shared: bool,
}

impl Claim {
    /// A request with a key that works: one of our own, or a shared one. On
    /// failure and on signals nothing of our own is left behind; what is shared
    /// is left to those it is shared with.
    pub async fn take(
        session: Session,
        order: &Order,
        patience: Patience,
        signals: &mut Signals,
    ) -> Result<(Self, IssuedKey), Failure> {
        check_role(&session, &order.role).await?;
        match order.name.as_deref().filter(|_| order.reuse) {
            Some(name) => Self::share(session, order, name, patience, signals).await,
            None => Self::make(session, order, patience, signals).await,
        }
    }

    async fn share(
        session: Session,
        order: &Order,
        name: &str,
        patience: Patience,
        signals: &mut Signals,
    ) -> Result<(Self, IssuedKey), Failure> {
        let obtained = tokio::select! {
            obtained = shared::obtain(&session, order, name, patience) => obtained,
            signal = signals.next_ending() => Err(Failure::interrupted(signal)),
        };
        match obtained {
            Ok((request, key)) => {
                let shared = true;
                let claim = Self {
                    session,
                    request,
                    shared,
                };
                Ok((claim, key))
            }
            // What was begun goes on without us.
            Err(failure) if failure.code >= 3 => Err(failure.and(&format!(
                "request {name} is left for the next call; end it with: \
                 kubectl keylease revoke {name} -n {}",
                session.namespace
            ))),
            Err(failure) => Err(failure),
        }
    }

    async fn make(
        session: Session,
        order: &Order,
        patience: Patience,
        signals: &mut Signals,
    ) -> Result<(Self, IssuedKey), Failure> {
        let name = order.name.as_deref().unwrap_or_default();
        // Never cut short by a signal: a request whose creation was not heard
        // of could not be deleted.
        let request = create(&session, order).await.map_err(|error| match error {
            kube::Error::Api(status) if is_taken(&status) && !name.is_empty() => {
                Failure::new(format!(
                    "there is a request of that name already: {}; take another --name, or add --reuse",
                    status.message
                ))
            }
            error => session.on_request("create", name).failed(&error),
        })?;
        let claim = Self {
            session,
            request,
            shared: false,
        };
        let obtained = tokio::select! {
            obtained = claim.key_when_ready(patience) => obtained,
            signal = signals.next_ending() => Err(Failure::interrupted(signal)),
        };
        match obtained {
            Ok(key) => Ok((claim, key)),
            Err(failure) => Err(claim.abandon(failure).await),
        }
    }

    async fn key_when_ready(&self, patience: Patience) -> Result<IssuedKey, Failure> {
        match shared::follow(&self.session, &self.request, patience).await? {
            Followed::Ready(request) => key_of(&self.session, &request).await,
            Followed::Vanished => Err(Failure::new("somebody deleted the request")),
        }
    }

    /// Whether others may use it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Deletes what was made, and adds to the failure how that went.
    pub async fn abandon(&self, failure: Failure) -> Failure {
        if self.shared {
            return failure;
        }
        // Nothing is asked for any more.
        let failure = Failure {
            code: if failure.code == 3 { 1 } else { failure.code },
            ..failure
        };
        match self.delete().await {
            Ok(()) => failure.and(&format!("its request {} was deleted", self.name())),
            Err(left) => failure.and(&format!(
                "its request {} is still there ({}); end it with: kubectl keylease revoke {0} -n {}",
                self.name(),
                left.sentence,
                self.session.namespace
            )),
        }
    }

    /// Deletes the request, this very one by uid. One that is gone already is
    /// as good.
    pub async fn delete(&self) -> Result<(), Failure> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: self.request.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let requests = self.session.requests();
        let deletion = requests.delete(self.name(), &params);
        match tokio::time::timeout(DELETE_TIMEOUT, deletion).await {
            Err(_) => Err(Failure::new("the API server does not answer")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(()),
            Ok(Err(error)) => Err(self
                .session
                .on_request("delete", self.name())
                .failed(&error)),
        }
    }

    /// Waits until AWS holds nothing of it and the request is no more.
    pub async fn gone(&self, patience: Patience) -> Result<(), Failure> {
        gone(&self.session, &self.request, patience).await
    }

    /// Waits until the lease is over, whoever ends it.
    pub async fn over(&self) -> Result<(), Failure> {
        wait::until(
            &self.session,
            &self.request,
            Patience::endless(),
            |seen| match seen {
                Some(request) if wait::lifeless(request).is_none() => {
                    Judgement::NotYet("the credential is live; Ctrl-C ends it".to_owned())
                }
                _ => Judgement::Done(()),
            },
        )
        .await
    }

    /// The request's name.
    pub fn name(&self) -> &str {
        self.request.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Waits until a request that is being deleted is no more.
pub(super) async fn gone(
    session: &Session,
    request: &AwsCredentialRequest,
    patience: Patience,
) -> Result<(), Failure> {
    wait::until(session, request, patience, |seen| match seen {
        Some(request) if wait::phase(request) == Some(Phase::Revoking) => {
            Judgement::NotYet(wait::ready_line(request))
        }
        Some(_) => Judgement::NotYet("waiting for the operator to revoke it".to_owned()),
        None => Judgement::Done(()),
    })
    .await
}

/// Says at once that a role does not exist, which the operator would wait for.
/// Who may not read roles finds out a little later.
async fn check_role(session: &Session, role: &str) -> Result<(), Failure> {
    check_name(role)?;
    match session.roles().get(role).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let missing = on_role("get", role).failed(&kube::Error::Api(status));
            Err(missing.and("kubectl keylease roles lists those there are"))
        }
        Err(kube::Error::Api(_)) | Ok(_) => Ok(()),
        Err(error) => Err(on_role("get", role).failed(&error)),
    }
}

/// Takes the key out of the Secret of a request that is ready.
pub(super) async fn key_of(
    session: &Session,
    request: &AwsCredentialRequest,
) -> Result<IssuedKey, Failure> {
    let status = request.status.as_ref();
    let named = status.and_then(|s| s.secret_name.clone());
    let name = named.unwrap_or_else(|| request.secret_name());
    let call = Call {
        verb: "get",
        resource: "secrets",
        namespace: Some(&session.namespace),
        name: &name,
    };
    let secrets: Api<Secret> = session.namespaced();
    let secret = secrets.get(&name).await.map_err(|e| call.failed(&e))?;
    IssuedKey::of(request, &secret).map_err(Failure::new)
}

/// Whether a creation was refused because the name is taken.
pub(super) fn is_taken(status: &kube::core::Status) -> bool {
    status.code == 409 && status.reason == "AlreadyExists"
}

/// Asks for what was ordered.
pub(super) async fn create(session: &Session, order: &Order) -> kube::Result<AwsCredentialRequest> {
    let Order {
        role, name, ttl, ..
    } = order;
    let metadata = match name {
        Some(name) => ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        None => ObjectMeta {
            generate_name: Some(format!("{role}-")),
            ..ObjectMeta::default()
        },
    };
    let spec = AwsCredentialRequestSpec {
        role_ref: NameRef { name: role.clone() },
        ttl: ttl.clone(),
        ttl_after_expiry: Some(TTL_AFTER_EXPIRY.into()),
        ..AwsCredentialRequestSpec::default()
    };
    let request = AwsCredentialRequest {
        metadata,
        spec,
        status: None,
    };
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let created = session.requests().create(&params, &Lenient(request)).await;
    created.map(|Lenient(request)| request)
}
