//! The accounts that the operator is signed in to, by name of `AwsAccount`.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::{Session, Tenure};
use keylease_core::plan::admission::AccountFacts;
use keylease_core::plan::identity::Standing;
use keylease_core::plan::reasons::{Reason, Verdict};
use keylease_core::plan::view::AccountView;

/// Shared between the account controller, which writes, and the request
/// controller, which reads.
#[derive(Clone)]
pub struct Accounts {
    entries: Arc<RwLock<HashMap<String, Entry>>>,
    tenures: Arc<RwLock<HashMap<IdentityKey, Tenure>>>,
    changed: watch::Sender<()>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            tenures: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

/// Where a cluster has one identity: an AWS account, and the path under which
/// users are made there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    /// The 12-digit account id.
    pub account_id: String,
    /// The account's path, without the cluster id.
    pub path: String,
}

impl IdentityKey {
    /// The place that the session leads to.
    pub fn of(facts: &AccountFacts) -> Self {
        Self {
            account_id: facts.account_id.clone(),
            path: facts.path.clone(),
        }
    }
}

/// One `AwsAccount`. Another one of that name begins anew.
#[derive(Clone)]
struct Entry {
    uid: Option<String>,
    /// Whether it is being deleted.
    leaving: bool,
    state: State,
}

#[derive(Clone)]
enum State {
    /// It was not tried yet.
    Pending,
    SignedIn(Arc<Session>),
    /// Other credentials are wanted, and not known to work yet: those before take
    /// down what they made. With the reason of the account's condition.
    ToRevoke(Arc<Session>, &'static str),
    /// It cannot be used; with the reason of the account's condition.
    NotReady(&'static str),
}

impl Accounts {
    /// The account is there, and being deleted or not. Says whether it leaves
    /// from now on.
    pub fn found(&self, name: &str, uid: Option<&str>, leaving: bool) -> bool {
        let mut entries = self.entries.write();
        let known = entries.get_mut(name).filter(|e| e.uid.as_deref() == uid);
        if let Some(entry) = known {
            return leaving && !std::mem::replace(&mut entry.leaving, leaving);
        }
        let entry = Entry {
            uid: uid.map(str::to_owned),
            leaving,
            state: State::Pending,
        };
        entries.insert(name.to_owned(), entry);
        set_caps(&entries);
        leaving
    }

    /// The account can be used. Says whether that is news.
    pub fn signed_in(&self, name: &str, session: Session) -> bool {
        self.enter(name, State::SignedIn(Arc::new(session)))
    }

    /// The account cannot be used now, for the reason that its condition gives.
    /// Says whether that is news.
    pub fn not_ready(&self, name: &str, reason: &'static str) -> bool {
        self.enter(name, State::NotReady(reason))
    }

    /// The session that the account has takes down what was made with it, and
    /// makes nothing. Says whether that is news.
    pub fn only_to_revoke(&self, name: &str, session: Session, reason: &'static str) -> bool {
        self.enter(name, State::ToRevoke(Arc::new(session), reason))
    }

    fn enter(&self, name: &str, state: State) -> bool {
        let mut entries = self.entries.write();
        // One that was deleted meanwhile has none.
        let Some(entry) = entries.get_mut(name) else {
            return false;
        };
        let before = std::mem::replace(&mut entry.state, state);
        let news = !before.means_the_same(&entry.state);
        set_caps(&entries);
        drop(entries);
        self.changed.send_replace(());
        news
    }

    /// Completes when each of these accounts was signed in to, or failed to be.
    pub async fn all_known(&self, names: Vec<String>) {
        let mut changed = self.changed.subscribe();
        while !names.iter().all(|name| self.is_known(name)) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_known(&self, name: &str) -> bool {
        let entries = self.entries.read();
        let entry = entries.get(name);
        entry.is_some_and(|entry| !matches!(entry.state, State::Pending))
    }

    /// Whether the account is being deleted.
    pub fn is_leaving(&self, name: &str) -> bool {
        let entries = self.entries.read();
        entries.get(name).is_some_and(|entry| entry.leaving)
    }

    /// The account was deleted.
    pub fn forget(&self, name: &str) {
        let mut entries = self.entries.write();
        entries.remove(name);
        set_caps(&entries);
    }

    /// The right to change what lies there: one for all sessions that lead there.
    pub fn tenure(&self, facts: &AccountFacts) -> Tenure {
        self.tenure_of(&IdentityKey::of(facts))
    }

    /// The same, by place.
    pub fn tenure_of(&self, key: &IdentityKey) -> Tenure {
        let mut tenures = self.tenures.write();
        tenures.entry(key.clone()).or_default().clone()
    }

    /// Something may have changed for whoever waits for accounts.
    pub fn nudge(&self) {
        self.changed.send_replace(());
    }

    /// Is told of every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether it is being found out who holds the identity in the account.
    pub fn is_verifying(&self, name: &str) -> bool {
        self.standing(name) == Some(Standing::Verifying)
    }

    /// How the identity stands in an account by name, if it is signed in to.
    pub fn standing(&self, name: &str) -> Option<Standing> {
        let session = self.any_session(name)?;
        Some(session.tenure().standing())
    }

    /// Who is signed in where: the names, and a session, whoever holds the
    /// identity there.
    pub fn places(&self) -> HashMap<IdentityKey, (Vec<String>, Arc<Session>)> {
        let mut places = HashMap::new();
        for (name, entry) in self.entries.read().iter() {
            if let Some(session) = entry.state.session() {
                let place = places.entry(IdentityKey::of(&session.facts));
                let (names, _) = place.or_insert_with(|| (Vec::new(), session.clone()));
                names.push(name.clone());
            }
        }
        places
    }

    /// The session with which everything may be done in this account.
    pub fn session(&self, name: &str) -> Option<Arc<Session>> {
        match &self.entries.read().get(name)?.state {
            State::SignedIn(session) if is_held(session) => Some(session.clone()),
            _ => None,
        }
    }

    /// Who the operator is in the AWS account of that `AwsAccount`: the names of
    /// all that are signed in to it, each with its ARN.
    pub fn operators(&self, name: &str) -> Vec<(String, String)> {
        let Some(own) = self.any_session(name) else {
            return Vec::new();
        };
        let entries = self.entries.read();
        let all = entries.iter().filter_map(|(name, entry)| {
            let facts = &entry.state.session()?.facts;
            let same = facts.account_id == own.facts.account_id;
            same.then(|| (name.clone(), facts.arn.clone()))
        });
        all.collect()
    }

    /// The session that the account has, be it only to revoke.
    pub fn any_session(&self, name: &str) -> Option<Arc<Session>> {
        self.entries.read().get(name)?.state.session().cloned()
    }

    /// The session for calls about what an account of that name has, or is to
    /// have; where the id of the AWS account is known too, one that is signed in
    /// to that very account, under whatever name.
    pub fn session_for(&self, name: &str, id: Option<&str>) -> Option<Arc<Session>> {
        match id {
            None => self.session(name),
            Some(id) => {
                let entries = self.entries.read();
                let session = in_account(&entries, name, id);
                session.filter(|session| is_held(session)).cloned()
            }
        }
    }

    /// What decisions may know of the account. Of another object that is signed in
    /// to the same AWS account only that: its settings are its own.
    pub fn view(&self, name: &str, id: Option<&str>) -> AccountView {
        let entries = self.entries.read();
        let own = entries.get(name).map(|entry| &entry.state);
        let stands = own.and_then(State::session).map(|s| s.tenure().standing());
        if let Some(why) = stands.and_then(|standing| standing.obstacle(name)) {
            return AccountView::NotReady(not_ready(name, why.reason.as_str()));
        }
        let verdict = match own {
            Some(State::SignedIn(session))
                if id.is_none_or(|id| session.facts.account_id == id) =>
            {
                return AccountView::Ready(session.facts.clone().into());
            }
            Some(State::SignedIn(session)) => elsewhere(name, &session.facts.account_id),
            Some(State::ToRevoke(_, reason) | State::NotReady(reason)) => not_ready(name, reason),
            Some(State::Pending) => Verdict::new(
                Reason::AccountNotReady,
                format!("AwsAccount {name} is being signed in to"),
            ),
            None => Verdict::new(
                Reason::AccountNotFound,
                format!("there is no AwsAccount {name}; create it"),
            ),
        };
        match (id.and_then(|id| in_account(&entries, name, id)), own) {
            (Some(other), _) => AccountView::OnlyToRevoke(other.facts.clone().into(), verdict),
            (None, Some(State::SignedIn(own))) => AccountView::Ready(own.facts.clone().into()),
            (None, _) => AccountView::NotReady(verdict),
        }
    }
}

/// One text as long as the reason is the same: what AWS says in particular is in
/// the account's condition, and may be another with each attempt.
fn not_ready(name: &str, reason: &str) -> Verdict {
    let message = format!(
        "AwsAccount {name} is not ready ({reason}); its condition Ready says why: kubectl describe \
         awsaccount {name}"
    );
    Verdict::new(Reason::AccountNotReady, message)
}

fn elsewhere(name: &str, account_id: &str) -> Verdict {
    let message = format!("AwsAccount {name} now signs in to another account, {account_id}");
    Verdict::new(Reason::AccountNotReady, message)
}

/// A session in that AWS account: that of the object of this name, if it is
/// signed in there, else another's.
fn in_account<'a>(
    entries: &'a HashMap<String, Entry>,
    name: &str,
    id: &str,
) -> Option<&'a Arc<Session>> {
    let fits = |entry: &'a Entry| {
        let session = entry.state.session()?;
        (session.facts.account_id == id).then_some(session)
    };
    let named = entries.get(name).and_then(fits);
    named.or_else(|| entries.values().find_map(fits))
}

/// Whether calls may be made with it, as far as other clusters are concerned.
fn is_held(session: &Session) -> bool {
    matches!(
        session.tenure().standing(),
        Standing::Alone | Standing::Asked
    )
}

impl State {
    fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::SignedIn(session) | Self::ToRevoke(session, _) => Some(session),
            Self::Pending | Self::NotReady(_) => None,
        }
    }

    /// Whether requests are to hear of the one as of the other.
    fn means_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::SignedIn(a), Self::SignedIn(b)) => a.facts == b.facts,
            (Self::ToRevoke(a, why), Self::ToRevoke(b, other)) => {
                a.facts == b.facts && why == other
            }
            (Self::NotReady(why), Self::NotReady(other)) => why == other,
            _ => false,
        }
    }
}

/// Where several objects stand for one AWS account, the lowest cap counts.
fn set_caps(entries: &HashMap<String, Entry>) {
    let sessions = || entries.values().filter_map(|entry| entry.state.session());
    for session in sessions() {
        let same = |other: &&Arc<Session>| other.facts.account_id == session.facts.account_id;
        let caps = sessions().filter(same);
        session.set_cap(caps.filter_map(|s| s.facts.requests_per_second).min());
    }
}

#[cfg(test)]
mod tests;
