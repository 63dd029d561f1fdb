//! `plan::next`, in any world: the three kinds and the Secret as any JSON that
//! decodes, users in AWS as the input has them, and a mishap at any effect. The
//! loop is that of `controller::request::walk`.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keylease_api::AwsCredentialRequest;
use keylease_core::plan::admission::NamespaceView;
use keylease_core::plan::effect::{Effect, Fault, FaultClass, Outcome, Proof};
use keylease_core::plan::intent::user_name_of;
use keylease_core::plan::view::{AccountView, HolderView, SecretHint, View};
use keylease_core::plan::work::Work;
use keylease_core::plan::{Look, Step, next};

use crate::harness::{Told, did, fuzz};
use crate::promises;
use crate::samples::{self, FIELDS, cluster};
use crate::world::{Scene, World};

/// Steps of one reconciliation without a mishap, for each thing that is to be
/// put on a user or taken off; the controller takes 200 for a circle.
const STEPS: usize = 150;
/// Reconciliations that are played, at most.
const ROUNDS: usize = 60;
/// Faults that a call can end in, without a word on whether it was applied.
const FAULTS: [FaultClass; 11] = [
    FaultClass::Unavailable,
    FaultClass::Throttled,
    FaultClass::Unsent,
    FaultClass::Stale,
    FaultClass::NotFound,
    FaultClass::QuotaExceeded,
    FaultClass::AccessDenied,
    FaultClass::Unseen,
    FaultClass::BadCredentials,
    FaultClass::Refused,
    FaultClass::NotLeading,
];

/// What follows the scene: each byte decides on one thing. When they are used
/// up, nothing goes wrong any more.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    /// A number below `n`, for the letters from `a` on; 0 for most others.
    fn of(&mut self, n: u8) -> u8 {
        let letter = self.0.next().map_or(0, |b| b.wrapping_sub(b'a'));
        if letter < n { letter } else { 0 }
    }
}

/// One operator at work.
struct Play<'a> {
    world: World,
    choices: Choices<'a>,
    work: Option<Work>,
    last: AwsCredentialRequest,
    effects: Vec<&'static str>,
    /// AWS said something that is not true.
    lied: bool,
    steps: usize,
}

/// Nothing that `promises.rs` forbids is done on the way. In the end there is
/// nothing to do; and a request that is gone left no user of its making, unless
/// AWS said something that is not so.
fn judge(input: &[u8]) -> Told {
    let mut scenes = serde_json::Deserializer::from_slice(input).into_iter::<Scene>();
    let Some(Ok(scene)) = scenes.next() else {
        return did("refused");
    };
    let rest = &input[scenes.byte_offset()..];
    let world = World::new(scene);
    let Some(last) = world.request.clone() else {
        return did("no request");
    };
    let mut play = Play {
        world,
        choices: Choices(rest.iter()),
        work: None,
        last,
        effects: Vec::new(),
        lied: false,
        steps: 0,
    };
    play.run()?;
    play.world.delete_request();
    play.run()?;
    let own = user_name_of(&play.last, &cluster());
    let left = play.world.users.get(&own).is_some_and(|u| u.made);
    let gone = play.world.request.is_none();
    ensure!(
        !(gone && left) || play.lied,
        "its user is left behind: {:?}",
        play.effects
    );
    play.effects.dedup();
    play.effects.truncate(24);
    did((play.effects, gone))
}

