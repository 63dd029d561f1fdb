//! What a success teaches: the Kubernetes side of it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::plan::adopted;
use crate::plan::effect::{Effect, Outcome, Report};
use crate::plan::intent::Permission;
use crate::plan::secret::SecretView;
use crate::plan::standing::Standing;
use crate::plan::view::{RoleView, View};
use crate::plan::work::{KeysFact, Obstacle, Roll, SecretGate, UserFact, Work};
use keylease_api::{AwsCredentialRequestStatus, Phase};

/// What was so before the effect, where its outcome is read in that light.
struct Before {
    /// What the status told of the user's permissions.
    told: BTreeSet<Permission>,
    /// No key of ours was on a static user but those in the status.
    rested: bool,
    /// A lease was in force.
    was_live: bool,
    /// A rotation was under way.
    rotating: bool,
    /// Failures that the status told of.
    failures: u32,
}

impl View {
    pub(super) fn record_success(&mut self, effect: &Effect, outcome: Outcome, now: Timestamp) {
        self.record_offer(effect, None);
        if effect.on_kubernetes() || self.gone {
            self.work.stalls = 0;
        } else {
            self.work.throttled = 0;
        }
        if effect.on_kubernetes() {
            self.record_in_kubernetes(effect, outcome, now);
        } else {
            self.record_in_aws(effect, outcome, now);
        }
    }

    fn record_in_kubernetes(&mut self, effect: &Effect, outcome: Outcome, now: Timestamp) {
        let before = Before {
            told: self.permissions_told(),
            rested: adopted::rests(self) == Some(true),
            was_live: self.live().is_some(),
            rotating: self.rotating(),
            failures: failures(self.request.status.as_ref()),
        };
        if let Outcome::Request(request) = &outcome {
            self.observe(request.clone());
        }
        let work = &mut self.work;
        match (effect, outcome) {
            (Effect::Claim(_) | Effect::Unclaim, Outcome::Role(role)) => {
                self.role = RoleView::of(Some(role));
            }
            (Effect::Begin(_), _) => self.record_begun(before, now),
            (Effect::CheckSecret, _) => work.secret = SecretGate::Clear,
            (Effect::PublishSecret(_) | Effect::AmendSecret(_), Outcome::Secret(facts)) => {
                self.secret = SecretView::Ours(facts);
            }
            (Effect::Restart(workload, _), outcome) => {
                let obstacle = match outcome {
                    Outcome::HeldBack(why) => Some(Obstacle::HeldBack(why)),
                    _ => None,
                };
                work.roll_tries = 0;
                work.rolls.push(Roll {
                    workload: workload.clone(),
                    obstacle,
                });
            }
            // The Secret goes after the keys: with that of a static user at
            // rest there is none left, and nothing would tell so any more.
            (Effect::DeleteSecret(_), _) => {
                self.secret = SecretView::Absent;
                if before.rested && self.has_static_user() {
                    self.work.keys = KeysFact::Known(Vec::new());
                }
            }
            (Effect::DeleteRequest, _) => self.gone = true,
            (Effect::Report(report), _) => self.record_report(report, &before, now),
            // A request that was taken back tells why now that it is clean.
            (Effect::Release, _) => {
                *work = Work {
                    failure: work.abandon.take(),
                    released: true,
                    ..Work::new(now)
                };
            }
            _ => {}
        }
    }

    fn record_begun(&mut self, before: Before, now: Timestamp) {
        let rotation = self.rotating();
        let is_static = self.has_static_user();
        let vetted = self.intent().cloned();
        let work = &mut self.work;
        if rotation && !before.rotating {
            // It begins on a user that rested since it was made: what is on it
            // is what the status tells, and no key is unknown. The intent before
            // also names what it took off again.
            *work = Work {
                began: true,
                vetted,
                secret: work.secret,
                user: UserFact::Ours,
                keys: KeysFact::Known(Vec::new()),
                standing: std::mem::take(&mut work.standing),
                ..Work::new(now)
            };
            work.granted = before.told.into_iter().map(|p| (p, true)).collect();
        } else if rotation {
            // It was under way already, and the role says something else now:
            // what this process knows of the user stays true.
            work.vetted = vetted;
        } else if before.was_live {
            // A live user, and an intent that is put back or corrected: nothing
            // is known of the user but that it is there.
            *work = Work {
                vetted,
                secret: work.secret,
                doubt: std::mem::take(&mut work.doubt),
                standing: std::mem::take(&mut work.standing),
                ..Work::new(now)
            };
        } else {
            work.began = true;
            work.released = false;
            work.vetted = vetted;
            work.secret = SecretGate::Unchecked;
            work.standing = Standing::Unread;
            work.user = if is_static {
                UserFact::Ours
            } else {
                UserFact::Gone
            };
        }
    }

    fn record_report(&mut self, report: &Report, before: &Before, now: Timestamp) {
        let is_static = self.has_static_user();
        let intent_stands = self.intent().is_some();
        let failed = failures(Some(&report.status)) > before.failures;
        let work = &mut self.work;
        // Of a lease in force only the attempt was taken back; the next one asks
        // the role anew.
        let retreated = before.was_live && report.status.lease.is_some();
        if retreated && failed && work.failure.is_none() && work.abandon.is_some() {
            work.abandon = None;
            work.vetted = None;
            work.listed = false;
        }
        work.failure = None;
        // Others may change their keys during the pause that follows.
        let known = matches!(work.keys, KeysFact::Known(_));
        if is_static && known && work.held.is_none() && report.status.failures.is_some() {
            work.keys = KeysFact::Unlisted;
        }
        // The lease ended and another is to follow: from the beginning, and
        // admitted anew.
        if before.was_live && report.status.lease.is_none() {
            *work = Work {
                user: UserFact::Gone,
                keys: KeysFact::Known(Vec::new()),
                ..Work::new(now)
            };
        }
        if !intent_stands {
            work.abandon = None;
        }
        // A failed attempt to follow a live lease goes on from what it has: the
        // key in hand is as good as before.
        let served = report.status.phase == Some(Phase::Ready);
        if served && report.status.failures.is_none() {
            *work = Work::new(now);
        }
    }
}

fn failures(status: Option<&AwsCredentialRequestStatus>) -> u32 {
    status.map_or(0, AwsCredentialRequestStatus::failure_count)
}
