//! Kubernetes and IAM as one request sees them: as the input has it at first,
//! honest from then on. It answers effects and judges none; that is
//! `promises.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use keylease_api::{AwsCredentialRequest, AwsRole, Holder};
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Attachment, Effect, FaultClass, Outcome, Owner, Proof};
use keylease_core::plan::intent::{FINALIZER, INTENT_ANNOTATION};
use keylease_core::plan::lease::Term;
use keylease_core::plan::ownership::{UserFacts, adoptee, judge, user_tags};
use keylease_core::plan::secret::key_in;
use keylease_core::plan::secret::{SecretView, amendment, render};
use keylease_core::plan::standing::Standing;
use keylease_core::plan::view::{RoleHint, RoleView, SecretHint, View};
use serde::Deserialize;

use crate::samples;

/// How the world is when the operator starts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    request: AwsCredentialRequest,
    role: Option<AwsRole>,
    /// The metadata of the Secret.
    secret: Option<ObjectMeta>,
    /// IAM users by name.
    #[serde(default)]
    users: BTreeMap<String, SceneUser>,
}

/// An IAM user.
#[derive(Deserialize)]
struct SceneUser {
    path: String,
    boundary: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    policies: Vec<String>,
}

/// An IAM user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub facts: UserFacts,
    pub on_it: BTreeSet<Attachment>,
    /// Made by an effect of this run.
    pub made: bool,
}

/// Everything outside the operator.
pub struct World {
    pub now: Timestamp,
    pub request: Option<AwsCredentialRequest>,
    pub role: Option<Arc<AwsRole>>,
    pub secret: Option<ObjectMeta>,
    pub users: BTreeMap<String, User>,
    writes: u32,
    keys: u32,
}

