//! What a record says, and when there is one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use serde_json::Value;

use keylease_api::AwsCredentialRequest;
use keylease_core::plan::effect::{Effect, FaultClass, Outcome, Report};
use keylease_core::plan::live::ROTATE_ANNOTATION;
use keylease_core::plan::naming::FIELD_MANAGER;
use keylease_core::plan::reasons::Reason;

/// Annotation on a request with the user who wrote its spec last. The chart's
/// policies write it and keep it true; without them it is what somebody claims.
const REQUESTED_BY: &str = "keylease.dev/requested-by";

/// What was done to a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A credential was handed out.
    Issue,
    /// Its lease was given a later end.
    Renew,
    /// It was replaced by a new one.
    Rotate,
    /// The key before the present one was deleted, at the end of the overlap.
    Retire,
    /// It ended, and AWS holds nothing of it any more.
    Revoke,
}

impl Act {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Renew => "renew",
            Self::Rotate => "rotate",
            Self::Retire => "retire",
            Self::Revoke => "revoke",
        }
    }

    /// What an announced change of state means for the credential.
    fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Issued => Some(Self::Issue),
            Reason::Renewed => Some(Self::Renew),
            Reason::Rotated => Some(Self::Rotate),
            Reason::PreviousKeyRemoved => Some(Self::Retire),
            Reason::Expired | Reason::Revoked => Some(Self::Revoke),
            _ => None,
        }
    }
}

/// One record. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was done.
    pub act: Act,
    /// Why: a reason of the one vocabulary, or `Deleted`.
    pub reason: &'static str,
    /// The request's namespace.
    pub namespace: String,
    /// Its name.
    pub request: String,
    /// Its uid: a name may be used again.
    pub uid: String,
    /// The role that it names.
    pub role: String,
    /// The id of the lease.
    pub lease: Option<String>,
    /// When the lease ends.
    pub expires_at: Option<String>,
    /// The type of credential.
    pub credential: Option<String>,
    /// The AWS account, 12 digits.
    pub account: Option<String>,
    /// The id of the key. The secret key is never here.
    pub access_key_id: Option<String>,
    /// The IAM user, or the ARN of a session.
    pub user: Option<String>,
    /// The user who wrote the request's spec last, where the cluster's admission
    /// policies say so.
    pub asked_by: Option<String>,
    /// The program that did, as it calls itself (`metadata.managedFields`).
    pub asked_with: Option<String>,
    /// When it did.
    pub asked_at: Option<String>,
    /// The API server did not say whether it took what tells of this: it happened,
    /// and there may be a second record of it.
    pub unanswered: bool,
}

impl Record {
    /// The record of an effect that changed what a credential is good for;
    /// `None` for all others, and for those that certainly failed. A write whose
    /// answer was lost is on record: rather twice than never. `before` is the
    /// request as the effect found it.
    pub fn of(effect: &Effect, outcome: &Outcome, before: &AwsCredentialRequest) -> Option<Self> {
        let after = match outcome {
            Outcome::Request(after) => Some(after.as_ref()),
            Outcome::Failed(fault) if fault.class == FaultClass::NoAnswer => None,
            _ => return None,
        };
        let record = match effect {
            Effect::Report(report) => {
                let told = AwsCredentialRequest {
                    status: Some(report.status.clone()),
                    ..before.clone()
                };
                Self::of_report(report, before, after.unwrap_or(&told))
            }
            // The end of a request that was deleted is not announced: it is gone.
            Effect::Release
                if before.metadata.deletion_timestamp.is_some() && holds_credential(before) =>
            {
                Some(Self::new(Act::Revoke, "Deleted", before))
            }
            _ => None,
        };
        record.map(|record| Self {
            unanswered: after.is_none(),
            ..record
        })
    }

    fn of_report(
        report: &Report,
        before: &AwsCredentialRequest,
        after: &AwsCredentialRequest,
    ) -> Option<Self> {
        let reason = report.event.as_ref().map(|event| event.reason);
        // Whatever the reason is called: a status that tells of no credential any
        // more, after one that did, tells that it was taken away.
        let taken = holds_credential(before) && report.status.credential.is_none();
        let act = match reason.and_then(Act::of) {
            None if taken => Act::Revoke,
            act => act?,
        };
        let reason = reason.map_or("Unannounced", Reason::as_str);
        // A status of the end may not name the credential any more.
        let shown = match act {
            Act::Revoke | Act::Retire => before,
            _ => after,
        };
        let mut record = Self::new(act, reason, shown);
        if act == Act::Retire {
            let status = before.status.as_ref();
            let previous = status.and_then(|s| s.previous.as_ref());
            record.access_key_id = previous.map(|p| p.access_key_id.clone());
        }
        if act == Act::Rotate {
            record.asked_for_rotation(before);
        }
        Some(record)
    }

