//! What the status says in each state, and the event that goes with it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::effect::{Announcement, Effect, Report};
use super::intent::{self, Intent};
use super::lease::{Term, truncate};
use super::reasons::{Reason, Verdict};
use super::view::{AccountView, View};
use crate::api::{AwsCredentialRequestStatus, ConditionType, Credential, Phase, set_condition};

/// A status in the making: the old one with some parts replaced.
struct Draft<'a> {
    view: &'a View,
    status: AwsCredentialRequestStatus,
    now: Timestamp,
}

impl<'a> Draft<'a> {
    fn of(view: &'a View, phase: Phase, now: Timestamp) -> Self {
        let mut status = view.request.status.clone().unwrap_or_default();
        status.phase = Some(phase);
        status.observed_generation = view.request.metadata.generation;
        Self {
            view,
            status,
            now: truncate(now),
        }
    }

    fn set(mut self, kind: ConditionType, is: bool, reason: Reason, message: &str) -> Self {
        let generation = self.view.request.metadata.generation;
        let conditions = &mut self.status.conditions;
        set_condition(
            conditions,
            kind,
            is,
            reason.as_str(),
            message,
            generation,
            self.now,
        );
        self
    }

    /// `Ready`, and with it `Usable`, are false for this reason. `Issued` and
    /// `Revoked` are first written when they have something to say.
    fn not_ready(self, reason: Reason, message: &str) -> Self {
        self.set(ConditionType::Ready, false, reason, message).set(
            ConditionType::Usable,
            false,
            reason,
            message,
        )
    }

    fn without_credential(mut self) -> Self {
        self.status.lease = None;
        self.status.credential = None;
        self.status.secret_name = None;
        self
    }

    fn report(self, event: Option<Announcement>) -> Effect {
        Effect::Report(Box::new(Report {
            status: self.status,
            event,
        }))
    }

    /// `None` when the object says all this already.
    fn report_news(self, event: Announcement) -> Option<Effect> {
        let same = self.view.request.status.as_ref() == Some(&self.status);
        (!same).then(|| self.report(Some(event)))
    }
}

fn announce(reason: Reason, message: &str, warning: bool) -> Announcement {
    Announcement {
        reason,
        message: message.to_owned(),
        warning,
    }
}

/// The Secret holds a proven key.
pub(super) fn issued(
    view: &View,
    intent: &Intent,
    key_id: &str,
    term: &Term,
    now: Timestamp,
) -> Effect {
    let secret = view.request.secret_name();
    let message = format!(
        "Secret {secret} holds access key {key_id}, proven to work, until {}",
        term.expires_at
    );
    let partition = match &view.account {
        AccountView::Ready(account) => account.partition.as_str(),
        _ => "aws",
    };
    let mut draft = Draft::of(view, Phase::Ready, now)
        .set(ConditionType::Ready, true, Reason::Issued, &message)
        .set(
            ConditionType::Issued,
            true,
            Reason::Issued,
            "AWS holds the credential",
        )
        .set(
            ConditionType::Usable,
            true,
            Reason::Issued,
            "AWS accepts the key",
        )
        .set(
            ConditionType::Revoked,
            false,
            Reason::Issued,
            "The lease is running",
        );
    draft.status.lease = Some(term.lease(&view.request));
    draft.status.credential = Some(Credential {
        type_: "iamUser".to_owned(),
        account_id: intent.account_id.clone(),
        access_key_id: key_id.to_owned(),
        user_name: Some(intent.user_name.clone()),
        arn: Some(intent.user_arn(partition)),
    });
    draft.status.secret_name = Some(secret);
    draft.status.failures = None;
    draft.status.last_failure_time = None;
    draft.report(Some(announce(Reason::Issued, &message, false)))
}

/// A key exists and AWS does not accept it yet. `None` when the status says so
/// already, or when it tells of a live lease, which goes on meanwhile.
pub(super) fn proving(view: &View, now: Timestamp) -> Option<Effect> {
    if view.phase() == Some(Phase::Issuing) || view.live().is_some() {
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

/// The request has to wait, or cannot be served as it is; AWS was not asked.
/// `None` when the status says so already.
pub(super) fn refused(view: &View, verdict: &Verdict, now: Timestamp) -> Option<Effect> {
    let phase = verdict.reason.phase_without_credential();
    let warning = phase == Phase::Failed;
    let draft = Draft::of(view, phase, now).not_ready(verdict.reason, &verdict.message);
    draft.report_news(announce(verdict.reason, &verdict.message, warning))
}

/// An attempt failed: count it, so that the pause before the next one grows
/// and outlives the process.
pub(super) fn attempt_failed(view: &View, verdict: &Verdict, now: Timestamp) -> Effect {
    let Verdict { reason, message } = verdict;
    let ending = view.request.metadata.deletion_timestamp.is_some()
        || view.work.abandon.is_some()
        || view
            .live()
            .is_some_and(|(lease, _)| now >= lease.expires_at.0);
    let taken_back = !intent::has_finalizer(&view.request);
    let phase = match (taken_back, ending) {
        (true, _) => reason.phase_without_credential(),
        (false, true) => Phase::Revoking,
        (false, false) => view
            .phase()
            .filter(|p| *p == Phase::Ready)
            .unwrap_or(Phase::Issuing),
    };
    let mut draft = Draft::of(view, phase, now);
    // A live lease whose Secret is being restored stays usable for whoever has
    // read the key already; everything else is not ready.
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

/// The user cannot be removed now because its account cannot be reached.
pub(super) fn revocation_blocked(view: &View, verdict: &Verdict, now: Timestamp) -> Option<Effect> {
    let Verdict { reason, message } = verdict;
    let draft = Draft::of(view, Phase::Revoking, now)
        .not_ready(*reason, message)
        .set(ConditionType::Revoked, false, *reason, message);
    draft.report_news(announce(*reason, message, true))
}

/// The lease ended and AWS holds nothing any more.
pub(super) fn expired(view: &View, now: Timestamp) -> Effect {
    let message = match view.live() {
        Some((lease, credential)) => format!(
            "the lease ended at {}; IAM user {} and its key {} are deleted",
            lease.expires_at.0,
            credential.user_name.as_deref().unwrap_or_default(),
            credential.access_key_id
        ),
        None => "the lease ended; AWS holds nothing of it".to_owned(),
    };
    let mut draft = Draft::of(view, Phase::Expired, now)
        .not_ready(Reason::Expired, &message)
        .set(ConditionType::Issued, false, Reason::Expired, &message)
        .set(ConditionType::Revoked, true, Reason::Expired, &message);
    draft.status.credential = None;
    draft.status.secret_name = None;
    draft.status.failures = None;
    draft.status.last_failure_time = None;
    draft.report(Some(announce(Reason::Expired, &message, false)))
}
