//! What is asked of the operator by a field of a request: a renewal, a rotation.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::client::{MANAGER, Session};
use super::error::Failure;
use super::when;
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, GoDuration, Lease};

/// The annotation that asks for a rotation. Each new time rotates once.
const ROTATE_AT: &str = "keylease.dev/rotate-at";
/// How far ahead a mark may lie that was set just now: clocks differ, and marks
/// are whole seconds.
const AHEAD: SignedDuration = SignedDuration::from_secs(10);

/// What became of asking.
pub(super) enum Asked {
    /// It is written: the request with it.
    Yes(Box<AwsCredentialRequest>),
    /// The request is another, or in another state, by now.
    Changed,
    /// The person has no right to change requests.
    Forbidden,
    /// It was not taken.
    No(Failure),
}

/// A change of this very request. Of another of its name it fails.
pub(super) async fn ask(
    session: &Session,
    request: &AwsCredentialRequest,
    change: Value,
) -> Result<(), Failure> {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let patched = patch(session, request, change).await;
    let failed = |e| session.on_request("patch", name).failed(&e);
    patched.map(|_| ()).map_err(failed)
}

/// The same on condition that nobody changed it since it was read: of many who
/// ask at once one succeeds.
pub(super) async fn ask_in_this_state(
    session: &Session,
    request: &AwsCredentialRequest,
    mut change: Value,
) -> Asked {
    change["metadata"]["resourceVersion"] = json!(request.metadata.resource_version);
    match patch(session, request, change).await {
        Ok(asked) => Asked::Yes(Box::new(asked)),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Asked::Changed,
        Err(kube::Error::Api(status)) if status.code == 403 => Asked::Forbidden,
        Err(error) => {
            let name = request.metadata.name.as_deref().unwrap_or_default();
            Asked::No(session.on_request("patch", name).failed(&error))
        }
    }
}

async fn patch(
    session: &Session,
    request: &AwsCredentialRequest,
    mut change: Value,
) -> kube::Result<AwsCredentialRequest> {
    change["metadata"]["uid"] = json!(request.metadata.uid);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let requests = session.requests();
    let patched = requests.patch(name, &params, &Patch::Merge(change)).await;
    patched.map(|Lenient(request)| request)
}

/// A renewal. An increment of an earlier one is removed by null.
pub(super) fn renewal(at: Timestamp, increment: Option<&GoDuration>) -> Value {
    json!({"metadata": {}, "spec": {"renew": {"at": at, "increment": increment}}})
}

/// A rotation.
pub(super) fn rotation(at: Timestamp) -> Value {
    json!({"metadata": {"annotations": {ROTATE_AT: at.to_string()}}})
}

/// The time that asks for a renewal: each must be new.
pub(super) fn renew_at(request: &AwsCredentialRequest, now: Timestamp) -> Timestamp {
    when::fresh_mark(now, renew_asked(request))
}

/// The time that asks for a rotation. It must be new, and later than the issue
/// of the key that is to go: a lease is as young as this very second, or even
/// younger by a clock that is ahead of ours.
pub(super) fn rotate_at(request: &AwsCredentialRequest, now: Timestamp) -> Timestamp {
    let lease = request.status.as_ref().and_then(|s| s.lease.as_ref());
    // One that lies far ahead asks for another day.
    let asked = rotation_asked(request).filter(|at| is_near(*at, now));
    when::fresh_mark(now, asked.max(lease.map(|l| l.issued_at.0)))
}

/// Whether a renewal was asked for and is not served yet.
pub(super) fn renewal_pending(request: &AwsCredentialRequest, lease: &Lease) -> bool {
    let asked = renew_asked(request).map(Timestamp::as_second);
    let served = lease.renewed_for.as_ref().map(|t| t.0.as_second());
    asked.is_some() && asked != served
}

/// Whether a rotation was asked for, for now, and is not done yet.
pub(super) fn rotation_pending(
    request: &AwsCredentialRequest,
    lease: &Lease,
    now: Timestamp,
) -> bool {
    rotation_asked(request).is_some_and(|at| at > lease.issued_at.0 && is_near(at, now))
}

fn renew_asked(request: &AwsCredentialRequest) -> Option<Timestamp> {
    request.spec.renew.as_ref()?.at.get().ok()
}

fn rotation_asked(request: &AwsCredentialRequest) -> Option<Timestamp> {
    let annotations = request.metadata.annotations.as_ref()?;
    annotations.get(ROTATE_AT)?.parse().ok()
}

fn is_near(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) <= AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(rotate_at: Option<&str>, renew_at: Option<&str>) -> AwsCredentialRequest {
        let mut request: AwsCredentialRequest = serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "x", "annotations": {}},
            "spec": {"roleRef": {"name": "r"}},
            "status": {"lease": {
                "id": "i", "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-01T01:00:00Z",
                "maxExpiresAt": "2026-01-01T02:00:00Z", "duration": "1h", "renewable": true,
                "renewals": 1, "renewedFor": "2026-01-01T00:10:00Z",
            }},
        }))
        .unwrap();
        if let Some(at) = rotate_at {
            let annotations = request.metadata.annotations.as_mut().unwrap();
            annotations.insert(ROTATE_AT.to_owned(), at.to_owned());
        }
        request.spec.renew = renew_at.map(|at| serde_json::from_value(json!({"at": at})).unwrap());
        request
    }

    #[test]
    fn tells_what_is_under_way_from_what_is_done() {
        let now: Timestamp = "2026-01-01T00:30:00Z".parse().unwrap();
        let pending = |rotate: &str| {
            let request = request(Some(rotate), None);
            let lease = request.status.as_ref().unwrap().lease.clone().unwrap();
            rotation_pending(&request, &lease, now)
        };
        assert!(pending("2026-01-01T00:29:59Z"));
        assert!(pending("2026-01-01T00:30:02Z"), "by a clock that is ahead");
        assert!(!pending("2025-12-31T00:00:00Z"), "done");
        assert!(!pending("2026-01-02T00:00:00Z"), "for tomorrow");
        assert!(!pending("soon"));
        let renewal = |at| {
            let request = request(None, at);
            let lease = request.status.as_ref().unwrap().lease.clone().unwrap();
            renewal_pending(&request, &lease)
        };
        assert!(!renewal(None));
        assert!(!renewal(Some("2026-01-01T00:10:00Z")));
        assert!(renewal(Some("2026-01-01T00:29:00Z")));
    }

    #[test]
    fn a_rotation_for_tomorrow_does_not_put_off_one_for_now() {
        let now: Timestamp = "2026-01-01T00:30:00Z".parse().unwrap();
        let tomorrow = request(Some("2026-01-02T00:00:00Z"), None);
        assert_eq!(rotate_at(&tomorrow, now), now);
        let twice = request(Some("2026-01-01T00:30:00Z"), None);
        assert_eq!(rotate_at(&twice, now).to_string(), "2026-01-01T00:30:01Z");
    }
}
