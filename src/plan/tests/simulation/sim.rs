//! The clock and what happens in its order: calls that travel, answers that
//! are lost, processes that come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cluster::Cluster;
use super::flaws::Flaw;
use super::iam::{Iam, Target};
use super::replica::{Replica, Who};
use super::weather::{Weather, Whim};
use super::{check, people};
use crate::plan::effect::{Attachment, Effect, Fault, FaultClass, Outcome};
use crate::plan::leader::{LEASE_DURATION, Move, RETRY, Record};
use crate::plan::view::{AccountView, RoleView, View};
use crate::plan::{Look, Step, backoff, next};

/// Steps of one reconciliation after which the controller speaks of a circle.
const MAX_STEPS: u32 = 200;
/// Events of one schedule after which it counts as a storm.
const MAX_EVENTS: u32 = 300_000;
/// How long a process that was told to stop takes at most.
const GRACE: SignedDuration = SignedDuration::from_secs(14);

/// One reconciliation under way.
pub(super) struct Errand {
    who: Who,
    name: String,
    view: Box<View>,
    steps: u32,
}

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
    /// Somebody does something.
    Person,
    /// The garbage collector comes by.
    Collect,
}

/// Everything.
pub(super) struct Sim {
    pub now: Timestamp,
    epoch: Timestamp,
    pub rng: fastrand::Rng,
    pub iam: Iam,
    pub cluster: Cluster,
    pub replicas: Vec<Replica>,
    pub weather: Weather,
    pub elects: bool,
    pub account: AccountView,
    pub flaw: Option<Flaw>,
    pub violation: Option<String>,
    /// What happened, if it is to be told.
    pub trace: Option<Vec<String>>,
    events: BTreeMap<(Timestamp, u64), Event>,
    numbers: u64,
}

impl Sim {
    pub fn new(seed: u64, flaw: Option<Flaw>, epoch: Timestamp, account: AccountView) -> Self {
        Self {
            now: epoch,
            epoch,
            rng: fastrand::Rng::with_seed(seed),
            iam: Iam::new(),
            cluster: Cluster::new(),
            replicas: Vec::new(),
            weather: Weather::fair(epoch),
            elects: true,
            account,
            flaw,
            violation: None,
            trace: None,
            events: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// Notes what happened.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let at = self.clock();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.3} {}", at.as_secs_f64(), what()));
        }
    }

    /// An event, after that time.
    pub fn after(&mut self, pause: SignedDuration, event: Event) {
        let at = self.now + pause;
        self.at(at, event);
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.numbers += 1;
        self.events.insert((at.max(self.now), self.numbers), event);
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
            self.happen(event);
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
        let pause = self.millis(10..=3_000);
        self.after(pause, Event::Collect);
    }

    /// Nobody does anything any more.
    pub fn forget_people(&mut self) {
        self.events
            .retain(|_, event| !matches!(event, Event::Person));
    }

    /// All requests are looked at again.
    pub fn all_changed(&mut self) {
        let names: Vec<_> = self.cluster.requests.keys().cloned().collect();
        names.iter().for_each(|name| self.changed(name));
    }

