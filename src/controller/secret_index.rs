//! What the watch on our Secrets' metadata says, in a few bytes a Secret: to
//! notice that one is gone or changed hands. Never their data.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::WATCH_TIMEOUT_SECONDS;
use crate::api::AwsCredentialRequest;
use crate::plan::secret::{KEY_ID, MANAGED_BY};
use crate::plan::view::SecretHint;

/// The index, by uid of the owning request.
#[derive(Clone)]
pub struct SecretIndex {
    keys: Arc<Mutex<HashMap<String, Option<String>>>>,
    synced: watch::Sender<bool>,
}

impl Default for SecretIndex {
    fn default() -> Self {
        Self {
            keys: Arc::default(),
            synced: watch::Sender::new(false),
        }
    }
}

type SecretMeta = PartialObjectMeta<Secret>;

impl SecretIndex {
    /// What is known of the Secret of this request.
    pub fn hint(&self, uid: &str) -> SecretHint {
        if !*self.synced.borrow() {
            return SecretHint::Unsynced;
        }
        match self.keys.lock().get(uid) {
            Some(key) => SecretHint::Holds(key.clone()),
            None => SecretHint::Missing,
        }
    }

    /// Notes what we wrote ourselves, ahead of the watch.
    pub fn wrote(&self, uid: &str, key_id: &str) {
        self.keys
            .lock()
            .insert(uid.to_owned(), Some(key_id.to_owned()));
    }

    /// Completes when everything was listed once.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender is held by self, so waiting cannot fail.
        let _ = synced.wait_for(|done| *done).await;
    }

    /// Watches, keeps the index, and yields the request of each Secret that
    /// changed.
    pub fn follow(
        &self,
        api: Api<SecretMeta>,
    ) -> impl Stream<Item = ObjectRef<AwsCredentialRequest>> + use<> {
        let index = self.clone();
        let config = watcher::Config::default()
            .labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1))
            .timeout(WATCH_TIMEOUT_SECONDS);
        let mut listed = HashMap::new();
        watcher::watcher(api, config)
            .default_backoff()
            .filter_map(move |event| {
                let changed = match event {
                    Ok(event) => index.apply(event, &mut listed),
                    Err(error) => {
                        tracing::warn!(%error, "the watch on Secrets stopped; it is started again");
                        None
                    }
                };
                std::future::ready(changed)
            })
    }

    fn apply(
        &self,
        event: Event<SecretMeta>,
        listed: &mut HashMap<String, Option<String>>,
    ) -> Option<ObjectRef<AwsCredentialRequest>> {
        match event {
            Event::Init => {
                listed.clear();
                None
            }
            Event::InitApply(secret) => {
                let (uid, owner) = owner(&secret)?;
                listed.insert(uid, key_id(&secret));
                Some(owner)
            }
            Event::InitDone => {
                *self.keys.lock() = std::mem::take(listed);
                self.synced.send_replace(true);
                None
            }
            Event::Apply(secret) => {
                let (uid, owner) = owner(&secret)?;
                self.keys.lock().insert(uid, key_id(&secret));
                Some(owner)
            }
            Event::Delete(secret) => {
                let (uid, owner) = owner(&secret)?;
                self.keys.lock().remove(&uid);
                Some(owner)
            }
        }
    }
}

fn owner(secret: &SecretMeta) -> Option<(String, ObjectRef<AwsCredentialRequest>)> {
    let owner = secret
        .owner_references()
        .iter()
        .find(|o| o.controller == Some(true) && o.kind == "AwsCredentialRequest")?;
    let namespace = secret.namespace()?;
    let reference = ObjectRef::new(&owner.name).within(&namespace);
    Some((owner.uid.clone(), reference))
}

fn key_id(secret: &SecretMeta) -> Option<String> {
    secret.annotations().get(KEY_ID).cloned()
}
