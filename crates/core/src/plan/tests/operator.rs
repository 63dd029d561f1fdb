//! The loop of `controller::request::walk`, played in virtual time, with a fault at
//! any effect.

use std::sync::Arc;

use jiff::SignedDuration;

use super::golden;
use super::world::World;
use crate::plan::admission::NamespaceView;
use crate::plan::effect::{Effect, Fault, FaultClass, Outcome};
use crate::plan::view::{HolderView, RoleView, SecretHint, View};
use crate::plan::work::{Doubt, Work};
use crate::plan::{Look, Step, next};
use keylease_api::AwsCredentialRequest;

/// What happens at one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The process dies before it.
    DieBefore,
    /// The process dies after it.
    DieAfter,
    /// It is applied and its answer is lost.
    LoseAnswer,
    /// It is not applied and no answer comes.
    LoseCall,
    /// The server says that it cannot serve now.
    Unavailable,
    /// The process is told to hand over before it: it takes back the key that
    /// nobody was given, and ends.
    HandOver,
    /// The server asks to slow down.
    Throttled,
    /// It is never sent: its turn does not come.
    Unsent,
    /// It is refused, and not applied.
    Refused(FaultClass),
    /// It is refused, and applied all the same.
    RefusedAfter(FaultClass),
}

impl Mishap {
    /// Those that come unasked. The last three have stories of their own.
    pub const ALL: [Self; 5] = [
        Self::DieBefore,
        Self::DieAfter,
        Self::LoseAnswer,
        Self::LoseCall,
        Self::Unavailable,
    ];
    /// Refusals: of what builds up, of what ends, and after the deed.
    pub const REFUSALS: [Self; 7] = [
        Self::Refused(FaultClass::Refused),
        Self::Refused(FaultClass::AccessDenied),
        Self::Refused(FaultClass::NotFound),
        Self::Refused(FaultClass::QuotaExceeded),
        Self::RefusedAfter(FaultClass::Refused),
        Self::RefusedAfter(FaultClass::AccessDenied),
        Self::RefusedAfter(FaultClass::BadCredentials),
    ];

    /// Whether this can be the answer to that effect: nobody says that a thing is
    /// not there, or that there is no room, of what is to be removed or read.
    fn can_meet(self, effect: &Effect) -> bool {
        let builds = matches!(
            effect,
            Effect::CheckSecret
                | Effect::PublishSecret(_)
                | Effect::Grant(_)
                | Effect::CreateKey
                | Effect::Restart(..)
        );
        let reads = matches!(effect, Effect::InspectUser | Effect::FindUser(_));
        match self {
            Self::Refused(FaultClass::NotFound | FaultClass::QuotaExceeded) => builds,
            Self::RefusedAfter(_) => changes(effect),
            _ => !reads || !matches!(self, Self::Refused(FaultClass::Refused)),
        }
    }
}

/// Whether an effect that takes place although it is refused leaves a trace
/// outside: in AWS, in the Secret, on a workload.
fn changes(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::CreateUser
            | Effect::Grant(_)
            | Effect::CreateKey
            | Effect::Clear(_)
            | Effect::DeleteUser
            | Effect::PublishSecret(_)
            | Effect::AmendSecret(_)
            | Effect::DeleteSecret(_)
            | Effect::Restart(..)
    )
}

/// An operator process and the mishaps that await it, by number of effect
/// counted from its first start.
pub(super) struct Operator {
    /// What lies on the desk between two reconciliations.
    work: Option<Work>,
    effects: usize,
    mishaps: Vec<(usize, Mishap)>,
    /// What the caches show where they lag behind: request and hint.
    cached: Option<(AwsCredentialRequest, SecretHint)>,
    /// How often it died.
    pub deaths: u32,
    /// Each decision since somebody asked for them: stage, rule and step.
    pub decisions: Option<Vec<String>>,
}

impl Operator {
    pub fn new() -> Self {
        Self {
            work: None,
            effects: 0,
            mishaps: Vec::new(),
            cached: None,
            deaths: 0,
            decisions: None,
        }
    }

    pub fn with_mishaps(mishaps: &[(usize, Mishap)]) -> Self {
        Self {
            mishaps: mishaps.to_vec(),
            ..Self::new()
        }
    }

    /// How many effects it has come to, applied or not.
    pub fn effects(&self) -> usize {
        self.effects
    }

    /// The process dies and another starts with nothing in memory.
    pub fn restart(&mut self) {
        self.work = None;
        self.deaths += 1;
    }

    /// The sweep has seen something that speaks against what we believe.
    pub fn doubt(&mut self, world: &World) {
        let work = self.work.get_or_insert_with(|| Work::new(world.now));
        work.doubt = Doubt::Raised;
    }

    /// Reconciles until there is nothing left to do before the lease's end,
    /// letting time pass where the plan waits.
    pub fn settle(&mut self, world: &mut World) {
        let end = world.now + SignedDuration::from_mins(50);
        self.run_until(world, end);
    }

    /// One reconciliation, in which the process is to die.
    pub fn run_to_its_death(&mut self, world: &mut World) {
        let before = self.deaths;
        let seen = world.request.clone().unwrap();
        let hint = world.hint();
        self.reconcile(world, seen, hint);
        assert!(self.deaths > before, "it lives: {:?}", world.applied);
    }

