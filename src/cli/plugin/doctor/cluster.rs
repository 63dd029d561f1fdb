//! The state of accounts, roles and requests.

use jiff::{SignedDuration, Timestamp};

use super::super::client::{ACCOUNTS, REQUESTS, ROLES, Session, list};
use super::super::{wait, when};
use super::Finding;
use crate::act::HasStatus;
use keylease_api::{
    AwsAccount, AwsCredentialRequest, AwsRole, Condition, ConditionType, Phase, get_condition,
};

/// Longer than this a request does not take to get somewhere.
const STUCK: SignedDuration = SignedDuration::from_mins(5);
/// More stuck requests than these are counted, not told.
const TOLD: usize = 10;

/// Whether the operator can sign in to each account.
pub(super) async fn accounts(session: &Session) -> Vec<Finding> {
    let accounts: Vec<AwsAccount> = match list(&session.client, None, ACCOUNTS).await {
        Ok(accounts) => accounts,
        Err(failure) => return vec![Finding::warn("accounts cannot be seen", failure.sentence)],
    };
    if accounts.is_empty() {
        let remedy = "make an AwsAccount: kubectl explain awsaccount.spec";
        return vec![Finding::fail("there is no AwsAccount", remedy)];
    }
    let judge = |account: &AwsAccount| {
        let conditions = account.status.as_ref().map(|s| s.conditions.as_slice());
        let name = account.metadata.name.as_deref().unwrap_or_default();
        readiness(
            &format!("AwsAccount {name}"),
            conditions.unwrap_or_default(),
        )
    };
    let odd = accounts.iter().filter_map(unreadable);
    let twins = accounts.iter().filter_map(twin);
    odd.chain(accounts.iter().map(judge)).chain(twins).collect()
}

/// Whether a copy of the cluster was seen; one that holds its identity shows in
/// readiness.
fn twin(account: &AwsAccount) -> Option<Finding> {
    let conditions = &account.status.as_ref()?.conditions;
    let unique = get_condition(conditions, ConditionType::Unique)?;
    let name = account.metadata.name.as_deref().unwrap_or_default();
    (unique.reason == "TwinSeen").then(|| {
        let what = format!("a copy of this cluster asked for what AwsAccount {name} has");
        Finding::warn(what, &unique.message)
    })
}

/// Whether each role can be served.
pub(super) async fn roles(session: &Session) -> Vec<Finding> {
    let roles: Vec<AwsRole> = match list(&session.client, None, ROLES).await {
        Ok(roles) => roles,
        Err(failure) => return vec![Finding::warn("roles cannot be seen", failure.sentence)],
    };
    if roles.is_empty() {
        let remedy = "make an AwsRole: kubectl explain awsrole.spec";
        return vec![Finding::warn("there is no AwsRole", remedy)];
    }
    let judge = |role: &AwsRole| {
        let conditions = role.status.as_ref().map(|s| s.conditions.as_slice());
        let name = role.metadata.name.as_deref().unwrap_or_default();
        readiness(&format!("AwsRole {name}"), conditions.unwrap_or_default())
    };
    let odd = roles.iter().filter_map(unreadable);
    odd.chain(roles.iter().map(judge)).collect()
}

/// An object of which some cannot be read.
fn unreadable<K: HasStatus>(object: &K) -> Option<Finding> {
    let what = object.unreadable().summary()?;
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    let place = match &meta.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    Some(Finding::fail(
        format!("{} {place} cannot be read: {what}", K::kind(&())),
        "correct the field, or go back to the version of Keylease that wrote it; nothing is \
         issued for it meanwhile, and leases in force end in time",
    ))
}

fn readiness(object: &str, conditions: &[Condition]) -> Finding {
    match get_condition(conditions, ConditionType::Ready) {
        Some(c) if c.status == "True" && c.reason == "NobodyAllowed" => Finding::warn(
            format!("{object} is ready and nobody may use it"),
            &c.message,
        ),
        Some(c) if c.status == "True" => Finding::ok(format!("{object} is ready: {}", c.message)),
        Some(c) => Finding::fail(format!("{object} is not ready: {}", c.reason), &c.message),
        None => Finding::fail(
            format!("{object} was not looked at by the operator"),
            "see whether the operator runs, and its log",
        ),
    }
}

