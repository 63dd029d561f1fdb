//! Static users: IAM users that were there before us and stay after us.
//!
//! What tells a key of ours from one of somebody else is the claim: before the
//! first key is made, the role's status names the request that holds the user
//! and every key that the user had by then. Tenants cannot write it, so it is
//! also what says that a request may touch that user at all: the intent is an
//! annotation, and whoever may edit the request may edit that.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::effect::{Attachment, Effect};
use super::ending::{self, Ending};
use super::intent::Intent;
use super::issue::{self, refuse};
use super::reasons::{Reason, Verdict};
use super::secret::SecretView;
use super::stage::Live;
use super::view::{HolderView, RoleView, View};
use super::work::{KeysFact, SETTLE};
use super::{Look, Step, revocation, status};
use keylease_api::forms::folded;
use keylease_api::{AwsRole, Holder};

/// Keys that AWS allows a user (IAM quotas).
const MAX_KEYS: usize = 2;

/// What is known of the user to adopt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Adoptee {
    /// It was not looked for.
    #[default]
    Unknown,
    /// There is no such user.
    Missing,
    /// It belongs to a lease, here or in another cluster.
    Managed,
    /// It is there, on this path.
    Found(String),
}

/// Another role for the same user of the same account that was there before
/// this one, if the roles are these. Two of them would take each other's keys
/// for somebody else's.
pub fn rival<'a>(role: &AwsRole, all: impl IntoIterator<Item = &'a AwsRole>) -> Option<String> {
    let user = |r: &AwsRole| {
        let user = r.spec.static_user.as_ref()?;
        // IAM's names differ by more than case.
        let name = folded(&user.user_name);
        Some((r.spec.account_ref.name.clone(), name))
    };
    let age = |r: &AwsRole| {
        (
            r.metadata.creation_timestamp.clone(),
            r.metadata.uid.clone(),
        )
    };
    let (own, since) = (user(role)?, age(role));
    let mut older = all.into_iter().filter(|other| {
        user(other).as_ref() == Some(&own)
            && other.metadata.uid != role.metadata.uid
            && age(other) < since
    });
    older.next().and_then(|r| r.metadata.name.clone())
}

/// The verdict on a role whose user another role has.
pub fn rivalry(role: &AwsRole, older: &str) -> Verdict {
    let user = role.spec.static_user.clone().unwrap_or_default();
    let name = role.metadata.name.as_deref().unwrap_or_default();
    Verdict::new(
        Reason::RoleInvalid,
        format!(
            "role {name}: IAM user {} is the static user of AwsRole {older} already; use that role",
            user.user_name
        ),
    )
}

/// The verdict on a role whose static user is who the operator signs in as, by
/// this `AwsAccount` with this ARN: its leases would have the operator's own
/// rights, and its rotations delete the operator's own key.
pub fn is_operator(role: &AwsRole, account: &str, arn: &str) -> Option<Verdict> {
    let wanted = &role.spec.static_user.as_ref()?.user_name;
    let resource = arn.splitn(6, ':').nth(5)?;
    let user = resource.strip_prefix("user/")?.rsplit('/').next()?;
    let same = folded(user) == folded(wanted);
    let name = role.metadata.name.as_deref().unwrap_or_default();
    same.then(|| {
        Verdict::new(
            Reason::RoleInvalid,
            format!(
                "role {name}: IAM user {wanted} is the one that the operator signs in as \
                 (AwsAccount {account}); name another in staticUser.userName"
            ),
        )
    })
}

/// The request's claim on the user of this intent, if it stands.
fn claim<'a>(view: &View, intent: &Intent, role: &'a AwsRole) -> Option<&'a Holder> {
    let holder = role.status.as_ref()?.holder.as_ref()?;
    let ours = holder.uid == view.request.uid_str();
    (ours && is_of(holder, intent)).then_some(holder)
}

/// Whether that is a claim on the user of this intent: an AwsAccount that was
/// made anew may lead to a user of the same name in another AWS account.
fn is_of(claim: &Holder, intent: &Intent) -> bool {
    claim.user_name == intent.user_name && claim.account_id == intent.account_id
}

/// A claim on the role's user that belongs to another request.
fn other_claim<'a>(view: &View, role: &'a AwsRole) -> Option<&'a Holder> {
    let holder = role.status.as_ref()?.holder.as_ref()?;
    (holder.uid != view.request.uid_str()).then_some(holder)
}