    /// A rotation that the annotation asked for was asked for by whoever wrote
    /// that, not by whoever wrote the spec: the program is known, the user is not.
    fn asked_for_rotation(&mut self, request: &AwsCredentialRequest) {
        let issued = request.status.as_ref().and_then(|s| s.lease.as_ref());
        let issued = issued.map(|lease| lease.issued_at.0);
        let field = format!("f:{ROTATE_ANNOTATION}");
        let annotated = last_writer(request, |fields| {
            let annotations = fields
                .get("f:metadata")
                .and_then(|m| m.get("f:annotations"));
            annotations.is_some_and(|a| a.get(&field).is_some())
        });
        let Some(annotated) = annotated else { return };
        let at = annotated.time.as_ref().map(|t| t.0);
        let of_spec = last_of_spec(request)
            .and_then(|s| s.time.as_ref())
            .map(|t| t.0);
        // One that was served by a rotation before this is an old story.
        if at > issued && at > of_spec {
            self.asked_by = None;
            self.asked_with = annotated.manager.clone();
            self.asked_at = at.map(|t| t.to_string());
        }
    }

    /// The record of a user that a sweep removed: its request is gone, so its tags
    /// say whose it was.
    pub fn swept(request: &AwsCredentialRequest, account: &str, user: &str) -> Self {
        Self {
            account: Some(account.to_owned()),
            user: Some(user.to_owned()),
            ..Self::new(Act::Revoke, "Swept", request)
        }
    }

    fn new(act: Act, reason: &'static str, request: &AwsCredentialRequest) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let status = request.status.as_ref();
        let lease = status.and_then(|s| s.lease.as_ref());
        let credential = status.and_then(|s| s.credential.as_ref());
        let asked = last_of_spec(request);
        let annotations = request.metadata.annotations.as_ref();
        Self {
            act,
            reason,
            namespace: text(&request.metadata.namespace),
            request: text(&request.metadata.name),
            uid: text(&request.metadata.uid),
            role: request.spec.role_ref.name.clone(),
            lease: lease.map(|l| l.id.clone()),
            expires_at: lease.map(|l| l.expires_at.0.to_string()),
            credential: credential.map(|c| c.type_.clone()),
            account: credential.map(|c| c.account_id.clone()),
            access_key_id: credential.map(|c| c.access_key_id.clone()),
            user: credential.and_then(|c| c.user_name.clone().or_else(|| c.arn.clone())),
            asked_by: annotations.and_then(|a| a.get(REQUESTED_BY)).cloned(),
            asked_with: asked.and_then(|a| a.manager.clone()),
            asked_at: asked.and_then(|a| a.time.as_ref()).map(|t| t.0.to_string()),
            unanswered: false,
        }
    }
}

fn holds_credential(request: &AwsCredentialRequest) -> bool {
    let status = request.status.as_ref();
    status.is_some_and(|s| s.credential.is_some())
}

/// Who wrote to the spec last, ourselves not counted.
fn last_of_spec(request: &AwsCredentialRequest) -> Option<&ManagedFieldsEntry> {
    last_writer(request, |fields| fields.get("f:spec").is_some())
}

