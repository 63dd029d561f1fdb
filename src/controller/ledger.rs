//! Who has a place: the count behind every limit, and behind the question
//! whether a role or an account is still in use. Exact within the process,
//! because a place is taken before it is counted on; rebuilt at a start, when
//! every request is looked at once.

use std::collections::HashMap;

use kube::ResourceExt;
use parking_lot::Mutex;

use crate::api::{AwsCredentialRequest, Phase};
use crate::plan::intent::{INTENT_ANNOTATION, STATIC_USER, has_finalizer};
use crate::plan::view::Usage;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    role: String,
    namespace: String,
    name: String,
    account: String,
    /// Whether an IAM user was made for it: a static user was there before.
    user: bool,
    /// Whether AWS holds something for it, or is about to.
    holds: bool,
}

/// All places, by the request's uid.
#[derive(Default)]
pub struct Ledger {
    places: Mutex<HashMap<String, Place>>,
}

impl Ledger {
    /// Takes a place for a request that wants one, and tells how many there
    /// were before.
    pub fn enter(&self, request: &AwsCredentialRequest, account: &str) -> Usage {
        let place = Place {
            account: account.to_owned(),
            user: true,
            ..place(request, false)
        };
        let mut places = self.places.lock();
        let others = places.iter().filter(|(uid, _)| *uid != request.uid_str());
        let mut usage = Usage::default();
        for (_, other) in others {
            let user = other.user && other.account == place.account;
            usage.account_users += usize::from(user);
            let same_role = other.role == place.role;
            usage.role_leases += usize::from(same_role);
            usage.namespace_leases += usize::from(same_role && other.namespace == place.namespace);
        }
        let entry = places.entry(request.uid_str().to_owned());
        entry.or_insert(place);
        usage
    }

    /// Notes where a request stands: one that holds nothing and is not about
    /// to gives its place back. Says whether that is news for its role.
    pub fn note(&self, request: &AwsCredentialRequest) -> bool {
        let uid = request.uid_str();
        let holds = holds(request);
        let status = request.status.as_ref();
        let waits = matches!(status.and_then(|s| s.phase), None | Some(Phase::Issuing));
        let mut places = self.places.lock();
        let held = places.get(uid).is_some_and(|p| p.holds);
        if holds {
            places.insert(uid.to_owned(), place(request, true));
        } else if !waits || held {
            places.remove(uid);
        }
        holds != held
    }

    /// The request of that name is gone; the role that has a place more.
    pub fn leave(&self, namespace: &str, name: &str) -> Option<String> {
        let mut places = self.places.lock();
        let mut role = None;
        places.retain(|_, place| {
            let gone = place.namespace == namespace && place.name == name;
            if gone {
                role = Some(place.role.clone());
            }
            !gone
        });
        role
    }

    /// Leases of a role.
    pub fn of_role(&self, role: &str) -> usize {
        let places = self.places.lock();
        places
            .values()
            .filter(|p| p.holds && p.role == role)
            .count()
    }

    /// Users and sessions of an account, by the name of its `AwsAccount`.
    pub fn of_account(&self, account: &str) -> usize {
        let places = self.places.lock();
        let all = places.values();
        all.filter(|p| p.holds && p.account == account).count()
    }
}

/// Whether AWS holds something for the request, or is about to.
pub(super) fn holds(request: &AwsCredentialRequest) -> bool {
    let status = request.status.as_ref();
    let leaving = request.metadata.deletion_timestamp.is_some();
    let credential = status.is_some_and(|s| s.credential.is_some());
    (credential && !leaving) || has_finalizer(request)
}

fn place(request: &AwsCredentialRequest, holds: bool) -> Place {
    Place {
        role: request.spec.role_ref.name.clone(),
        namespace: request.namespace_name().to_owned(),
        name: request.name_any(),
        account: account_of(request),
        user: !adopts(request),
        holds,
    }
}

/// The account's name as the intent has it. It only counts: one that was
/// edited by hand gains its owner nothing but another place.
pub(super) fn account_of(request: &AwsCredentialRequest) -> String {
    let intent = written_intent(request);
    let account = intent.as_ref().and_then(|i| i.get("account")?.as_str());
    account.unwrap_or_default().to_owned()
}

fn written_intent(request: &AwsCredentialRequest) -> Option<serde_json::Value> {
    let annotations = request.metadata.annotations.as_ref()?;
    serde_json::from_str(annotations.get(INTENT_ANNOTATION)?).ok()
}

/// Whether the request has a static user, by what its status says.
fn adopts(request: &AwsCredentialRequest) -> bool {
    let credential = request.status.as_ref().and_then(|s| s.credential.as_ref());
    credential.is_some_and(|c| c.type_ == STATIC_USER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::request;

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
    fn only_what_holds_something_keeps_a_role() {
        let ledger = Ledger::default();
        let mut request = numbered(1);
        ledger.enter(&request, "a");
        assert_eq!(ledger.of_role("dev"), 0);
        request.metadata.finalizers = Some(vec![crate::plan::intent::FINALIZER.into()]);
        assert!(ledger.note(&request));
        assert!(!ledger.note(&request));
        assert_eq!(ledger.of_role("dev"), 1);
        request.metadata.finalizers = None;
        assert!(ledger.note(&request));
        assert_eq!(ledger.of_role("dev"), 0);
    }
}
