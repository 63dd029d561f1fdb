//! Who has a place: the count behind every limit, and behind the question
//! whether a role or an account is still in use. Exact within the process,
//! because a place is taken before it is counted on; rebuilt at a start, when
//! every request is looked at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use kube::ResourceExt;
use parking_lot::Mutex;

use crate::cache::{account_of, holds};
use keylease_api::{AwsCredentialRequest, ConditionType, Phase, get_condition};
use keylease_core::plan::intent::STATIC_USER;
use keylease_core::plan::reasons::Reason;
use keylease_core::plan::view::Usage;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    role: Arc<str>,
    namespace: Arc<str>,
    name: String,
    account: Arc<str>,
    /// Whether an IAM user was made for it: a static user was there before.
    user: bool,
    /// Whether AWS holds something for it, or is about to.
    holds: bool,
    /// Whether AWS does not let us revoke it.
    denied: bool,
}

/// What became of a request's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anybody counts.
    Nothing,
    /// It holds something now.
    Taken,
    /// It holds nothing any more, or is no obstacle any more: somebody else
    /// may go on.
    Freed,
}

/// What is counted, so that nothing has to be searched through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Count {
    /// IAM users of an account.
    Users(Arc<str>),
    /// Places of a role.
    OfRole(Arc<str>),
    /// Places of a role in one namespace.
    OfNamespace(Arc<str>, Arc<str>),
    /// Places of an account.
    OfAccount(Arc<str>),
    /// Those of a role that hold something.
    HeldOfRole(Arc<str>),
    /// Those of an account that hold something.
    HeldOfAccount(Arc<str>),
    /// Those of an account that we may not revoke.
    DeniedOfAccount(Arc<str>),
}

/// All places.
#[derive(Default)]
pub struct Ledger {
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// By the request's uid.
    places: HashMap<String, Place>,
    /// The uid, by namespace and name.
    uids: HashMap<(Arc<str>, String), String>,
    counts: HashMap<Count, usize>,
}

impl Ledger {
    /// Takes a place for a request that wants one, and tells how many there
    /// were before.
    pub fn enter(&self, request: &AwsCredentialRequest, account: &str) -> Usage {
        let wanted = Place {
            account: account.into(),
            user: true,
            ..place(request, false)
        };
        let mut books = self.books.lock();
        // It is not counted among the others.
        let before = books.remove(request.uid_str());
        let (role, namespace) = (wanted.role.clone(), wanted.namespace.clone());
        let usage = Usage {
            account_users: books.count(&Count::Users(wanted.account.clone())),
            role_leases: books.count(&Count::OfRole(role.clone())),
            namespace_leases: books.count(&Count::OfNamespace(role, namespace)),
            denied: books.count(&Count::DeniedOfAccount(wanted.account.clone())),
        };
        books.insert(request.uid_str(), before.unwrap_or(wanted));
        usage
    }

    /// Notes where a request stands: one that holds nothing and is not about
    /// to gives its place back.
    pub fn note(&self, request: &AwsCredentialRequest) -> Change {
        let uid = request.uid_str();
        let holds = holds(request);
        let status = request.status.as_ref();
        let waits = matches!(status.and_then(|s| s.phase), None | Some(Phase::Issuing));
        let mut books = self.books.lock();
        let before = books.places.get(uid);
        let (held, was_denied) = before.map_or((false, false), |p| (p.holds, p.denied));
        let mut denied = false;
        if holds {
            let place = place(request, true);
            denied = place.denied;
            books.insert(uid, place);
        } else if !waits || held {
            books.remove(uid);
        }
        match (held, holds) {
            (true, false) => Change::Freed,
            (false, true) => Change::Taken,
            _ if was_denied && !denied => Change::Freed,
            _ => Change::Nothing,
        }
    }

    /// A request is there. Whatever bore its name before is gone, though nobody
    /// may have seen it go; the role of that one, which has a place more.
    pub fn succeed(&self, request: &AwsCredentialRequest) -> Option<String> {
        let who = (request.namespace_name().into(), request.name_any());
        let mut books = self.books.lock();
        let before = books.uids.get(&who)?.clone();
        let other = before != request.uid_str();
        let place = other.then(|| books.remove(&before)).flatten()?;
        Some(place.role.as_ref().to_owned())
    }

