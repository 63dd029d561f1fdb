//! What a role's status says.

use jiff::Timestamp;

use super::lease::truncate;
use super::reasons::{Reason, Verdict};
use super::view::AccountView;
use super::{admission, mark};
use keylease_api::{AwsRole, AwsRoleStatus, ConditionType, set_condition, set_stalled};

/// The status of a role: whether requests of it can be served, and if not,
/// what to change. `unfit` is why its static user cannot be had.
pub fn status(
    role: &AwsRole,
    account: &AccountView,
    leases: usize,
    unfit: Option<&Verdict>,
    now: Timestamp,
) -> AwsRoleStatus {
    let judgement = judge(role, account, unfit);
    let (ready, needs_a_person) = match &judgement {
        Judgement::Ready(..) => (true, false),
        Judgement::Deleting => (false, false),
        Judgement::Not(verdict) => (false, verdict.reason.needs_a_person()),
    };
    let (reason, message) = judgement.told();
    let mut status = role.status.clone().unwrap_or_default();
    status.leases = i32::try_from(leases).ok();
    status.revoked_before = mark::of(role, now);
    status.observed_generation = role.metadata.generation;
    let now = truncate(now);
    set_condition(
        &mut status.conditions,
        ConditionType::Ready,
        ready,
        reason,
        &message,
        role.metadata.generation,
        now,
    );
    set_stalled(&mut status.conditions, needs_a_person, now);
    status
}

/// What is to be said of a role.
enum Judgement {
    /// Its requests can be served; a word and a sentence for it.
    Ready(&'static str, String),
    /// It goes.
    Deleting,
    /// They cannot, for this reason.
    Not(Verdict),
}

impl Judgement {
    fn told(self) -> (&'static str, String) {
        match self {
            Self::Ready(reason, message) => (reason, message),
            Self::Deleting => {
                let message = "the role is being deleted; its leases are revoked first";
                ("Deleting", message.to_owned())
            }
            Self::Not(verdict) => (verdict.reason.as_str(), verdict.message),
        }
    }
}

fn judge(role: &AwsRole, account: &AccountView, unfit: Option<&Verdict>) -> Judgement {
    let account_name = &role.spec.account_ref.name;
    if role.metadata.deletion_timestamp.is_some() {
        return Judgement::Deleting;
    }
    let verdict = match account {
        _ if !role.spec.unreadable.is_empty() => admission::unreadable_role(role),
        AccountView::NotReady(verdict) | AccountView::OnlyToRevoke(_, verdict) => verdict.clone(),
        AccountView::Ready(facts) => match (admission::check_role(role, facts), unfit) {
            (Err(verdict), _) => verdict,
            (Ok(()), Some(unfit)) => unfit.clone(),
            (Ok(()), None) if role.spec.allowed_namespaces.is_none() => {
                let message = "no namespace may use this role yet; set spec.allowedNamespaces";
                return Judgement::Ready("NobodyAllowed", message.to_owned());
            }
            (Ok(()), None) => {
                let message = format!("served by AwsAccount {account_name}");
                return Judgement::Ready("Valid", message);
            }
        },
        AccountView::Unknown => Verdict::new(
            Reason::AccountNotReady,
            format!("AwsAccount {account_name} was not looked at yet"),
        ),
    };
    Judgement::Not(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests;
    use keylease_api::get_condition;

    /// What `Ready` and `Stalled` say, after another judgement of the same role.
    fn told(role: &mut AwsRole, account: &AccountView) -> (String, Option<String>) {
        let status = status(role, account, 0, None, Timestamp::UNIX_EPOCH);
        let of = |kind| get_condition(&status.conditions, kind).cloned();
        let ready = of(ConditionType::Ready).unwrap();
        let stalled = of(ConditionType::Stalled);
        if let Some(stalled) = &stalled {
            assert_eq!(
                (&stalled.reason, &stalled.message),
                (&ready.reason, &ready.message)
            );
        }
        assert_eq!(status.observed_generation, role.metadata.generation);
        role.status = Some(status);
        (ready.status, stalled.map(|c| c.status))
    }

    #[test]
    fn a_role_is_stalled_while_a_person_has_to_correct_it() {
        let account = tests::account();
        let mut role = tests::role();
        let fine = ("True".to_owned(), None);
        assert_eq!(told(&mut role, &account), fine);
        role.spec.iam_user.as_mut().unwrap().policy_document = Some("no JSON".to_owned());
        let stalled = ("False".to_owned(), Some("True".to_owned()));
        assert_eq!(told(&mut role, &account), stalled);
        role.spec.iam_user.as_mut().unwrap().policy_document = None;
        assert_eq!(told(&mut role, &account), fine, "it moves again");
    }

    #[test]
    fn a_role_that_waits_for_its_account_is_not_stalled() {
        let message = "there is no AwsAccount default";
        let missing = Verdict::new(Reason::AccountNotFound, message);
        for account in [AccountView::Unknown, AccountView::NotReady(missing)] {
            let waits = ("False".to_owned(), None);
            assert_eq!(told(&mut tests::role(), &account), waits);
        }
    }
}