    /// Reconciles, with time passing, until nothing is left to do before then.
    pub fn run_until(&mut self, world: &mut World, end: jiff::Timestamp) {
        let mut last_seen = world.request.clone();
        for _ in 0..2_000 {
            last_seen = world.request.clone().or(last_seen);
            let Some(seen) = last_seen.clone() else {
                return;
            };
            let fresh = (seen, world.hint());
            if let (true, Some((seen, hint))) = (world.stale, self.cached.clone())
                && (&seen, &hint) != (&fresh.0, &fresh.1)
            {
                // What it decides on old news is all right too; then the news
                // is there.
                self.reconcile(world, seen, hint);
                self.cached = Some(fresh);
                continue;
            }
            let (seen, hint) = fresh.clone();
            self.cached = Some(fresh);
            match self.reconcile(world, seen, hint) {
                Some(until) if until <= end => world.now = world.now.max(until),
                _ => return,
            }
            if world.request.is_none() && !self.work.as_ref().is_some_and(Work::in_flight) {
                return;
            }
        }
        panic!("no end; applied so far: {:?}", world.applied);
    }

    /// One reconciliation; `Some(time)` when it wants to come back then.
    fn reconcile(
        &mut self,
        world: &mut World,
        seen: AwsCredentialRequest,
        hint: SecretHint,
    ) -> Option<jiff::Timestamp> {
        let work = self.work.take().unwrap_or_else(|| Work::new(world.now));
        let mut view = View {
            hint,
            role_hint: world.role_hint(),
            ..View::new(World::cluster(), Arc::new(seen), work)
        };
        for _ in 0..300 {
            if view.account_wanted().is_some() {
                view.account = world.account.clone();
                view.account_held = world.account_held;
            }
            view.work.clock_is(world.now);
            if let Some(decisions) = &mut self.decisions {
                decisions.push(golden::decision(&view, world.now));
            }
            match next(&view, world.now) {
                Step::Look(what) => look(what, &mut view, world),
                Step::TakeBack(verdict) => view.take_back(verdict),
                Step::Do(effect) => {
                    let mishap = self.mishap().filter(|m| m.can_meet(&effect));
                    let delivered = world.delivered();
                    let lost = || Outcome::Failed(no_answer(FaultClass::NoAnswer));
                    let outcome = match mishap {
                        None => world.apply(&effect, &view),
                        Some(Mishap::DieBefore) => {
                            self.restart();
                            return Some(world.now);
                        }
                        Some(Mishap::HandOver) => {
                            if let Some((_, key)) = view.key_to_take_back() {
                                world.take_back_key(&key);
                            }
                            self.restart();
                            return Some(world.now);
                        }
                        Some(Mishap::DieAfter) => {
                            world.apply(&effect, &view);
                            self.restart();
                            return Some(world.now);
                        }
                        Some(Mishap::LoseAnswer) => {
                            world.apply(&effect, &view);
                            lost()
                        }
                        Some(Mishap::LoseCall) => lost(),
                        Some(Mishap::Unavailable) => {
                            Outcome::Failed(no_answer(FaultClass::Unavailable))
                        }
                        Some(Mishap::Throttled) => {
                            Outcome::Failed(no_answer(FaultClass::Throttled))
                        }
                        Some(Mishap::Unsent) => Outcome::Failed(no_answer(FaultClass::Unsent)),
                        Some(Mishap::Refused(class)) => Outcome::Failed(no_answer(class)),
                        Some(Mishap::RefusedAfter(class)) => {
                            world.apply(&effect, &view);
                            Outcome::Failed(no_answer(class))
                        }
                    };
                    if let Some(key) = delivered {
                        let done = &world.applied;
                        assert!(world.keys().contains(&key), "{key} is in use: {done:?}");
                        let holds = world.secret.is_some();
                        assert!(holds, "the Secret with {key} is in use: {done:?}");
                    }
                    if view.record(&effect, outcome, world.now).is_err() {
                        self.keep(view);
                        return Some(world.now + SignedDuration::from_secs(1));
                    }
                }
                Step::Wait(until) => {
                    self.keep(view);
                    return Some(until);
                }
                Step::Rest => {
                    self.keep(view);
                    return None;
                }
            }
        }
        panic!("in circles; applied so far: {:?}", world.applied);
    }

    fn keep(&mut self, view: View) {
        self.work = view.worth_keeping().then_some(view.work);
    }

    fn mishap(&mut self) -> Option<Mishap> {
        let number = self.effects;
        self.effects += 1;
        let found = self.mishaps.iter().find(|(at, _)| *at == number);
        found.map(|(_, mishap)| *mishap)
    }
}

fn look(what: Look, view: &mut View, world: &World) {
    match what {
        Look::Request => view.saw_request(world.request.clone()),
        Look::Role => {
            view.role = RoleView::of(world.role.clone());
        }
        // Whoever else held it is gone.
        Look::Holder => view.holder = HolderView::Gone,
        Look::Namespace => view.namespace = NamespaceView::Labels(Default::default()),
        Look::Secret => view.saw_secret(world.secret_view()),
    }
}

fn no_answer(class: FaultClass) -> Fault {
    Fault {
        class,
        message: "simulated".into(),
    }
}
