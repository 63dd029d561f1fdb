//! What a role's status says.

use jiff::Timestamp;

use super::lease::truncate;
use super::reasons::Verdict;
use super::view::AccountView;
use super::{admission, mark};
use keylease_api::{AwsRole, AwsRoleStatus, ConditionType, set_condition};

/// The status of a role: whether requests of it can be served, and if not,
/// what to change. `unfit` is why its static user cannot be had.
pub fn status(
    role: &AwsRole,
    account: &AccountView,
    leases: usize,
    unfit: Option<&Verdict>,
    now: Timestamp,
) -> AwsRoleStatus {
    let (ready, reason, message) = judge(role, account, unfit);
    let mut status = role.status.clone().unwrap_or_default();
    status.leases = i32::try_from(leases).ok();
    status.revoked_before = mark::of(role, now);
    status.observed_generation = role.metadata.generation;
    set_condition(
        &mut status.conditions,
        ConditionType::Ready,
        ready,
        &reason,
        &message,
        role.metadata.generation,
        truncate(now),
    );
    status
}

fn judge(role: &AwsRole, account: &AccountView, unfit: Option<&Verdict>) -> (bool, String, String) {
    let account_name = &role.spec.account_ref.name;
    if role.metadata.deletion_timestamp.is_some() {
        let message = "the role is being deleted; its leases are revoked first";
        return (false, "Deleting".into(), message.into());
    }
    let verdict = match account {
        _ if !role.spec.unreadable.is_empty() => admission::unreadable_role(role),
        AccountView::NotReady(verdict) | AccountView::OnlyToRevoke(_, verdict) => verdict.clone(),
        AccountView::Ready(facts) => match (admission::check_role(role, facts), unfit) {
            (Err(verdict), _) => verdict,
            (Ok(()), Some(unfit)) => unfit.clone(),
            (Ok(()), None) if role.spec.allowed_namespaces.is_none() => {
                let message = "no namespace may use this role yet; set spec.allowedNamespaces";
                return (true, "NobodyAllowed".into(), message.into());
            }
            (Ok(()), None) => {
                let message = format!("served by AwsAccount {account_name}");
                return (true, "Valid".into(), message);
            }
        },
        AccountView::Unknown => {
            let message = format!("AwsAccount {account_name} was not looked at yet");
            return (false, "AccountNotReady".into(), message);
        }
    };
    (false, verdict.reason.as_str().into(), verdict.message)
}
