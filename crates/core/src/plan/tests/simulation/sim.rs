//! The clock, and what happens in its order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cluster::Cluster;
use super::errand::Errand;
use super::flaws::Flaw;
use super::iam::{Iam, Target};
use super::neighbour::Neighbour;
use super::people;
use super::replica::{Replica, Who};
use super::roles::Kind;
use super::sweeper::Sweep;
use super::weather::Weather;
use crate::plan::effect::{Effect, Fault, FaultClass, Outcome};
use crate::plan::view::AccountView;
use crate::plan::{LONGEST_SLEEP, Look};
use keylease_api::SweepHalt;

/// Events of one schedule after which it counts as a storm.
const MAX_EVENTS: u32 = 300_000;
/// Lines of a trace that are kept.
const LAST_LINES: usize = 160;

pub(super) enum Event {
    /// Reconcile: because of a change, or because a timer set for then ran out.
    Wake(Who, String, Option<Timestamp>),
    /// A direct read is answered.
    Read(Errand, Look),
    /// A call arrives.
    Apply(Errand, Effect),
    /// Its answer arrives, or the time for one is over.
    Answer(Errand, Effect, Outcome),
    /// A process that ends deletes a key.
    TakeBack(Effect, Target),
    /// A candidate looks at the Lease.
    Tick(Who),
    /// A process starts.
    Start(usize),
    /// A process that was told to stop has used up its time.
    Stop(Who),
    /// It is time for a sweep: of a leading process, or the other cluster's.
    SweepDue(Option<Who>),
    /// A sweep goes on.
    Sweep(Box<Sweep>),
    /// A role's controller writes down what the role revokes.
    Mark(Kind),
    /// Somebody does something.
    Person,
    /// The garbage collector comes by.
    Collect,
}

/// Everything.
pub(super) struct Sim {
    pub now: Timestamp,
    /// How far the clock on the operator's wall is ahead of it.
    pub ahead: SignedDuration,
    epoch: Timestamp,
    pub rng: fastrand::Rng,
    pub iam: Iam,
    pub cluster: Cluster,
    pub replicas: Vec<Replica>,
    pub weather: Weather,
    /// The other cluster in the same account.
    pub neighbour: Neighbour,
    pub elects: bool,
    /// Time from one sweep to the next. `None`: there is none, and nobody makes
    /// one necessary.
    pub sweep_interval: Option<SignedDuration>,
    /// What the account's status shows of sweeps that were halted.
    pub halt: Option<SweepHalt>,
    pub account: AccountView,
    pub flaw: Option<Flaw>,
    pub violation: Option<String>,
    /// Calls to AWS for each name, and since when they are counted.
    pub calls: BTreeMap<String, (Timestamp, u32)>,
    /// When everything healed.
    pub healed: Option<Timestamp>,
    /// What happened, if it is to be told.
    pub trace: Option<VecDeque<String>>,
    /// Boxed, because the map moves its values about.
    events: BTreeMap<(Timestamp, u64), Box<Event>>,
    numbers: u64,
}