/// Waits while another request holds the user.
fn free(view: &View, role: &AwsRole, now: Timestamp) -> Result<(), Step> {
    if other_claim(view, role).is_none() {
        return Ok(());
    }
    match view.holder {
        HolderView::Unread => Err(Step::Look(Look::Holder)),
        HolderView::Gone => Ok(()),
        HolderView::Alive => {
            let user = role.spec.static_user.clone().unwrap_or_default();
            let name = role.metadata.name.as_deref().unwrap_or_default();
            let verdict = Verdict::new(
                Reason::UserHeld,
                format!(
                    "IAM user {} of role {name} is held by another request; it is handed to one \
                     at a time, and to this one when that ends",
                    user.user_name
                ),
            );
            Err(refuse(view, &verdict, now))
        }
    }
}

/// The first step of a request that was let in: is the user there, and free?
pub(super) fn begin(view: &View, new: Intent, now: Timestamp) -> Step {
    if let RoleView::Found(role) = &view.role
        && let Err(step) = free(view, role, now)
    {
        return step;
    }
    match located(view, new, now) {
        Ok(intent) => issue::begin(view, intent, now),
        Err(step) => step,
    }
}

/// The intent with the path on which the user was found.
pub(super) fn located(view: &View, new: Intent, now: Timestamp) -> Result<Intent, Step> {
    let user = new.user_name.clone();
    let (reason, message) = match &view.work.adoptee {
        Adoptee::Unknown => return Err(Step::Do(Effect::FindUser(user))),
        Adoptee::Found(path) => {
            return Ok(Intent {
                path: path.clone(),
                ..new
            });
        }
        Adoptee::Missing => (
            Reason::UserNotFound,
            format!("there is no IAM user {user} in the account; create it or correct the AwsRole"),
        ),
        Adoptee::Managed => (
            Reason::RoleInvalid,
            format!(
                "IAM user {user} was made by Keylease for a lease and cannot be a static user; \
                 name another in the AwsRole"
            ),
        ),
    };
    Err(refuse(view, &Verdict::new(reason, message), now))
}

/// The keys of the user that are not ours, once the user is claimed; or the
/// step that leads there.
pub(super) fn foreign_keys(
    view: &View,
    intent: &Intent,
    now: Timestamp,
) -> Result<Vec<String>, Step> {
    let role = match &view.role {
        RoleView::Unread => return Err(Step::Look(Look::Role)),
        // The watch has not told of it yet; the read has.
        RoleView::Absent | RoleView::Leaving(_) if view.live().is_some() => {
            return Err(revocation::begin(view, Ending::Revoked, now));
        }
        RoleView::Absent | RoleView::Leaving(_) => {
            let verdict = Verdict::new(Reason::RoleNotFound, "the AwsRole was deleted");
            return Err(Step::TakeBack(verdict));
        }
        RoleView::Found(role) => role,
    };
    if let Some(claim) = claim(view, intent, role) {
        return Ok(claim.foreign_keys.clone());
    }
    free(view, role, now)?;
    let KeysFact::Known(listed) = &view.work.keys else {
        return Err(list(view, now));
    };
    if !view.work.listed {
        return Err(Step::Do(Effect::ListKeys));
    }
    // A former holder that vanished left its keys behind.
    if let Some(former) = other_claim(view, role).filter(|former| is_of(former, intent))
        && let Some(key) = listed.iter().find(|k| !former.foreign_keys.contains(k))
    {
        return Err(Step::Do(Effect::Clear(Attachment::Key(key.clone()))));
    }
    let own: Vec<_> = view.shown_keys().collect();
    let foreign: Vec<_> = listed
        .iter()
        .filter(|k| !own.contains(&k.as_str()))
        .collect();
    if foreign.len() >= MAX_KEYS {
        return Err(Step::TakeBack(no_room(intent, &foreign)));
    }
    let request = &view.request;
    Err(Step::Do(Effect::Claim(Box::new(Holder {
        uid: request.uid_str().to_owned(),
        namespace: request.namespace_name().to_owned(),
        name: request.metadata.name.clone().unwrap_or_default(),
        account_id: intent.account_id.clone(),
        user_name: intent.user_name.clone(),
        foreign_keys: foreign.into_iter().cloned().collect(),
    }))))
}

