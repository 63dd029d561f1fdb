//! A request that this process made, from its creation to its end.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use serde_json::json;

use super::client::{MANAGER, Session, check_name, on_role};
use super::error::{Call, Failure};
use super::key::IssuedKey;
use super::signals::Signals;
use super::wait::{self, Judgement};
use crate::api::{AwsCredentialRequest, GoDuration, Phase};
use crate::decode::Lenient;

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
    /// Take a request of that name that is there already.
    pub reuse: bool,
    /// The lease's length.
    pub ttl: Option<GoDuration>,
}

/// A request and whether it is ours to delete.
pub(super) struct Claim {
    session: Session,
    request: AwsCredentialRequest,
    made: bool,
}

impl Claim {
    /// Creates the request, or finds the one to reuse.
    pub async fn make(session: Session, order: &Order) -> Result<Self, Failure> {
        check_role(&session, &order.role).await?;
        if let Some(request) = reusable(&session, order).await? {
            return Ok(Self {
                session,
                request,
                made: false,
            });
        }
        let request = create(&session, order).await?;
        Ok(Self {
            session,
            request,
            made: true,
        })
    }

    /// Waits until the Secret holds a key that works, and takes it. On failure
    /// and on signals nothing is left behind.
    pub async fn obtain(
        &self,
        patience: Duration,
        signals: &mut Signals,
    ) -> Result<IssuedKey, Failure> {
        let obtained = tokio::select! {
            obtained = self.key_when_ready(patience) => obtained,
            signal = signals.next_ending() => Err(Failure::interrupted(signal)),
        };
        match obtained {
            Ok(key) => Ok(key),
            Err(failure) => Err(self.abandon(failure).await),
        }
    }

    async fn key_when_ready(&self, patience: Duration) -> Result<IssuedKey, Failure> {
        let ready = wait::until(&self.session, &self.request, patience, |seen| {
            let Some(request) = seen else {
                return Judgement::Never("somebody deleted the request".to_owned());
            };
            match wait::phase(request) {
                Some(Phase::Ready | Phase::Rotating) => Judgement::Done(request.clone()),
                _ => wait::lifeless(request).map_or_else(
                    || Judgement::NotYet(wait::ready_line(request)),
                    Judgement::Never,
                ),
            }
        });
        let request = ready.await?;
        let status = request.status.as_ref();
        let named = status.and_then(|s| s.secret_name.clone());
        let name = named.unwrap_or_else(|| request.secret_name());
        let call = Call {
            verb: "get",
            resource: "secrets",
            namespace: Some(&self.session.namespace),
            name: &name,
        };
        let secrets: Api<Secret> = self.session.namespaced();
        let secret = secrets.get(&name).await.map_err(|e| call.failed(&e))?;
        IssuedKey::of(&request, &secret).map_err(Failure::new)
    }

    /// Deletes what was made, and adds to the failure how that went.
    pub async fn abandon(&self, failure: Failure) -> Failure {
        if !self.made {
            return failure;
        }
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
    pub async fn gone(&self, patience: Duration) -> Result<(), Failure> {
        gone(&self.session, &self.request, patience).await
    }

    /// Waits until the lease is over, whoever ends it.
    pub async fn over(&self) -> Result<(), Failure> {
        wait::until(
            &self.session,
            &self.request,
            Duration::MAX,
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
    patience: Duration,
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

/// The request to reuse. One whose lease is over makes room for a new one.
async fn reusable(
    session: &Session,
    order: &Order,
) -> Result<Option<AwsCredentialRequest>, Failure> {
    let Some(name) = order.name.as_deref().filter(|_| order.reuse) else {
        return Ok(None);
    };
    let found = session.requests().get_opt(name).await;
    let found = found.map_err(|e| session.on_request("get", name).failed(&e))?;
    let Some(Lenient(request)) = found else {
        return Ok(None);
    };
    let role = &request.spec.role_ref.name;
    if *role != order.role {
        return Err(Failure::new(format!(
            "request {name} is for role {role}, not {}; take another --name",
            order.role
        )));
    }
    if wait::lifeless(&request).is_none() {
        return Ok(Some(request));
    }
    let old = Claim {
        session: session.clone(),
        request,
        made: true,
    };
    old.delete().await?;
    old.gone(DELETE_TIMEOUT).await?;
    Ok(None)
}

async fn create(session: &Session, order: &Order) -> Result<AwsCredentialRequest, Failure> {
    let Order {
        role,
        name,
        reuse: _,
        ttl,
    } = order;
    let metadata = match name {
        Some(name) => json!({"name": name}),
        None => json!({"generateName": format!("{role}-")}),
    };
    let request = serde_json::from_value(json!({
        "apiVersion": "keylease.dev/v1alpha1",
        "kind": "AwsCredentialRequest",
        "metadata": metadata,
        "spec": {"roleRef": {"name": role}, "ttl": ttl, "ttlAfterExpiry": TTL_AFTER_EXPIRY},
    }));
    let request = request.map_err(|e| Failure::new(format!("cannot write the request: {e}")))?;
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    // Never cut short by a signal: a request whose creation was not heard of
    // could not be deleted.
    match session.requests().create(&params, &request).await {
        Ok(Lenient(created)) => Ok(created),
        Err(kube::Error::Api(status)) if status.code == 409 && name.is_some() => {
            Err(Failure::new(format!(
                "there is a request of that name already: {}; take another --name, or add --reuse",
                status.message
            )))
        }
        Err(error) => {
            let name = name.as_deref().unwrap_or_default();
            Err(session.on_request("create", name).failed(&error))
        }
    }
}
