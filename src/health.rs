//! What `/readyz` tells.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// What has to be reached before the operator serves, by name.
#[derive(Clone)]
pub struct Readiness {
    parts: watch::Sender<BTreeMap<&'static str, bool>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            parts: watch::Sender::new(BTreeMap::new()),
        }
    }
}

impl Readiness {
    /// Names a part that is not there yet.
    pub fn expect(&self, part: &'static str) {
        self.parts.send_modify(|parts| {
            parts.entry(part).or_insert(false);
        });
    }

    /// A part is there.
    pub fn reached(&self, part: &'static str) {
        self.parts.send_modify(|parts| {
            parts.insert(part, true);
        });
    }

    /// Completes when that part is there.
    pub async fn wait(&self, part: &'static str) {
        let mut changes = self.parts.subscribe();
        // The sender is held by self, so waiting cannot fail.
        let _ = changes
            .wait_for(|parts| parts.get(part) == Some(&true))
            .await;
    }

    /// The parts that are missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = self.parts.borrow();
        let missing = parts.iter().filter(|(_, reached)| !**reached);
        missing.map(|(part, _)| *part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_missing() {
        let readiness = Readiness::default();
        readiness.expect("a");
        readiness.expect("b");
        readiness.reached("a");
        readiness.expect("a");
        assert_eq!(readiness.missing(), ["b"]);
        readiness.reached("b");
        assert!(readiness.missing().is_empty());
    }
}
