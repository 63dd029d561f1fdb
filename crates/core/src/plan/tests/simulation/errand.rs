//! One reconciliation under way: it decides, its calls travel, and answers
//! come back or do not.

use jiff::{SignedDuration, Timestamp};

use super::check;
use super::flaws::Flaw;
use super::refusals;
use super::replica::Who;
use super::sim::{Event, Sim, failed};
use super::weather::Whim;
use crate::plan::admission::NamespaceView;
use crate::plan::effect::{Effect, FaultClass, Outcome};
use crate::plan::view::View;
use crate::plan::{Look, Step, backoff, next};

/// Steps of one reconciliation after which the controller speaks of a circle.
const MAX_STEPS: u32 = 200;
/// More calls to AWS than this in [`A_MOMENT`], for one request, are a storm.
const MANY_CALLS: u32 = 120;
const A_MOMENT: SignedDuration = SignedDuration::from_secs(20);

/// A reconciliation.
pub(super) struct Errand {
    pub who: Who,
    pub name: String,
    view: Box<View>,
    steps: u32,
}

impl Sim {
    pub fn wake(&mut self, who: Who, name: String, timer: Option<Timestamp>) {
        let (now, wall) = (self.now, self.wall());
        if self.flaw.is_some_and(|flaw| flaw.stops(&self.cluster)) {
            return;
        }
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
        let mut view = Box::new(replica.view(&self.cluster, request, now, wall));
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
            let wall = self.wall();
            let view = &mut errand.view;
            if view.account_wanted().is_some() {
                view.account = self.account.clone();
                // Nobody deletes accounts here.
                view.account_held = true;
            }
            view.work.clock_is(wall);
            if let Some(flaw) = self.flaw {
                flaw.spoil_view(view);
            }
            let mut step = next(view, wall);
            if let Some(flaw) = self.flaw {
                step = flaw.spoil_step(view, step, wall);
            }
            match step {
                Step::TakeBack(verdict) => view.take_back(verdict),
                Step::Look(what) => {
                    let pause = self.millis(1..=20);
                    return self.after(pause, Event::Read(errand, what));
                }
                Step::Wait(until) => {
                    let timer = self.timer(until);
                    return self.finish(errand, Some(timer));
                }
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

    pub fn apply(&mut self, errand: Errand, effect: Effect) {
        let whim = self.weather.whim_at(&effect, self.now, &mut self.rng);
        self.count_call(&errand.name, &effect);
        let applied = match whim {
            Whim::Serve | Whim::LoseAnswer | Whim::Refuse(_, true) => {
                check::before(self, &errand.view, &effect);
                Some(self.serve(&errand, &effect))
            }
            Whim::Fail(_) | Whim::Refuse(_, false) => None,
        };
        let outcome = match (whim, applied) {
            (Whim::Serve, Some(outcome)) => outcome,
            (Whim::Fail(class), _) => failed(class),
            (Whim::Refuse(class, _), _) => refusals::refused(&effect, class),
            _ => failed(FaultClass::NoAnswer),
        };
        let who = errand.who;
        let wall = self.wall();
        self.tell(|| {
            let told = match &outcome {
                Outcome::Failed(fault) => fault.class.as_str().to_owned(),
                Outcome::Request(_) | Outcome::Secret(_) | Outcome::Done => "ok".to_owned(),
                Outcome::Role(_) => "ok".to_owned(),
                other => format!("{other:?}"),
            };
            let lost = if matches!(whim, Whim::LoseAnswer | Whim::Refuse(_, true)) {
                " (applied)"
            } else {
                ""
            };
            let key = match &effect {
                Effect::Clear(what) => what.to_string(),
                Effect::Report(report) => {
                    let status = &report.status;
                    let failed = status.last_failure_time.as_ref().map(|t| t.0);
                    let previous = status.previous.as_ref().map(|p| p.remove_at.0);
                    let ends = status.lease.as_ref().map(|l| l.expires_at.0);
                    format!(
                        "{:?} until {ends:?} (old key: {previous:?}; {:?} failures: {failed:?}; \
                         wall {})",
                        status.phase, status.failures, wall
                    )
                }
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

    /// Whoever is refused does not try a hundred times in a moment.
    fn count_call(&mut self, name: &str, effect: &Effect) {
        if effect.on_kubernetes() {
            return;
        }
        let now = self.now;
        let (since, count) = self.calls.entry(name.to_owned()).or_insert((now, 0));
        if now.duration_since(*since) > A_MOMENT {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > MANY_CALLS {
            let told = format!("{name}: a storm of calls to AWS, {} at last", effect.name());
            self.violation.get_or_insert(told);
        }
    }

    fn serve(&mut self, errand: &Errand, effect: &Effect) -> Outcome {
        let view = &errand.view;
        if !effect.on_kubernetes() {
            return self.iam.serve(effect, view, self.now);
        }
        let served = self.cluster.apply(effect, view, self.now);
        if served.is_ok() && !matches!(effect, Effect::CheckSecret) {
            self.changed(&errand.name);
        }
        // Whoever waits for the role's user is told that it may be free.
        if let (Ok(_), Effect::Release) = (&served, effect) {
            self.role_changed(&view.request.spec.role_ref.name);
        }
        served.unwrap_or_else(failed)
    }

    pub fn answer(&mut self, mut errand: Errand, effect: Effect, outcome: Outcome) {
        if let (Outcome::Secret(_), Some(past)) = (&outcome, self.cluster.secrets.get(&errand.name))
        {
            let wrote = &mut self.replicas[errand.who.replica].wrote;
            wrote.extend(past.since().map(|since| (errand.name.clone(), since)));
        }
        let outcome = match self.flaw {
            Some(flaw) => flaw.spoil_outcome(outcome),
            None => outcome,
        };
        let kept = self.flaw.map(|_| outcome.clone());
        let wall = self.wall();
        let recorded = errand.view.record(&effect, outcome, wall);
        if let (Some(flaw), Some(outcome)) = (self.flaw, kept) {
            flaw.spoil_facts(&mut errand.view, &effect, &outcome);
        }
        match recorded {
            Ok(()) => self.advance(errand),
            Err(stall) => self.stall(errand, stall.0.class),
        }
    }

    pub fn read(&mut self, mut errand: Errand, what: Look) {
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
                view.role = self.cluster.role_view(&view.request.spec.role_ref.name);
            }
            Look::Secret => {
                let found = self.cluster.secret_view(name, view.request.uid_str());
                view.saw_secret(found);
            }
            Look::Holder => view.holder = self.cluster.holder_view(&view.role),
            Look::Namespace => view.namespace = NamespaceView::Labels(Default::default()),
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
