//! Who may call AWS, and how often. One budget for each service of an AWS
//! account ([`rate`]); whoever finds it used up waits in a line that knows what
//! is urgent ([`queue`]) and is fair between namespaces ([`fair`]).

pub mod fair;
pub mod queue;
pub mod rate;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::effect::{Attachment, Effect};
use super::intent;
use super::revocation;
use super::stage::Live;
use super::view::View;
use super::work::UserFact;
use keylease_api::{AwsRole, Phase};

/// How long a call waits for its turn. After that it is not made, and the
/// reconciliation starts over from what is true by then.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How much work is begun, in seconds of the budget: enough that the next call
/// is always at hand, and little enough to be done within [`PATIENCE`] (an
/// issue takes three calls).
const BEGUN_SECONDS: f64 = 2.0;
/// Fewest requests of a class that are worked on at a time.
const FEWEST: usize = 4;
/// The most of them.
const MOST: usize = 128;
/// The most that are revoked at a time: what ends together should not wait for
/// each other, as the first call, which ends the key, is what counts.
const MOST_REVOKED: usize = 256;

/// The longest that a lease whose key is dead does not say so, for the sake of
/// others whose keys still work: a thousand of them take 2.4 s
/// (`docs/performance.md`).
const LONGEST_UNTOLD: SignedDuration = SignedDuration::from_secs(30);

/// A service with a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// IAM: few calls a second.
    Iam,
    /// STS: hundreds.
    Sts,
}

impl Service {
    /// The name in labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// Calls a second to begin with. IAM's limit is unpublished and low; STS
    /// takes hundreds.
    pub fn first_rate(self) -> f64 {
        match self {
            Self::Iam => 5.0,
            Self::Sts => 100.0,
        }
    }
}

/// What a call is for. The order is that of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Taking a credential away; and the operator's own key, which is rare.
    Revoke,
    /// Making one.
    Issue,
    /// Looking for what nobody accounts for.
    Sweep,
}

impl Class {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::Issue, Self::Sweep];

    /// The place in that order.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Issue => "issue",
            Self::Sweep => "sweep",
        }
    }
}

/// How far a request is. Within a namespace what is nearest to its end goes
/// first: one that is finished serves somebody, ten half-made ones nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// A key exists that no Secret holds yet.
    KeyInHand,
    /// AWS holds something of it: a user half made, or a lease that goes on.
    Begun,
    /// Nothing yet.
    New,
    /// Its keys are dead and its status does not say so yet: that waits for
    /// those whose keys still work.
    Untold,
    /// It is being revoked and its keys are dead: what is left on the user
    /// waits for all of those.
    KeyDead,
}

/// The place of a call among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// What it is for.
    pub class: Class,
    /// For whom. The operator's own calls have an empty one.
    pub namespace: Arc<str>,
    /// How far that is.
    pub urgency: Urgency,
    /// Since when that waits. It belongs to the request, not to the call, so
    /// whoever comes again has its place again.
    pub since: Timestamp,
}

