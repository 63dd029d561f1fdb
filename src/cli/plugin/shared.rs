//! One request that many processes use under one name: whoever comes first
//! makes it, the others follow.
//!
//! The API server picks the winner: of many creations under one name it takes
//! one. Nobody who shares a request deletes it for having been interrupted,
//! since the others may wait for it, or use its key.

use kube::api::{DeleteParams, Preconditions};

use super::claim::{self, Order};
use super::client::Session;
use super::error::Failure;
use super::fresh::{self, Remedy};
use super::key::IssuedKey;
use super::wait::{self, Judgement, Patience};
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, Phase};

/// What came of waiting for a request that may be somebody else's.
pub(super) enum Followed {
    /// The Secret holds a key that works.
    Ready(AwsCredentialRequest),
    /// It was deleted: by whoever replaces or revokes it.
    Vanished,
}

/// The request of that name and its key, whoever makes it.
pub(super) async fn obtain(
    session: &Session,
    order: &Order,
    name: &str,
    patience: Patience,
) -> Result<(AwsCredentialRequest, IssuedKey), Failure> {
    // One whose lease is over is replaced once. What ends again at once would
    // do so for ever.
    let mut replaced = false;
    loop {
        if patience.left().is_zero() {
            return Err(patience.over("others delete the request again and again"));
        }
        let Some(request) = found_or_made(session, order, name).await? else {
            continue;
        };
        if request.metadata.deletion_timestamp.is_some() {
            claim::gone(session, &request, patience).await?;
            continue;
        }
        if wait::lifeless(&request).is_some() && !replaced {
            replaced = true;
            delete_as_read(session, &request, false).await?;
            claim::gone(session, &request, patience).await?;
            continue;
        }
        let Followed::Ready(request) = follow(session, &request, patience).await? else {
            continue;
        };
        let (request, note) = match fresh::lasting(session, request, order, patience).await? {
            Remedy::Use(request) => (request, None),
            Remedy::UseAnyway(request, why) => (request, Some(why)),
            Remedy::Replace(request) => {
                // A state that nobody has lengthened meanwhile.
                delete_as_read(session, &request, true).await?;
                claim::gone(session, &request, patience).await?;
                continue;
            }
            Remedy::Again => continue,
        };
        let key = claim::key_of(session, &request).await?;
        if let Some(note) = note {
            eprintln!("keylease: {note}");
        }
        return Ok((request, key));
    }
}

/// The request of that name, made if there is none. `None` when another was
/// quicker, who is then to be followed.
async fn found_or_made(
    session: &Session,
    order: &Order,
    name: &str,
) -> Result<Option<AwsCredentialRequest>, Failure> {
    let found = session.requests().get_opt(name).await;
    let found = found.map_err(|e| session.on_request("get", name).failed(&e))?;
    let Some(Lenient(request)) = found else {
        return match claim::create(session, order).await {
            Ok(made) => Ok(Some(made)),
            Err(kube::Error::Api(status)) if claim::is_taken(&status) => Ok(None),
            Err(error) => Err(session.on_request("create", name).failed(&error)),
        };
    };
    let role = &request.spec.role_ref.name;
    if *role == order.role {
        return Ok(Some(request));
    }
    Err(Failure::new(format!(
        "request {name} is for role {role}, not {}; take another --name",
        order.role
    )))
}

/// Waits until the request is ready, or is no more.
pub(super) async fn follow(
    session: &Session,
    request: &AwsCredentialRequest,
    patience: Patience,
) -> Result<Followed, Failure> {
    wait::until(session, request, patience, |seen| match seen {
        None => Judgement::Done(Followed::Vanished),
        Some(request) if request.metadata.deletion_timestamp.is_some() => {
            Judgement::Done(Followed::Vanished)
        }
        Some(request) => match wait::phase(request) {
            Some(Phase::Ready | Phase::Rotating) => {
                Judgement::Done(Followed::Ready(request.clone()))
            }
            _ => wait::lifeless(request).map_or_else(
                || Judgement::NotYet(wait::ready_line(request)),
                Judgement::Never,
            ),
        },
    })
    .await
}

/// Deletes the request that was read, in that very state if so asked. One that
/// is gone or another by now is as good.
async fn delete_as_read(
    session: &Session,
    request: &AwsCredentialRequest,
    in_this_state: bool,
) -> Result<(), Failure> {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let version = request.metadata.resource_version.clone();
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: request.metadata.uid.clone(),
            resource_version: version.filter(|_| in_this_state),
        }),
        ..DeleteParams::default()
    };
    match session.requests().delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(session.on_request("delete", name).failed(&error)),
    }
}
