//! Waiting until a revocation is done: a watch of roles and requests.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};

use super::client::{REQUESTS, ROLES, Session};
use super::error::{Call, Failure};
use super::progress::Progress;
use super::revoked::{Marks, is_live_before};
use super::wait::{self, Patience};
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, AwsRole};

/// What was heard so far.
struct Standing {
    marks: Marks,
    /// Roles of which the operator has taken note, or that are gone.
    noted: BTreeSet<String>,
    /// Roles that are there, while all are told.
    roles: BTreeSet<String>,
    /// Requests that hold a credential from before the mark, with their roles;
    /// `None` until all were told once.
    live: Option<BTreeMap<String, String>>,
    /// The same while all are told.
    told: BTreeMap<String, String>,
}

impl Standing {
    fn new(marks: Marks) -> Self {
        Self {
            marks,
            noted: BTreeSet::new(),
            roles: BTreeSet::new(),
            live: None,
            told: BTreeMap::new(),
        }
    }

    fn role(&mut self, role: &AwsRole) {
        let name = role.metadata.name.clone().unwrap_or_default();
        let noted = role.status.as_ref().and_then(|s| s.revoked_before.as_ref());
        if let (Some(noted), Some(mark)) = (noted, self.marks.get(&name))
            && noted.0 >= *mark
        {
            self.noted.insert(name.clone());
        }
        self.roles.insert(name);
    }

