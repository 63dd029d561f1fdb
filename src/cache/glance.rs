//! What is looked for in all requests, without opening each.

use jiff::Timestamp;

use keylease_api::{
    AwsCredentialRequest, AwsCredentialRequestStatus, ConditionType, Defects, Phase, get_condition,
};
use keylease_core::plan::intent::{INTENT_ANNOTATION, has_finalizer};
use keylease_core::plan::stage::Stage;

/// What a look at a filed request tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The role that it names.
    pub role: Box<str>,
    /// The account, as its intent has it; empty before there is one.
    pub account: Box<str>,
    /// Its phase; `None` until somebody looked at it.
    pub phase: Option<Phase>,
    /// See [`due`].
    pub due: Option<Timestamp>,
    /// See [`holds`].
    pub holds: bool,
    /// What of it could not be read.
    pub unreadable: Defects,
    /// The end of a lease in force for which a key is due that cannot be made.
    pub stuck_until: Option<Timestamp>,
}

impl Glance {
    /// Of this request.
    pub fn of(request: &AwsCredentialRequest) -> Self {
        Self {
            role: request.spec.role_ref.name.as_str().into(),
            account: account_of(request).into(),
            phase: request.status.as_ref().and_then(|s| s.phase),
            due: due(request),
            holds: holds(request),
            unreadable: request.spec.unreadable.clone(),
            stuck_until: stuck_until(request),
        }
    }
}

/// Whether AWS holds something for the request, or is about to.
pub fn holds(request: &AwsCredentialRequest) -> bool {
    Stage::of(request, None).holds()
}

/// When AWS is to hold nothing of this request any more: the end of its lease,
/// or when it was deleted or revoked. `None` while it holds nothing, and where no
/// end is known.
pub fn due(request: &AwsCredentialRequest) -> Option<Timestamp> {
    if !has_finalizer(request) {
        return None;
    }
    let deleted = request.metadata.deletion_timestamp.as_ref().map(|t| t.0);
    let status = request.status.as_ref();
    let lease = status.and_then(|s| s.lease.as_ref());
    let expires = lease.map(|l| l.expires_at.0);
    let revoked = status.and_then(revoked_since);
    let all = [deleted.or(revoked), expires].into_iter().flatten();
    all.min()
}

/// The end of a lease in force for which a key is due that cannot be made.
pub fn stuck_until(request: &AwsCredentialRequest) -> Option<Timestamp> {
    let status = request.status.as_ref()?;
    let rotating = get_condition(&status.conditions, ConditionType::Rotating)?;
    let lease = status.lease.as_ref()?;
    let leaving = request.metadata.deletion_timestamp.is_some();
    (rotating.status == "False" && !leaving).then_some(lease.expires_at.0)
}

/// Since when a lease is being taken down before its end: since both conditions
/// say so that the revocation set. Either may have said so before.
fn revoked_since(status: &AwsCredentialRequestStatus) -> Option<Timestamp> {
    let revoking = status.phase == Some(Phase::Revoking) && status.lease.is_some();
    let since = |kind| get_condition(&status.conditions, kind).map(|c| c.last_transition_time.0);
    let set = [since(ConditionType::Ready), since(ConditionType::Revoked)];
    set.into_iter().flatten().max().filter(|_| revoking)
}

/// The account's name as the intent has it. It only counts: one that was
/// edited by hand gains its owner nothing but another place.
pub fn account_of(request: &AwsCredentialRequest) -> String {
    let intent = written_intent(request);
    let account = intent.as_ref().and_then(|i| i.get("account")?.as_str());
    account.unwrap_or_default().to_owned()
}

fn written_intent(request: &AwsCredentialRequest) -> Option<serde_json::Value> {
    let annotations = request.metadata.annotations.as_ref()?;
    serde_json::from_str(annotations.get(INTENT_ANNOTATION)?).ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;
    use crate::cache::sheet::TYPICAL;

    #[test]
    fn a_lease_at_rest_tells_its_role_account_and_end() {
        let mut request: AwsCredentialRequest = serde_json::from_slice(TYPICAL).unwrap();
        let end = request.status.as_ref().unwrap().lease.as_ref().unwrap();
        let glance = Glance {
            role: "reader".into(),
            account: "default".into(),
            phase: Some(Phase::Ready),
            due: Some(end.expires_at.0),
            holds: true,
            unreadable: Defects::default(),
            stuck_until: None,
        };
        assert_eq!(Glance::of(&request), glance);
        request.metadata.finalizers = None;
        request.status = None;
        let empty = Glance::of(&request);
        assert_eq!((empty.due, empty.holds, empty.phase), (None, false, None));
    }

    #[test]
    fn a_lease_is_stuck_while_its_next_key_cannot_be_made() {
        let request: AwsCredentialRequest = serde_json::from_slice(TYPICAL).unwrap();
        assert_eq!(stuck_until(&request), None);
        let mut status = request.status.clone().unwrap();
        let end = status.lease.as_ref().unwrap().expires_at.0;
        for (can, expected) in [(false, Some(end)), (true, None)] {
            let kind = ConditionType::Rotating;
            keylease_api::set_condition(&mut status.conditions, kind, can, "R", "", None, end);
            let stuck = AwsCredentialRequest {
                status: Some(status.clone()),
                ..request.clone()
            };
            assert_eq!(stuck_until(&stuck), expected);
        }
    }

    #[test]
    fn a_deleted_request_is_due_at_once() {
        let mut deleted: AwsCredentialRequest = serde_json::from_slice(TYPICAL).unwrap();
        let time = deleted.metadata.creation_timestamp.clone();
        deleted.metadata.deletion_timestamp.clone_from(&time);
        assert_eq!(due(&deleted), time.map(|t| t.0));
    }

    #[test]
    fn a_revoked_lease_is_due_since_its_revocation_began() {
        let mut revoked: AwsCredentialRequest = serde_json::from_slice(TYPICAL).unwrap();
        let status = revoked.status.as_mut().unwrap();
        let end = status.lease.as_ref().unwrap().expires_at.0;
        let began = end - jiff::SignedDuration::from_mins(20);
        status.phase = Some(Phase::Revoking);
        let ready = |c: &&mut Condition| c.type_ == ConditionType::Ready.as_str();
        let ready = status.conditions.iter_mut().find(ready).unwrap();
        ready.last_transition_time.0 = began;
        assert_eq!(due(&revoked), Some(began));
    }
}
