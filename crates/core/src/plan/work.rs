//! What this process knows of AWS for one request because it did it itself.
//!
//! These facts are why the usual way needs no list and no read: whoever made
//! the user a moment ago knows what is on it. They die with the process; a
//! fresh one starts from nothing, and then reads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::adopted::Adoptee;
use super::effect::{Attachment, Fault, HeldBack, Proof};
use super::intent::{Intent, Permission};
use super::reasons::Verdict;
use super::session_spec::GroupPolicies;
use super::standing::Standing;
use keylease_api::Workload;

/// How long after an uncertain `CreateAccessKey` (one of ours whose answer was
/// lost, or one a former process may have sent) a list of keys is believed.
/// IAM lists lag behind its writes.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(5);
/// How long a new key may take to be accepted before it is given up and
/// another is made.
pub const PROOF_DEADLINE: SignedDuration = SignedDuration::from_secs(120);
/// Answers in a row that have to accept a new key before anybody is given it:
/// AWS has many servers, and one's yes is not yet every server's.
pub const PROOFS: u32 = 3;
/// The facts.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// When this process first took the request up.
    pub started: Timestamp,
    /// This process wrote the intent when nothing was in AWS, or made the user:
    /// whatever is on it, this process put there.
    pub began: bool,
    /// The intent that this process wrote.
    pub vetted: Option<Intent>,
    /// Whether the way to the Secret is clear.
    pub secret: SecretGate,
    /// The IAM user.
    pub user: UserFact,
    /// When this process made it.
    pub made: Option<Timestamp>,
    /// What is not as we made it, on the user that was looked at last.
    pub altered: Option<String>,
    /// What was put on the user; `true` where AWS confirmed it.
    pub granted: BTreeMap<Permission, bool>,
    /// The user's keys, apart from the one in hand.
    pub keys: KeysFact,
    /// Whether this process listed them.
    pub listed: bool,
    /// The user that is to be adopted.
    pub adoptee: Adoptee,
    /// The key in hand.
    pub held: Option<Held>,
    /// What an inventory found, or `None` before one was taken.
    pub inventory: Option<Vec<Attachment>>,
    /// Policies of IAM groups, by name.
    pub groups: BTreeMap<String, GroupPolicies>,
    /// What came of rolling workloads for the key in the Secret.
    pub rolls: Vec<Roll>,
    /// How often in a row the API server did not serve the roll that is due.
    pub roll_tries: u32,
    /// What was removed since the inventory (or since the beginning).
    pub cleared: BTreeSet<Attachment>,
    /// How the key of a live lease stands in AWS.
    pub standing: Standing,
    /// Whether AWS may hold something else of a live lease than we believe.
    pub doubt: Doubt,
    /// A failure that the status does not tell yet.
    pub failure: Option<Verdict>,
    /// Why everything is being taken back.
    pub abandon: Option<Verdict>,
    /// Whether this process let go of the request, because AWS holds nothing of
    /// it: without that a finalizer that is not there was taken off by somebody.
    pub released: bool,
    /// How often in a row AWS throttled the call that is due.
    pub throttled: u32,
    /// Calls to the API server in a row that it could not serve.
    pub stalls: u32,
}

/// What came of rolling a workload, which is not tried again for that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// The workload.
    pub workload: Workload,
    /// Why it does not roll; `None` if it does.
    pub obstacle: Option<Obstacle>,
}

/// Why a workload does not roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is marked, and held back by itself.
    HeldBack(HeldBack),
    /// It could not be marked.
    Failed(Fault),
}

/// Whether the way to the Secret is clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretGate {
    /// A Secret may be there; look before anything else.
    #[default]
    MustLook,
    /// None is there; whether one would be let in was not asked.
    Unchecked,
    /// One would be let in, or ours is there already.
    Clear,
}

/// What is known of the IAM user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserFact {
    /// Nothing.
    #[default]
    Unknown,
    /// The name is taken; by whom was not looked at.
    Taken,
    /// It is there and ours.
    Ours,
    /// It is somebody else's, and none of our business.
    Foreign,
    /// It is gone, or never was.
    Gone,
}

