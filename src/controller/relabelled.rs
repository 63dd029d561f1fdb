//! Namespaces whose labels change: a role that selects by label may serve their
//! requests then. Only a hash of the labels is kept; a decision reads them
//! directly.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};

use super::context::{Concerned, Notices};
use super::watches::{failed, watch_config};
use crate::metrics::Metrics;
use keylease_api::decode::Lenient;

/// Tells of each change, for as long as it is polled.
pub(super) async fn tell(client: Client, notices: Notices, metrics: Metrics) {
    let api: Api<Lenient<PartialObjectMeta<Namespace>>> = Api::all(client);
    let mut events = std::pin::pin!(watcher::watcher(api, watch_config()).default_backoff());
    let mut known = Known::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if let Some(namespace) = known.changed(&event) {
                    notices.concerns(Concerned::Relabelled(namespace));
                }
            }
            Err(error) => {
                failed(&metrics, "watch_namespaces", &error);
            }
        }
    }
}

/// A hash of the labels of each namespace.
#[derive(Default)]
struct Known(HashMap<String, u64>);

impl Known {
    /// The namespace, if it was known and its labels are others now. One that is
    /// new has no requests yet.
    fn changed(&mut self, event: &Event<Lenient<PartialObjectMeta<Namespace>>>) -> Option<String> {
        match event {
            Event::Apply(namespace) | Event::InitApply(namespace) => {
                let mut hasher = DefaultHasher::new();
                namespace.labels().hash(&mut hasher);
                let name = namespace.name_any();
                let now = hasher.finish();
                let before = self.0.insert(name.clone(), now);
                before.is_some_and(|before| before != now).then_some(name)
            }
            Event::Delete(namespace) => {
                self.0.remove(&namespace.name_any());
                None
            }
            Event::Init | Event::InitDone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_that_change_are_told_once() {
        let event = |labels| {
            let metadata = json!({"name": "team", "labels": labels});
            Event::Apply(serde_json::from_value(json!({"metadata": metadata})).unwrap())
        };
        let mut known = Known::default();
        assert_eq!(known.changed(&event(json!({}))), None);
        let changed = known.changed(&event(json!({"aws": "yes"})));
        assert_eq!(changed.as_deref(), Some("team"));
        assert_eq!(known.changed(&event(json!({"aws": "yes"}))), None);
    }
}