impl World {
    pub fn new(scene: Scene) -> Self {
        let user = |user: SceneUser| User {
            facts: UserFacts {
                path: user.path,
                boundary: user.boundary,
                tags: user.tags,
            },
            on_it: (user.keys.into_iter().map(Attachment::Key))
                .chain(user.policies.into_iter().map(Attachment::ManagedPolicy))
                .collect(),
            made: false,
        };
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            request: Some(scene.request),
            role: scene.role.map(Arc::new),
            secret: scene.secret,
            users: scene
                .users
                .into_iter()
                .map(|(name, u)| (name, user(u)))
                .collect(),
            writes: 100,
            keys: 100,
        }
    }

    pub fn secret_view(&self, request: &AwsCredentialRequest) -> SecretView {
        let secret = self.secret.as_ref();
        secret.map_or(SecretView::Absent, |meta| SecretView::of(meta, request))
    }

    pub fn secret_hint(&self) -> SecretHint {
        let secret = self.secret.as_ref();
        secret.map_or(SecretHint::Missing, |meta| SecretHint::Holds(key_in(meta)))
    }

    pub fn role_view(&self) -> RoleView {
        RoleView::of(self.role.clone())
    }

    pub fn role_hint(&self) -> RoleHint {
        RoleHint::of(self.role.as_deref())
    }

    /// `kubectl delete`.
    pub fn delete_request(&mut self) {
        let now = self.now;
        if let Some(request) = &mut self.request {
            let at = &mut request.metadata.deletion_timestamp;
            at.get_or_insert(Time(now));
        }
        self.settle_request();
    }

    /// A new version, and the end of an object that nothing holds any more.
    fn settle_request(&mut self) {
        self.writes += 1;
        let Some(request) = &mut self.request else {
            return;
        };
        request.metadata.resource_version = Some(self.writes.to_string());
        let held = request
            .metadata
            .finalizers
            .as_ref()
            .is_some_and(|f| !f.is_empty());
        if request.metadata.deletion_timestamp.is_some() && !held {
            self.request = None;
            self.secret = None;
        }
    }

    /// Applies one effect and answers.
    pub fn apply(&mut self, effect: &Effect, view: &View) -> Result<Outcome, FaultClass> {
        match effect {
            Effect::Begin(_) | Effect::Release | Effect::Report(_) => self.write(effect, view),
            Effect::CheckSecret if self.secret.is_some() => Err(FaultClass::AlreadyExists),
            Effect::CheckSecret | Effect::Restart(..) => Ok(Outcome::Done),
            Effect::PublishSecret(term) => self.publish(term, view),
            Effect::AmendSecret(what) => {
                let patch = amendment(&view.request, what, None).metadata.annotations;
                let meta = self.stored(&what.secret.uid, &what.secret.resource_version)?;
                let annotations = meta.annotations.get_or_insert_default();
                annotations.extend(patch.unwrap_or_default());
                self.stored_secret(view)
            }
            Effect::DeleteSecret(facts) => {
                self.stored(&facts.uid, &facts.resource_version)?;
                self.secret = None;
                Ok(Outcome::Done)
            }
            Effect::DeleteRequest => {
                self.request = None;
                Ok(Outcome::Done)
            }
            Effect::Claim(holder) => self.claim(Some(holder)),
            Effect::Unclaim => self.claim(None),
            Effect::ReadGroup(_) => Ok(Outcome::Group(Default::default())),
            Effect::IssueSession(spec) => {
                self.keys += 1;
                let end = self.now + SignedDuration::from_secs(spec.seconds.into());
                Ok(Outcome::SessionIssued(format!("ASIA{}", self.keys), end))
            }
            Effect::FindUser(name) => {
                let found = self.users.get(name).map(|u| u.facts.clone());
                Ok(Outcome::Adoptee(adoptee(found)))
            }
            _ => self.aws(effect, view),
        }
    }

    fn write(&mut self, effect: &Effect, view: &View) -> Result<Outcome, FaultClass> {
        let request = self.request.as_mut().ok_or(FaultClass::NotFound)?;
        if request.metadata.resource_version != view.request.metadata.resource_version {
            return Err(FaultClass::Stale);
        }
        let meta = &mut request.metadata;
        match effect {
            Effect::Begin(intent) => {
                let finalizers = meta.finalizers.get_or_insert_default();
                if !finalizers.iter().any(|f| f == FINALIZER) {
                    finalizers.push(FINALIZER.to_owned());
                }
                let annotations = meta.annotations.get_or_insert_default();
                annotations.insert(INTENT_ANNOTATION.to_owned(), intent.to_json());
            }
            Effect::Report(report) => request.status = Some(report.status.clone()),
            _ => {
                meta.finalizers
                    .get_or_insert_default()
                    .retain(|f| f != FINALIZER);
                meta.annotations
                    .get_or_insert_default()
                    .remove(INTENT_ANNOTATION);
            }
        }
        let mut stored = request.clone();
        self.settle_request();
        stored.metadata.resource_version = Some(self.writes.to_string());
        Ok(Outcome::Request(Arc::new(stored)))
    }

    /// The Secret, if it is that object in that state.
    fn stored(&mut self, uid: &str, version: &str) -> Result<&mut ObjectMeta, FaultClass> {
        let meta = self.secret.as_mut().ok_or(FaultClass::NotFound)?;
        let is =
            |text: &Option<String>, wanted: &str| text.as_deref().unwrap_or_default() == wanted;
        let same = is(&meta.uid, uid) && is(&meta.resource_version, version);
        same.then_some(meta).ok_or(FaultClass::Stale)
    }

    fn publish(&mut self, term: &Term, view: &View) -> Result<Outcome, FaultClass> {
        match (&self.secret, &view.secret) {
            (None, SecretView::Ours(_)) => return Err(FaultClass::NotFound),
            (Some(_), SecretView::Ours(seen)) => {
                let (uid, version) = (seen.uid.clone(), seen.resource_version.clone());
                self.stored(&uid, &version)?;
            }
            (None, _) => {}
            (Some(_), _) => return Err(FaultClass::AlreadyExists),
        }
        let held = view.work.held.as_ref().ok_or(FaultClass::Unavailable)?;
        let key = KeyMaterial::new(held.id.clone(), "secret".to_owned(), None);
        self.secret = Some(render(&view.request, "us-east-1", Some((&key, term))).metadata);
        self.stored_secret(view)
    }

    fn stored_secret(&mut self, view: &View) -> Result<Outcome, FaultClass> {
        self.writes += 1;
        if let Some(meta) = &mut self.secret {
            meta.uid.get_or_insert_with(|| "secret-uid".to_owned());
            meta.resource_version = Some(self.writes.to_string());
        }
        match self.secret_view(&view.request) {
            SecretView::Ours(facts) => Ok(Outcome::Secret(facts)),
            _ => Err(FaultClass::Refused),
        }
    }

    fn claim(&mut self, holder: Option<&Holder>) -> Result<Outcome, FaultClass> {
        let role = self.role.as_mut().ok_or(FaultClass::NotFound)?;
        let changed = Arc::make_mut(role);
        changed.status.get_or_insert_default().holder = holder.cloned();
        Ok(Outcome::Role(role.clone()))
    }

    fn aws(&mut self, effect: &Effect, view: &View) -> Result<Outcome, FaultClass> {
        let intent = view.intent().ok_or(FaultClass::Unavailable)?;
        let name = intent.user_name.as_str();
        let found = self.users.get_mut(name);
        match effect {
            Effect::CreateUser if found.is_some() => return Err(FaultClass::AlreadyExists),
            Effect::CreateUser => {
                let RoleView::Found(role) = &view.role else {
                    return Err(FaultClass::Unavailable);
                };
                let facts = UserFacts {
                    path: intent.path.clone(),
                    boundary: intent.boundary.clone(),
                    tags: user_tags(&view.request, role, &samples::account(), &view.cluster),
                };
                let user = User {
                    facts,
                    on_it: BTreeSet::new(),
                    made: true,
                };
                self.users.insert(name.to_owned(), user);
                return Ok(Outcome::Done);
            }
            Effect::InspectUser => {
                let owner = found.map(|u| {
                    let delivered = view.live().is_some();
                    judge(&u.facts, intent, &view.request, &view.cluster, delivered)
                });
                return Ok(Outcome::User(owner.unwrap_or(Owner::Nobody)));
            }
            Effect::TakeInventory => {
                let found = found.map(|u| u.on_it.iter().cloned().collect());
                return Ok(Outcome::Inventory(found));
            }
            Effect::ReadStanding => return Ok(Outcome::Standing(Standing::Good)),
            Effect::ListKeys => {
                return Ok(Outcome::Keys(found.map(|u| u.keys()).unwrap_or_default()));
            }
            Effect::ProveKey => {
                let held = view.work.held.as_ref().map(|h| h.id.clone());
                let known = found.is_some_and(|u| held.is_some_and(|id| u.keys().contains(&id)));
                return Ok(Outcome::Proof(if known {
                    Proof::Accepted
                } else {
                    Proof::Unknown
                }));
            }
            _ => {}
        }
        let user = found.ok_or(FaultClass::NotFound)?;
        match effect {
            Effect::Grant(permission) => drop(user.on_it.insert(permission.into())),
            Effect::CreateKey if user.keys().len() >= 2 => return Err(FaultClass::QuotaExceeded),
            Effect::CreateKey => {
                self.keys += 1;
                let id = format!("AKIA{}", self.keys);
                user.on_it.insert(Attachment::Key(id.clone()));
                return Ok(Outcome::KeyCreated(id));
            }
            Effect::Clear(what) if !user.on_it.remove(what) => return Err(FaultClass::NotFound),
            Effect::DeleteUser if !user.on_it.is_empty() => return Err(FaultClass::DeleteConflict),
            Effect::DeleteUser => drop(self.users.remove(name)),
            _ => {}
        }
        Ok(Outcome::Done)
    }
}

impl User {
    pub fn keys(&self) -> Vec<String> {
        let keys = self.on_it.iter().filter_map(|on| match on {
            Attachment::Key(id) => Some(id.clone()),
            _ => None,
        });
        keys.collect()
    }
}
