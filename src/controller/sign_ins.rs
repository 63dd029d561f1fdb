//! What is remembered of the sign-ins to accounts, between reconciliations.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use keylease_api::{AccountCredentials, AssumeRole, AwsAccount};
use keylease_core::plan::sign_in;

/// The last sign-in of each account, by name.
#[derive(Default)]
pub struct SignIns {
    all: Mutex<HashMap<String, LastSignIn>>,
}

/// The last sign-in of an account.
struct LastSignIn {
    version: Version,
    /// Of the last one that worked.
    worked: Option<Basis>,
    at: Instant,
    /// Those in a row that did not work.
    failures: u32,
    good_for: SignedDuration,
    /// A call with the account's session failed since.
    suspected: bool,
}

/// What is looked at anew whenever it changes: object and Secret, by uid and
/// version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    uid: Option<String>,
    generation: Option<i64>,
    secret: Option<String>,
}

impl Version {
    /// Of this account, and the Secret in that version.
    pub fn of(account: &AwsAccount, secret: Option<String>) -> Self {
        Self {
            uid: account.metadata.uid.clone(),
            generation: account.metadata.generation,
            secret,
        }
    }
}

/// What decides as whom the operator is signed in, and where: a session from the
/// same is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    uid: Option<String>,
    credentials: Option<AccountCredentials>,
    roles: Vec<AssumeRole>,
    region: Option<String>,
    expected: Option<String>,
    /// The id of the key, if it comes from a Secret.
    key_id: Option<String>,
}

impl Basis {
    /// Of this account, with that key.
    pub fn of(account: &AwsAccount, key_id: Option<String>) -> Self {
        let spec = &account.spec;
        Self {
            uid: account.metadata.uid.clone(),
            credentials: spec.credentials.clone(),
            roles: spec.assume_roles.clone(),
            region: spec.region.clone(),
            expected: spec.expected_account_id.clone(),
            key_id,
        }
    }
}

impl SignIns {
    /// How long the last sign-in is good for; `None` if the next is due.
    pub fn left(&self, name: &str, version: &Version) -> Option<Duration> {
        let all = self.all.lock();
        let last = all.get(name).filter(|last| last.version == *version)?;
        let age = SignedDuration::try_from(last.at.elapsed()).unwrap_or(SignedDuration::MAX);
        let left = sign_in::left(last.good_for, last.suspected, age)?;
        Duration::try_from(left).ok()
    }

    /// What the account's session was made from, if it has one.
    pub fn basis(&self, name: &str) -> Option<Basis> {
        self.all.lock().get(name)?.worked.clone()
    }

    /// A sign-in worked; how long it is good for.
    pub fn worked(
        &self,
        name: &str,
        version: Version,
        basis: Basis,
        expires: Option<Timestamp>,
    ) -> SignedDuration {
        self.note(name, version, Some(basis), 0, expires)
    }

    /// A sign-in did not work; how long until the next.
    pub fn failed(&self, name: &str, version: Version) -> SignedDuration {
        let (worked, before) = match self.all.lock().get(name) {
            Some(last) => (last.worked.clone(), last.failures),
            None => (None, 0),
        };
        self.note(name, version, worked, before.saturating_add(1), None)
    }

    fn note(
        &self,
        name: &str,
        version: Version,
        worked: Option<Basis>,
        failures: u32,
        expires: Option<Timestamp>,
    ) -> SignedDuration {
        let good_for = sign_in::good_for(failures, expires, Timestamp::now());
        let last = LastSignIn {
            version,
            worked,
            at: Instant::now(),
            failures,
            good_for,
            suspected: false,
        };
        self.all.lock().insert(name.to_owned(), last);
        good_for
    }

    /// A call with this account's session failed: the next sign-in is due soon.
    pub fn suspect(&self, name: &str) {
        if let Some(last) = self.all.lock().get_mut(name) {
            last.suspected = true;
        }
    }

    /// The account was deleted.
    pub fn forget(&self, name: &str) {
        self.all.lock().remove(name);
    }

    /// The id of the key that the account's session uses, if it came from a
    /// Secret.
    pub fn key_in_use(&self, name: &str) -> Option<String> {
        self.basis(name)?.key_id
    }

    /// The session was replaced by one of this key.
    pub fn uses_key(&self, name: &str, key_id: &str) {
        if let Some(last) = self.all.lock().get_mut(name) {
            last.at = Instant::now();
            if let Some(basis) = &mut last.worked {
                basis.key_id = Some(key_id.to_owned());
            }
        }
    }

    /// The Secret was changed by us from that version to this one: no reason
    /// to sign in again.
    pub fn wrote_secret(&self, name: &str, from: &str, to: &str) {
        if let Some(last) = self.all.lock().get_mut(name)
            && last.version.secret.as_deref() == Some(from)
        {
            last.version.secret = Some(to.to_owned());
        }
    }
}
