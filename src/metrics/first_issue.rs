//! How long somebody waited for a credential: measured once for each request.

use std::time::Duration;

use jiff::Timestamp;

use keylease_api::{AwsCredentialRequest, ConditionType};
use keylease_core::plan::effect::Report;
use keylease_core::plan::reasons::Reason;

/// From the creation of a request to its first credential, where that is what
/// this report tells; `before` is the request without the report. A successor
/// says nothing about that: by then the request may be months old.
pub fn first_issue(
    before: &AwsCredentialRequest,
    report: &Report,
    now: Timestamp,
) -> Option<Duration> {
    if report.event.as_ref()?.reason != Reason::Issued || had_credential(before) {
        return None;
    }
    let created = before.metadata.creation_timestamp.as_ref()?;
    // Another clock's creation may lie ahead of ours.
    Some(Duration::try_from(now.duration_since(created.0)).unwrap_or_default())
}

/// Whether a credential of this request was ever delivered. A lease that lapsed
/// leaves the status, its word in the condition `Revoked` stays.
fn had_credential(request: &AwsCredentialRequest) -> bool {
    let delivered = [Reason::Issued, Reason::Rotated].map(Reason::as_str);
    let conditions = request.status.iter().flat_map(|s| &s.conditions);
    conditions
        .filter(|c| c.type_ == ConditionType::Revoked.as_str())
        .any(|c| delivered.contains(&c.reason.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use keylease_core::plan::effect::Announcement;

    const CREATED: &str = "2026-11-23T01:00:00Z";

    /// A request whose condition `Revoked` has this reason.
    fn request(revoked: Option<&str>) -> AwsCredentialRequest {
        let conditions: Vec<Value> = revoked
            .iter()
            .map(|reason| {
                json!({"type": "Revoked", "status": "False", "reason": reason,
                    "message": "", "lastTransitionTime": CREATED})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "r", "namespace": "n", "creationTimestamp": CREATED},
            "spec": {"roleRef": {"name": "known"}},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn measured(before: &AwsCredentialRequest, reason: Reason) -> Option<Duration> {
        let report = Report {
            warnings: Vec::new(),
            status: Default::default(),
            event: Some(Announcement {
                reason,
                message: String::new(),
                warning: false,
            }),
        };
        first_issue(before, &report, "2026-11-23T01:00:07Z".parse().unwrap())
    }

    #[test]
    fn the_first_credential_counts_also_when_it_took_several_attempts() {
        let waited = Some(Duration::from_secs(7));
        assert_eq!(measured(&request(None), Reason::Issued), waited);
        let failed_before = request(Some("KeyNotProven"));
        assert_eq!(measured(&failed_before, Reason::Issued), waited);
    }

    #[test]
    fn a_successor_does_not_count_however_it_came_about() {
        let served = request(Some("Issued"));
        assert_eq!(measured(&served, Reason::Rotated), None);
        assert_eq!(measured(&served, Reason::Renewed), None);
        // Lapsed, and begun anew.
        assert_eq!(measured(&served, Reason::Issued), None);
        assert_eq!(measured(&request(Some("Rotated")), Reason::Issued), None);
    }
}
