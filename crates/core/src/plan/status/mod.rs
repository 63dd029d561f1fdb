//! What the status says in each state, and the event that goes with it.

mod acknowledged;
mod draft;
mod ended;
mod next_key;
mod remarked;
mod restarts;
mod suspended;

pub(super) use acknowledged::{
    acknowledged, acknowledged_at_the_end, is_acknowledged, moves_again,
};
pub(super) use ended::{expired, lapsed, revocation_blocked, revoked, revoking};
pub(super) use next_key::{rotation_told, settled};
pub(super) use remarked::{secret_remarked, tells_remark};
pub(super) use suspended::{is_suspended, reinstated, suspended};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::effect::{Attachment, Effect};
use crate::plan::intent::{self, Intent, STATIC_USER};
use crate::plan::lease::{Term, truncate};
use crate::plan::live;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::secret::SecretView;
use crate::plan::session_spec::{SessionCall, SessionSpec};
use crate::plan::stage::{Live, Stage};
use crate::plan::view::{AccountView, View};
use draft::{Draft, announce};
use keylease_api::{ConditionType, Credential, Lease, Phase, PreviousKey};

/// The Secret holds a proven key.
pub(super) fn issued(
    view: &View,
    intent: &Intent,
    key_id: &str,
    term: &Term,
    overlap: SignedDuration,
    now: Timestamp,
) -> Effect {
    let partition = match &view.account {
        AccountView::Ready(account) => account.partition.as_str(),
        _ => "aws",
    };
    let credential = Credential {
        type_: if intent.adopted {
            STATIC_USER
        } else {
            "iamUser"
        }
        .to_owned(),
        account_id: intent.account_id.clone(),
        access_key_id: key_id.to_owned(),
        user_name: Some(intent.user_name.clone()),
        arn: Some(intent.user_arn(partition)),
        permissions: intent.permissions.iter().map(ToString::to_string).collect(),
    };
    // The old key lives on for the overlap, unless that is nothing.
    let is_there = |old: &&String| {
        let key = Attachment::Key((*old).clone());
        view.rotating() && !view.work.cleared.contains(&key)
    };
    let replaced = intent.replaces.as_ref().filter(is_there);
    let previous = replaced
        .filter(|_| !overlap.is_zero())
        .map(|old| PreviousKey {
            access_key_id: old.clone(),
            remove_at: Time(truncate(now.checked_add(overlap).unwrap_or(now))),
        });
    delivered(view, credential, term, previous, now)
}

/// The Secret holds a session.
pub(super) fn session_issued(
    view: &View,
    spec: &SessionSpec,
    key_id: &str,
    term: &Term,
    now: Timestamp,
) -> Effect {
    let account = match &view.account {
        AccountView::Ready(account) => Some(account),
        _ => None,
    };
    let credential = Credential {
        type_: spec.call.type_name().to_owned(),
        account_id: account.map(|a| a.account_id.clone()).unwrap_or_default(),
        access_key_id: key_id.to_owned(),
        user_name: None,
        arn: match &spec.call {
            SessionCall::AssumeRole { role_arn, .. } => Some(role_arn.clone()),
            SessionCall::FederationToken { .. } | SessionCall::SessionToken => {
                account.map(|a| a.arn.clone())
            }
        },
        permissions: Vec::new(),
    };
    delivered(view, credential, term, None, now)
}

