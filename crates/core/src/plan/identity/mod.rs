//! One identity, one cluster: of two clusters that are copies of each other, one
//! at most changes anything in an AWS account.
//!
//! Users are named by the cluster's id and the uids of requests, and a copy of
//! etcd has both. So the cluster keeps a [`Record`], and AWS a *marker*: a user
//! without a key that nobody signs in as, whose tags hold an [`Epoch`]. Whoever
//! leads advances the epoch every few minutes, announced on record first. An
//! epoch in AWS that is not on record was written by another cluster.
//!
//! IAM's tags know no compare-and-swap, and their readers lag. What is done
//! instead is a lock by registers, as Fischer's and Lamport's are:
//!
//! - The holder looks at the marker again and again. A look is good for some
//!   time ([`Timing::valid`]) and after that no call is made, so that whoever
//!   cannot look does not act.
//! - Whoever starts writes a **knock** and waits. The holder that sees the
//!   knock of another answers with a new epoch, which the other has not on
//!   record. A knock that stood for the holder's validity and two times the
//!   readers' lag, without an answer and without another knock over it, leads to
//!   the **claim**: a new epoch.
//! - A container that starts again in its pod finds there which epoch the one
//!   before it wrote, and claims at once if AWS holds that one and nobody knocks.
//! - A standby that was there before the last leader's farewell knows that
//!   farewell for its own cluster's, and claims at once. The first marker is
//!   made by `CreateUser`, which is atomic.
//! - Whoever finds a strange epoch or a strange knock over its own **stops**, on
//!   record, until a person confirms the code that is told with it. Then it
//!   writes an epoch of a new incarnation, and acts when the other must have
//!   seen it.
//!
//! What follows (`tests/`): two clusters never act at the same time, whoever
//! starts, dies or is confirmed when, as long as a reader lags no more than
//! [`Timing::settle`].

mod record;
mod standing;
#[cfg(test)]
mod tests;
mod timing;
mod view;

pub use record::{Epoch, Record, Stopped, Why};
pub use standing::{CONFIRM_ANNOTATION, Standing, confirmed, standing, tell};
pub use timing::Timing;
pub use view::{Marker, Sighting, Stage, View, Work};

use jiff::{SignedDuration, Timestamp};

use timing::ADVANCE;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read the cluster's record.
    ReadRecord,
    /// Read the marker.
    Look,
    /// Write the record, if it is still what was read; what follows in AWS.
    Write(Record, Option<Then>),
    /// Make the marker with this epoch. Fails if there is one.
    Create(Epoch),
    /// Write a knock.
    Knock(String),
    /// Write an epoch.
    Claim(Epoch),
    /// Say that this cluster is there and has stopped.
    Call(String),
    /// Remove the marker.
    Remove,
    /// Remove the record.
    Forget,
}

impl Effect {
    /// A short name for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadRecord => "read_record",
            Self::Look => "look",
            Self::Write(..) => "write_record",
            Self::Create(_) => "create",
            Self::Knock(_) => "knock",
            Self::Claim(_) => "claim",
            Self::Call(_) => "call",
            Self::Remove => "remove",
            Self::Forget => "forget",
        }
    }
}

/// What the record announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The marker is made; with `waits`, another may have had one a moment ago.
    Create {
        /// Whether it is acted upon only when that other does not any more.
        waits: bool,
    },
    /// A knock that has to stand for so long.
    Knock {
        /// How long.
        wait: SignedDuration,
    },
    /// A new epoch; with `waits`, over another's.
    Claim {
        /// Whether it is acted upon only when the other has seen it.
        waits: bool,
    },
    /// A new epoch because of another cluster's knock.
    Answer(String),
    /// The marker is gone; so goes the record.
    Forget,
}

/// What came of an effect that did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The record, if there is one.
    Record(Option<Record>),
    /// The marker, if there is one.
    Marker(Option<Marker>),
}

/// What to do next for one identity.
///
/// Invariants, whatever the view:
/// - an epoch or a knock goes to AWS only when the record has it;
/// - a cluster that stopped writes neither, unless a person confirmed its code;
/// - a claim rests on a look that is younger than [`Timing::settle`].
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Perform one effect, record its outcome, then decide again.
    Do(Effect),
    /// Nothing to do before that time, unless something changes.
    Wait(Timestamp),
    /// Nothing to do unless something changes.
    Rest,
}

