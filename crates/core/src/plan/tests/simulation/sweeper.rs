//! Sweeps, as `sweep/` performs them: users, requests, users again; then each
//! orphan by itself, by the plan's own steps. Calls travel and fail like those
//! of any reconciliation.

use jiff::SignedDuration;

use super::neighbour::Neighbour;
use super::refusals;
use super::replica::Who;
use super::sim::{Event, Sim, failed};
use super::sweep_check;
use super::weather::Whim;
use crate::plan::admission::AccountFacts;
use crate::plan::effect::{Effect, FaultClass, Outcome};
use crate::plan::naming::ClusterId;
use crate::plan::sweep::census::{Census, Claim};
use crate::plan::sweep::{Limits, ListedUser, Picture, judge, orphan, swept_path};
use crate::plan::tests::world::World;
use crate::plan::view::{AccountView, View};
use crate::plan::{Step, next};

/// The bounds, in the proportion that they have in use.
const LIMITS: Limits = Limits {
    min_age: SignedDuration::from_mins(10),
    patience: SignedDuration::from_mins(20),
};

/// One sweep under way.
pub(super) struct Sweep {
    /// The process that sweeps; `None`: the other cluster's.
    who: Option<Who>,
    cluster: ClusterId,
    stage: Stage,
    /// Orphans that are still to be removed.
    left: Vec<ListedUser>,
}

/// How far it is.
enum Stage {
    /// Users are to be listed.
    Users,
    /// Then requests.
    Requests(Box<Picture>),
    /// Then users once more, to judge.
    Again(Box<Picture>),
    /// The next orphan is to be looked at.
    Look,
    /// It is being taken down: decide.
    Decide(Box<View>),
    /// A call arrives.
    Arrive(Box<View>, Effect),
    /// Its answer does.
    Answer(Box<View>, Effect, Outcome),
}

impl Sweep {
    /// The process that has to live for the next thing to happen. A call that
    /// was sent arrives without it.
    pub fn must_live(&self) -> Option<Who> {
        match self.stage {
            Stage::Arrive(..) => None,
            _ => self.who,
        }
    }
}

impl Sim {
    /// A sweep begins, if whoever is to make it leads.
    pub fn begin_sweep(&mut self, who: Option<Who>) {
        let leads = |who: Who| {
            let replica = &self.replicas[who.replica];
            replica.leads && !replica.closing
        };
        if who.is_some_and(|who| !leads(who)) {
            return;
        }
        let cluster = match who {
            Some(_) => World::cluster(),
            None => Neighbour::cluster(),
        };
        self.sweep_on(Sweep {
            who,
            cluster,
            stage: Stage::Users,
            left: Vec::new(),
        });
    }

    /// The next thing of a sweep happens, after a while.
    fn sweep_on(&mut self, sweep: Sweep) {
        let pause = match sweep.stage {
            Stage::Arrive(..) => self.weather.travel(&mut self.rng),
            _ => self.millis(5..=400),
        };
        self.after(pause, Event::Sweep(Box::new(sweep)));
    }

    /// This one is over; the next comes in time.
    fn end_sweep(&mut self, who: Option<Who>) {
        if let Some(pause) = self.sweep_interval {
            self.after(pause, Event::SweepDue(who));
        }
    }

    /// What is read fails like any call.
    fn sweep_read_fails(&mut self, on_kubernetes: bool) -> bool {
        let whim = self.weather.whim(on_kubernetes, self.now, &mut self.rng);
        whim != Whim::Serve
    }

    pub fn go_on_sweeping(&mut self, mut sweep: Box<Sweep>) {
        let (who, now) = (sweep.who, self.now);
        let path = swept_path(&self.account_facts().path, &sweep.cluster);
        let stage = std::mem::replace(&mut sweep.stage, Stage::Look);
        let asks_kubernetes = matches!(stage, Stage::Requests(_));
        let reads = matches!(
            stage,
            Stage::Users | Stage::Requests(_) | Stage::Again(_) | Stage::Look
        );
        if reads && self.sweep_read_fails(asks_kubernetes) {
            return self.end_sweep(who);
        }
        sweep.stage = match stage {
            Stage::Users => Stage::Requests(Box::new(Picture {
                account_id: self.account_facts().account_id,
                listed_at: now,
                users: self.iam.list(&path, now),
                quarantined: Default::default(),
                census: Census::default(),
                report: self.iam.report(now),
                path,
            })),
            Stage::Requests(mut picture) => {
                picture.census = self.census(&sweep.cluster);
                Stage::Again(picture)
            }
            Stage::Again(mut picture) => {
                if picture.has_unclaimed() {
                    picture.keep_those_on(&self.iam.list(&path, now));
                }
                sweep.left = self.judge_sweep(&picture, who);
                Stage::Look
            }
            Stage::Look => {
                let Some(user) = sweep.left.pop() else {
                    return self.end_sweep(who);
                };
                match self.orphan(&user, &sweep.cluster) {
                    Some(view) => Stage::Decide(Box::new(view)),
                    None => Stage::Look,
                }
            }
            Stage::Decide(view) => match next(&view, self.wall()) {
                Step::Do(effect) => {
                    if self.sweeper_leads(who) {
                        Stage::Arrive(view, effect)
                    } else {
                        Stage::Answer(view, effect, failed(FaultClass::NotLeading))
                    }
                }
                // Taken down, or left to the next sweep.
                _ => Stage::Look,
            },
            Stage::Arrive(view, effect) => {
                let outcome = self.sweep_call(&sweep.cluster, &view, &effect);
                Stage::Answer(view, effect, outcome)
            }
            Stage::Answer(mut view, effect, outcome) => {
                let recorded = view.record(&effect, outcome, self.wall());
                if recorded.is_ok() && view.work.failure.is_none() {
                    Stage::Decide(view)
                } else {
                    Stage::Look
                }
            }
        };
        self.sweep_on(*sweep);
    }