    fn clock(&self) -> Duration {
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
            Some(Event::Person) => people::act(self),
            Some(Event::Collect) => self.cluster.collect_garbage(self.now),
        }
    }

    fn start(&mut self, n: usize) {
        let elects = self.elects;
        let replica = &mut self.replicas[n];
        if replica.up {
            return;
        }
        replica.start(elects);
        let who = replica.who;
        self.tell(|| format!("{who:?} starts"));
        if elects {
            self.after(SignedDuration::ZERO, Event::Tick(who));
        } else {
            self.take_up(who);
        }
    }

    /// A new leader looks at everything: at what its caches show now, and again
    /// when they have caught up with what is true now.
    fn take_up(&mut self, who: Who) {
        let lag = self.replicas[who.replica].lag;
        let names: Vec<_> = self.cluster.requests.keys().cloned().collect();
        for name in names {
            self.after(SignedDuration::ZERO, Event::Wake(who, name.clone(), None));
            self.after(lag, Event::Wake(who, name, None));
        }
    }

    /// A process ends, and another takes its place after a while.
    pub fn stop(&mut self, who: Who) {
        self.tell(|| format!("{who:?} ends"));
        self.replicas[who.replica].die();
        let pause = self.millis(100..=5_000);
        self.after(pause, Event::Start(who.replica));
    }

    /// A process is told to end: no further step, and keys that nobody was
    /// given are deleted.
    pub fn terminate(&mut self, who: Who) {
        self.tell(|| format!("{who:?} is told to stop"));
        self.replicas[who.replica].closing = true;
        let idle: Vec<_> = {
            let tasks = self.replicas[who.replica].tasks.iter();
            let idle = tasks.filter(|(_, task)| !task.running);
            idle.map(|(name, _)| name.clone()).collect()
        };
        for name in idle {
            let replica = &mut self.replicas[who.replica];
            if let Some(request) = replica.cached(&self.cluster, &name, self.now) {
                let view = replica.view(&self.cluster, request, self.now);
                self.take_back(&view);
            }
        }
        self.after(GRACE, Event::Stop(who));
    }

    fn take_back(&mut self, view: &View) {
        if let Some((user, key)) = view.key_to_take_back() {
            let target = Target {
                user,
                ..Target::default()
            };
            let pause = self.millis(5..=200);
            let effect = Effect::Clear(Attachment::Key(key));
            self.after(pause, Event::TakeBack(effect, target));
        }
    }

    fn tick(&mut self, who: Who) {
        let now = self.clock();
        let served = self.now >= self.weather.api_back;
        let replica = &mut self.replicas[who.replica];
        let Some(candidate) = &mut replica.candidate else {
            return;
        };
        if served {
            candidate.saw(self.cluster.lease.clone(), now);
        }
        let mut pause = RETRY;
        match candidate.next(now) {
            Move::Wait(until) => pause = until.saturating_sub(now).min(RETRY),
            Move::StepDown => {
                if self.flaw != Some(Flaw::LeadForEver) {
                    return self.stop(who);
                }
            }
            Move::Create | Move::Take | Move::Renew if served => {
                let record = Record {
                    version: self.cluster.number().to_string(),
                    holder: Some(candidate.identity().to_owned()),
                    duration: LEASE_DURATION,
                };
                self.cluster.lease = Some(record.clone());
                candidate.wrote(record, now);
                if !replica.leads {
                    replica.leads = true;
                    self.tell(|| format!("{who:?} leads"));
                    self.take_up(who);
                }
            }
            Move::Create | Move::Take | Move::Renew => {}
        }
        let pause = SignedDuration::try_from(pause.max(Duration::from_millis(10)));
        self.after(pause.unwrap_or_default(), Event::Tick(who));
    }

    fn wake(&mut self, who: Who, name: String, timer: Option<Timestamp>) {
        let now = self.now;
        let replica = &mut self.replicas[who.replica];
        if !replica.leads || replica.closing {
            return;
        }
        let task = replica.tasks.entry(name.clone()).or_default();
        if timer.is_some() && task.timer != timer {
            return;
        }
        if task.running {
            task.again = true;
            return;
        }
        task.timer = None;
        let Some(request) = replica.cached(&self.cluster, &name, now) else {
            return;
        };
        if let Some(task) = replica.tasks.get_mut(&name) {
            task.running = true;
        }
        let mut view = Box::new(replica.view(&self.cluster, request, now));
        if let Some(flaw) = self.flaw {
            flaw.spoil_start(&mut view);
        }
        self.advance(Errand {
            who,
            name,
            view,
            steps: 0,
        });
    }

    /// Decides, and sends what was decided on its way.
    fn advance(&mut self, mut errand: Errand) {
        loop {
            errand.steps += 1;
            if errand.steps > MAX_STEPS {
                self.violation = Some(format!("{} goes in circles", errand.name));
                return;
            }
            if self.replicas[errand.who.replica].closing {
                return self.take_back(&errand.view);
            }
            let view = &mut errand.view;
            if view.account_wanted().is_some() {
                view.account = self.account.clone();
            }
            let step = next(view, self.now);
            match step {
                Step::TakeBack(verdict) => view.take_back(verdict),
                Step::Look(what) => {
                    let pause = self.millis(1..=20);
                    return self.after(pause, Event::Read(errand, what));
                }
                Step::Wait(until) => return self.finish(errand, Some(until)),
                Step::Rest => return self.finish(errand, None),
                Step::Do(effect) => return self.send(errand, effect),
            }
        }
    }

    /// Leadership is asked for before each call, and a call that was sent
    /// arrives, whatever becomes of its sender.
    fn send(&mut self, errand: Errand, effect: Effect) {
        let replica = &self.replicas[errand.who.replica];
        let leads = replica.may_call(self.clock()) || self.flaw == Some(Flaw::LeadForEver);
        if !leads {
            let outcome = failed(FaultClass::NotLeading);
            return self.after(SignedDuration::ZERO, Event::Answer(errand, effect, outcome));
        }
        let pause = self.weather.travel(&mut self.rng);
        self.after(pause, Event::Apply(errand, effect));
    }

    fn apply(&mut self, errand: Errand, effect: Effect) {
        let whim = self
            .weather
            .whim(effect.on_kubernetes(), self.now, &mut self.rng);
        let outcome = match whim {
            Whim::Serve | Whim::LoseAnswer => {
                check::before(self, &errand.view, &effect);
                let outcome = self.serve(&errand, &effect);
                match whim {
                    Whim::Serve => outcome,
                    _ => failed(FaultClass::NoAnswer),
                }
            }
            Whim::Fail(class) => failed(class),
        };
        let who = errand.who;
        self.tell(|| {
            let told = match &outcome {
                Outcome::Failed(fault) => fault.class.as_str().to_owned(),
                Outcome::Request(_) | Outcome::Secret(_) | Outcome::Done => "ok".to_owned(),
                other => format!("{other:?}"),
            };
            let lost = if whim == Whim::LoseAnswer {
                " (applied)"
            } else {
                ""
            };
            let key = match &effect {
                Effect::Clear(what) => what.to_string(),
                Effect::Report(report) => format!("{:?}", report.status.phase),
                _ => String::new(),
            };
            format!(
                "{who:?} {} {} {key}: {told}{lost}",
                errand.name,
                effect.name()
            )
        });
        let pause = self.weather.answer(&outcome, &mut self.rng);
        self.after(pause, Event::Answer(errand, effect, outcome));
    }

    fn serve(&mut self, errand: &Errand, effect: &Effect) -> Outcome {
        let view = &errand.view;
        if !effect.on_kubernetes() {
            let target = Target {
                user: view.intent().map(|i| i.user_name).unwrap_or_default(),
                uid: view.request.uid_str().to_owned(),
                held: view.work.held.as_ref().map(|h| h.id.clone()),
            };
            let served = self.iam.apply(effect, &target, self.now);
            return served.unwrap_or_else(failed);
        }
        let served = self.cluster.apply(effect, view, self.now);
        if served.is_ok() && !matches!(effect, Effect::CheckSecret) {
            self.changed(&errand.name);
        }
        served.unwrap_or_else(failed)
    }

    fn answer(&mut self, mut errand: Errand, effect: Effect, outcome: Outcome) {
        if let (Outcome::Secret(_), Some(past)) = (&outcome, self.cluster.secrets.get(&errand.name))
        {
            let wrote = &mut self.replicas[errand.who.replica].wrote;
            wrote.extend(past.since().map(|since| (errand.name.clone(), since)));
        }
        let kept = self.flaw.map(|_| outcome.clone());
        let recorded = errand.view.record(&effect, outcome, self.now);
        if let (Some(flaw), Some(outcome)) = (self.flaw, kept) {
            flaw.spoil_facts(&mut errand.view, &effect, &outcome);
        }
        match recorded {
            Ok(()) => self.advance(errand),
            Err(stall) => self.stall(errand, stall.0.class),
        }
    }

    fn read(&mut self, mut errand: Errand, what: Look) {
        if self.now < self.weather.api_back {
            errand.view.work.stalls += 1;
            return self.stall(errand, FaultClass::Unavailable);
        }
        let Errand { view, name, .. } = &mut errand;
        match what {
            Look::Request => {
                let found = self.cluster.request(name);
                let same = found.filter(|found| found.uid_str() == view.request.uid_str());
                view.saw_request(same.map(|r| (**r).clone()));
            }
            Look::Role => {
                let role = self.cluster.role.now().cloned();
                view.role = role.map_or(RoleView::Absent, RoleView::Found);
            }
            Look::Secret => {
                let found = self.cluster.secret_view(name, view.request.uid_str());
                view.saw_secret(found);
            }
            // Roles here are open to all, and have no static users.
            Look::Holder | Look::Namespace => {}
        }
        self.advance(errand);
    }

    fn stall(&mut self, errand: Errand, class: FaultClass) {
        let pause = match class {
            FaultClass::Unsent => SignedDuration::from_millis(50),
            _ => backoff::pause(errand.view.work.stalls, errand.view.request.uid_str()),
        };
        let until = self.now + pause;
        self.finish(errand, Some(until));
    }

    fn finish(&mut self, errand: Errand, until: Option<Timestamp>) {
        let Errand {
            who, name, view, ..
        } = errand;
        let replica = &mut self.replicas[who.replica];
        if view.worth_keeping() {
            let uid = view.request.uid_str().to_owned();
            replica.desk.insert(uid, view.work);
        }
        let Some(task) = replica.tasks.get_mut(&name) else {
            return;
        };
        task.running = false;
        let again = std::mem::take(&mut task.again);
        let soonest = self.now + SignedDuration::from_millis(1);
        let until = until.map(|until| until.max(soonest));
        task.timer = until;
        if again {
            self.after(SignedDuration::ZERO, Event::Wake(who, name, None));
        } else if let Some(until) = until {
            self.at(until, Event::Wake(who, name, Some(until)));
        }
    }
}

pub(super) fn failed(class: FaultClass) -> Outcome {
    Outcome::Failed(Fault {
        class,
        message: format!("simulated {}", class.as_str()),
    })
}
