//! The operator's own user, the Secret, and processes that rotate.

use jiff::{SignedDuration, Timestamp};

use crate::plan::effect::{Fault, FaultClass};
use crate::plan::root_rotation::{
    Effect, Marker, Outcome, SecretFacts, Step, Told, UserKey, View, Work, next,
};
use crate::plan::tests::Mishap;

/// Age at which the key is replaced here.
pub(super) const PERIOD: SignedDuration = SignedDuration::from_hours(24);
/// The key that everything begins with.
pub(super) const FIRST: &str = "AKIA0";
/// The key that somebody else makes for the same user.
pub(super) const STRANGERS: &str = "AKIASTRANGER";

/// Everything outside the operator.
pub(super) struct World {
    pub now: Timestamp,
    pub keys: Vec<UserKey>,
    pub key_in_secret: String,
    pub marker: Option<Marker>,
    pub version: u64,
    pub told: Option<Told>,
    /// How long a new key takes to be accepted.
    pub key_delay: SignedDuration,
    /// How long a new key takes to be listed.
    pub list_lag: SignedDuration,
    /// What AWS or Kubernetes answers to these effects, by name.
    pub refuses: Vec<(&'static str, FaultClass)>,
    /// Before which effect, counted over all processes, somebody else makes a
    /// key, if the user has room for one.
    pub stranger_comes_at: Option<usize>,
    /// Every effect that was applied, by name.
    pub applied: Vec<&'static str>,
    /// The ids of all keys that were deleted.
    pub deleted: Vec<String>,
    made: u32,
}

impl World {
    /// A user with one key, that old.
    pub fn with_key_aged(age: SignedDuration) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut world = Self {
            now,
            keys: Vec::new(),
            key_in_secret: FIRST.to_owned(),
            marker: None,
            version: 1,
            told: None,
            key_delay: SignedDuration::from_secs(3),
            list_lag: SignedDuration::from_secs(2),
            refuses: Vec::new(),
            stranger_comes_at: None,
            applied: Vec::new(),
            deleted: Vec::new(),
            made: 0,
        };
        world.add_key(FIRST, age);
        world
    }

    /// A key made that long ago.
    pub fn add_key(&mut self, id: &str, age: SignedDuration) {
        self.keys.push(UserKey {
            id: id.to_owned(),
            created: self.now - age,
        });
    }

    pub fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    /// The reason that the status tells.
    pub fn reason(&self) -> Option<&'static str> {
        let verdict = self.told.as_ref()?.verdict.as_ref()?;
        Some(verdict.reason.as_str())
    }

    pub fn count(&self, effect: &str) -> usize {
        self.applied.iter().filter(|e| **e == effect).count()
    }

    pub fn secret(&self) -> SecretFacts {
        SecretFacts {
            key_id: self.key_in_secret.clone(),
            uid: "secret-uid".into(),
            resource_version: self.version.to_string(),
            marker: self.marker.clone(),
            unfit: None,
        }
    }

    fn accepts(&self, id: &str) -> bool {
        let found = self.keys.iter().find(|key| key.id == id);
        let first = id == FIRST;
        found.is_some_and(|key| first || self.now >= key.created + self.key_delay)
    }

    /// Applies one effect and answers.
    fn apply(&mut self, effect: &Effect, view: &View) -> Result<Outcome, Fault> {
        if self.stranger_comes_at == Some(self.applied.len()) && self.keys.len() < 2 {
            self.add_key(STRANGERS, SignedDuration::ZERO);
        }
        self.applied.push(effect.name());
        if let Some((_, class)) = self.refuses.iter().find(|(name, _)| *name == effect.name()) {
            return Err(fault(*class));
        }
        let done = match effect {
            Effect::Claim(_) | Effect::Store(_) | Effect::Unclaim => self.write(effect, view),
            Effect::Report(told) => {
                self.told = Some(told.clone());
                Ok(Outcome::Done)
            }
            Effect::SignIn if self.accepts(&self.key_in_secret) => Ok(Outcome::Done),
            Effect::SignIn => Err(FaultClass::BadCredentials),
            Effect::ProveKey => {
                let held = view.work.held.as_ref().expect("no key to prove");
                Ok(Outcome::Proof(self.accepts(&held.id)))
            }
            // IAM, with the session of the process.
            _ if !self.accepts(&view.signed_in) => Err(FaultClass::BadCredentials),
            Effect::ListKeys => Ok(Outcome::Keys(self.listed())),
            Effect::CreateKey if self.keys.len() >= 2 => Err(FaultClass::QuotaExceeded),
            Effect::CreateKey => {
                self.made += 1;
                let id = format!("AKIA{}", self.made);
                self.add_key(&id, SignedDuration::ZERO);
                Ok(Outcome::KeyCreated(id))
            }
            Effect::DeleteKey(id) => {
                assert_ne!(
                    *id, self.key_in_secret,
                    "the Secret's key: {:?}",
                    self.applied
                );
                let before = self.keys.len();
                self.deleted.push(id.clone());
                self.keys.retain(|key| key.id != *id);
                match self.keys.len() < before {
                    true => Ok(Outcome::Done),
                    false => Err(FaultClass::NotFound),
                }
            }
        };
        done.map_err(fault)
    }

    fn listed(&self) -> Vec<UserKey> {
        let visible = |key: &&UserKey| self.now >= key.created + self.list_lag;
        self.keys.iter().filter(visible).cloned().collect()
    }

    fn write(&mut self, effect: &Effect, view: &View) -> Result<Outcome, FaultClass> {
        let seen = view.secret.as_ref().expect("written before it was read");
        if seen.resource_version != self.version.to_string() {
            return Err(FaultClass::Stale);
        }
        match effect {
            Effect::Claim(marker) => self.marker = Some(marker.clone()),
            Effect::Store(marker) => {
                let id = view.work.held.as_ref().expect("no key to store").id.clone();
                assert!(
                    self.accepts(&id),
                    "stored a key that is dead: {:?}",
                    self.applied
                );
                self.key_in_secret = id;
                self.marker = Some(marker.clone());
            }
            _ => self.marker = None,
        }
        self.version += 1;
        Ok(Outcome::Secret(self.secret()))
    }
}

