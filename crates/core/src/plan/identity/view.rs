//! What is known of one identity, and how outcomes change it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::{Epoch, Record, Why};
use super::timing::Timing;
use super::{Effect, Outcome, Then, later};
use crate::plan::effect::{Fault, FaultClass};

/// Longest pause after effects that failed.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(15);

/// The marker in AWS, as a look found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// The epoch in its tag; `None` where that is missing or no epoch.
    pub epoch: Option<Epoch>,
    /// The last knock.
    pub knock: Option<String>,
    /// The last call of a cluster that stopped.
    pub call: Option<String>,
    /// How long a look is good for whoever wrote the epoch.
    pub valid: SignedDuration,
}

/// One look at the marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What was found; `None` where there is no marker.
    pub marker: Option<Marker>,
    /// When the look began.
    pub at: Timestamp,
}

/// What this process has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It is not known yet who holds the identity.
    #[default]
    Fresh,
    /// A knock of ours stands, for an answer of whoever holds it.
    Knocking {
        /// Since when.
        from: Timestamp,
        /// How long it has to stand.
        wait: SignedDuration,
    },
    /// Another may be displaced, who has not seen it yet.
    Settling {
        /// When it has, or does not act any more.
        until: Timestamp,
    },
    /// This cluster holds the identity.
    Held,
}

/// Everything a decision may look at. Times are of one clock that cannot be set.
#[derive(Clone, Debug)]
pub struct View {
    /// The protocol's times.
    pub timing: Timing,
    /// The cluster's record: unread, or read and perhaps not there.
    pub record: Option<Option<Record>>,
    /// The newest epoch on record when this process was started, long before it
    /// led; `None` where the record was not read then.
    pub at_start: Option<Option<Epoch>>,
    /// The epoch that a former process of this very place (a container of this
    /// pod) wrote last. A copy of the cluster has no copy of it.
    pub local: Option<Epoch>,
    /// Whether an account of this cluster still leads here.
    pub wanted: bool,
    /// The process is about to end.
    pub releasing: bool,
    /// Whether a request of this cluster may have something in AWS.
    pub has_leases: bool,
    /// Codes that people have confirmed.
    pub confirmed: Vec<String>,
    /// What this process has done and seen.
    pub work: Work,
}

/// What this process has done and seen.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// How far it has come.
    pub stage: Stage,
    /// The last look.
    pub seen: Option<Sighting>,
    /// What the record announces, and is to be done in AWS next.
    pub then: Option<Then>,
    /// Until when calls that change AWS may be made.
    pub valid_until: Timestamp,
    /// A knock of another cluster that was answered.
    pub answered: Option<String>,
    /// The last call that was heard, once the marker was seen.
    pub heard: Option<Option<String>>,
    /// When another cluster was heard of last.
    pub twin: Option<Timestamp>,
    /// Why this process stops, until the record says so.
    pub stop: Option<Why>,
    /// When the epoch was written last.
    pub tagged: Timestamp,
    /// When a stopped cluster said last that it is there.
    pub called: Option<Timestamp>,
    /// Epochs that certainly did not get to AWS.
    pub unborn: Vec<Epoch>,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub trouble: Option<String>,
    /// Nothing is done before.
    pub retry_at: Timestamp,
    /// The identity was given up, or the marker removed.
    pub done: bool,
    /// What nonces are made of: drawn for each process.
    pub seed: u64,
    /// How many were drawn.
    pub drawn: u64,
}

impl Work {
    /// The beginning.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Text that nobody else draws: for the next change of the record.
    pub(super) fn nonce(&self) -> String {
        let seed = self.seed ^ self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{:016x}", fastrand::Rng::with_seed(seed).u64(..))
    }
}