    /// The request is gone, whoever bears its name now.
    pub fn gone(&self, uid: &str) {
        self.books.lock().remove(uid);
    }

    /// The request of that name is gone; the role that has a place more.
    pub fn leave(&self, namespace: &str, name: &str) -> Option<String> {
        let mut books = self.books.lock();
        let uid = books
            .uids
            .get(&(namespace.into(), name.to_owned()))?
            .clone();
        books
            .remove(&uid)
            .map(|place| place.role.as_ref().to_owned())
    }

    /// Leases of a role.
    pub fn of_role(&self, role: &str) -> usize {
        self.books.lock().count(&Count::HeldOfRole(role.into()))
    }

    /// Users and sessions of an account, by the name of its `AwsAccount`.
    pub fn of_account(&self, account: &str) -> usize {
        self.books
            .lock()
            .count(&Count::HeldOfAccount(account.into()))
    }

    /// Places in an account: its leases, and requests that may be about to begin
    /// one.
    pub fn places_in(&self, account: &str) -> usize {
        self.books.lock().count(&Count::OfAccount(account.into()))
    }
}

impl Books {
    fn count(&self, what: &Count) -> usize {
        self.counts.get(what).copied().unwrap_or_default()
    }

    fn insert(&mut self, uid: &str, place: Place) {
        self.remove(uid);
        for count in place.counts() {
            *self.counts.entry(count).or_default() += 1;
        }
        self.uids.insert(place.who(), uid.to_owned());
        self.places.insert(uid.to_owned(), place);
    }