/// Decides on the next step.
pub fn next(view: &View, now: Timestamp) -> Step {
    let work = &view.work;
    if work.done {
        return Step::Rest;
    }
    if now < work.retry_at {
        return Step::Wait(work.retry_at);
    }
    let Some(record) = &view.record else {
        return Step::Do(Effect::ReadRecord);
    };
    let record = record.clone().unwrap_or_default();
    if let Some(why) = &work.stop {
        return Step::Do(stopping(view, &record, why, now));
    }
    if let Some(then) = &work.then {
        return Step::Do(announced(view, &record, then, now));
    }
    if !view.wanted {
        return leave(view, now);
    }
    match &work.stage {
        Stage::Settling { until } if now < *until => Step::Wait(*until),
        Stage::Settling { .. } => Step::Do(Effect::Look),
        Stage::Held => held(view, &record, now),
        _ if view.releasing => Step::Rest,
        _ if record.stopped.is_some() => stopped(view, &record, now),
        Stage::Knocking { from, wait } => knocking(view, &record, *from, *wait, now),
        Stage::Fresh => fresh(view, &record, now),
    }
}

/// The record is written: now AWS.
fn announced(view: &View, record: &Record, then: &Then, now: Timestamp) -> Effect {
    let newest = record.newest().cloned();
    let seen = view.work.seen.as_ref().map(|seen| seen.at);
    let old = seen.is_none_or(|at| now > later(at, view.timing.fence() * 2));
    let lapsed = view.work.stage == Stage::Held && !view.may_act(later(now, view.timing.fence()));
    let at_once = matches!(then, Then::Claim { waits: false });
    match (then, newest, &record.knock) {
        (Then::Forget, ..) => Effect::Forget,
        (Then::Create { .. }, Some(epoch), _) => Effect::Create(epoch),
        (Then::Knock { .. }, _, Some(knock)) => Effect::Knock(knock.clone()),
        // What the claim rests on is too long ago: looked at again, it is
        // decided anew.
        _ if lapsed || (at_once && old && view.work.stage != Stage::Held) => Effect::Look,
        (_, Some(epoch), _) => Effect::Claim(epoch),
        (_, None, _) => Effect::Look,
    }
}

/// Nobody knows yet who holds the identity.
fn fresh(view: &View, record: &Record, now: Timestamp) -> Step {
    let Some(seen) = recent(view, now) else {
        return Step::Do(Effect::Look);
    };
    let known = view.record().is_some();
    let Some(marker) = &seen.marker else {
        // One that was there may have had a holder who did not see it go.
        let waits = known && !record.released;
        let then = Then::Create { waits };
        return write(advanced(view, record, now), then);
    };
    match (&marker.epoch, view.is_ours(marker)) {
        (Some(_), true) => {}
        // The record was lost, and with it nothing else: whoever holds the
        // identity will answer.
        (Some(epoch), false) if !known && !view.has_leases => {
            let adopted = Record {
                epochs: vec![epoch.clone()],
                written: now,
                ..Record::default()
            };
            return Step::Do(Effect::Write(adopted, None));
        }
        (epoch, _) => {
            let found = epoch.as_ref().map(ToString::to_string).unwrap_or_default();
            return Step::Do(stopping(view, record, &Why::Ahead(found), now));
        }
    }
    let said_farewell = record.released && record.newest() == marker.epoch.as_ref();
    let age = now.duration_since(record.written).abs();
    // A farewell of this moment may not be seen yet.
    let visible = later(record.written, view.timing.settle + view.timing.fence());
    let too_early = seen.at < visible && age <= view.timing.settle * 2;
    if record.released && !said_farewell && too_early {
        return match now < visible {
            true => Step::Wait(visible),
            false => Step::Do(Effect::Look),
        };
    }
    let witnessed = view
        .at_start
        .as_ref()
        .is_some_and(|then| then.as_ref() != record.newest());
    if said_farewell && witnessed && age <= view.timing.valid() {
        return write(advanced(view, record, now), Then::Claim { waits: false });
    }
    if is_own_trace(view, record, marker) {
        return write(advanced(view, record, now), Then::Claim { waits: false });
    }
    let wait = match said_farewell {
        true => view.timing.quiet(),
        false => view.timing.unanswered(marker.valid),
    };
    let knocking = Record {
        knock: Some(view.work.nonce()),
        ..advanced(view, record, now)
    };
    write(knocking, Then::Knock { wait })
}

/// A former process of this very place wrote what AWS holds, so it was this
/// cluster and not a copy. That process is dead; and nobody else knocks, who would
/// have to wait longer than it takes to see our claim.
fn is_own_trace(view: &View, record: &Record, marker: &Marker) -> bool {
    let held = marker.epoch.as_ref();
    held.is_some()
        && held == view.local.as_ref()
        && held == record.newest()
        && view.asked_by(marker).is_none()
}

/// A knock stands. A look that tells against it has changed the stage.
fn knocking(
    view: &View,
    record: &Record,
    from: Timestamp,
    wait: SignedDuration,
    now: Timestamp,
) -> Step {
    let enough = later(from, wait);
    let seen = view.work.seen.as_ref().map(|seen| seen.at);
    if let (Some(at), Some(epoch)) = (seen, record.newest())
        && at >= enough
        && now <= later(at, view.timing.fence())
    {
        return Step::Do(Effect::Claim(epoch.clone()));
    }
    let last = seen.map_or(from, |at| at.max(from));
    match later(last, view.timing.settle).min(enough).max(last) {
        next if now < next => Step::Wait(next),
        _ => Step::Do(Effect::Look),
    }
}

