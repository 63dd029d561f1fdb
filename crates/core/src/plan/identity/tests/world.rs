//! AWS with a marker whose readers lag, clusters that may be copies of each
//! other, and one operator process in each.

use jiff::{SignedDuration, Timestamp};

use super::flaws::Flaw;
use crate::plan::effect::{Fault, FaultClass};
use crate::plan::identity::{
    Effect, Epoch, Marker, Outcome, Record, Stage, Standing, Step, Timing, View, Work, next,
    standing,
};

pub(super) const TIMING: Timing = Timing {
    check: SignedDuration::from_secs(30),
    settle: SignedDuration::from_secs(5),
};

/// What befalls calls. All of it is drawn, but within these bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Longest time in which a reader shows an older state.
    pub lag: SignedDuration,
    /// Share of calls whose answer is lost, applied or not.
    pub lost: f64,
    /// Share of calls before which the process is stopped for a while.
    pub paused: f64,
    /// Share of effects at which the process dies, before or after.
    pub deaths: f64,
    /// Share of calls to AWS that are refused, applied or not.
    pub refused: f64,
}

impl Weather {
    pub const FAIR: Self = Self {
        lag: SignedDuration::ZERO,
        lost: 0.0,
        paused: 0.0,
        deaths: 0.0,
        refused: 0.0,
    };
}

/// A call under way.
struct Flight {
    effect: Effect,
    began: Timestamp,
    /// When AWS or the API server gets it; `None` when it never does.
    arrives: Option<Timestamp>,
    ends: Timestamp,
    answered: bool,
    outcome: Option<Result<Outcome, FaultClass>>,
    /// The process dies instead of hearing the answer.
    deadly: bool,
}

/// A cluster: its record, and the process that leads, if one does.
pub(super) struct Cluster {
    pub name: &'static str,
    pub record: Option<Record>,
    /// What the processes of this cluster's pod leave for the next one.
    pub local: Option<Epoch>,
    pub process: Option<Process>,
    pub confirmed: Vec<String>,
    pub has_leases: bool,
}

pub(super) struct Process {
    pub view: View,
    flight: Option<Flight>,
    wakes: Timestamp,
    /// Whether its calls go through.
    pub cut_off: bool,
    /// How far its clock is ahead.
    ahead: SignedDuration,
}

impl Process {
    fn acts(&self, now: Timestamp) -> bool {
        self.view.may_act(now + self.ahead)
    }
}

pub(super) struct World {
    pub now: Timestamp,
    /// The marker as it was from each time on.
    history: Vec<(Timestamp, Option<Marker>)>,
    pub clusters: Vec<Cluster>,
    pub weather: Weather,
    pub rng: fastrand::Rng,
    pub log: Vec<String>,
    /// What is wrong with the operators.
    pub flaw: Option<Flaw>,
    /// Whether the operators' policy is confined to a path: of a marker that is
    /// not there IAM says "access denied".
    pub confined: bool,
    /// How far clocks are off, in seconds, at most.
    pub skew: i64,
    /// Calls to AWS that change the marker, and those that read it.
    pub writes: usize,
    pub reads: usize,
}

