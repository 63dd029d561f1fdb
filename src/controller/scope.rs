//! Whose requests are served: those of all namespaces, or of a list.
//!
//! A list narrows the rights that the operator needs, not the world that it
//! counts: requests are still seen in the whole cluster by the sweep, which
//! would else take the users of the others for orphans.
//! (docs/decisions/0020-watched-namespaces.md)

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// The namespaces whose requests are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Option<Arc<BTreeSet<String>>>);

/// What one watch covers: a namespace, or `None` for the whole cluster.
pub(super) type Watched = Option<String>;

impl Scope {
    /// These namespaces, or all if none is named.
    pub fn of(namespaces: impl IntoIterator<Item = String>) -> Self {
        let listed: BTreeSet<_> = namespaces.into_iter().collect();
        Self((!listed.is_empty()).then(|| Arc::new(listed)))
    }

    /// Whether requests of this namespace are served.
    pub fn covers(&self, namespace: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|listed| listed.contains(namespace))
    }

    /// What has to be watched to see this kind wherever requests are served.
    pub(super) fn watches<K>(&self, client: &Client) -> Vec<(Watched, Api<K>)>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        match &self.0 {
            None => vec![(None, Api::all(client.clone()))],
            Some(listed) => {
                let one = |name: &String| {
                    let api = Api::namespaced(client.clone(), name);
                    (Some(name.clone()), api)
                };
                listed.iter().map(one).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_is_every_namespace() {
        assert!(Scope::of([]).covers("any"));
        assert_eq!(Scope::of([]), Scope::default());
    }

    #[test]
    fn a_list_is_what_it_names() {
        let scope = Scope::of(["team-a".to_owned(), "team-b".to_owned()]);
        assert!(scope.covers("team-a"));
        assert!(!scope.covers("team-c"));
        assert!(!scope.covers(""));
    }
}
