//! An IAM with the habits of the real one: readers lag behind writers, a new
//! key is accepted late, and the limit of two keys does not hold at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::refusals::missing;
use super::sim::failed;
use crate::plan::effect::{Attachment, Effect, Fault, FaultClass, Outcome, Owner};
use crate::plan::intent::{Permission, identity_tags};
use crate::plan::naming::TAG_UID;
use crate::plan::ownership::{self, UserFacts};
use crate::plan::standing::Standing;
use crate::plan::sweep::ListedUser;
use crate::plan::sweep::report::CredentialReport;
use crate::plan::tests::world::{Pathless, proof, unseen};
use crate::plan::view::View;

/// Keys younger than this do not count towards the limit of two, where it is
/// not atomic.
const LIMIT_BLIND: SignedDuration = SignedDuration::from_secs(1);

/// How a policy is called that there is not.
pub(super) const MISSING: &str = "/Missing";
/// How one is called whose document AWS does not take.
pub(super) const MALFORMED: &str = "/Malformed";

/// An IAM user.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// Path and tags.
    pub facts: UserFacts,
    /// When it was made.
    pub born: Timestamp,
    /// What is on it, and since when.
    pub on_it: BTreeMap<Attachment, Timestamp>,
    /// What was on it, and when it went: readers may still see it.
    gone: Vec<(Attachment, Timestamp)>,
}

impl User {
    /// One that is made now, with nothing on it.
    pub fn new(facts: UserFacts, now: Timestamp) -> Self {
        Self {
            facts,
            born: now,
            on_it: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// Uid of the request that its tags name; empty for one that was not made
    /// for a request.
    pub fn owner(&self) -> &str {
        self.facts.tags.get(TAG_UID).map_or("", String::as_str)
    }
}

/// Whom a call is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// The user's name.
    pub user: String,
    /// Path and tags, should it be made.
    pub facts: UserFacts,
    /// The key in hand.
    pub held: Option<String>,
}

impl Target {
    /// Whom an effect on that view is about.
    fn of(view: &View) -> Self {
        let intent = view.intent();
        Self {
            user: intent.iter().map(|i| i.user_name.clone()).collect(),
            facts: UserFacts {
                path: intent.map(|i| i.path.clone()).unwrap_or_default(),
                boundary: None,
                tags: identity_tags(&view.request, &view.cluster),
            },
            held: view.work.held.as_ref().map(|h| h.id.clone()),
        }
    }
}

/// The service, and STS.
pub(super) struct Iam {
    pub users: BTreeMap<String, User>,
    /// Users that are gone, and when they went.
    ghosts: BTreeMap<String, (User, Timestamp)>,
    /// How far readers lag behind.
    pub lag: SignedDuration,
    /// How long a new key is not accepted.
    pub key_delay: SignedDuration,
    /// Whether several keys made within a second pass the limit.
    pub loose_limit: bool,
    /// What the operator's policy says of a user whose path nobody knows.
    pub pathless: Pathless,
    /// Until then `DeleteUser` conflicts, whatever is on the user.
    pub conflicts_until: Timestamp,
    /// Keys that others made on the static user.
    pub foreign: BTreeSet<Attachment>,
    /// The credential report that was made last.
    pub last_report: Option<CredentialReport>,
    keys_made: u32,
}

impl Iam {
    pub fn new() -> Self {
        Self {
            users: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            lag: SignedDuration::ZERO,
            key_delay: SignedDuration::ZERO,
            loose_limit: false,
            pathless: Pathless::Allowed,
            conflicts_until: Timestamp::MIN,
            foreign: BTreeSet::new(),
            last_report: None,
            keys_made: 0,
        }
    }

    /// One call on the user of that view, answered.
    pub fn serve(&mut self, effect: &Effect, view: &View, now: Timestamp) -> Outcome {
        let served = self.apply(effect, &Target::of(view), now);
        served.unwrap_or_else(failed)
    }

    /// One call, applied.
    pub fn apply(
        &mut self,
        effect: &Effect,
        target: &Target,
        now: Timestamp,
    ) -> Result<Outcome, FaultClass> {
        if self.denies(effect, target, now) {
            return Ok(Outcome::Failed(unseen(&target.user)));
        }
        match effect {
            Effect::IssueSession(spec) => {
                let id = self.key_id().replace("AKIA", "ASIA");
                let end = now + SignedDuration::from_secs(spec.seconds.into());
                Ok(Outcome::SessionIssued(id, end))
            }
            Effect::FindUser(name) => {
                let found = self.get(name, now);
                Ok(Outcome::Adoptee(ownership::adoptee(found)))
            }
            Effect::CreateUser => self.create_user(target, now),
            Effect::InspectUser => Ok(Outcome::User(match self.get(&target.user, now) {
                None => Owner::Nobody,
                Some(facts) if facts == target.facts => Owner::Ours,
                Some(_) => Owner::Foreign("its tags are not ours".into()),
            })),
            Effect::TakeInventory => {
                let found = self.read(&target.user, now);
                Ok(Outcome::Inventory(found.map(|u| self.listed(u, now))))
            }
            Effect::ReadStanding => Ok(Outcome::Standing(Standing::Good)),
            Effect::ListKeys => {
                let user = self.read(&target.user, now).ok_or(FaultClass::NotFound)?;
                let listed = self.listed(user, now);
                Ok(Outcome::Keys(listed.iter().filter_map(key_id).collect()))
            }
            Effect::ProveKey => Ok(Outcome::Proof(proof(self.accepts(target, now)))),
            Effect::DeleteUser => self.delete_user(target, now),
            _ => self.change(effect, target, now),
        }
    }