impl World {
    /// One cluster, whose operator was never started.
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            history: Vec::new(),
            clusters: vec![Cluster {
                name: "A",
                record: None,
                local: None,
                process: None,
                confirmed: Vec::new(),
                has_leases: true,
            }],
            weather,
            rng: fastrand::Rng::with_seed(seed),
            log: Vec::new(),
            flaw: None,
            confined: false,
            skew: 0,
            writes: 0,
            reads: 0,
        }
    }

    /// A cluster that holds the identity, and a minute on.
    pub fn settled(weather: Weather, seed: u64) -> Self {
        let mut world = Self::new(Weather::FAIR, seed);
        world.start(0);
        world.run(60);
        assert!(world.acts(0), "{:#?}", world.log);
        world.weather = weather;
        world
    }

    /// A copy of the first cluster as it is now; its number.
    pub fn copy(&mut self, name: &'static str) -> usize {
        let copy = Cluster {
            name,
            record: self.clusters[0].record.clone(),
            local: None,
            process: None,
            confirmed: self.clusters[0].confirmed.clone(),
            has_leases: true,
        };
        self.clusters.push(copy);
        self.clusters.len() - 1
    }

    /// Starts a container in the pod of the one before.
    pub fn start_again(&mut self, at: usize) {
        let seen = self.clusters[at].record.as_ref().and_then(|r| r.newest());
        let seen = seen.cloned();
        let local = self.clusters[at].local.clone();
        self.start_with(at, Some(seen));
        self.view(at).local.clone_from(&local);
        self.clusters[at].local = local;
    }

    /// Starts an operator in a new pod of that cluster, which leads at once.
    pub fn start(&mut self, at: usize) {
        let seen = self.clusters[at].record.as_ref().and_then(|r| r.newest());
        let seen = seen.cloned();
        self.start_with(at, Some(seen));
    }

    /// The same for one that stood by, and read the record then.
    pub fn start_with(&mut self, at: usize, seen: Option<Option<Epoch>>) {
        let seed = self.rng.u64(..);
        // Clocks differ, and each process has its own.
        let ahead = SignedDuration::from_secs(self.rng.i64(-self.skew..=self.skew));
        let cluster = &mut self.clusters[at];
        cluster.local = None;
        cluster.process = Some(Process {
            view: View {
                timing: TIMING,
                record: None,
                at_start: seen,
                local: None,
                wanted: true,
                releasing: false,
                has_leases: cluster.has_leases,
                confirmed: cluster.confirmed.clone(),
                work: Work::new(seed),
            },
            flight: None,
            wakes: self.now,
            cut_off: false,
            ahead,
        });
        self.log
            .push(format!("{} {} starts", self.now, cluster.name));
    }

    pub fn kill(&mut self, at: usize) {
        self.clusters[at].process = None;
    }

    /// A person confirms what the cluster's condition tells, if it does.
    pub fn confirm(&mut self, at: usize) {
        let cluster = &mut self.clusters[at];
        let stopped = cluster.record.as_ref().and_then(|r| r.stopped.as_ref());
        cluster.confirmed = stopped.map(|s| s.code.clone()).into_iter().collect();
        if let Some(process) = &mut cluster.process {
            process.view.confirmed.clone_from(&cluster.confirmed);
            process.wakes = self.now;
        }
        let codes = &self.clusters[at].confirmed;
        self.log.push(format!("{} confirmed {codes:?}", self.now));
    }

    pub fn view(&mut self, at: usize) -> &mut View {
        let process = self.clusters[at].process.as_mut();
        &mut process.expect("it runs").view
    }

    /// Wakes it up, because something changed.
    pub fn wake(&mut self, at: usize) {
        let now = self.now;
        if let Some(process) = &mut self.clusters[at].process {
            process.wakes = now;
        }
    }

    pub fn acts(&self, at: usize) -> bool {
        let process = self.clusters[at].process.as_ref();
        process.is_some_and(|p| p.acts(self.now) || self.flaw == Some(Flaw::AskNobody))
    }

    pub fn standing(&self, at: usize) -> Standing {
        let process = self.clusters[at].process.as_ref().expect("it runs");
        standing(&process.view, self.now + process.ahead)
    }

    pub fn is_stopped(&self, at: usize) -> bool {
        let record = self.clusters[at].record.as_ref();
        record.is_some_and(|r| r.stopped.is_some())
    }

    pub fn marker(&self) -> Option<Marker> {
        self.history.last().and_then(|(_, marker)| marker.clone())
    }

    /// Somebody deletes the marker.
    pub fn remove_marker(&mut self) {
        self.history.push((self.now, None));
    }

    fn marker_at(&self, time: Timestamp) -> Option<Marker> {
        let then = self.history.iter().rev().find(|(from, _)| *from <= time);
        then.and_then(|(_, marker)| marker.clone())
    }

    /// Goes on for so many seconds, and holds the promise to it.
    pub fn run(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while self.now < end {
            for at in 0..self.clusters.len() {
                self.advance(at);
            }
            self.check();
            self.now += SignedDuration::from_millis(100);
        }
    }

    /// Two clusters never act at the same time.
    fn check(&self) {
        let acting = (0..self.clusters.len()).filter(|at| self.acts(*at));
        let acting: Vec<_> = acting.map(|at| self.clusters[at].name).collect();
        assert!(
            acting.len() < 2,
            "{acting:?} act at {}: {:#?}",
            self.now,
            self.log
        );
    }

    fn advance(&mut self, at: usize) {
        let Some(mut process) = self.clusters[at].process.take() else {
            return;
        };
        let mut alive = true;
        let ahead = process.ahead;
        if let Some(mut flight) = process.flight.take() {
            if flight.arrives.is_some_and(|t| self.now >= t) && flight.outcome.is_none() {
                let outcome = self.answer(at, &flight.effect);
                flight.outcome = Some(outcome);
            }
            if self.now < flight.ends {
                process.flight = Some(flight);
            } else {
                let lost = Err(FaultClass::NoAnswer);
                let outcome = flight.outcome.filter(|_| flight.answered).unwrap_or(lost);
                let outcome = outcome.map_err(|class| Fault {
                    class,
                    message: format!("simulated {}", class.as_str()),
                });
                let (effect, began) = (&flight.effect, flight.began);
                if let (Effect::Claim(epoch) | Effect::Create(epoch), Ok(_)) = (effect, &outcome)
                    && !flight.deadly
                {
                    self.clusters[at].local = Some(epoch.clone());
                }
                process
                    .view
                    .record_outcome(effect, outcome, began + ahead, self.now + ahead);
                process.wakes = self.now;
                alive = !flight.deadly;
            }
        }
        if process.flight.is_none() && process.wakes <= self.now {
            if let Some(flaw) = self.flaw {
                flaw.spoil_view(&mut process.view);
            }
            let mut step = next(&process.view, self.now + ahead);
            if let Some(flaw) = self.flaw {
                step = flaw.spoil_step(step);
            }
            match step {
                Step::Do(effect) => process.flight = Some(self.send(at, effect, process.cut_off)),
                Step::Wait(until) => process.wakes = (until - ahead).max(self.now),
                Step::Rest => process.wakes = Timestamp::MAX,
            }
        }
        if alive {
            self.clusters[at].process = Some(process);
        } else {
            self.log
                .push(format!("{} {} dies", self.now, self.clusters[at].name));
            match self.rng.bool() {
                true => self.start_again(at),
                false => self.start(at),
            }
        }
    }

    fn send(&mut self, at: usize, effect: Effect, cut_off: bool) -> Flight {
        let weather = self.weather;
        let mut millis = |most: u64| SignedDuration::from_millis(self.rng.u64(50..most) as i64);
        let began = self.now;
        let (there, back) = (millis(400), millis(400));
        let pause = SignedDuration::from_secs(self.rng.i64(1..90));
        let paused = self.rng.f64() < weather.paused;
        let sent = if paused { began + pause } else { began };
        let lost = self.rng.f64() < weather.lost;
        let on_aws = !matches!(
            effect,
            Effect::ReadRecord | Effect::Write(..) | Effect::Forget
        );
        let gone = (lost && self.rng.bool()) || (cut_off && on_aws);
        let deadly = self.rng.f64() < weather.deaths;
        self.log.push(format!(
            "{began} {} {effect:?} sent {sent} lost {lost} {gone} deadly {deadly}",
            self.clusters[at].name
        ));
        let ends = match lost || gone {
            true => sent + SignedDuration::from_secs(10),
            false => sent + there + back,
        };
        Flight {
            effect,
            // The wall may have been passed before it was sent.
            began,
            arrives: (!gone).then(|| sent + there),
            ends,
            answered: !lost,
            outcome: None,
            deadly,
        }
    }

    /// The answer to a call, which may be a refusal: before it takes effect, or
    /// after.
    fn answer(&mut self, at: usize, effect: &Effect) -> Result<Outcome, FaultClass> {
        const CLASSES: [FaultClass; 4] = [
            FaultClass::AccessDenied,
            FaultClass::Refused,
            FaultClass::Throttled,
            FaultClass::BadCredentials,
        ];
        let on_aws = !matches!(
            effect,
            Effect::ReadRecord | Effect::Write(..) | Effect::Forget
        );
        if !on_aws || self.rng.f64() >= self.weather.refused {
            let outcome = self.apply(at, effect);
            let missing =
                outcome == Err(FaultClass::NotFound) || outcome == Ok(Outcome::Marker(None));
            return match self.confined && missing {
                true => Err(FaultClass::AccessDenied),
                false => outcome,
            };
        }
        // A look has no effect, and one is not denied that is allowed: to it that
        // would mean that there is no marker.
        let class = match effect {
            Effect::Look => FaultClass::Throttled,
            _ => CLASSES[self.rng.usize(..CLASSES.len())],
        };
        if self.rng.bool() {
            let _ = self.apply(at, effect);
        }
        self.log.push(format!("{} refused: {class:?}", self.now));
        Err(class)
    }

    fn apply(&mut self, at: usize, effect: &Effect) -> Result<Outcome, FaultClass> {
        let lag = self.weather.lag.as_millis() as i64;
        let behind = SignedDuration::from_millis(self.rng.i64(0..=lag));
        let current = self.marker();
        let valid = TIMING.valid();
        let change = match effect {
            Effect::ReadRecord => return Ok(Outcome::Record(self.clusters[at].record.clone())),
            Effect::Write(record, _) => {
                self.clusters[at].record = Some(record.clone());
                return Ok(Outcome::Done);
            }
            Effect::Forget => {
                self.clusters[at].record = None;
                return Ok(Outcome::Done);
            }
            Effect::Look => {
                self.reads += 1;
                return Ok(Outcome::Marker(self.marker_at(self.now - behind)));
            }
            Effect::Create(_) if current.is_some() => return Err(FaultClass::AlreadyExists),
            Effect::Create(epoch) => Some(Marker {
                epoch: Some(epoch.clone()),
                knock: None,
                call: None,
                valid,
            }),
            Effect::Remove => None,
            Effect::Knock(_) | Effect::Claim(_) | Effect::Call(_) if current.is_none() => {
                return Err(FaultClass::NotFound);
            }
            Effect::Knock(knock) => current.map(|marker| Marker {
                knock: Some(knock.clone()),
                ..marker
            }),
            Effect::Call(call) => current.map(|marker| Marker {
                call: Some(call.clone()),
                ..marker
            }),
            Effect::Claim(epoch) => current.map(|marker| Marker {
                epoch: Some(epoch.clone()),
                valid,
                ..marker
            }),
        };
        self.writes += 1;
        self.history.push((self.now, change));
        Ok(Outcome::Done)
    }

    /// The stage that a process has come to.
    pub fn stage(&self, at: usize) -> Stage {
        let process = self.clusters[at].process.as_ref().expect("it runs");
        process.view.work.stage.clone()
    }
}