impl Sim {
    pub fn new(seed: u64, flaw: Option<Flaw>, epoch: Timestamp, account: AccountView) -> Self {
        Self {
            now: epoch,
            ahead: SignedDuration::ZERO,
            epoch,
            rng: fastrand::Rng::with_seed(seed),
            iam: Iam::new(),
            cluster: Cluster::new(),
            replicas: Vec::new(),
            weather: Weather::fair(epoch),
            neighbour: Neighbour::default(),
            elects: true,
            sweep_interval: None,
            halt: None,
            account,
            flaw,
            violation: None,
            calls: BTreeMap::new(),
            healed: None,
            trace: None,
            events: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// Notes what happened.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let at = self.clock();
        if let Some(trace) = &mut self.trace {
            trace.push_back(format!("{:>12.3} {}", at.as_secs_f64(), what()));
            if trace.len() > LAST_LINES {
                trace.pop_front();
            }
        }
    }

    /// An event, after that time.
    pub fn after(&mut self, pause: SignedDuration, event: Event) {
        let at = self.now + pause;
        self.at(at, event);
    }

    /// An event, at that time.
    pub fn at(&mut self, at: Timestamp, event: Event) {
        self.numbers += 1;
        let when = (at.max(self.now), self.numbers);
        self.events.insert(when, Box::new(event));
    }

    /// What the clock on the operator's wall shows.
    pub fn wall(&self) -> Timestamp {
        self.now + self.ahead
    }

    /// When that clock shows that time, as things are: timers know no wall, and
    /// none is set for longer than the controller sleeps.
    pub fn timer(&self, until: Timestamp) -> Timestamp {
        let pause = until.duration_since(self.wall());
        self.now + pause.min(LONGEST_SLEEP)
    }

    /// A duration between these, in milliseconds.
    pub fn millis(&mut self, range: std::ops::RangeInclusive<i64>) -> SignedDuration {
        SignedDuration::from_millis(self.rng.i64(range))
    }

    /// Lets things happen until then, or until something is wrong.
    pub fn run_until(&mut self, end: Timestamp) {
        let mut left = MAX_EVENTS;
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end || self.violation.is_some() {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(*event);
            left -= 1;
            if left == 0 {
                self.violation = Some("a storm: too many events".to_owned());
            }
        }
        self.now = self.now.max(end);
    }

    /// An object changed: every process that leads hears of it when its cache does.
    pub fn changed(&mut self, name: &str) {
        for n in 0..self.replicas.len() {
            let Replica { who, lag, .. } = self.replicas[n];
            self.after(lag, Event::Wake(who, name.to_owned(), None));
        }
        self.look_for_garbage();
    }

    /// The garbage collector comes by in a moment.
    pub fn look_for_garbage(&mut self) {
        let pause = self.millis(10..=3_000);
        self.after(pause, Event::Collect);
    }

    /// Nobody does anything any more.
    pub fn forget_people(&mut self) {
        self.events
            .retain(|_, event| !matches!(**event, Event::Person));
    }

    /// A role changed: its requests are looked at again.
    pub fn role_changed(&mut self, role: &str) {
        let live = self.cluster.requests.iter();
        let live = live.filter_map(|(name, past)| Some((name, past.now()?)));
        let of_role = live.filter(|(_, r)| r.spec.role_ref.name == role);
        let names: Vec<_> = of_role.map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.changed(name));
    }

    /// What a role's controller does about `revokeBefore`, now and when that
    /// time has come.
    fn mark_role(&mut self, kind: Kind) {
        let wall = self.wall();
        if let Some(rises) = self.cluster.mark_role(kind, wall, self.now) {
            self.at(self.timer(rises), Event::Mark(kind));
        }
    }

    /// The clock by which processes reckon who leads.
    pub fn clock(&self) -> Duration {
        let since = self.now.duration_since(self.epoch);
        Duration::try_from(since).unwrap_or_default() + Duration::from_secs(1000)
    }

    /// Whether that process still is what it was. An event for a frozen one
    /// comes when it goes on.
    fn awake(&mut self, who: Who, event: Event) -> Option<Event> {
        let replica = &self.replicas[who.replica];
        if replica.who != who || !replica.up {
            return None;
        }
        if self.now < replica.frozen {
            let then = replica.frozen;
            self.at(then, event);
            return None;
        }
        Some(event)
    }

    fn happen(&mut self, event: Event) {
        let who = match &event {
            Event::Wake(who, ..) | Event::Tick(who) | Event::Stop(who) => Some(*who),
            Event::Read(errand, _) | Event::Answer(errand, ..) => Some(errand.who),
            Event::SweepDue(who) => *who,
            Event::Sweep(sweep) => sweep.must_live(),
            _ => None,
        };
        let event = match who {
            None => Some(event),
            Some(who) => self.awake(who, event),
        };
        match event {
            None => {}
            Some(Event::Wake(who, name, timer)) => self.wake(who, name, timer),
            Some(Event::Read(errand, what)) => self.read(errand, what),
            Some(Event::Apply(errand, effect)) => self.apply(errand, effect),
            Some(Event::Answer(errand, effect, outcome)) => self.answer(errand, effect, outcome),
            Some(Event::TakeBack(effect, target)) => {
                self.tell(|| format!("hand-over: {effect:?} for {}", target.user));
                // Whether it was there does not matter to who is leaving.
                let _ = self.iam.apply(&effect, &target, self.now);
            }
            Some(Event::Tick(who)) => self.tick(who),
            Some(Event::Start(n)) => self.start(n),
            Some(Event::Stop(who)) => self.stop(who),
            Some(Event::SweepDue(who)) => self.begin_sweep(who),
            Some(Event::Sweep(sweep)) => self.go_on_sweeping(sweep),
            Some(Event::Mark(kind)) => self.mark_role(kind),
            Some(Event::Person) => people::act(self),
            Some(Event::Collect) => self.cluster.collect_garbage(self.now),
        }
    }
}

/// A failure of that class.
pub(super) fn failed(class: FaultClass) -> Outcome {
    Outcome::Failed(Fault {
        class,
        // "Not found" is said of users alone: everything else is there.
        message: format!("simulated {} (user)", class.as_str()),
    })
}