    fn create_user(&mut self, target: &Target, now: Timestamp) -> Result<Outcome, FaultClass> {
        if self.users.contains_key(&target.user) {
            return Err(FaultClass::AlreadyExists);
        }
        let user = User::new(target.facts.clone(), now);
        self.users.insert(target.user.clone(), user);
        Ok(Outcome::Done)
    }

    fn delete_user(&mut self, target: &Target, now: Timestamp) -> Result<Outcome, FaultClass> {
        let user = self.users.get(&target.user).ok_or(FaultClass::NotFound)?;
        if !user.on_it.is_empty() || now < self.conflicts_until {
            return Err(FaultClass::DeleteConflict);
        }
        if let Some(user) = self.users.remove(&target.user) {
            self.ghosts.insert(target.user.clone(), (user, now));
        }
        Ok(Outcome::Done)
    }

    fn change(
        &mut self,
        effect: &Effect,
        target: &Target,
        now: Timestamp,
    ) -> Result<Outcome, FaultClass> {
        let id = self.key_id();
        let loose = self.loose_limit;
        let user = self.users.get_mut(&target.user);
        let user = user.ok_or(FaultClass::NotFound)?;
        match effect {
            Effect::Grant(Permission::ManagedPolicy(arn)) if arn.ends_with(MISSING) => {
                let permission = Permission::ManagedPolicy(arn.clone());
                Ok(Outcome::Failed(Fault {
                    class: FaultClass::NotFound,
                    message: missing(&permission),
                }))
            }
            Effect::Grant(Permission::ManagedPolicy(arn)) if arn.ends_with(MALFORMED) => {
                Err(FaultClass::Refused)
            }
            Effect::Grant(permission) => {
                user.on_it.entry(permission.into()).or_insert(now);
                Ok(Outcome::Done)
            }
            Effect::CreateKey => {
                let counts = |(what, since): &(&Attachment, &Timestamp)| {
                    key_id(what).is_some() && !(loose && now.duration_since(**since) < LIMIT_BLIND)
                };
                if user.on_it.iter().filter(counts).count() >= 2 {
                    return Err(FaultClass::QuotaExceeded);
                }
                user.on_it.insert(Attachment::Key(id.clone()), now);
                Ok(Outcome::KeyCreated(id))
            }
            Effect::Clear(attachment) => match user.on_it.remove(attachment) {
                Some(_) => {
                    user.gone.push((attachment.clone(), now));
                    Ok(Outcome::Done)
                }
                None => Err(FaultClass::NotFound),
            },
            _ => Err(FaultClass::Refused),
        }
    }

    /// Whether IAM denies the call because it finds no user to take a path from:
    /// it authorises by the resource, and readers that lag read that too.
    fn denies(&self, effect: &Effect, target: &Target, now: Timestamp) -> bool {
        let on_user = !matches!(
            effect,
            Effect::CreateUser
                | Effect::ProveKey
                | Effect::IssueSession(_)
                | Effect::ReadGroup(_)
                | Effect::FindUser(_)
        );
        let adds = matches!(effect, Effect::Grant(_) | Effect::CreateKey);
        let denied = match self.pathless {
            Pathless::Allowed => false,
            Pathless::OnlyRemovals => adds,
            Pathless::Denied => on_user,
        };
        denied && self.read(&target.user, now).is_none()
    }

    fn accepts(&self, target: &Target, now: Timestamp) -> bool {
        let held = target.held.clone().map(Attachment::Key);
        let user = self.users.get(&target.user);
        let since = held.and_then(|held| user?.on_it.get(&held));
        since.is_some_and(|since| now.duration_since(*since) >= self.key_delay)
    }

    /// A user as readers see it: not one that is too young, and one that went
    /// a moment ago.
    fn read(&self, name: &str, now: Timestamp) -> Option<&User> {
        let fresh = |since: Timestamp| now.duration_since(since) < self.lag;
        match (self.users.get(name), self.ghosts.get(name)) {
            (Some(user), _) if !fresh(user.born) => Some(user),
            (_, Some((ghost, went))) if fresh(*went) => Some(ghost),
            _ => None,
        }
    }

    /// `GetUser`.
    pub fn get(&self, name: &str, now: Timestamp) -> Option<UserFacts> {
        self.read(name, now).map(|user| user.facts.clone())
    }

    /// `ListUsers` under a path.
    pub fn list(&self, path: &str, now: Timestamp) -> Vec<ListedUser> {
        let names = self.users.keys().chain(self.ghosts.keys());
        let names: BTreeSet<_> = names.collect();
        let read = names.into_iter().filter_map(|name| {
            let user = self.read(name, now)?;
            Some(ListedUser {
                name: name.clone(),
                path: user.facts.path.clone(),
                created: user.born,
            })
        });
        read.filter(|user| user.path.starts_with(path)).collect()
    }

    fn listed(&self, user: &User, now: Timestamp) -> Vec<Attachment> {
        let fresh = |since: &Timestamp| now.duration_since(*since) < self.lag;
        let there = user.on_it.iter().filter(|(_, since)| !fresh(since));
        let gone = user.gone.iter().filter(|(_, went)| fresh(went));
        let mut all: Vec<_> = there
            .map(|(a, _)| a)
            .chain(gone.map(|(a, _)| a))
            .cloned()
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// An id that was never given before.
    pub fn key_id(&mut self) -> String {
        self.keys_made += 1;
        format!("AKIA{}", self.keys_made)
    }
}

/// The id, if it is a key.
pub(super) fn key_id(attachment: &Attachment) -> Option<String> {
    match attachment {
        Attachment::Key(id) => Some(id.clone()),
        _ => None,
    }
}