impl View {
    /// The record, where it was read and is there.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()?.as_ref()
    }

    /// Whether the identity is held and calls may be made at that time.
    pub fn may_act(&self, now: Timestamp) -> bool {
        self.work.stage == Stage::Held && now < self.work.valid_until
    }

    /// Whether the marker shows the knock of another cluster that waits for an
    /// answer.
    pub(super) fn asked_by(&self, marker: &Marker) -> Option<String> {
        let ours = self.record().and_then(|r| r.knock.as_ref());
        let knock = marker.knock.as_ref()?;
        let open = Some(knock) != ours && Some(knock) != self.work.answered.as_ref();
        open.then(|| knock.clone())
    }

    /// Whether the marker's epoch is one of this cluster's.
    pub(super) fn is_ours(&self, marker: &Marker) -> bool {
        self.record()
            .is_some_and(|record| record.knows(marker.epoch.as_ref()))
    }

    /// Takes note of what came of an effect that was begun at that time.
    pub fn record_outcome(
        &mut self,
        effect: &Effect,
        outcome: Result<Outcome, Fault>,
        began: Timestamp,
        now: Timestamp,
    ) {
        match outcome {
            Ok(outcome) => {
                self.work.failures = 0;
                self.work.trouble = None;
                self.succeeded(effect, outcome, began, now);
            }
            Err(fault) => self.failed(effect, &fault, now),
        }
    }

    fn succeeded(&mut self, effect: &Effect, outcome: Outcome, began: Timestamp, now: Timestamp) {
        match (effect, outcome) {
            (Effect::ReadRecord, Outcome::Record(record)) => self.record = Some(record),
            (Effect::Look, Outcome::Marker(marker)) => {
                self.work.then = None;
                self.work.seen = Some(Sighting { marker, at: began });
                self.observe(began, now);
            }
            (Effect::Write(record, then), _) => {
                self.record = Some(Some(record.clone()));
                self.work.unborn.clear();
                self.work.then.clone_from(then);
                self.work.drawn += 1;
                if record.stopped.is_some() && self.work.stop.take().is_some() {
                    self.work.stage = Stage::Fresh;
                    self.work.called = None;
                }
            }
            (Effect::Create(_), _) => self.created(began, now),
            (Effect::Knock(_), _) => self.knocked(now),
            (Effect::Claim(_), _) => self.claimed(now),
            (Effect::Call(_), _) => {
                self.work.called = Some(now);
                self.work.drawn += 1;
            }
            (Effect::Remove, _) => {
                self.work.stage = Stage::Fresh;
                self.work.valid_until = Timestamp::MIN;
                self.work.seen = None;
                self.work.then = Some(Then::Forget);
            }
            (Effect::Forget, _) => {
                self.record = Some(None);
                self.work.then = None;
                self.work.done = true;
            }
            _ => {}
        }
    }

    fn created(&mut self, began: Timestamp, now: Timestamp) {
        let waits = matches!(self.work.then.take(), Some(Then::Create { waits: true }));
        self.work.tagged = now;
        if waits {
            self.settle(now);
        } else {
            self.work.seen = None;
            self.hold(began);
        }
    }

    fn knocked(&mut self, now: Timestamp) {
        if let Some(Then::Knock { wait }) = self.work.then {
            self.work.stage = Stage::Knocking { from: now, wait };
        }
        self.work.then = None;
    }

    fn claimed(&mut self, now: Timestamp) {
        let rests_on = self.work.seen.as_ref().map(|seen| seen.at);
        let late = |limit| rests_on.is_none_or(|at| now > later(at, limit));
        self.work.tagged = now;
        match (self.work.then.take(), &self.work.stage) {
            (Some(Then::Claim { waits: true }), _) => return self.settle(now),
            // What another did meanwhile may have been overwritten.
            (_, Stage::Held) if now >= self.work.valid_until => self.begin_anew(),
            (then, Stage::Held) => {
                if let Some(Then::Answer(knock)) = then {
                    self.work.answered = Some(knock);
                    if let Some(at) = rests_on {
                        self.hold(at);
                    }
                }
            }
            _ if late(self.timing.fence() * 3) => self.begin_anew(),
            _ => {
                if let Some(at) = rests_on {
                    self.hold(at);
                }
            }
        }
        self.work.seen = None;
        if self.record().is_some_and(|record| record.released) {
            self.begin_anew();
            self.work.done = true;
        }
    }

    fn failed(&mut self, effect: &Effect, fault: &Fault, now: Timestamp) {
        let work = &mut self.work;
        work.failures = work.failures.saturating_add(1);
        work.trouble = Some(fault.message.clone());
        let pause = SignedDuration::from_secs(1 << work.failures.saturating_sub(1).min(4));
        let mut pause = pause.min(LONGEST_PAUSE);
        if work.stage == Stage::Held {
            pause = pause.min(self.timing.check / 5);
        }
        work.retry_at = later(now, pause);
        match effect {
            // What another process of this cluster wrote meanwhile is read first.
            Effect::Write(..) => {
                work.drawn += 1;
                work.then = None;
                if fault.class == FaultClass::Stale {
                    self.record = None;
                    self.begin_anew();
                }
            }
            // To a policy that is confined to a path, a user that does not exist
            // lies elsewhere. Whether there is one shows when it is made.
            Effect::Look if fault.class == FaultClass::AccessDenied => {
                work.then = None;
                work.retry_at = now;
                work.seen = Some(Sighting {
                    marker: None,
                    at: now,
                });
                self.observe(now, now);
            }
            Effect::Create(epoch) => {
                work.then = None;
                work.seen = None;
                if fault.class == FaultClass::AlreadyExists {
                    work.unborn.push(epoch.clone());
                }
            }
            Effect::Claim(_) => {
                work.then = None;
                work.seen = None;
                let lapsed = now >= work.valid_until;
                if work.stage != Stage::Held || lapsed {
                    self.begin_anew();
                }
            }
            Effect::Knock(_) => {
                work.then = None;
                work.seen = None;
            }
            // It is repeated when it is time: nothing depends on it.
            Effect::Call(_) => {
                work.called = Some(now);
                work.drawn += 1;
            }
            Effect::Look | Effect::ReadRecord | Effect::Remove | Effect::Forget => {}
        }
    }

    /// What a look means for the stage.
    fn observe(&mut self, began: Timestamp, now: Timestamp) {
        let Some(marker) = self.work.seen.as_ref().map(|seen| seen.marker.clone()) else {
            return;
        };
        let lapsed = now >= self.work.valid_until;
        match (self.work.stage.clone(), marker) {
            (Stage::Fresh, _) => {}
            (Stage::Held, None) if !lapsed => {}
            (_, None) => self.begin_anew(),
            (_, Some(marker)) if !self.is_ours(&marker) => {
                let found = marker.epoch.map(|e| e.to_string()).unwrap_or_default();
                self.stop(Why::Ahead(found));
            }
            (Stage::Held, Some(marker)) => match self.asked_by(&marker) {
                None => {
                    self.hear(&marker, now);
                    self.hold(began);
                }
                Some(_) => {
                    self.work.twin = Some(now);
                    if lapsed {
                        self.begin_anew();
                    }
                }
            },
            (Stage::Knocking { from, .. }, Some(marker)) => {
                let own = self.record().and_then(|r| r.knock.clone());
                if began >= later(from, self.timing.settle) && marker.knock != own {
                    self.stop(Why::Rival);
                }
            }
            (Stage::Settling { until }, Some(marker)) => {
                // A copy that was made meanwhile knows this epoch, and may ask.
                if self.asked_by(&marker).is_some() {
                    self.begin_anew();
                } else if began >= until {
                    self.hold(began);
                }
            }
        }
    }

    /// The look that began then found nothing against us.
    fn hold(&mut self, began: Timestamp) {
        self.work.stage = Stage::Held;
        let until = later(began, self.timing.valid());
        self.work.valid_until = self.work.valid_until.max(until);
    }

    /// A call that was there before the first look may be of any age.
    fn hear(&mut self, marker: &Marker, now: Timestamp) {
        let before = self.work.heard.replace(marker.call.clone());
        if before.is_some_and(|before| before != marker.call) {
            self.work.twin = Some(now);
        }
    }

    fn settle(&mut self, now: Timestamp) {
        let marker = self.work.seen.as_ref().and_then(|s| s.marker.as_ref());
        let valid = marker.map_or(SignedDuration::ZERO, |marker| marker.valid);
        // Whoever knocked before this epoch was written does not know it.
        if let Some(knock) = marker.and_then(|m| m.knock.clone()) {
            self.work.answered = Some(knock);
        }
        let until = later(now, self.timing.unanswered(valid));
        self.work.stage = Stage::Settling { until };
        self.work.seen = None;
    }

    fn begin_anew(&mut self) {
        self.work.stage = Stage::Fresh;
        self.work.seen = None;
        self.work.then = None;
        self.work.valid_until = Timestamp::MIN;
    }

    /// One that was confirmed in vain needs another word, with another code: so
    /// this is told anew also where the record says that it stopped.
    fn stop(&mut self, why: Why) {
        self.begin_anew();
        self.work.stop = Some(why);
    }

    /// How long calls may still be made.
    pub fn time_left(&self, now: Timestamp) -> Duration {
        match self.work.stage {
            Stage::Held => {
                let left = self.work.valid_until.duration_since(now);
                Duration::try_from(left).unwrap_or_default()
            }
            _ => Duration::ZERO,
        }
    }
}
