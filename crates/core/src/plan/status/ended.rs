//! What the status says of the end of a lease.

use jiff::Timestamp;

use super::draft::{Draft, announce};
use crate::plan::effect::Effect;
use crate::plan::intent::STATIC_USER;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::unreadable;
use crate::plan::view::View;
use keylease_api::{ConditionType, Phase};

/// The user cannot be removed now because its account cannot be reached.
pub(in crate::plan) fn revocation_blocked(
    view: &View,
    verdict: &Verdict,
    now: Timestamp,
) -> Option<Effect> {
    let Verdict { reason, message } = verdict;
    let draft = Draft::of(view, Phase::Revoking, now)
        .not_ready(*reason, message)
        .set(ConditionType::Revoked, false, *reason, message);
    draft.report_news(announce(*reason, message, true))
}

/// The lease ended and AWS holds nothing any more.
pub(in crate::plan) fn expired(view: &View, now: Timestamp) -> Effect {
    let end = view.live().map(|live| live.lease.expires_at.0);
    let end = end.map(|t| format!(" at {t}")).unwrap_or_default();
    ended(
        view,
        Phase::Expired,
        Reason::Expired,
        &format!("the lease ended{end}"),
        now,
    )
}

/// The lease is about to be taken down before its end.
pub(in crate::plan) fn revoking(view: &View, now: Timestamp) -> Effect {
    let role = &view.request.spec.role_ref.name;
    let why = match deleted(view) {
        Some(gone) => format!("{gone} was deleted, which revokes the lease"),
        None => format!("AwsRole {role} revokes the lease"),
    };
    let message = format!("{why}; its credential is being removed");
    let draft = Draft::of(view, Phase::Revoking, now)
        .not_ready(Reason::Revoking, &message)
        .set(ConditionType::Revoked, false, Reason::Revoking, &message);
    draft.report(None)
}

/// What was deleted, if that revokes the lease.
fn deleted(view: &View) -> Option<String> {
    let hint = &view.role_hint;
    let account = view.intent().filter(|_| hint.account_leaving);
    let account = account.map(|intent| format!("AwsAccount {}", intent.account));
    let role = &view.request.spec.role_ref.name;
    let role = || hint.leaving.then(|| format!("AwsRole {role}"));
    account.or_else(role)
}

/// The lease was revoked, and AWS holds nothing any more.
pub(in crate::plan) fn revoked(view: &View, now: Timestamp) -> Effect {
    let role = &view.request.spec.role_ref.name;
    let why = match deleted(view) {
        Some(gone) => format!("the lease was revoked, because {gone} was deleted"),
        None => format!("the lease was revoked by AwsRole {role}"),
    };
    ended(view, Phase::Revoked, Reason::Revoked, &why, now)
}

fn ended(view: &View, phase: Phase, reason: Reason, why: &str, now: Timestamp) -> Effect {
    let message = format!("{why}; {}", what_is_gone(view));
    // Whoever waits by kstatus takes a `Ready` that is false for work in progress,
    // and this is done.
    let mut draft = Draft::of(view, phase, now)
        .without(ConditionType::Ready)
        .set(ConditionType::Usable, false, reason, &message)
        .set(ConditionType::Issued, false, reason, &message)
        .set(ConditionType::Revoked, true, reason, &message)
        .remark(None)
        .without(ConditionType::Suspended);
    draft.status.credential = None;
    draft.status.previous = None;
    draft.status.secret_name = None;
    draft.status.restarts = Vec::new();
    draft.clear_failures();
    draft.report(Some(announce(reason, &message, false)))
}

fn what_is_gone(view: &View) -> String {
    let credential = view.live().map(|live| live.credential);
    let stays = credential.is_some_and(|c| c.type_ == STATIC_USER);
    match credential.map(|c| (&c.user_name, &c.access_key_id)) {
        Some((Some(user), key)) if stays => {
            format!("the key {key} of IAM user {user} is deleted")
        }
        Some((Some(user), key)) => format!("IAM user {user} and its key {key} are deleted"),
        Some((None, key)) => format!(
            "the Secret with session {key} is deleted; AWS ends the session itself in its own time"
        ),
        None => "AWS holds nothing of it".to_owned(),
    }
}

/// The lease ended without a successor; one is made from the beginning, as soon
/// as all of the request can be read.
pub(in crate::plan) fn lapsed(view: &View, now: Timestamp) -> Effect {
    let next = if unreadable::is_so(view) {
        "none is made while a part of the request cannot be read"
    } else {
        "a new one is being made"
    };
    let message = format!(
        "the lease ended before another could follow; {}; {next}",
        what_is_gone(view)
    );
    let draft = Draft::of(view, Phase::Pending, now)
        .not_ready(Reason::Revoked, &message)
        .set(ConditionType::Issued, false, Reason::Revoked, &message)
        .without_credential();
    draft.report(Some(announce(Reason::Revoked, &message, true)))
}
