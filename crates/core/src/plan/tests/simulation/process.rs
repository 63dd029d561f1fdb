//! Processes of the operator: they start, lead, are told to stop, and die.

use std::time::Duration;

use jiff::SignedDuration;

use super::flaws::Flaw;
use super::iam::Target;
use super::replica::Who;
use super::sim::{Event, Sim};
use crate::plan::effect::{Attachment, Effect};
use crate::plan::leader::{LEASE_DURATION, Move, RETRY, Record};
use crate::plan::view::View;

/// How long a process that was told to stop takes at most.
const GRACE: SignedDuration = SignedDuration::from_secs(14);

impl Sim {
    pub fn start(&mut self, n: usize) {
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
        if let Some(interval) = self.sweep_interval {
            self.after(interval / 12, Event::SweepDue(Some(who)));
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
            let wall = self.wall();
            let replica = &mut self.replicas[who.replica];
            if let Some(request) = replica.cached(&self.cluster, &name, self.now) {
                let view = replica.view(&self.cluster, request, self.now, wall);
                self.take_back(&view);
            }
        }
        self.after(GRACE, Event::Stop(who));
    }

    pub fn take_back(&mut self, view: &View) {
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

    pub fn tick(&mut self, who: Who) {
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
}
