//! What the watch on our Secrets' metadata says, in a few bytes a Secret: to
//! notice that one is gone or changed hands. Never their data.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::scope::{Scope, Watched};
use super::watches::{failed, watch_config};
use crate::cache::Filed;
use crate::metrics::Metrics;
use keylease_api::AwsCredentialRequest;
use keylease_api::decode::Lenient;
use keylease_core::plan::secret::MANAGED_BY;
use keylease_core::plan::secret::{key_in, remark};
use keylease_core::plan::view::SecretHint;

/// What is known of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Uid of the owning request.
    owner: String,
    /// Its name, in the Secret's namespace.
    owner_name: String,
    /// The key that the Secret says it holds.
    key: Option<String>,
    /// What others did to it that is left so.
    remark: Option<Box<str>>,
}

/// Namespace and name of a Secret.
type Place = (String, String);

/// How far the watches are.
#[derive(Default)]
struct Progress {
    /// Watches that have listed what they cover.
    listed: HashSet<Watched>,
    /// Watches that are not allowed to.
    refused: HashSet<Watched>,
}

/// The index, by the Secret's place.
#[derive(Clone)]
pub struct SecretIndex {
    entries: Arc<Mutex<HashMap<Place, Entry>>>,
    progress: watch::Sender<Progress>,
}

impl Default for SecretIndex {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            progress: watch::Sender::new(Progress::default()),
        }
    }
}

type SecretMeta = Lenient<PartialObjectMeta<Secret>>;

impl SecretIndex {
    /// What is known of the Secret of this request.
    pub fn hint(&self, request: &AwsCredentialRequest) -> SecretHint {
        if !self.has_listed(request.namespace_name()) {
            return SecretHint::Unsynced;
        }
        match self.entries.lock().get(&place_of(request)) {
            Some(entry) if entry.owner == request.uid_str() => SecretHint::Holds(entry.key.clone()),
            _ => SecretHint::Missing,
        }
    }

    /// What there is to remark on the Secret of this request.
    pub fn remark(&self, request: &AwsCredentialRequest) -> Option<String> {
        let entries = self.entries.lock();
        let entry = entries.get(&place_of(request))?;
        entry.remark.as_deref().map(str::to_owned)
    }

    /// Notes what we wrote ourselves, ahead of the watch.
    pub fn wrote(&self, request: &AwsCredentialRequest, key_id: &str, remark: Option<&str>) {
        let entry = Entry {
            owner: request.uid_str().to_owned(),
            owner_name: request.name_any(),
            key: Some(key_id.to_owned()),
            remark: remark.map(Into::into),
        };
        self.entries.lock().insert(place_of(request), entry);
    }

    fn has_listed(&self, namespace: &str) -> bool {
        let listed = &self.progress.borrow().listed;
        listed.contains(&None) || listed.contains(&Some(namespace.to_owned()))
    }

    /// Completes when everything was listed once. A namespace that we have no
    /// rights in is not waited for: it may have been deleted, and the others
    /// have leases that end.
    pub async fn synced(&self, scope: &Scope, client: &Client) {
        let watches = scope.watches::<SecretMeta>(client);
        let mut progress = self.progress.subscribe();
        let all = |p: &Progress| {
            let settled = |w: &Watched| p.listed.contains(w) || p.refused.contains(w);
            watches.iter().all(|(watched, _)| settled(watched))
        };
        // The sender is held by self, so waiting cannot fail.
        let _ = progress.wait_for(all).await;
    }

    /// Watches, keeps the index, and yields the request of each Secret that
    /// changed.
    pub fn follow(
        &self,
        scope: &Scope,
        client: &Client,
        metrics: &Metrics,
    ) -> impl Stream<Item = ObjectRef<Filed>> + use<> {
        let watches = scope.watches(client).into_iter();
        let streams = watches.map(|(watched, api)| self.follow_one(watched, api, metrics).boxed());
        futures::stream::select_all(streams)
    }

