//! One process of the operator: what it has in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cluster::Cluster;
use crate::plan::leader::Candidate;
use crate::plan::tests::world::World;
use crate::plan::view::{RoleHint, SecretHint, View};
use crate::plan::work::{Doubt, Work};
use keylease_api::AwsCredentialRequest;

/// A process, and a number for each time that it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub replica: usize,
    pub life: u64,
}

/// What is under way for one name.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// A reconciliation runs; there is never a second one.
    pub running: bool,
    /// Something changed meanwhile.
    pub again: bool,
    /// When it wants to be looked at.
    pub timer: Option<Timestamp>,
}

/// The memory of a process, and how the machine treats it.
pub(super) struct Replica {
    pub who: Who,
    pub up: bool,
    /// Stopped until then: it neither does nor learns anything.
    pub frozen: Timestamp,
    /// How far its caches lag behind.
    pub lag: SignedDuration,
    /// `None` where it runs without leader election.
    pub candidate: Option<Candidate>,
    pub leads: bool,
    /// It was told to hand over.
    pub closing: bool,
    pub desk: BTreeMap<String, Work>,
    /// Requests whose user a sweep doubts, by uid.
    pub doubted: BTreeSet<String>,

    pub tasks: BTreeMap<String, Task>,
    /// When it wrote a Secret last: it knows its own writes.
    pub wrote: BTreeMap<String, Timestamp>,
}

impl Replica {
    pub fn new(replica: usize, lag: SignedDuration, now: Timestamp) -> Self {
        Self {
            who: Who { replica, life: 0 },
            up: false,
            frozen: now,
            lag,
            candidate: None,
            leads: false,
            closing: false,
            desk: BTreeMap::new(),
            doubted: BTreeSet::new(),
            tasks: BTreeMap::new(),
            wrote: BTreeMap::new(),
        }
    }

    /// Everything in memory is lost.
    pub fn die(&mut self) {
        self.who.life += 1;
        self.up = false;
        self.leads = false;
        self.closing = false;
        self.candidate = None;
        self.desk.clear();
        self.doubted.clear();
        self.tasks.clear();
        self.wrote.clear();
    }

    /// Starts; with leader election it is a candidate first.
    pub fn start(&mut self, elects: bool) {
        let name = format!("{}-{}", self.who.replica, self.who.life);
        self.up = true;
        self.candidate = elects.then(|| Candidate::new(name));
        self.leads = !elects;
    }

    /// Whether it may send a call now, by its own reckoning.
    pub fn may_call(&self, now: Duration) -> bool {
        match &self.candidate {
            None => self.leads,
            Some(candidate) => candidate.leads_until().is_some_and(|until| now < until),
        }
    }

    /// The request as the cache has it.
    pub fn cached(
        &self,
        cluster: &Cluster,
        name: &str,
        now: Timestamp,
    ) -> Option<Arc<AwsCredentialRequest>> {
        cluster.requests.get(name)?.at(self.past(now)).cloned()
    }

    /// The view from which a reconciliation begins.
    pub fn view(
        &mut self,
        cluster: &Cluster,
        request: Arc<AwsCredentialRequest>,
        now: Timestamp,
        wall: Timestamp,
    ) -> View {
        let name = request.metadata.name.clone().unwrap_or_default();
        let then = self.past(now);
        let seen = self.wrote.get(&name).map_or(then, |wrote| then.max(*wrote));
        let past = cluster.secrets.get(&name);
        let secret = past.and_then(|past| past.at(seen));
        let ours = secret.filter(|s| s.owner == request.uid_str());
        let role = cluster.roles.get(&request.spec.role_ref.name);
        let role = role.and_then(|past| past.at(then));
        let work = self.desk.remove(request.uid_str());
        let mut work = work.unwrap_or_else(|| Work::new(wall));
        if self.doubted.remove(request.uid_str()) && work.doubt == Doubt::None {
            work.doubt = Doubt::Raised;
        }
        View {
            hint: match ours {
                Some(s) => SecretHint::Holds(s.key.as_ref().map(|(id, _)| id.clone())),
                None => SecretHint::Missing,
            },
            role_hint: RoleHint::of(role.map(AsRef::as_ref)),
            ..View::new(World::cluster(), request, work)
        }
    }

    fn past(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.lag).unwrap_or(now)
    }
}