    fn remove(&mut self, uid: &str) -> Option<Place> {
        let place = self.places.remove(uid)?;
        for count in place.counts() {
            if let Entry::Occupied(mut entry) = self.counts.entry(count) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        // A request of the same name may have come after it.
        let who = place.who();
        if self.uids.get(&who).is_some_and(|is| is == uid) {
            self.uids.remove(&who);
        }
        Some(place)
    }
}

impl Place {
    fn who(&self) -> (Arc<str>, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// Where it counts.
    fn counts(&self) -> impl Iterator<Item = Count> + use<> {
        let (role, account) = (self.role.clone(), self.account.clone());
        let user = self.user.then(|| Count::Users(account.clone()));
        let held = self.holds.then(|| {
            [
                Count::HeldOfRole(role.clone()),
                Count::HeldOfAccount(account.clone()),
            ]
        });
        let denied = self.denied.then(|| Count::DeniedOfAccount(account.clone()));
        let always = [
            Count::OfAccount(account),
            Count::OfRole(role.clone()),
            Count::OfNamespace(role, self.namespace.clone()),
        ];
        always
            .into_iter()
            .chain(user)
            .chain(held.into_iter().flatten())
            .chain(denied)
    }
}

fn place(request: &AwsCredentialRequest, holds: bool) -> Place {
    Place {
        role: request.spec.role_ref.name.as_str().into(),
        namespace: request.namespace_name().into(),
        name: request.name_any(),
        account: account_of(request).into(),
        user: !adopts(request),
        holds,
        denied: holds && is_denied(request),
    }
}

/// Whether the last attempt to revoke was denied to us. It is in the status, so
/// a restart knows it too.
fn is_denied(request: &AwsCredentialRequest) -> bool {
    let status = request.status.as_ref();
    let revoked = status.and_then(|s| get_condition(&s.conditions, ConditionType::Revoked));
    revoked.is_some_and(|c| c.status == "False" && c.reason == Reason::AwsAccessDenied.as_str())
}

/// Whether the request has a static user, by what its status says.
fn adopts(request: &AwsCredentialRequest) -> bool {
    let credential = request.status.as_ref().and_then(|s| s.credential.as_ref());
    credential.is_some_and(|c| c.type_ == STATIC_USER)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::request;
    use super::*;

    fn numbered(n: usize) -> AwsCredentialRequest {
        let mut request = request();
        request.metadata.uid = Some(format!("uid-{n}"));
        request
    }

    #[test]
    fn a_place_is_counted_before_it_is_used_and_given_back_on_refusal() {
        let ledger = Ledger::default();
        assert_eq!(ledger.enter(&numbered(1), "a").role_leases, 0);
        assert_eq!(ledger.enter(&numbered(2), "a").role_leases, 1);
        assert_eq!(
            ledger.enter(&numbered(2), "a").role_leases,
            1,
            "itself is no other"
        );
        let mut refused = numbered(1);
        refused.status.get_or_insert_default().phase = Some(Phase::Pending);
        ledger.note(&refused);
        assert_eq!(ledger.enter(&numbered(3), "a").role_leases, 1);
        let mut elsewhere = numbered(4);
        elsewhere.metadata.namespace = Some("other".into());
        let usage = ledger.enter(&elsewhere, "b");
        assert_eq!(
            (
                usage.role_leases,
                usage.namespace_leases,
                usage.account_users
            ),
            (2, 0, 0)
        );
    }

    #[test]
    fn a_name_that_was_taken_again_keeps_its_place() {
        let ledger = Ledger::default();
        let named = |n: usize| {
            let mut request = numbered(n);
            request.metadata.finalizers = Some(vec![keylease_core::plan::intent::FINALIZER.into()]);
            request
        };
        ledger.note(&named(1));
        ledger.note(&named(2));
        let mut first = named(1);
        first.metadata.finalizers = None;
        ledger.note(&first);
        assert_eq!(ledger.of_role("dev"), 1);
        let name = first.name_any();
        let left = ledger.leave(first.namespace_name(), &name);
        assert_eq!(left.as_deref(), Some("dev"));
        assert_eq!(ledger.of_role("dev"), 0);
        assert!(ledger.books.lock().counts.is_empty(), "nothing is left");
    }

    /// A session has no finalizer: another request may have its name before
    /// anybody saw it go.
    #[test]
    fn who_takes_a_name_takes_the_place_that_was_left() {
        let ledger = Ledger::default();
        let mut old = numbered(1);
        old.spec.role_ref.name = "old".into();
        old.metadata.finalizers = Some(vec![keylease_core::plan::intent::FINALIZER.into()]);
        let new = numbered(2);
        ledger.note(&old);
        assert_eq!(ledger.succeed(&old), None, "it is itself");
        assert_eq!(ledger.of_role("old"), 1);
        assert_eq!(ledger.succeed(&new).as_deref(), Some("old"));
        assert_eq!(ledger.of_role("old"), 0);
        ledger.enter(&new, "a");
        ledger.gone(old.uid_str());
        assert_eq!(ledger.succeed(&numbered(3)).as_deref(), Some("dev"));
        assert!(ledger.books.lock().counts.is_empty(), "nothing is left");
    }

    #[test]
    fn only_what_holds_something_keeps_a_role() {
        let ledger = Ledger::default();
        let mut request = numbered(1);
        ledger.enter(&request, "a");
        assert_eq!(ledger.of_role("dev"), 0);
        request.metadata.finalizers = Some(vec![keylease_core::plan::intent::FINALIZER.into()]);
        assert_eq!(ledger.note(&request), Change::Taken);
        assert_eq!(ledger.note(&request), Change::Nothing);
        assert_eq!(ledger.of_role("dev"), 1);
        request.metadata.finalizers = None;
        assert_eq!(ledger.note(&request), Change::Freed);
        assert_eq!(ledger.of_role("dev"), 0);
    }

    #[test]
    fn what_we_may_not_revoke_is_counted_until_we_may() {
        let ledger = Ledger::default();
        let mut leaving = numbered(1);
        leaving.metadata.finalizers = Some(vec![keylease_core::plan::intent::FINALIZER.into()]);
        ledger.note(&leaving);
        let account = account_of(&leaving);
        let of_others = || ledger.enter(&numbered(2), &account).denied;
        assert_eq!(of_others(), 0);
        let told = |reason: Reason| {
            let mut conditions = Vec::new();
            let now = jiff::Timestamp::UNIX_EPOCH;
            let kind = ConditionType::Revoked;
            keylease_api::set_condition(
                &mut conditions,
                kind,
                false,
                reason.as_str(),
                "",
                None,
                now,
            );
            conditions
        };
        leaving.status.get_or_insert_default().conditions = told(Reason::AwsAccessDenied);
        assert_eq!(ledger.note(&leaving), Change::Nothing);
        assert_eq!(of_others(), 1);
        leaving.status.get_or_insert_default().conditions = told(Reason::AwsThrottled);
        assert_eq!(ledger.note(&leaving), Change::Freed);
        assert_eq!(of_others(), 0);
    }
}