fn delivered(
    view: &View,
    credential: Credential,
    term: &Term,
    previous: Option<PreviousKey>,
    now: Timestamp,
) -> Effect {
    let secret = view.request.secret_name();
    let key_id = &credential.access_key_id;
    let reason = match view.live() {
        Some(_) => Reason::Rotated,
        None => Reason::Issued,
    };
    // Only keys are proven; a session works from the moment STS hands it out.
    let held = view.in_hand().filter(|held| held.id == *key_id);
    let denied = held.and_then(|held| held.denied.as_deref());
    let kind = match (&credential.user_name, denied) {
        (Some(_), Some(_)) => "access key {}, which AWS knows and denies sts:GetCallerIdentity,",
        (Some(_), None) => "access key {}, proven to work,",
        (None, _) => "session {}",
    };
    let kind = kind.replace("{}", key_id);
    let message = format!("Secret {secret} holds {kind} until {}", term.expires_at);
    let (usable, how) = match denied {
        None => (reason, "AWS accepts the key".to_owned()),
        Some(text) => (
            Reason::ProofDenied,
            format!(
                "AWS knows the key and denies it sts:GetCallerIdentity ({text}), so what else it is \
                 good for was not proven; look at service control policies and at the policy of the \
                 STS endpoint"
            ),
        ),
    };
    let mut draft = Draft::of(view, Phase::Ready, now)
        .without(ConditionType::Suspended)
        .set(ConditionType::Ready, true, reason, &message)
        .set(
            ConditionType::Issued,
            true,
            reason,
            "AWS holds the credential",
        )
        .set(ConditionType::Usable, true, usable, &how)
        .set(
            ConditionType::Revoked,
            false,
            reason,
            "The lease is running",
        )
        .without(ConditionType::Rotating);
    let before = view.live().map(|live| live.lease);
    draft.status.lease = Some(Lease {
        renewals: before.map_or(0, |l| l.renewals),
        // What was asked for before this lease began is not asked of it.
        renewed_for: renewal_in_spec(view),
        ..term.lease(&view.request)
    });
    draft.status.credential = Some(credential);
    draft.status.previous = previous;
    draft.status.secret_name = Some(secret);
    restarts::tell(&mut draft);
    draft.clear_failures();
    if let SecretView::Ours(facts) = &view.secret {
        draft = draft.remark(facts.remark.as_deref());
    }
    draft.report(Some(announce(reason, &message, false)))
}

/// The lease has a later end.
pub(super) fn renewed(view: &View, term: &Term, asked: Timestamp, now: Timestamp) -> Effect {
    let capped = term.expires_at >= term.max_expires_at;
    let limit = if capped { ", the role's maximum" } else { "" };
    let message = format!("the lease now ends at {}{limit}", term.expires_at);
    let mut draft = Draft::of(view, Phase::Ready, now);
    if let Some(lease) = &mut draft.status.lease {
        let renewals = lease.renewals.saturating_add(1);
        *lease = Lease {
            renewals,
            renewed_for: Some(Time(asked)),
            ..term.lease(&view.request)
        };
    }
    draft = draft.set(ConditionType::Ready, true, Reason::Renewed, &message);
    draft.report(Some(announce(Reason::Renewed, &message, false)))
}

/// The lease cannot have a later end; said once for each time of asking.
pub(super) fn renewal_refused(view: &View, asked: Timestamp, why: &str, now: Timestamp) -> Effect {
    let end = view.live().map(|live| live.lease.expires_at.0);
    let end = end.map(|t| format!("; it ends at {t}")).unwrap_or_default();
    let message = format!("the lease is not renewed{end}: {why}");
    let phase = view.phase().unwrap_or(Phase::Ready);
    let mut draft = Draft::of(view, phase, now);
    if phase == Phase::Ready {
        draft = draft.set(ConditionType::Ready, true, Reason::RenewalRefused, &message);
    }
    if let Some(lease) = &mut draft.status.lease {
        lease.renewed_for = Some(Time(asked));
    }
    draft.report(Some(announce(Reason::RenewalRefused, &message, true)))
}

/// The renewal that the spec asks for, if it can be read.
fn renewal_in_spec(view: &View) -> Option<Time> {
    let renew = view.request.spec.renew.as_ref()?;
    renew.at.get().ok().map(Time)
}

/// A renewal was asked for at a time that is none, by an object that is older
/// than the rule against it. `None` when the status says so already.
pub(super) fn renewal_unreadable(view: &View, now: Timestamp) -> Option<Effect> {
    let error = view.request.spec.renew.as_ref()?.at.get().err()?;
    let Live { lease, .. } = view.live()?;
    let message = format!(
        "spec.renew.at: {error}; the lease still ends at {}",
        lease.expires_at.0
    );
    let reason = Reason::RenewalRefused;
    let phase = view.phase().unwrap_or(Phase::Ready);
    // Without a key that works there is something else to tell first.
    if !matches!(phase, Phase::Ready | Phase::Rotating) {
        return None;
    }
    let draft = Draft::of(view, phase, now).set(ConditionType::Ready, true, reason, &message);
    draft.report_news(announce(reason, &message, true))
}

