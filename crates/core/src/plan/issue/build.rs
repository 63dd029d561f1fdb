//! The user, with what its intent gives it.

use jiff::Timestamp;

use super::{conflict, key, refuse};
use crate::plan::effect::Effect;
use crate::plan::intent::{Intent, Permission};
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::secret::SecretView;
use crate::plan::view::{AccountView, RoleView, View};
use crate::plan::work::{SecretGate, UserFact};
use crate::plan::{Look, Step};

/// An intent stands: make what it says, one effect at a time.
pub(super) fn build(view: &View, intent: &Intent, now: Timestamp) -> Step {
    let work = &view.work;
    match &view.account {
        AccountView::Ready(account) if account.account_id == intent.account_id => {}
        AccountView::Ready(account) => {
            return refuse(view, &moved(intent, &account.account_id), now);
        }
        AccountView::NotReady(verdict) | AccountView::OnlyToRevoke(_, verdict) => {
            return refuse(view, verdict, now);
        }
        AccountView::Unknown => return Step::Look(Look::Role),
    }
    // The Secret first: whatever stands in its way is found before anything
    // irreversible.
    if view.secret == SecretView::Foreign {
        return Step::TakeBack(conflict(view));
    }
    match work.secret {
        SecretGate::MustLook => return Step::Look(Look::Secret),
        SecretGate::Unchecked => return Step::Do(Effect::CheckSecret),
        SecretGate::Clear => {}
    }
    if intent.adopted {
        return key::deliver(view, intent, now);
    }
    if let Some(step) = role(view, intent) {
        return step;
    }
    match work.user {
        UserFact::Unknown | UserFact::Gone => return Step::Do(Effect::CreateUser),
        UserFact::Taken => return Step::Do(Effect::InspectUser),
        UserFact::Foreign | UserFact::Ours => {}
    }
    if let Some(verdict) = not_as_made(view) {
        return Step::TakeBack(verdict);
    }
    let missing = intent
        .permissions
        .iter()
        .find(|p| work.granted.get(*p) != Some(&true));
    if let Some(permission) = missing {
        return Step::Do(Effect::Grant(permission.clone()));
    }
    key::deliver(view, intent, now)
}

/// The verdict on a user that is not as we made it: no key of it is handed out.
fn not_as_made(view: &View) -> Option<Verdict> {
    let why = view.work.altered.as_deref();
    let message = match (view.work.user, why) {
        (UserFact::Foreign, why) => format!(
            "an IAM user of our name exists and is not ours ({}); it is left alone",
            why.unwrap_or("its tags are not ours")
        ),
        (_, Some(why)) => format!(
            "our IAM user was changed ({why}); undo that, or delete the request: the user goes \
             with it"
        ),
        (_, None) => return None,
    };
    Some(Verdict::new(Reason::UserConflict, message))
}

/// The role is needed for the user's tags and inline policy, and only for them.
fn role(view: &View, intent: &Intent) -> Option<Step> {
    let inline = intent.permissions.contains(&Permission::InlinePolicy);
    let granted = view.work.granted.get(&Permission::InlinePolicy) == Some(&true);
    if view.work.user == UserFact::Ours && (granted || !inline) {
        return None;
    }
    let changed = |reason, what: &str| {
        let message = format!("the AwsRole {what} while the credential was being made");
        Some(Step::TakeBack(Verdict::new(reason, message)))
    };
    match &view.role {
        RoleView::Unread => Some(Step::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => changed(Reason::RoleNotFound, "was deleted"),
        RoleView::Found(role) => {
            let user = role.spec.iam_user.as_ref();
            let document = user.and_then(|u| u.policy_document.as_ref());
            if inline && document.is_none() {
                return changed(Reason::RoleInvalid, "lost its policyDocument");
            }
            None
        }
    }
}

/// The verdict on an account that now signs in somewhere else.
pub(in crate::plan) fn moved(intent: &Intent, account_id: &str) -> Verdict {
    Verdict::new(
        Reason::AccountNotReady,
        format!(
            "AwsAccount {} now signs in to account {account_id}, but this request's user is in {}; \
             restore its credentials so that the user can be reached",
            intent.account, intent.account_id
        ),
    )
}
