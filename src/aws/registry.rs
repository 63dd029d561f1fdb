//! The accounts that the operator is signed in to, by name of `AwsAccount`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::Session;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::view::AccountView;

/// Shared between the account controller, which writes, and the request
/// controller, which reads.
#[derive(Clone)]
pub struct Accounts {
    entries: Arc<RwLock<HashMap<String, Entry>>>,
    leaving: Arc<RwLock<HashSet<String>>>,
    changed: watch::Sender<()>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            leaving: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

#[derive(Clone)]
enum Entry {
    SignedIn(Arc<Session>),
    /// Why it cannot be used, as the account's own condition says it.
    NotReady(String),
}

impl Accounts {
    /// The account can be used.
    pub fn signed_in(&self, name: &str, session: Session) {
        self.enter(name, Entry::SignedIn(Arc::new(session)));
    }

    /// The account cannot be used now.
    pub fn not_ready(&self, name: &str, why: String) {
        self.enter(name, Entry::NotReady(why));
    }

    fn enter(&self, name: &str, entry: Entry) {
        let mut entries = self.entries.write();
        entries.insert(name.to_owned(), entry);
        set_caps(&entries);
        drop(entries);
        self.changed.send_replace(());
    }

    /// Completes when each of these accounts was signed in to, or failed to be.
    pub async fn all_known(&self, names: Vec<String>) {
        let mut changed = self.changed.subscribe();
        while !names
            .iter()
            .all(|name| self.entries.read().contains_key(name))
        {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The account is being deleted: its leases have to go first. Says whether
    /// that is news.
    pub fn leaves(&self, name: &str) -> bool {
        self.leaving.write().insert(name.to_owned())
    }

    /// Whether the account is being deleted.
    pub fn is_leaving(&self, name: &str) -> bool {
        self.leaving.read().contains(name)
    }

    /// The account was deleted.
    pub fn forget(&self, name: &str) {
        let mut entries = self.entries.write();
        entries.remove(name);
        set_caps(&entries);
        drop(entries);
        self.leaving.write().remove(name);
    }

    /// The session for an account by name; where the id is known too, one that
    /// is signed in to that very AWS account, under whatever name.
    pub fn session(&self, name: &str, id: Option<&str>) -> Option<Arc<Session>> {
        let entries = self.entries.read();
        let fits = |entry: &Entry| match entry {
            Entry::SignedIn(s) if id.is_none_or(|id| s.facts.account_id == id) => Some(s.clone()),
            _ => None,
        };
        let named = entries.get(name).and_then(fits);
        named.or_else(|| id.and_then(|_| entries.values().find_map(fits)))
    }

    /// What decisions may know of the account.
    pub fn view(&self, name: &str, id: Option<&str>) -> AccountView {
        if let Some(session) = self.session(name, id) {
            return AccountView::Ready(Box::new(session.facts.clone()));
        }
        match self.entries.read().get(name) {
            Some(Entry::SignedIn(session)) => AccountView::Ready(Box::new(session.facts.clone())),
            Some(Entry::NotReady(why)) => AccountView::NotReady(Verdict::new(
                Reason::AccountNotReady,
                format!("AwsAccount {name} is not ready: {why}"),
            )),
            None => AccountView::NotReady(Verdict::new(
                Reason::AccountNotFound,
                format!("there is no AwsAccount {name}; create it"),
            )),
        }
    }
}

/// Where several objects stand for one AWS account, the lowest cap counts.
fn set_caps(entries: &HashMap<String, Entry>) {
    let sessions = || {
        entries.values().filter_map(|entry| match entry {
            Entry::SignedIn(session) => Some(session),
            Entry::NotReady(_) => None,
        })
    };
    for session in sessions() {
        let same = |other: &&Arc<Session>| other.facts.account_id == session.facts.account_id;
        let caps = sessions().filter(same);
        session.set_cap(caps.filter_map(|s| s.facts.requests_per_second).min());
    }
}