fn no_room(intent: &Intent, foreign: &[&String]) -> Verdict {
    let ids: Vec<_> = foreign.iter().map(|id| id.as_str()).collect();
    let s = if ids.len() == 1 { "" } else { "s" };
    Verdict::new(
        Reason::NoRoomForKey,
        format!(
            "IAM user {} has the access key{s} {}, which Keylease did not make, and AWS allows two \
             in all; delete what nobody uses",
            intent.user_name,
            ids.join(" and ")
        ),
    )
}

/// No room for another key beside those that stay: a failure that is counted,
/// because somebody may make room and nothing would tell us.
pub(super) fn crowded(
    view: &View,
    intent: &Intent,
    keys: &[String],
    foreign: &[String],
    now: Timestamp,
) -> Option<Step> {
    let (foreign, own): (Vec<_>, Vec<_>) = keys.iter().partition(|k| foreign.contains(k));
    if keys.len() < MAX_KEYS || foreign.is_empty() {
        return None;
    }
    // A key whose Secret was lost while it was being replaced serves nobody.
    if let (Some(key), false) = (own.first(), issue::secret_stands(view)) {
        return Some(Step::Do(Effect::Clear(Attachment::Key((*key).clone()))));
    }
    let verdict = no_room(intent, &foreign);
    Some(Step::Do(status::attempt_failed(view, &verdict, now)))
}

/// A list of keys, when it can be believed.
pub(super) fn list(view: &View, now: Timestamp) -> Step {
    let since = match view.work.keys {
        KeysFact::Uncertain(since) => since,
        // This process asked for no key yet; a former one may have.
        _ if view.work.began => return Step::Do(Effect::ListKeys),
        _ => view.work.started,
    };
    let settled = since.checked_add(SETTLE).unwrap_or(now);
    if now < settled {
        Step::Wait(settled)
    } else {
        Step::Do(Effect::ListKeys)
    }
}

/// Whether the user has no more keys of ours than the status shows, so that they
/// need not be listed: the lease is at rest, which its Secret tells. A Secret
/// that was lost may have a successor under way, with a key that only AWS knows.
/// `None`: the Secret has to be read.
pub(super) fn rests(view: &View) -> Option<bool> {
    let Some(Live { credential, .. }) = view.live() else {
        return Some(false);
    };
    if view.rotating() || view.work.in_flight() {
        return Some(false);
    }
    match &view.secret {
        // Listed before, or this process deleted the Secret of a lease at rest.
        _ if matches!(view.work.keys, KeysFact::Known(_)) => Some(false),
        SecretView::Unread => None,
        SecretView::Ours(facts) => Some(facts.holds(&credential.access_key_id)),
        SecretView::Absent | SecretView::Foreign => Some(false),
    }
}

/// The next step towards a user on which no key of ours is left.
pub(super) fn end(view: &View, intent: &Intent, ending: Ending, now: Timestamp) -> Step {
    let role = match &view.role {
        RoleView::Unread => return Step::Look(Look::Role),
        RoleView::Absent => None,
        RoleView::Leaving(role) | RoleView::Found(role) => Some(role.as_ref()),
    };
    let claim = role.and_then(|role| claim(view, intent, role));
    let mut keys: BTreeSet<_> = view.shown_keys().map(str::to_owned).collect();
    // Without a claim no key was asked for.
    let rests = match rests(view) {
        Some(rests) => rests,
        None => return Step::Look(Look::Secret),
    };
    if let (Some(claim), false) = (claim, rests) {
        let KeysFact::Known(listed) = &view.work.keys else {
            return list(view, now);
        };
        let foreign = |k: &&String| claim.foreign_keys.contains(k);
        keys.extend(listed.iter().filter(|k| !foreign(k)).cloned());
        keys.extend(view.work.held.iter().map(|h| h.id.clone()));
    }
    let mut keys = keys.into_iter().map(Attachment::Key);
    if let Some(key) = keys.find(|k| !view.work.cleared.contains(k)) {
        return Step::Do(Effect::Clear(key));
    }
    if let Some(step) = ending::secret(view, &ending) {
        return step;
    }
    // What lapsed is followed by another key of the same holder.
    match claim {
        Some(_) if ending != Ending::Lapsed => Step::Do(Effect::Unclaim),
        _ => ending::finish(view, ending, now),
    }
}