/// The identity is ours.
fn held(view: &View, record: &Record, now: Timestamp) -> Step {
    let Some(seen) = &view.work.seen else {
        // In time for another try, should this one fail.
        let in_time = later(view.work.valid_until, -(view.timing.valid() / 3));
        return match later(view.work.tagged, view.timing.check).min(in_time) {
            next if now < next && view.may_act(now) && !view.releasing => Step::Wait(next),
            _ => Step::Do(Effect::Look),
        };
    };
    let next_look = later(seen.at, view.timing.check);
    if now >= next_look || !view.may_act(now) {
        return Step::Do(Effect::Look);
    }
    let Some(marker) = &seen.marker else {
        return write(advanced(view, record, now), Then::Create { waits: false });
    };
    if marker.epoch.as_ref() != record.newest() {
        // It was written and is not seen yet, or was not written.
        let again = later(view.work.tagged, view.timing.settle);
        return match record.newest() {
            _ if now < again => Step::Wait(again.min(next_look)),
            Some(epoch) if seen.at >= again => Step::Do(Effect::Claim(epoch.clone())),
            _ => Step::Do(Effect::Look),
        };
    }
    if record.stopped.is_some() {
        let going_on = Record {
            stopped: None,
            ..record.clone()
        };
        return Step::Do(Effect::Write(going_on, None));
    }
    if let Some(knock) = view.asked_by(marker) {
        return write(advanced(view, record, now), Then::Answer(knock));
    }
    if view.releasing {
        let farewell = Record {
            released: true,
            ..advanced(view, record, now)
        };
        return write(farewell, Then::Claim { waits: false });
    }
    let advance = later(record.written, ADVANCE);
    // A record from the future: the clock was set back between two processes.
    let ahead = record.written > later(now, ADVANCE);
    if now >= advance || ahead {
        return write(advanced(view, record, now), Then::Claim { waits: false });
    }
    Step::Wait(next_look.min(advance))
}

/// A person has to decide. Until then the other side is told that we are here.
fn stopped(view: &View, record: &Record, now: Timestamp) -> Step {
    let code = record.stopped.as_ref().map(|s| &s.code);
    if code.is_some_and(|code| view.confirmed.contains(code)) {
        let Some(seen) = recent(view, now) else {
            return Step::Do(Effect::Look);
        };
        let nonce = view.work.nonce();
        let epoch = Epoch {
            incarnation: nonce[..8].to_owned(),
            number: 1,
            nonce,
        };
        let then = match seen.marker {
            Some(_) => Then::Claim { waits: true },
            None => Then::Create { waits: true },
        };
        return write(record.with(epoch, None, &view.work.unborn, now), then);
    }
    let next = view.work.called.map(|called| later(called, ADVANCE));
    match next {
        Some(next) if now < next => Step::Wait(next),
        _ => Step::Do(Effect::Call(view.work.nonce())),
    }
}

/// No account of this cluster leads here any more.
fn leave(view: &View, now: Timestamp) -> Step {
    match view.may_act(now) {
        true => Step::Do(Effect::Remove),
        false => Step::Rest,
    }
}

fn stopping(view: &View, record: &Record, why: &Why, now: Timestamp) -> Effect {
    let stopped = Stopped {
        code: view.work.nonce()[..8].to_owned(),
        since: now,
        why: why.clone(),
    };
    let record = Record {
        stopped: Some(stopped),
        ..record.clone()
    };
    Effect::Write(record, None)
}

/// The record with the next epoch.
fn advanced(view: &View, record: &Record, now: Timestamp) -> Record {
    let nonce = view.work.nonce();
    let epoch = match record.newest() {
        Some(last) => Epoch {
            incarnation: last.incarnation.clone(),
            number: last.number.saturating_add(1),
            nonce,
        },
        None => Epoch {
            incarnation: nonce[..8].to_owned(),
            number: 1,
            nonce,
        },
    };
    let marker = view.work.seen.as_ref().and_then(|s| s.marker.as_ref());
    let held = marker.and_then(|m| m.epoch.as_ref());
    record.with(epoch, held, &view.work.unborn, now)
}

/// The last look, if a decision may rest on it.
fn recent(view: &View, now: Timestamp) -> Option<&Sighting> {
    let seen = view.work.seen.as_ref()?;
    (now <= later(seen.at, view.timing.fence())).then_some(seen)
}

fn write(record: Record, then: Then) -> Step {
    Step::Do(Effect::Write(record, Some(then)))
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}
