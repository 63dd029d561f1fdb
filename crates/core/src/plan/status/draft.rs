//! A status that is being written, and its event.

use jiff::Timestamp;

use crate::plan::effect::{Announcement, Effect, Report};
use crate::plan::lease::truncate;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::secret::SecretView;
use crate::plan::view::View;
use keylease_api::{
    AwsCredentialRequestStatus, ConditionType, Phase, get_condition, set_condition, set_stalled,
};

/// A status in the making: the old one with some parts replaced.
pub(super) struct Draft<'a> {
    pub(super) view: &'a View,
    pub(super) status: AwsCredentialRequestStatus,
    pub(super) now: Timestamp,
    pub(super) warnings: Vec<Announcement>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(view: &'a View, phase: Phase, now: Timestamp) -> Self {
        let mut status = view.request.status.clone().unwrap_or_default();
        let generation = view.request.metadata.generation;
        status.phase = Some(phase);
        status.observed_generation = generation;
        // A status is written as a whole: what it leaves as it was is true of the
        // spec as it is now.
        for condition in &mut status.conditions {
            condition.observed_generation = generation;
        }
        let draft = Self {
            view,
            status,
            now: truncate(now),
            warnings: Vec::new(),
        };
        match phase {
            Phase::Ready | Phase::Rotating | Phase::Issuing => draft,
            // No lease is in force that another key could be due for.
            _ => draft.without(ConditionType::Rotating),
        }
    }

    /// The condition has nothing to say any more.
    pub(super) fn without(mut self, kind: ConditionType) -> Self {
        let conditions = &mut self.status.conditions;
        conditions.retain(|c| c.type_ != kind.as_str());
        if kind == ConditionType::Ready {
            set_stalled(conditions, false, self.now);
        }
        self
    }

    /// Another key is due and cannot be made, for this reason. Whoever has read
    /// the present one goes on with it; the Secret may not hold it any more.
    pub(super) fn no_new_key(self, verdict: &Verdict) -> Self {
        let message = format!("no new key: {}", verdict.message);
        let lost = self.view.secret != SecretView::Unread && !self.view.secret_is_shown();
        let draft = self.set(ConditionType::Rotating, false, verdict.reason, &message);
        match lost {
            true => draft.set(ConditionType::Usable, false, verdict.reason, &message),
            false => draft,
        }
    }

    /// One that leaves the phase as it is.
    pub(super) fn keeping_phase(view: &'a View, now: Timestamp) -> Self {
        let mut draft = Self::of(view, view.phase().unwrap_or(Phase::Pending), now);
        draft.status.phase = view.phase();
        draft
    }

    /// Writes a condition. While the key is out of service in AWS, nothing else
    /// that is told makes the lease ready or usable.
    pub(super) fn set(
        mut self,
        kind: ConditionType,
        is: bool,
        reason: Reason,
        message: &str,
    ) -> Self {
        let serves = is && matches!(kind, ConditionType::Ready | ConditionType::Usable);
        if serves && get_condition(&self.status.conditions, ConditionType::Suspended).is_some() {
            return self;
        }
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
        if kind == ConditionType::Ready {
            set_stalled(conditions, reason.needs_a_person(), self.now);
        }
        self
    }

    /// `Ready`, and with it `Usable`, are false for this reason. `Issued` and
    /// `Revoked` are first written when they have something to say.
    pub(super) fn not_ready(self, reason: Reason, message: &str) -> Self {
        self.set(ConditionType::Ready, false, reason, message).set(
            ConditionType::Usable,
            false,
            reason,
            message,
        )
    }

    pub(super) fn without_credential(self) -> Self {
        let mut this = self.remark(None).without(ConditionType::Suspended);
        this.status.lease = None;
        this.status.credential = None;
        this.status.previous = None;
        this.status.secret_name = None;
        this.status.restarts = Vec::new();
        this
    }

    pub(super) fn clear_failures(&mut self) {
        self.status.failures = None;
        self.status.last_failure_time = None;
    }

    pub(super) fn report(self, event: Option<Announcement>) -> Effect {
        Effect::Report(Box::new(Report {
            status: self.status,
            event,
            warnings: self.warnings,
        }))
    }

    /// `None` when the object says all this already.
    pub(super) fn report_news(self, event: Announcement) -> Option<Effect> {
        self.is_news().then(|| self.report(Some(event)))
    }

    /// The same, without an event.
    pub(super) fn report_quietly(self) -> Option<Effect> {
        self.is_news().then(|| self.report(None))
    }

    fn is_news(&self) -> bool {
        self.view.request.status.as_ref() != Some(&self.status)
    }
}

pub(super) fn announce(reason: Reason, message: &str, warning: bool) -> Announcement {
    Announcement {
        reason,
        message: message.to_owned(),
        warning,
    }
}