/// The request cannot be read as a whole: what that means for it. `None` when
/// the status says so already.
pub(super) fn unreadable(view: &View, now: Timestamp) -> Option<Effect> {
    let what = view.request.spec.unreadable.summary()?;
    let remedy = "correct it, or go back to the version of Keylease that wrote it";
    let draft = Draft::keeping_phase(view, now);
    let (draft, message) = match (view.lease(), view.live()) {
        (Some(lease), live) => {
            let end = lease.expires_at.0;
            let message = format!(
                "the request cannot be read ({what}); {remedy}. Nothing is issued, rotated or \
                 renewed for it, and its lease ends at {end}"
            );
            let works = live.is_some() && !matches!(view.phase(), Some(Phase::Issuing));
            let kind = ConditionType::Ready;
            (
                draft.set(kind, works, Reason::Unreadable, &message),
                message,
            )
        }
        (None, _) => {
            let message =
                format!("the request cannot be read ({what}); {remedy}. Nothing is issued for it");
            let draft = match view.stage().is_over() {
                // What ended as asked is through, readable or not.
                true => draft,
                false => draft.not_ready(Reason::Unreadable, &message),
            };
            (draft, message)
        }
    };
    draft.report_news(announce(Reason::Unreadable, &message, true))
}

/// The overlap is over and the old key is gone.
pub(super) fn previous_removed(view: &View, now: Timestamp) -> Effect {
    let key = view.previous().map(|p| p.access_key_id.clone());
    let message = format!("the previous key {} is deleted", key.unwrap_or_default());
    let mut draft = match view.request.spec.unreadable.is_empty() {
        true => Draft::of(view, Phase::Ready, now),
        false => Draft::keeping_phase(view, now),
    };
    draft.status.previous = None;
    draft.report(Some(announce(Reason::PreviousKeyRemoved, &message, false)))
}

/// A key exists and AWS does not accept it yet. `None` when the status says so
/// already, or when it tells of a live lease, which goes on meanwhile.
pub(super) fn proving(view: &View, now: Timestamp) -> Option<Effect> {
    if view.live().is_some() {
        return rotating(view, now);
    }
    if view.phase() == Some(Phase::Issuing) {
        return None;
    }
    let message = "the key was made and is not accepted by AWS everywhere yet, which takes 2-15 s; \
                   the Secret follows when it is";
    let draft = Draft::of(view, Phase::Issuing, now)
        .set(
            ConditionType::Issued,
            true,
            Reason::Issued,
            "AWS holds the credential",
        )
        .not_ready(Reason::Proving, message);
    Some(draft.report(None))
}

/// AWS has lost the key of a live lease; another is being made. A live lease in
/// this phase tells whoever comes after a crash that its key is not to be
/// believed.
pub(super) fn key_lost(view: &View, now: Timestamp) -> Effect {
    let key = view
        .live()
        .map(|live| live.credential.access_key_id.as_str());
    let message = format!(
        "access key {} was deleted in AWS, not by the operator; another is being made",
        key.unwrap_or_default()
    );
    let draft = Draft::of(view, Phase::Issuing, now).not_ready(Reason::KeyLost, &message);
    draft.report(Some(announce(Reason::KeyLost, &message, true)))
}

/// Something that lets in others than the Secret's readers was on the user, and
/// was removed.
pub(super) fn strays_removed(view: &View, strays: &[Attachment], now: Timestamp) -> Effect {
    let what: Vec<_> = strays.iter().map(ToString::to_string).collect();
    let message = format!(
        "removed from the IAM user, because the operator did not make it: {}",
        what.join(", ")
    );
    let mut draft = Draft::of(view, Phase::Ready, now);
    draft.clear_failures();
    draft.report(Some(announce(Reason::StrayRemoved, &message, true)))
}