    fn request(&mut self, request: &AwsCredentialRequest, now: Timestamp) {
        let uid = request.uid_str().to_owned();
        let role = &request.spec.role_ref.name;
        let mark = self.marks.get(role);
        let live = mark.is_some_and(|mark| is_live_before(request, *mark, now));
        let maps = [Some(&mut self.told), self.live.as_mut()];
        for map in maps.into_iter().flatten() {
            if live {
                map.insert(uid.clone(), role.clone());
            } else {
                map.remove(&uid);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.noted.len() == self.marks.len() && self.live.as_ref().is_some_and(BTreeMap::is_empty)
    }

    /// What is not done yet.
    fn sentence(&self) -> String {
        let Some(live) = &self.live else {
            return "the leases could not be counted".to_owned();
        };
        let mut parts = Vec::new();
        for role in self.marks.keys() {
            match live.values().filter(|r| *r == role).count() {
                0 => {}
                1 => parts.push(format!("1 lease of role {role} is still live")),
                n => parts.push(format!("{n} leases of role {role} are still live")),
            }
        }
        let unheard: Vec<&str> = self
            .marks
            .keys()
            .filter(|role| !self.noted.contains(*role))
            .map(String::as_str)
            .collect();
        if !unheard.is_empty() {
            parts.push(format!(
                "the operator has not taken note of it for role {}",
                unheard.join(", ")
            ));
        }
        parts.join("; ")
    }
}

/// Waits until the operator has taken note of the marks, but for those it knew
/// already, and no lease from before them is live.
pub(super) async fn done(
    session: &Session,
    marks: Marks,
    known: BTreeSet<String>,
    patience: Patience,
) -> Result<(), Failure> {
    let config = watcher::Config::default();
    // Who may read one role may not be able to read all.
    let of_roles = match marks.keys().next() {
        Some(only) if marks.len() == 1 => config.clone().fields(&format!("metadata.name={only}")),
        _ => config.clone(),
    };
    let api: Api<Lenient<AwsRole>> = Api::all(session.client.clone());
    let roles = watcher(api, of_roles).default_backoff();
    let api: Api<Lenient<AwsCredentialRequest>> = Api::all(session.client.clone());
    let requests = watcher(api, config).default_backoff();
    let (mut roles, mut requests) = (pin!(roles), pin!(requests));
    let mut standing = Standing::new(marks);
    standing.noted = known;
    let mut progress = Progress::new();
    let mut end = pin!(patience.end());
    while !standing.is_done() {
        let sentence = standing.sentence();
        progress.show(&sentence);
        tokio::select! {
            seen = roles.next() => match seen {
                Some(Ok(event)) => of_a_role(&mut standing, event),
                Some(Err(error)) => refused(&error, ROLES)?,
                None => return Err(ended()),
            },
            seen = requests.next() => match seen {
                Some(Ok(event)) => of_a_request(&mut standing, event),
                Some(Err(error)) => refused(&error, REQUESTS)?,
                None => return Err(ended()),
            },
            () = &mut end => return Err(Failure::pending(format!(
                "asked for, not done: {sentence}; is the operator running? kubectl keylease doctor"
            ))),
        }
    }
    Ok(())
}

fn ended() -> Failure {
    Failure::pending("asked for, and not known to be done: the watch ended by itself")
}

/// A right that is missing will not come by itself; all else may.
fn refused(error: &watcher::Error, resource: &'static str) -> Result<(), Failure> {
    if !wait::is_refusal(error) {
        return Ok(());
    }
    let call = Call {
        verb: "watch",
        resource,
        namespace: None,
        name: "",
    };
    let sentence = call.watch_failed(error).sentence;
    Err(Failure::pending(format!(
        "asked for, and not known to be done: {sentence}"
    )))
}

fn of_a_role(standing: &mut Standing, event: watcher::Event<Lenient<AwsRole>>) {
    use watcher::Event as E;
    match event {
        E::Init => standing.roles.clear(),
        E::InitApply(role) | E::Apply(role) => standing.role(&role),
        E::InitDone => {
            // One that is gone took its leases with it.
            let there = &standing.roles;
            let gone = standing.marks.keys().filter(|r| !there.contains(*r));
            standing.noted.extend(gone.cloned());
        }
        E::Delete(role) => {
            let name = role.metadata.name.clone();
            let name = name.filter(|n| standing.marks.contains_key(n));
            standing.noted.extend(name);
        }
    }
}

fn of_a_request(standing: &mut Standing, event: watcher::Event<Lenient<AwsCredentialRequest>>) {
    use watcher::Event as E;
    match event {
        E::Init => standing.told.clear(),
        E::InitApply(request) | E::Apply(request) => {
            standing.request(&request, Timestamp::now());
        }
        E::InitDone => standing.live = Some(standing.told.clone()),
        E::Delete(request) => {
            standing.told.remove(request.uid_str());
            if let Some(live) = &mut standing.live {
                live.remove(request.uid_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const BEFORE: &str = "2026-01-01T00:00:00Z";
    const MARK: &str = "2026-01-01T00:00:01Z";

    fn role(noted: Option<&str>) -> Lenient<AwsRole> {
        let role = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole", "metadata": {"name": "r"},
            "spec": {"accountRef": {"name": "a"}}, "status": {"revokedBefore": noted},
        });
        Lenient(serde_json::from_value(role).unwrap())
    }

    fn request(uid: &str, phase: &str) -> Lenient<AwsCredentialRequest> {
        let request = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": uid, "uid": uid},
            "spec": {"roleRef": {"name": "r"}},
            "status": {
                "phase": phase,
                "lease": {"id": "i", "issuedAt": BEFORE, "expiresAt": "2099-01-01T01:00:00Z",
                    "maxExpiresAt": "2099-01-01T02:00:00Z", "duration": "1h", "renewable": false, "renewals": 0},
                "credential": {"type": "iamUser", "accountId": "123456789012", "accessKeyId": "K", "userName": "u"},
            },
        });
        Lenient(serde_json::from_value(request).unwrap())
    }

    fn standing() -> Standing {
        Standing::new(BTreeMap::from([("r".to_owned(), at(MARK))]))
    }

    #[test]
    fn is_done_when_the_operator_has_noted_it_and_nothing_is_live() {
        use watcher::Event as E;
        let mut standing = standing();
        let sentence = Standing::sentence;
        assert!(sentence(&standing).contains("could not be counted"));
        of_a_role(&mut standing, E::Apply(role(Some(BEFORE))));
        for event in [E::Init, E::InitDone] {
            of_a_request(&mut standing, event);
        }
        assert!(!standing.is_done(), "the operator is away");
        assert!(sentence(&standing).contains("not taken note of it for role r"));
        of_a_request(&mut standing, E::Apply(request("a", "Ready")));
        of_a_request(&mut standing, E::Apply(request("b", "Revoking")));
        of_a_role(&mut standing, E::Apply(role(Some(MARK))));
        assert_eq!(sentence(&standing), "2 leases of role r are still live");
        of_a_request(&mut standing, E::Apply(request("a", "Revoked")));
        assert_eq!(sentence(&standing), "1 lease of role r is still live");
        of_a_request(&mut standing, E::Delete(request("b", "Revoking")));
        assert!(standing.is_done());
    }

    #[test]
    fn a_watch_that_begins_anew_forgets_what_went_meanwhile() {
        use watcher::Event as E;
        let mut standing = standing();
        for event in [E::Init, E::InitApply(request("a", "Ready")), E::InitDone] {
            of_a_request(&mut standing, event);
        }
        of_a_role(&mut standing, E::Apply(role(Some(MARK))));
        assert!(!standing.is_done());
        for event in [E::Init, E::InitDone] {
            of_a_request(&mut standing, event);
        }
        assert!(standing.is_done());
    }

    #[test]
    fn a_role_that_is_gone_needs_no_note() {
        use watcher::Event as E;
        let mut standing = standing();
        for event in [E::Init, E::InitDone] {
            of_a_role(&mut standing, event);
        }
        assert!(standing.noted.contains("r"));
    }
}