/// What is known of the user's keys, apart from the one in hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeysFact {
    /// Nothing; a list is to be believed from that time on.
    #[default]
    Unlisted,
    /// As before, after a `CreateAccessKey` of ours that had no answer.
    Uncertain(Timestamp),
    /// These, and no others.
    Known(Vec<String>),
}

/// A doubt about a live lease's user, which the sweep raises and only a direct
/// look at AWS settles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Doubt {
    /// None.
    #[default]
    None,
    /// Something speaks against what we believe: look.
    Raised,
    /// A look at that time did not find the key. IAM's lists lag: look again
    /// [`SETTLE`] later.
    Missed(Timestamp),
    /// The key is there. These things, which also let somebody in, are not
    /// ours.
    Strays(Vec<Attachment>),
    /// The key is gone, or the whole user.
    KeyLost,
}

impl Doubt {
    /// Whether there is something left to look at or to mend.
    pub fn is_open(&self) -> bool {
        match self {
            Self::None => false,
            Self::Raised | Self::Missed(_) | Self::KeyLost => true,
            Self::Strays(strays) => !strays.is_empty(),
        }
    }
}

/// The key in hand. Its secret is kept apart, out of reach of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The access key id.
    pub id: String,
    /// When AWS handed it out.
    pub since: Timestamp,
    /// When AWS ends it by itself; only sessions have that.
    pub expires: Option<Timestamp>,
    /// Whether AWS accepts it.
    pub proven: bool,
    /// How many answers in a row accepted it, the last included.
    pub accepted: u32,
    /// What AWS says where it knows the key and denies it the proof.
    pub denied: Option<String>,
    /// Whether a Secret may hold it: it was sent to the API server, and not
    /// certainly refused.
    pub offered: bool,
    /// How often it was tried.
    pub tries: u32,
    /// When to try it next.
    pub next_proof: Timestamp,
}

impl Held {
    /// A key that was just made, of which nothing is known yet.
    pub fn new(id: String, now: Timestamp) -> Self {
        Self {
            id,
            since: now,
            expires: None,
            proven: false,
            accepted: 0,
            denied: None,
            offered: false,
            tries: 0,
            next_proof: now,
        }
    }

    /// Takes note of one answer. One that does not know the key starts the count
    /// anew.
    pub fn answered(&mut self, proof: Proof) {
        self.tries = self.tries.saturating_add(1);
        self.denied = match &proof {
            Proof::Denied(text) => Some(text.clone()),
            Proof::Accepted | Proof::Unknown => None,
        };
        self.accepted = match proof {
            Proof::Unknown => 0,
            Proof::Accepted | Proof::Denied(_) => self.accepted.saturating_add(1),
        };
        self.proven = self.accepted >= PROOFS;
    }

    /// Whether an answer refused the key.
    pub fn was_refused(&self) -> bool {
        self.tries > self.accepted
    }

    /// Whether AWS took too long to accept the key. One that was never tried,
    /// because calls wait for their turn, is not given up for that.
    pub fn overdue(&self, now: Timestamp) -> bool {
        !self.proven && self.tries > 0 && now.duration_since(self.since) > PROOF_DEADLINE
    }
}

impl Work {
    /// The beginning: nothing known.
    pub fn new(now: Timestamp) -> Self {
        Self {
            started: now,
            ..Self::default()
        }
    }

    /// Times that lie ahead were noted by a clock that was set back since. They
    /// count as now, so what is waited for is waited for once more, and not for as
    /// long as the clock was wrong.
    pub fn clock_is(&mut self, now: Timestamp) {
        self.started = self.started.min(now);
        self.made = self.made.map(|made| made.min(now));
        if let KeysFact::Uncertain(since) = &mut self.keys {
            *since = now.min(*since);
        }
        if let Doubt::Missed(at) = &mut self.doubt {
            *at = now.min(*at);
        }
        if let Some(held) = &mut self.held {
            let ahead = held.since > now;
            held.since = held.since.min(now);
            if ahead {
                held.next_proof = now;
            }
        }
    }

    /// Whether anything of this request may be under way in AWS.
    pub fn in_flight(&self) -> bool {
        self.began || self.user != UserFact::Unknown || self.held.is_some()
    }

    /// Whether this process put on the user whatever is on it.
    pub fn knows_all(&self) -> bool {
        self.began && self.user == UserFact::Ours && matches!(self.keys, KeysFact::Known(_))
    }
}