/// One operator process, and the mishaps that await it by number of effect.
pub(super) struct Process {
    view: View,
    pub effects: usize,
    /// Their names.
    pub performed: Vec<&'static str>,
    mishaps: Vec<(usize, Mishap)>,
    /// Effects that are refused, by number: with what, and whether they were
    /// applied all the same.
    pub refusals: Vec<(usize, FaultClass, bool)>,
}

impl Process {
    pub fn start(world: &World, mishaps: &[(usize, Mishap)]) -> Self {
        let root_key = world.told.as_ref().and_then(|t| t.root_key.as_ref());
        Self {
            view: View {
                period: Some(PERIOD),
                user: "keylease-operator".into(),
                signed_in: world.key_in_secret.clone(),
                secret: None,
                work: Work::new(root_key),
            },
            effects: 0,
            performed: Vec::new(),
            mishaps: mishaps.to_vec(),
            refusals: Vec::new(),
        }
    }

    /// The process dies and another starts with nothing in memory.
    pub fn restart(&mut self, world: &World) {
        self.view = Self::start(world, &[]).view;
    }

    /// No rotation is asked for any more.
    pub fn stop_rotating(&mut self) {
        self.view.period = None;
    }

    /// Goes on for that long.
    pub fn run_for(&mut self, world: &mut World, length: SignedDuration) {
        let end = world.now + length;
        self.run(world, end, usize::MAX);
    }

    /// Goes on until then, or until it has come to so many effects.
    pub fn run(&mut self, world: &mut World, end: Timestamp, effects: usize) {
        for _ in 0..3_000 {
            if self.effects >= effects {
                return;
            }
            match next(&self.view, world.now) {
                Step::Look => self.view.saw_secret(world.secret()),
                Step::GiveUp(verdict) => self.view.give_up(verdict, world.now),
                Step::Do(effect) => self.perform(&effect, world),
                Step::Wait(until) if until <= end => {
                    world.now = world.now.max(until);
                    // A later reconciliation reads the Secret anew.
                    self.view.secret = None;
                }
                Step::Wait(_) | Step::Rest => {
                    self.view.secret = None;
                    return;
                }
            }
        }
        panic!("in circles: {:?}", world.applied);
    }

    fn perform(&mut self, effect: &Effect, world: &mut World) {
        let number = self.effects;
        self.effects += 1;
        self.performed.push(effect.name());
        if let Some((_, class, applied)) = self.refusals.iter().find(|(at, ..)| *at == number) {
            if *applied {
                let _ = world.apply(effect, &self.view);
            }
            return self.view.record(effect, Err(fault(*class)), world.now);
        }
        let mishap = self.mishaps.iter().find(|(at, _)| *at == number);
        let outcome = match mishap.map(|(_, mishap)| mishap) {
            None => world.apply(effect, &self.view),
            Some(Mishap::DieBefore | Mishap::HandOver) => return self.restart(world),
            Some(Mishap::DieAfter) => {
                let _ = world.apply(effect, &self.view);
                return self.restart(world);
            }
            Some(Mishap::LoseAnswer) => {
                let _ = world.apply(effect, &self.view);
                Err(fault(FaultClass::NoAnswer))
            }
            Some(Mishap::LoseCall) => Err(fault(FaultClass::NoAnswer)),
            Some(Mishap::Unavailable) => Err(fault(FaultClass::Unavailable)),
            Some(Mishap::Throttled) => Err(fault(FaultClass::Throttled)),
            Some(Mishap::Unsent) => Err(fault(FaultClass::Unsent)),
            Some(Mishap::Refused(class)) => Err(fault(*class)),
            Some(Mishap::RefusedAfter(class)) => {
                let _ = world.apply(effect, &self.view);
                Err(fault(*class))
            }
        };
        self.view.record(effect, outcome, world.now);
    }
}

fn fault(class: FaultClass) -> Fault {
    Fault {
        class,
        message: format!("simulated {}", class.as_str()),
    }
}