impl Priority {
    /// For the operator itself: its own key.
    pub fn own() -> Self {
        Self {
            class: Class::Revoke,
            namespace: Arc::from(""),
            urgency: Urgency::KeyInHand,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    /// For a sweep that began then.
    pub fn sweep(began: Timestamp) -> Self {
        Self {
            class: Class::Sweep,
            since: began,
            ..Self::own()
        }
    }

    /// For work on a request.
    pub fn of(view: &View, now: Timestamp) -> Self {
        let request = &view.request;
        let ended = ended_at(view, now);
        let meta = &request.metadata;
        let created = meta.creation_timestamp.as_ref().map(|t| t.0);
        Self {
            class: ended.map_or(Class::Issue, |_| Class::Revoke),
            namespace: Arc::from(meta.namespace.as_deref().unwrap_or_default()),
            urgency: urgency(view),
            since: ended.or(created).unwrap_or(now),
        }
    }

    /// For one effect of that work: what takes away is urgent wherever it
    /// occurs.
    pub fn of_effect(effect: &Effect, view: &View, now: Timestamp) -> Self {
        let mut priority = Self::of(view, now);
        if let Effect::Clear(_) | Effect::DeleteUser | Effect::TakeInventory = effect {
            priority.class = Class::Revoke;
        }
        priority
    }
}

/// How many requests of one class may be worked on at a time with this budget.
pub fn slots(class: Class, per_second: f64) -> usize {
    let most = match class {
        Class::Revoke => MOST_REVOKED,
        _ => MOST,
    };
    // A negative rate or one that is no number becomes 0.
    ((per_second * BEGUN_SECONDS) as usize).clamp(FEWEST, most)
}

/// Which budget the work on a request waits for, by what the cache says of its
/// role: sessions are one call to STS, everything else is IAM's.
pub fn service(view: &View, role: Option<&AwsRole>) -> Service {
    let session = match view.live() {
        Some(live) => live.is_session(),
        None => role.is_some_and(|role| {
            let spec = &role.spec;
            spec.assumed_role.is_some()
                || spec.federation_token.is_some()
                || spec.session_token.is_some()
        }),
    };
    if session && !intent::has_finalizer(&view.request) {
        Service::Sts
    } else {
        Service::Iam
    }
}

/// When the work on a request becomes a revocation by itself: the end of a
/// lease, or of an overlap.
pub fn urgent_at(view: &View, now: Timestamp) -> Option<Timestamp> {
    let Live { lease, .. } = view.live()?;
    let removal = view.previous().map(|p| p.remove_at.0);
    let times = [Some(lease.expires_at.0), removal].into_iter().flatten();
    times.filter(|at| *at > now).min()
}

/// Since when something is to be taken away, if it is. A guess from what is at
/// hand: it orders the work and decides nothing.
fn ended_at(view: &View, now: Timestamp) -> Option<Timestamp> {
    let deleted = view.request.metadata.deletion_timestamp.as_ref();
    if let Some(deleted) = deleted {
        return Some(deleted.0);
    }
    let live = view.live();
    let end = live.map_or(now, |live| live.lease.expires_at.0.min(now));
    let revoking = view.phase() == Some(Phase::Revoking);
    if view.gone || revoking || view.work.abandon.is_some() {
        return Some(end);
    }
    let Live { lease, .. } = live?;
    if now >= lease.expires_at.0 || view.is_revoked_by_hint() {
        return Some(end);
    }
    let removal = view.previous().map(|p| p.remove_at.0);
    removal.filter(|at| now >= *at)
}

/// Whether every key of the lease was deleted, by this process.
fn is_key_dead(view: &View) -> bool {
    let cleared = |key: &str| {
        let key = Attachment::Key(key.to_owned());
        view.work.cleared.contains(&key)
    };
    view.live().is_some() && view.shown_keys().all(cleared)
}

/// As what the work on this request gives way to others of its line, if it does:
/// its keys are dead. That the status does not say so yet is put up with for a
/// while only, however many keep coming.
pub fn gives_way_as(view: &View, now: Timestamp) -> Option<Urgency> {
    let urgency = urgency(view);
    let long = now.duration_since(view.work.started) >= LONGEST_UNTOLD;
    match urgency {
        Urgency::Untold if long => None,
        Urgency::Untold | Urgency::KeyDead => Some(urgency),
        Urgency::KeyInHand | Urgency::Begun | Urgency::New => None,
    }
}

/// How far the work on this request is.
pub fn urgency(view: &View) -> Urgency {
    let work = &view.work;
    let user = matches!(work.user, UserFact::Ours | UserFact::Taken);
    // An intent that this process did not write: a former one got on with it,
    // nobody knows how far.
    let inherited = intent::has_finalizer(&view.request) && !work.began;
    if view.in_hand().is_some() {
        Urgency::KeyInHand
    } else if is_key_dead(view) {
        if revocation::is_untold(view) {
            Urgency::Untold
        } else {
            Urgency::KeyDead
        }
    } else if user || inherited || view.live().is_some() {
        Urgency::Begun
    } else {
        Urgency::New
    }
}
