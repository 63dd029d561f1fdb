//! Who signed a request, and whether AWS would believe it yet, or still.

use std::time::Instant;

use jiff::Timestamp;

use super::config::FakeConfig;
use super::error::AwsError;
use super::sigv4::{Authorization, Signed};
use super::state::{Key, Principal, State, fold};

const TOKEN_HEADER: &str = "x-amz-security-token";

/// Checks a request. `turn` counts the requests: it picks the server that
/// looks at this one.
pub(super) fn authenticate(
    state: &mut State,
    config: &FakeConfig,
    request: &Signed<'_>,
    service: &'static str,
    turn: usize,
    now: Instant,
    wall: Timestamp,
) -> Result<Principal, AwsError> {
    let header = request.headers.get("authorization").ok_or_else(|| {
        let message = "Request is missing Authentication Token";
        AwsError::new(403, "MissingAuthenticationToken", message)
    })?;
    let authorization = Authorization::parse(header).ok_or_else(|| {
        let message = "The Authorization header is not a complete AWS4-HMAC-SHA256 one.";
        AwsError::new(400, "IncompleteSignature", message)
    })?;

    let known = state
        .keys
        .get(authorization.key_id)
        .filter(|key| key.token.as_ref() == request.headers.get(TOKEN_HEADER))
        .filter(|key| is_accepted(key, config, turn, now))
        .filter(|key| !holder_is_gone(state, key));
    let key = known.ok_or_else(|| {
        let message = "The security token included in the request is invalid.";
        AwsError::new(403, "InvalidClientTokenId", message)
    })?;
    if key.expires.is_some_and(|at| now >= at) {
        let message = "The security token included in the request is expired";
        return Err(AwsError::new(403, "ExpiredToken", message));
    }
    if authorization.service != service || !authorization.verify(request, &key.secret) {
        let message = "The request signature we calculated does not match the signature you \
                       provided. Check your AWS Secret Access Key and signing method.";
        return Err(AwsError::new(403, "SignatureDoesNotMatch", message));
    }

    let principal = key.principal.clone();
    if let Some(key) = state.keys.get_mut(authorization.key_id) {
        key.last_used = Some((wall, authorization.region.to_owned(), service));
    }
    Ok(principal)
}

/// Whether the server that looks knows the key already, or does not know yet
/// that it ended.
fn is_accepted(key: &Key, config: &FakeConfig, turn: usize, now: Instant) -> bool {
    let works = key
        .works_from
        .get(turn % key.works_from.len().max(1))
        .is_some_and(|from| now >= *from);
    let ended = key.ended.is_some_and(|at| now >= at + config.key_tail);
    works && !ended
}

/// The sessions of a user end with the user.
fn holder_is_gone(state: &State, key: &Key) -> bool {
    let holder = key.principal.user.as_deref();
    key.principal.is_session && holder.is_some_and(|name| !state.users.contains_key(&fold(name)))
}