/// Who was the last of others to write what the fields are asked for.
fn last_writer(
    request: &AwsCredentialRequest,
    wrote: impl Fn(&Value) -> bool,
) -> Option<&ManagedFieldsEntry> {
    let entries = request.metadata.managed_fields.iter().flatten();
    entries
        .filter(|e| e.manager.as_deref() != Some(FIELD_MANAGER))
        .filter(|e| e.fields_v1.as_ref().is_some_and(|f| wrote(&f.0)))
        .max_by_key(|e| e.time.as_ref().map(|t| t.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use keylease_core::plan::effect::{Announcement, Fault};

    fn request(change: Value) -> AwsCredentialRequest {
        let mut request = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "app", "namespace": "team", "uid": "u-1",
                "annotations": {"keylease.dev/requested-by": "jane"}, "managedFields": [
                {"manager": "argocd", "operation": "Apply", "time": "2026-11-20T00:00:00Z",
                    "fieldsV1": {"f:spec": {}}},
                {"manager": "keylease-cli", "operation": "Update",
                    "time": "2026-11-23T00:00:00Z", "fieldsV1": {"f:spec": {"f:renew": {}}}},
                {"manager": "keylease", "operation": "Update", "time": "2026-11-23T01:00:00Z",
                    "fieldsV1": {"f:status": {}}},
            ]},
            "spec": {"roleRef": {"name": "reader"}},
            "status": {"credential": {"type": "iam_user", "accountId": "123456789012",
                "accessKeyId": "AKIAEXAMPLE", "userName": "keylease-team-app-x"}},
        });
        let metadata = request["metadata"].as_object_mut().unwrap();
        metadata.extend(change.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    }

    fn report(reason: Reason) -> Effect {
        Effect::Report(Box::new(Report {
            warnings: Vec::new(),
            status: Default::default(),
            event: Some(Announcement {
                reason,
                message: "told".to_owned(),
                warning: false,
            }),
        }))
    }

    fn done(request: &AwsCredentialRequest) -> Outcome {
        Outcome::Request(Arc::new(request.clone()))
    }

    #[test]
    fn an_issue_names_the_key_and_who_asked() {
        let request = request(json!({}));
        let record = Record::of(&report(Reason::Issued), &done(&request), &request).unwrap();
        assert_eq!(record.act, Act::Issue);
        assert_eq!(record.access_key_id.as_deref(), Some("AKIAEXAMPLE"));
        assert_eq!(record.asked_by.as_deref(), Some("jane"));
        assert_eq!(record.asked_with.as_deref(), Some("keylease-cli"));
        assert_eq!(record.asked_at.as_deref(), Some("2026-11-23T00:00:00Z"));
    }

    #[test]
    fn every_change_of_a_credential_has_its_act() {
        let request = request(json!({}));
        let act = |reason| {
            let record = Record::of(&report(reason), &done(&request), &request);
            record.map(|r| r.act)
        };
        assert_eq!(act(Reason::Renewed), Some(Act::Renew));
        assert_eq!(act(Reason::Rotated), Some(Act::Rotate));
        assert_eq!(act(Reason::Expired), Some(Act::Revoke));
        assert_eq!(act(Reason::Revoked), Some(Act::Revoke));
        assert_eq!(act(Reason::PreviousKeyRemoved), Some(Act::Retire));
        let mut refused = request.clone();
        refused.status = None;
        let told = Record::of(&report(Reason::QuotaExceeded), &done(&refused), &refused);
        assert_eq!(told, None, "nothing was there to be taken away");
    }

    #[test]
    fn what_failed_is_not_on_record() {
        let request = request(json!({}));
        let failed = Outcome::Failed(Fault {
            class: FaultClass::Stale,
            message: "changed".to_owned(),
        });
        assert_eq!(Record::of(&report(Reason::Issued), &failed, &request), None);
    }

    #[test]
    fn a_deletion_is_a_revocation_even_if_nobody_is_left_to_tell() {
        let kept = request(json!({}));
        assert_eq!(Record::of(&Effect::Release, &done(&kept), &kept), None);
        let deleted = request(json!({"deletionTimestamp": "2026-11-23T02:00:00Z"}));
        let record = Record::of(&Effect::Release, &done(&deleted), &deleted).unwrap();
        assert_eq!((record.act, record.reason), (Act::Revoke, "Deleted"));
        assert_eq!(record.user.as_deref(), Some("keylease-team-app-x"));
    }

    fn no_answer() -> Outcome {
        Outcome::Failed(Fault {
            class: FaultClass::NoAnswer,
            message: "the connection was closed".to_owned(),
        })
    }

    /// The API server took the status and its answer was lost: nothing tells of it
    /// later, because the next look finds it done.
    #[test]
    fn what_had_no_answer_is_on_record_and_marked() {
        let before = request(json!({}));
        let Effect::Report(mut told) = report(Reason::Issued) else {
            unreachable!()
        };
        told.status = before.status.clone().unwrap();
        let record = Record::of(&Effect::Report(told), &no_answer(), &before).unwrap();
        assert_eq!((record.act, record.unanswered), (Act::Issue, true));
        assert_eq!(record.access_key_id.as_deref(), Some("AKIAEXAMPLE"));
        let deleted = request(json!({"deletionTimestamp": "2026-11-23T02:00:00Z"}));
        let record = Record::of(&Effect::Release, &no_answer(), &deleted).unwrap();
        assert_eq!((record.act, record.unanswered), (Act::Revoke, true));
        let record = Record::of(&Effect::Release, &done(&deleted), &deleted).unwrap();
        assert!(!record.unanswered);
    }

    #[test]
    fn a_credential_that_was_taken_back_is_on_record_whatever_the_reason() {
        let before = request(json!({}));
        // The status of the report tells of none.
        for reason in [
            Reason::UserConflict,
            Reason::SecretConflict,
            Reason::QuotaExceeded,
        ] {
            let record = Record::of(&report(reason), &done(&before), &before).unwrap();
            assert_eq!((record.act, record.reason), (Act::Revoke, reason.as_str()));
            assert_eq!(record.access_key_id.as_deref(), Some("AKIAEXAMPLE"));
        }
    }

    #[test]
    fn a_rotation_by_annotation_is_put_down_to_who_annotated() {
        let annotated = |time: &str| {
            request(json!({"managedFields": [
                {"manager": "argocd", "operation": "Apply", "time": "2026-11-20T00:00:00Z",
                    "fieldsV1": {"f:spec": {}}},
                {"manager": "kubectl-annotate", "operation": "Update", "time": time,
                    "fieldsV1": {"f:metadata": {"f:annotations": {
                        "f:keylease.dev/rotate-at": {}}}}},
            ]}))
        };
        let by = |request: &AwsCredentialRequest| {
            let record = Record::of(&report(Reason::Rotated), &done(request), request).unwrap();
            (record.asked_with, record.asked_by)
        };
        let newer = annotated("2026-11-23T00:00:00Z");
        assert_eq!(by(&newer), (Some("kubectl-annotate".to_owned()), None));
        let older = annotated("2026-11-19T00:00:00Z");
        assert_eq!(
            by(&older),
            (Some("argocd".to_owned()), Some("jane".to_owned()))
        );
    }
}