    fn follow_one(
        &self,
        watched: Watched,
        api: Api<SecretMeta>,
        metrics: &Metrics,
    ) -> impl Stream<Item = ObjectRef<Filed>> + use<> {
        let index = self.clone();
        let metrics = metrics.clone();
        let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
        let config = watch_config().labels(&ours);
        let mut listed = HashMap::new();
        watcher::watcher(api, config)
            .default_backoff()
            .flat_map(move |event| {
                let changed = match event {
                    Ok(event) => index.apply(event, &watched, &mut listed),
                    Err(error) => {
                        // A listed namespace may have been deleted: its rights
                        // went with it, and are missed where it is served.
                        if watched.is_some() && is_refused(&error) {
                            let namespace = watched.as_deref();
                            tracing::warn!(namespace, %error, "Secrets cannot be watched here");
                        } else {
                            failed(&metrics, "watch_secrets", &error);
                        }
                        if is_refused(&error) {
                            index.progress.send_modify(|p| {
                                p.refused.insert(watched.clone());
                            });
                        }
                        Vec::new()
                    }
                };
                futures::stream::iter(changed)
            })
    }

    /// Takes an event in; the requests that it concerns: who owned the Secret,
    /// and who owns it now.
    fn apply(
        &self,
        event: Event<SecretMeta>,
        watched: &Watched,
        listed: &mut HashMap<Place, Entry>,
    ) -> Vec<ObjectRef<Filed>> {
        match event {
            Event::Init => {
                listed.clear();
                Vec::new()
            }
            Event::InitApply(secret) => {
                listed.extend(read(&secret));
                Vec::new()
            }
            Event::InitDone => self.replace(watched, std::mem::take(listed)),
            Event::Apply(secret) => {
                let place = (secret.namespace().unwrap_or_default(), secret.name_any());
                let now = read(&secret).map(|(_, entry)| entry);
                let mut entries = self.entries.lock();
                let before = match &now {
                    Some(entry) => entries.insert(place.clone(), entry.clone()),
                    None => entries.remove(&place),
                };
                owners(&place, [before, now])
            }
            Event::Delete(secret) => {
                let place = (secret.namespace().unwrap_or_default(), secret.name_any());
                let before = self.entries.lock().remove(&place);
                owners(&place, [before, None])
            }
        }
    }

    /// Takes a whole list in the place of what was known of these namespaces:
    /// whatever happened while nobody watched is in the difference, a Secret
    /// that vanished too. Those that stayed as they were wake nobody.
    fn replace(&self, watched: &Watched, listed: HashMap<Place, Entry>) -> Vec<ObjectRef<Filed>> {
        let mine = |namespace: &str| watched.as_ref().is_none_or(|mine| mine == namespace);
        let mut entries = self.entries.lock();
        let known = entries.extract_if(|(namespace, _), _| mine(namespace));
        let known: HashMap<_, _> = known.collect();
        let mut changed = Vec::new();
        for (place, now) in &listed {
            let before = known.get(place);
            if before != Some(now) {
                changed.extend(owners(place, [before.cloned(), Some(now.clone())]));
            }
        }
        let vanished = known
            .iter()
            .filter(|(place, _)| !listed.contains_key(place));
        changed
            .extend(vanished.flat_map(|(place, gone)| owners(place, [Some(gone.clone()), None])));
        entries.extend(listed);
        drop(entries);
        self.progress.send_modify(|p| {
            p.listed.insert(watched.clone());
        });
        changed
    }
}

/// The requests that own, or owned, the Secret at this place.
fn owners(place: &Place, entries: [Option<Entry>; 2]) -> Vec<ObjectRef<Filed>> {
    let owner = |entry: Entry| ObjectRef::new(&entry.owner_name).within(&place.0);
    entries.into_iter().flatten().map(owner).collect()
}

/// Whether the API server does not let us list here.
fn is_refused(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403
    )
}

fn place_of(request: &AwsCredentialRequest) -> Place {
    (request.namespace_name().to_owned(), request.secret_name())
}