    fn sweeper_leads(&self, who: Option<Who>) -> bool {
        who.is_none_or(|who| self.replicas[who.replica].may_call(self.clock()))
    }

    fn sweep_call(&mut self, cluster: &ClusterId, view: &View, effect: &Effect) -> Outcome {
        let whim = self.weather.whim_at(effect, self.now, &mut self.rng);
        match whim {
            Whim::Fail(class) => return failed(class),
            Whim::Refuse(class, false) => return refusals::refused(effect, class),
            Whim::Refuse(_, true) | Whim::Serve | Whim::LoseAnswer => {}
        }
        sweep_check::before(self, cluster, view, effect);
        let outcome = self.iam.serve(effect, view, self.now);
        self.tell(|| {
            let user = view
                .intent()
                .map(|i| i.user_name.clone())
                .unwrap_or_default();
            format!("sweep of {}: {} {user}", cluster.0, effect.name())
        });
        match whim {
            Whim::LoseAnswer => failed(FaultClass::NoAnswer),
            Whim::Refuse(class, _) => refusals::refused(effect, class),
            _ => outcome,
        }
    }

    fn census(&self, cluster: &ClusterId) -> Census {
        let mut census = Census::default();
        if *cluster == Neighbour::cluster() {
            let all = self.neighbour.requests.values();
            all.for_each(|request| census.add(request, cluster));
        } else {
            let all = self.cluster.requests.values();
            let all = all.filter_map(|past| past.now());
            all.for_each(|request| census.add(request, cluster));
        }
        census
    }

    /// The orphans that may be removed; leases to doubt are told to look.
    fn judge_sweep(&mut self, picture: &Picture, who: Option<Who>) -> Vec<ListedUser> {
        let wall = self.wall();
        let halt = match who {
            Some(_) => &mut self.halt,
            None => &mut self.neighbour.halt,
        };
        let findings = judge(picture, LIMITS, halt.as_ref(), None, wall);
        *halt = findings.guard.halt().cloned();
        if let Some(who) = who {
            for suspect in &findings.suspects {
                self.tell(|| format!("{} is doubted: {:?}", suspect.name, suspect.kind));
                let replica = &mut self.replicas[who.replica];
                replica.doubted.insert(suspect.uid.clone());
                let wake = Event::Wake(who, suspect.name.clone(), None);
                self.after(SignedDuration::ZERO, wake);
            }
        }
        if findings.guard.halts() {
            self.tell(|| "the sweep is halted".to_owned());
            return Vec::new();
        }
        findings.orphans().cloned().collect()
    }

    /// The view from which an orphan is taken down, if it is one when looked at
    /// by itself.
    fn orphan(&self, user: &ListedUser, cluster: &ClusterId) -> Option<View> {
        let account = self.account_facts();
        let facts = self.iam.get(&user.name, self.now)?;
        let request = orphan::stand_in(&user.name, &facts, &account, cluster).ok()?;
        let uid = request.uid_str();
        let found = if *cluster == Neighbour::cluster() {
            self.neighbour.requests.get(uid)
        } else {
            let name = request.metadata.name.as_deref().unwrap_or_default();
            self.cluster.request(name).map(AsRef::as_ref)
        };
        let same = found.filter(|found| found.uid_str() == uid);
        let claimed = same.is_some_and(|same| Claim::of(same, cluster).stands());
        (!claimed).then(|| orphan::view(request, &account, cluster, self.wall()))
    }

    /// The account that all of it happens in.
    pub fn account_facts(&self) -> AccountFacts {
        match &self.account {
            AccountView::Ready(facts) => (**facts).clone(),
            _ => unreachable!("the simulated account is signed in to"),
        }
    }
}