impl Play<'_> {
    /// Reconciles until nothing is left to do.
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            match self.reconcile()? {
                Some(until) => self.world.now = self.world.now.max(until),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// One reconciliation; the time at which it wants to come back.
    fn reconcile(&mut self) -> Result<Option<Timestamp>, String> {
        let now = self.world.now;
        let work = self.work.take().unwrap_or_else(|| Work::new(now));
        let seen = self
            .world
            .request
            .clone()
            .unwrap_or_else(|| self.last.clone());
        let mut view = View {
            role_hint: self.world.role_hint(),
            hint: match self.choices.of(3) {
                1 => SecretHint::Unsynced,
                2 => SecretHint::Missing,
                _ => self.world.secret_hint(),
            },
            ..View::new(cluster(), Arc::new(seen), work)
        };
        self.steps = 0;
        loop {
            self.steps += 1;
            let things = view.permissions_on_user().len() + self.on_users();
            let last = &self.effects[self.effects.len().saturating_sub(6)..];
            ensure!(self.steps < STEPS + 3 * things, "in circles: {last:?}");
            if view.account_wanted().is_some() {
                view.account = AccountView::Ready(Box::new(samples::account()));
            }
            match next(&view, now) {
                Step::Look(what) => self.look(what, &mut view),
                Step::TakeBack(verdict) => view.take_back(verdict),
                Step::Wait(until) => {
                    self.keep(view);
                    return Ok(Some(until));
                }
                Step::Rest => {
                    self.keep(view);
                    return Ok(None);
                }
                Step::Do(effect) => {
                    promises::check(&effect, &view, &self.world)?;
                    self.effects.push(effect.name());
                    let Some(outcome) = self.perform(&effect, &view) else {
                        return Ok(Some(now));
                    };
                    if view.record(&effect, outcome, now).is_err() {
                        self.keep(view);
                        let later = now.checked_add(SignedDuration::from_secs(1));
                        return Ok(later.ok());
                    }
                }
            }
            if let Some(request) = &self.world.request {
                self.last = request.clone();
            }
        }
    }

    /// Things that are on users in AWS.
    fn on_users(&self) -> usize {
        self.world.users.values().map(|u| u.on_it.len()).sum()
    }

    fn keep(&mut self, view: View) {
        self.work = view.worth_keeping().then_some(view.work);
    }

    fn look(&mut self, what: Look, view: &mut View) {
        let world = &self.world;
        match what {
            Look::Request => view.saw_request(world.request.clone()),
            Look::Role => view.role = world.role_view(),
            Look::Holder => {
                view.holder = match self.choices.of(2) {
                    1 => HolderView::Alive,
                    _ => HolderView::Gone,
                };
            }
            Look::Namespace => view.namespace = NamespaceView::Labels(Default::default()),
            Look::Secret => view.saw_secret(world.secret_view(&view.request)),
        }
    }

    /// The effect and what becomes of it; `None` where the process dies.
    fn perform(&mut self, effect: &Effect, view: &View) -> Option<Outcome> {
        let mishap = self.choices.of(7);
        if mishap != 0 {
            self.steps = 0;
        }
        let applied = match mishap {
            // Not applied: an answer that says so, or none; or the end.
            1 => {
                let class = FAULTS[usize::from(self.choices.of(FAULTS.len() as u8))];
                self.lied |= class == FaultClass::NotFound;
                return Some(failed(class));
            }
            2 => return Some(failed(FaultClass::NoAnswer)),
            3 => return None,
            _ => self.world.apply(effect, view),
        };
        match mishap {
            4 => Some(failed(FaultClass::NoAnswer)),
            5 => None,
            6 => Some(self.lie(effect, applied)),
            _ => Some(applied.unwrap_or_else(failed)),
        }
    }

    /// AWS's readers do not show what there is.
    fn lie(&mut self, effect: &Effect, truth: Result<Outcome, FaultClass>) -> Outcome {
        let lie = match effect {
            Effect::ListKeys => Outcome::Keys(Vec::new()),
            Effect::TakeInventory => Outcome::Inventory(None),
            Effect::InspectUser => Outcome::User(keylease_core::plan::effect::Owner::Nobody),
            Effect::ProveKey => Outcome::Proof(Proof::Unknown),
            Effect::Clear(_) | Effect::DeleteUser => failed(FaultClass::NotFound),
            _ => return truth.unwrap_or_else(failed),
        };
        self.lied = true;
        lie
    }
}

fn failed(class: FaultClass) -> Outcome {
    Outcome::Failed(Fault {
        class,
        message: class.as_str().to_owned(),
    })
}

#[test]
fn decisions() {
    fuzz("decisions", &FIELDS, judge);
}