/// The next key is not accepted yet; the present one works meanwhile.
fn rotating(view: &View, now: Timestamp) -> Option<Effect> {
    if !view.rotating() || view.phase() == Some(Phase::Rotating) {
        return None;
    }
    let message = "the next key was made and is not accepted by AWS everywhere yet, which takes \
                   2-15 s; the present one works meanwhile";
    let draft = Draft::of(view, Phase::Rotating, now);
    let draft = draft.set(ConditionType::Rotating, true, Reason::Proving, message);
    Some(draft.report(None))
}

/// The request has to wait, or cannot be served as it is; AWS was not asked.
/// `None` when the status says so already.
pub(super) fn refused(view: &View, verdict: &Verdict, now: Timestamp) -> Option<Effect> {
    let phase = verdict.reason.phase_without_credential();
    let warning = phase == Phase::Failed || view.live().is_some();
    // A live lease runs on to its end, whatever its successor meets with.
    let draft = match view.stage() {
        // Its key is lost, and there is none to run on with.
        Stage::Replacing(_) => Draft::of(view, Phase::Issuing, now)
            .no_new_key(verdict)
            .not_ready(verdict.reason, &verdict.message),
        stage if stage.live().is_some() => Draft::of(view, Phase::Ready, now).no_new_key(verdict),
        _ => Draft::of(view, phase, now).not_ready(verdict.reason, &verdict.message),
    };
    draft.report_news(announce(verdict.reason, &verdict.message, warning))
}

/// An attempt failed: count it, so that the pause before the next one grows
/// and outlives the process.
pub(super) fn attempt_failed(view: &View, verdict: &Verdict, now: Timestamp) -> Effect {
    failed(view, verdict, false, now)
}

/// The same, where AWS holds nothing of the request any more.
pub(super) fn abandoned(view: &View, verdict: &Verdict, now: Timestamp) -> Effect {
    failed(view, verdict, true, now)
}

fn failed(view: &View, verdict: &Verdict, abandoned: bool, now: Timestamp) -> Effect {
    let Verdict { reason, message } = verdict;
    let stage = view.stage();
    let ending = match stage {
        Stage::Active(_) | Stage::Rotating(_) | Stage::Replacing(_) => !view.in_force(now),
        Stage::Revoking(_) | Stage::Deleting(_) | Stage::Released => true,
        Stage::New | Stage::Issuing | Stage::Closing | Stage::Ended => view.work.abandon.is_some(),
    };
    // Without our finalizer nothing is held any more; unless somebody took it off
    // a live lease, which then puts it back. A session never has one, and works
    // on while its successor is not to be had.
    let held = stage
        .live()
        .is_some_and(|live| !(view.work.released || live.is_session() && ending));
    let taken_back = abandoned || !intent::has_finalizer(&view.request) && !held;
    let phase = match (taken_back, ending) {
        (true, _) => reason.phase_without_credential(),
        (false, true) => Phase::Revoking,
        (false, false) => match stage {
            Stage::Active(_) | Stage::Rotating(_) => Phase::Ready,
            _ => Phase::Issuing,
        },
    };
    let mut draft = Draft::of(view, phase, now);
    // A lease in force stays ready, whatever its next key meets with; everything
    // else is not.
    if !ending && live::wants_key(view, now) {
        draft = draft.no_new_key(verdict);
    }
    if phase != Phase::Ready {
        draft = draft.not_ready(*reason, message);
    }
    if ending {
        draft = draft.set(ConditionType::Revoked, false, *reason, message);
    }
    if taken_back {
        draft = draft
            .set(ConditionType::Issued, false, *reason, message)
            .without_credential();
    }
    let failures = draft.status.failure_count().saturating_add(1);
    draft.status.failures = Some(i32::try_from(failures).unwrap_or(i32::MAX));
    draft.status.last_failure_time = Some(Time(truncate(now)));
    draft.report(Some(announce(*reason, message, true)))
}
