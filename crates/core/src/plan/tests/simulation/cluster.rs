//! An API server: versions, finalizers, owners, garbage collection.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::past::Past;
use crate::plan::effect::{Effect, FaultClass, HeldBack, Outcome};
use crate::plan::intent::{FINALIZER, INTENT_ANNOTATION};
use crate::plan::leader::Record;
use crate::plan::lease::Term;
use crate::plan::secret::{SecretFacts, SecretView};
use crate::plan::view::View;
use keylease_api::{AwsCredentialRequest, AwsRole};

/// A workload whose rollout is paused.
pub(super) const PAUSED: &str = "paused";

/// A stored Secret.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Uid of its controller; empty for one that is not ours.
    pub owner: String,
    pub uid: String,
    pub version: u64,
    pub key: Option<(String, Term)>,
    pub renewed_for: Option<Timestamp>,
    pub written: Timestamp,
}

/// The objects of one namespace, by name; a request and its Secret share one.
pub(super) struct Cluster {
    pub requests: BTreeMap<String, Past<Arc<AwsCredentialRequest>>>,
    pub secrets: BTreeMap<String, Past<Stored>>,
    /// Also those that are on their way out.
    pub roles: BTreeMap<String, Past<Arc<AwsRole>>>,
    /// The leader's Lease.
    pub lease: Option<Record>,
    versions: u64,
}

impl Cluster {
    pub fn new() -> Self {
        Self {
            requests: BTreeMap::new(),
            secrets: BTreeMap::new(),
            roles: BTreeMap::new(),
            lease: None,
            versions: 0,
        }
    }