/// Requests that have got nowhere for long.
pub(super) async fn requests(session: &Session, everywhere: bool, now: Timestamp) -> Vec<Finding> {
    let namespace = (!everywhere).then_some(session.namespace.as_str());
    let requests: Vec<AwsCredentialRequest> = match list(&session.client, namespace, REQUESTS).await
    {
        Ok(requests) => requests,
        Err(failure) => return vec![Finding::warn("requests cannot be seen", failure.sentence)],
    };
    let mut stuck: Vec<Finding> = requests.iter().filter_map(|r| stuck(r, now)).collect();
    stuck.splice(0..0, requests.iter().filter_map(unreadable));
    if stuck.is_empty() {
        let place =
            namespace.map_or_else(|| "all namespaces".to_owned(), |n| format!("namespace {n}"));
        return vec![Finding::ok(format!(
            "none of {} requests in {place} is stuck",
            requests.len()
        ))];
    }
    let more = stuck.len().saturating_sub(TOLD);
    stuck.truncate(TOLD);
    if more > 0 {
        let remedy = "kubectl keylease leases shows them all";
        stuck.push(Finding::fail(
            format!("{more} more requests are stuck"),
            remedy,
        ));
    }
    stuck
}

fn stuck(request: &AwsCredentialRequest, now: Timestamp) -> Option<Finding> {
    let name = format!(
        "request {}/{}",
        request.namespace_name(),
        request.metadata.name.as_deref().unwrap_or_default()
    );
    let phase = wait::phase(request);
    let line = wait::ready_line(request);
    let deleted = request.metadata.deletion_timestamp.as_ref().map(|t| t.0);
    if phase == Some(Phase::Failed) && deleted.is_none() {
        return Some(Finding::fail(format!("{name} failed"), line));
    }
    let since = deleted.or_else(|| since(request))?;
    let waited = now.duration_since(since);
    let moving = matches!(
        phase,
        None | Some(Phase::Pending | Phase::Issuing | Phase::Revoking)
    );
    if waited < STUCK || !(moving || deleted.is_some()) {
        return None;
    }
    let what_for = match phase {
        _ if deleted.is_some() => "its deletion",
        Some(Phase::Revoking) => "its revocation",
        _ => "a credential",
    };
    let what = format!("{name} has waited {} for {what_for}", when::short(waited));
    Some(Finding::fail(what, line))
}

/// Since when the request is in its state.
fn since(request: &AwsCredentialRequest) -> Option<Timestamp> {
    let conditions = request.status.as_ref().map(|s| s.conditions.as_slice());
    let ready = get_condition(conditions.unwrap_or_default(), ConditionType::Ready);
    let created = request.metadata.creation_timestamp.as_ref().map(|t| t.0);
    ready.map(|c| c.last_transition_time.0).or(created)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(status: serde_json::Value, deleted: Option<&str>) -> Option<String> {
        let request = serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "x", "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z",
                "deletionTimestamp": deleted},
            "spec": {"roleRef": {"name": "r"}}, "status": status,
        }));
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        stuck(&request.unwrap(), now).map(|f| f.what)
    }

    #[test]
    fn what_fails_or_takes_long_is_stuck() {
        let since = |time: &str| {
            json!({"phase": "Revoking", "conditions": [{
                "type": "Ready", "status": "False", "reason": "AwsThrottled",
                "message": "", "lastTransitionTime": time,
            }]})
        };
        assert_eq!(seen(json!({"phase": "Ready"}), None), None);
        assert_eq!(seen(json!({"phase": "Expired"}), None), None);
        assert_eq!(
            seen(json!({"phase": "Failed"}), None).unwrap(),
            "request ns/x failed"
        );
        assert_eq!(
            seen(json!(null), None).unwrap(),
            "request ns/x has waited 10m for a credential"
        );
        assert_eq!(seen(since("2026-01-01T00:09:00Z"), None), None);
        let long = seen(since("2026-01-01T00:01:00Z"), None).unwrap();
        assert_eq!(long, "request ns/x has waited 9m for its revocation");
        let deleted = seen(json!({"phase": "Ready"}), Some("2026-01-01T00:04:00Z")).unwrap();
        assert_eq!(deleted, "request ns/x has waited 6m for its deletion");
    }
}