/// The Secret's place and owner, if a request of ours is its controller.
fn read(secret: &SecretMeta) -> Option<(Place, Entry)> {
    let owner = secret
        .owner_references()
        .iter()
        .find(|o| o.controller == Some(true) && o.kind == "AwsCredentialRequest")?;
    let entry = Entry {
        owner: owner.uid.clone(),
        owner_name: owner.name.clone(),
        key: key_in(&secret.metadata),
        remark: remark(&secret.metadata).map(Into::into),
    };
    Some(((secret.namespace()?, secret.name_any()), entry))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(namespace: &str, name: &str) -> SecretMeta {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": namespace, "name": name,
                "annotations": {"keylease.dev/access-key-id": "AKIA"},
                "ownerReferences": [{"apiVersion": "keylease.dev/v1alpha1",
                    "kind": "AwsCredentialRequest", "name": name, "uid": name,
                    "controller": true}]},
        }))
        .unwrap()
    }

    fn request(namespace: &str, name: &str) -> AwsCredentialRequest {
        serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"namespace": namespace, "name": name, "uid": name},
            "spec": {"roleRef": {"name": "any"}},
        }))
        .unwrap()
    }

    fn list(index: &SecretIndex, watched: &Watched, secrets: &[SecretMeta]) {
        let mut listed = HashMap::new();
        index.apply(Event::Init, watched, &mut listed);
        for secret in secrets {
            index.apply(Event::InitApply(secret.clone()), watched, &mut listed);
        }
        index.apply(Event::InitDone, watched, &mut listed);
    }

    #[test]
    fn a_namespace_that_is_listed_anew_leaves_the_others_alone() {
        let index = SecretIndex::default();
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        list(&index, &a, &[secret("a", "one")]);
        assert_eq!(index.hint(&request("b", "two")), SecretHint::Unsynced);
        list(&index, &b, &[secret("b", "two")]);
        list(&index, &a, &[]);
        assert_eq!(index.hint(&request("a", "one")), SecretHint::Missing);
        let held = SecretHint::Holds(Some("AKIA".to_owned()));
        assert_eq!(index.hint(&request("b", "two")), held);
    }

    fn woken(index: &SecretIndex, watched: &Watched, secrets: &[SecretMeta]) -> Vec<String> {
        let mut listed = HashMap::new();
        let mut woken = index.apply(Event::Init, watched, &mut listed);
        for secret in secrets {
            let event = Event::InitApply(secret.clone());
            woken.extend(index.apply(event, watched, &mut listed));
            // Whoever is woken asks the index, and that is not complete yet.
            assert!(woken.is_empty(), "woken before the list was read");
        }
        woken.extend(index.apply(Event::InitDone, watched, &mut listed));
        let mut names: Vec<_> = woken.into_iter().map(|who| who.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// A watch that was away: what was deleted, changed, made or given to
    /// another meanwhile wakes its owners, and what stayed does not.
    #[test]
    fn what_a_gap_hid_wakes_its_owners_when_the_list_is_complete() {
        let index = SecretIndex::default();
        let all = ["gone", "edited", "given", "same"];
        let before = all.map(|name| secret("a", name));
        assert_eq!(
            woken(&index, &None, &before),
            ["edited", "given", "gone", "same"]
        );

        let mut edited = secret("a", "edited");
        edited.metadata.annotations = None;
        let mut given = secret("a", "given");
        let owner = &mut given.metadata.owner_references.as_mut().unwrap()[0];
        owner.name = "heir".into();
        owner.uid = "heir".into();
        let after = [edited, given, secret("a", "same"), secret("a", "new")];
        let told = woken(&index, &None, &after);
        assert_eq!(told, ["edited", "given", "gone", "heir", "new"]);
        assert_eq!(index.hint(&request("a", "gone")), SecretHint::Missing);
        assert_eq!(index.hint(&request("a", "edited")), SecretHint::Holds(None));
    }

    /// What the watch of one namespace lists says nothing of another.
    #[test]
    fn a_list_of_one_namespace_wakes_nobody_elsewhere() {
        let index = SecretIndex::default();
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        woken(&index, &a, &[secret("a", "one")]);
        assert_eq!(woken(&index, &b, &[secret("b", "two")]), ["two"]);
        assert_eq!(woken(&index, &b, &[]), ["two"]);
        assert_eq!(woken(&index, &a, &[]), ["one"]);
    }

    #[test]
    fn one_list_of_the_cluster_replaces_everything() {
        let index = SecretIndex::default();
        list(&index, &None, &[secret("a", "one"), secret("b", "two")]);
        list(&index, &None, &[secret("b", "two")]);
        assert_eq!(index.hint(&request("a", "one")), SecretHint::Missing);
    }
}