    /// A number that was never given before.
    pub fn number(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    pub fn request(&self, name: &str) -> Option<&Arc<AwsCredentialRequest>> {
        self.requests.get(name)?.now()
    }

    pub fn secret(&self, name: &str) -> Option<&Stored> {
        self.secrets.get(name)?.now()
    }

    /// Stores a request under a new version; one that is being deleted and has
    /// no finalizer goes at once.
    pub fn store(&mut self, mut request: AwsCredentialRequest, now: Timestamp) {
        request.metadata.resource_version = Some(self.number().to_string());
        let meta = &request.metadata;
        let held = meta.finalizers.as_ref().is_some_and(|f| !f.is_empty());
        let gone = meta.deletion_timestamp.is_some() && !held;
        let name = meta.name.clone().unwrap_or_default();
        let kept = (!gone).then(|| Arc::new(request));
        let past = self.requests.entry(name).or_default();
        past.set(kept, now);
    }

    /// Somebody changes a request's spec.
    pub fn edit(
        &mut self,
        name: &str,
        now: Timestamp,
        change: impl FnOnce(&mut AwsCredentialRequest),
    ) {
        let Some(request) = self.request(name) else {
            return;
        };
        let mut request = AwsCredentialRequest::clone(request);
        change(&mut request);
        request.metadata.generation = request.metadata.generation.map(|g| g + 1);
        self.store(request, now);
    }

    /// `kubectl delete`.
    pub fn delete(&mut self, name: &str, now: Timestamp) {
        self.edit(name, now, |request| {
            request.metadata.deletion_timestamp.get_or_insert(Time(now));
        });
    }

    pub fn set_secret(&mut self, name: &str, secret: Option<Stored>, now: Timestamp) {
        let past = self.secrets.entry(name.to_owned()).or_default();
        past.set(secret, now);
    }

    /// Somebody takes our finalizer off, and with it what it held.
    pub fn strip(&mut self, name: &str, now: Timestamp) {
        self.edit(name, now, |request| request.metadata.finalizers = None);
    }

    /// Removes Secrets whose owner is gone, and roles that nothing holds.
    pub fn collect_garbage(&mut self, now: Timestamp) {
        self.release_roles(now);
        let live: Vec<String> = self
            .requests
            .values()
            .filter_map(|past| past.now())
            .map(|r| r.uid_str().to_owned())
            .collect();
        for past in self.secrets.values_mut() {
            let dead = past
                .now()
                .is_some_and(|s| !s.owner.is_empty() && !live.contains(&s.owner));
            if dead {
                past.set(None, now);
            }
        }
    }

    /// The Secret as a direct read by that request finds it.
    pub fn secret_view(&self, name: &str, uid: &str) -> SecretView {
        match self.secret(name) {
            None => SecretView::Absent,
            Some(secret) if secret.owner != uid => SecretView::Foreign,
            Some(secret) => SecretView::Ours(SecretFacts {
                uid: secret.uid.clone(),
                resource_version: secret.version.to_string(),
                key: secret.key.clone(),
                written: Some(secret.written),
                renewed_for: secret.renewed_for,
                restored: 0,
                in_place: true,
                immutable: false,
                remark: None,
            }),
        }
    }

    /// One write, applied on the conditions under which it was sent.
    pub fn apply(
        &mut self,
        effect: &Effect,
        view: &View,
        now: Timestamp,
    ) -> Result<Outcome, FaultClass> {
        let name = view.request.metadata.name.clone().unwrap_or_default();
        let uid = view.request.uid_str().to_owned();
        match effect {
            Effect::CheckSecret if self.secret(&name).is_some() => Err(FaultClass::AlreadyExists),
            Effect::CheckSecret => Ok(Outcome::Done),
            Effect::Restart(workload, _) if workload.name == PAUSED => {
                Ok(Outcome::HeldBack(HeldBack::Paused))
            }
            Effect::Restart(..) => Ok(Outcome::Done),
            Effect::PublishSecret(term) => self.publish(*term, view, now),
            Effect::AmendSecret(what) => {
                self.expect_secret(&name, &what.secret)?;
                let secret = self.secret(&name).ok_or(FaultClass::NotFound)?.clone();
                let (id, _) = what.secret.key.clone().ok_or(FaultClass::Refused)?;
                let amended = Stored {
                    key: Some((id, what.term)),
                    renewed_for: Some(what.renewed_for),
                    version: self.number(),
                    ..secret
                };
                self.set_secret(&name, Some(amended), now);
                self.answer_secret(&name, &uid)
            }
            Effect::DeleteSecret(facts) => {
                self.expect_secret(&name, facts)?;
                self.set_secret(&name, None, now);
                Ok(Outcome::Done)
            }
            Effect::Claim(holder) => self.claim(&view.role, Some(holder), now),
            Effect::Unclaim => self.claim(&view.role, None, now),
            Effect::DeleteRequest => {
                let found = self.request(&name).ok_or(FaultClass::NotFound)?;
                if found.uid_str() != uid {
                    return Err(FaultClass::Stale);
                }
                self.delete(&name, now);
                Ok(Outcome::Done)
            }
            _ => self.write(effect, view, now),
        }
    }

    fn write(
        &mut self,
        effect: &Effect,
        view: &View,
        now: Timestamp,
    ) -> Result<Outcome, FaultClass> {
        let name = view.request.metadata.name.clone().unwrap_or_default();
        let found = self.request(&name).ok_or(FaultClass::NotFound)?;
        if found.metadata.resource_version != view.request.metadata.resource_version {
            return Err(FaultClass::Stale);
        }
        let mut request = AwsCredentialRequest::clone(found);
        match effect {
            Effect::Begin(intent) => {
                request.metadata.finalizers = Some(vec![FINALIZER.into()]);
                let annotations = request.metadata.annotations.get_or_insert_default();
                annotations.insert(INTENT_ANNOTATION.into(), intent.to_json());
            }
            Effect::Release => {
                request.metadata.finalizers = None;
                let annotations = request.metadata.annotations.get_or_insert_default();
                annotations.remove(INTENT_ANNOTATION);
            }
            Effect::Report(report) => request.status = Some(report.status.clone()),
            _ => return Err(FaultClass::Refused),
        }
        self.store(request.clone(), now);
        let stored = self.request(&name).cloned();
        Ok(Outcome::Request(
            stored.unwrap_or_else(|| Arc::new(request)),
        ))
    }

    fn publish(&mut self, term: Term, view: &View, now: Timestamp) -> Result<Outcome, FaultClass> {
        let name = view.request.metadata.name.clone().unwrap_or_default();
        let uid = view.request.uid_str().to_owned();
        let secret_uid = match &view.secret {
            SecretView::Ours(facts) => {
                self.expect_secret(&name, facts)?;
                facts.uid.clone()
            }
            _ if self.secret(&name).is_some() => return Err(FaultClass::AlreadyExists),
            _ => format!("secret-{}", self.number()),
        };
        let held = view.work.held.as_ref().ok_or(FaultClass::Refused)?;
        let secret = Stored {
            owner: uid.clone(),
            uid: secret_uid,
            version: self.number(),
            key: Some((held.id.clone(), term)),
            renewed_for: None,
            written: now,
        };
        self.set_secret(&name, Some(secret), now);
        self.answer_secret(&name, &uid)
    }

    fn expect_secret(&self, name: &str, facts: &SecretFacts) -> Result<(), FaultClass> {
        let found = self.secret(name).ok_or(FaultClass::NotFound)?;
        let same = found.uid == facts.uid && found.version.to_string() == facts.resource_version;
        same.then_some(()).ok_or(FaultClass::Stale)
    }

    fn answer_secret(&self, name: &str, uid: &str) -> Result<Outcome, FaultClass> {
        match self.secret_view(name, uid) {
            SecretView::Ours(facts) => Ok(Outcome::Secret(facts)),
            _ => Err(FaultClass::Stale),
        }
    }
}
