//! What a revocation reaches, and what becomes of it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::table::Table;
use super::{wait, when};
use keylease_api::{AwsCredentialRequest, Credential, Lease, OnExpiry, Phase};

/// Roles with the time before which what they issued is revoked.
pub(super) type Marks = BTreeMap<String, Timestamp>;

/// A lease that a revocation reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Affected {
    /// Its role.
    pub role: String,
    namespace: String,
    name: String,
    key_id: String,
    /// What becomes of the request.
    fate: Fate,
    /// When a session that AWS does not end works no more.
    session_until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays, with phase `Revoked`.
    Ends,
    /// It gets a new credential.
    Renewed,
    /// It is deleted.
    Deleted,
}

impl Affected {
    /// What deleting this request takes.
    pub fn deleted(request: &AwsCredentialRequest) -> Self {
        Self::by(request, Fate::Deleted)
    }

    fn by(request: &AwsCredentialRequest, fate: Fate) -> Self {
        let credential = credential(request);
        let session = credential.is_some_and(|c| c.user_name.is_none());
        let end = lease(request).map(|l| l.expires_at.0);
        Self {
            role: request.spec.role_ref.name.clone(),
            namespace: request.namespace_name().to_owned(),
            name: request.metadata.name.clone().unwrap_or_default(),
            key_id: credential.map_or_else(String::new, |c| c.access_key_id.clone()),
            fate,
            session_until: end.filter(|_| session),
        }
    }

    fn effect(&self) -> String {
        let fate = match self.fate {
            Fate::Ends => "ends as Revoked",
            Fate::Renewed => "gets a new credential",
            Fate::Deleted => "is deleted",
        };
        let session = self
            .session_until
            .map(|t| format!("; its session works until {t}, AWS does not end it before"));
        format!("{fate}{}", session.unwrap_or_default())
    }
}

/// The leases that these marks reach, of all requests.
pub(super) fn affected(
    requests: &[AwsCredentialRequest],
    marks: &Marks,
    now: Timestamp,
) -> Vec<Affected> {
    let reached = requests.iter().filter(|r| {
        let mark = marks.get(&r.spec.role_ref.name);
        mark.is_some_and(|mark| is_live_before(r, *mark, now))
    });
    reached
        .map(|r| {
            let rotates = r.spec.on_expiry == Some(OnExpiry::Rotate);
            let deleting = r.metadata.deletion_timestamp.is_some();
            let fate = match (deleting, rotates) {
                (true, _) => Fate::Deleted,
                (false, true) => Fate::Renewed,
                (false, false) => Fate::Ends,
            };
            Affected::by(r, fate)
        })
        .collect()
}

/// Whether it holds a credential that was issued before that time.
pub(super) fn is_live_before(
    request: &AwsCredentialRequest,
    mark: Timestamp,
    now: Timestamp,
) -> bool {
    let over = matches!(wait::phase(request), Some(Phase::Expired | Phase::Revoked));
    let held = credential(request).is_some();
    // One whose lease cannot be read is of unknown age.
    let before = lease(request).is_none_or(|l| l.issued_at.0 < mark);
    // A session is over by itself; a user lives until it is removed.
    let session = credential(request).is_some_and(|c| c.user_name.is_none());
    let lapsed = session && lease(request).is_some_and(|l| l.expires_at.0 <= now);
    held && before && !over && !lapsed
}

fn lease(request: &AwsCredentialRequest) -> Option<&Lease> {
    request.status.as_ref()?.lease.as_ref()
}

fn credential(request: &AwsCredentialRequest) -> Option<&Credential> {
    request.status.as_ref()?.credential.as_ref()
}

/// How many of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    leases: usize,
    ends: usize,
    renewed: usize,
    sessions: usize,
}

impl Tally {
    /// Counts them.
    pub fn of<'a>(all: impl Iterator<Item = &'a Affected>) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            leases: sum.leases + 1,
            ends: sum.ends + usize::from(one.fate != Fate::Renewed),
            renewed: sum.renewed + usize::from(one.fate == Fate::Renewed),
            sessions: sum.sessions + usize::from(one.session_until.is_some()),
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            leases,
            ends,
            renewed,
            sessions,
        } = self;
        match leases {
            0 => return f.write_str("no leases"),
            1 => f.write_str("1 lease")?,
            n => write!(f, "{n} leases")?,
        }
        if *renewed > 0 {
            write!(f, ", {ends} to end and {renewed} to get a new credential")?;
        }
        match sessions {
            0 => Ok(()),
            n => write!(
                f,
                ", {n} of them with a session that AWS does not end before its time"
            ),
        }
    }
}

/// The list that a dry run prints.
pub(super) fn table(affected: &[Affected]) -> Table {
    let mut table = Table::new(&["NAMESPACE", "NAME", "ROLE", "KEY-ID", "EFFECT"]);
    for one in affected {
        table.row(vec![
            (&one.namespace).into(),
            (&one.name).into(),
            (&one.role).into(),
            (&one.key_id).into(),
            one.effect().into(),
        ]);
    }
    table
}

/// What to say of a request that was deleted and is gone.
pub(super) fn told(request: &AwsCredentialRequest) -> String {
    match Affected::deleted(request).session_until {
        Some(end) if end > Timestamp::now() => format!(
            "revoked: its Secret is deleted; whoever read it can use the session until {}, \
             because AWS does not end one before its time",
            when::at(end, Timestamp::now())
        ),
        _ => "revoked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn request(name: &str, spec: Value, status: Value) -> AwsCredentialRequest {
        let mut spec = spec;
        spec["roleRef"] = json!({"name": "r"});
        serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": name, "namespace": "ns", "uid": name},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn held(phase: &str, issued: &str, user: Option<&str>) -> Value {
        json!({
            "phase": phase,
            "lease": {"id": "i", "issuedAt": issued, "expiresAt": "2099-01-01T01:00:00Z",
                "maxExpiresAt": "2099-01-01T02:00:00Z", "duration": "1h", "renewable": false, "renewals": 0},
            "credential": {"type": "x", "accountId": "123456789012", "accessKeyId": "K", "userName": user},
        })
    }

    const BEFORE: &str = "2026-01-01T00:00:00Z";
    const MARK: &str = "2026-01-01T00:00:01Z";

    #[test]
    fn reaches_what_is_held_and_older_and_tells_what_becomes_of_it() {
        let rotate = || json!({"onExpiry": "Rotate"});
        let all = [
            request("ends", json!({}), held("Ready", BEFORE, Some("u"))),
            request("renewed", rotate(), held("Rotating", BEFORE, Some("u"))),
            request("session", json!({}), held("Ready", BEFORE, None)),
            request("younger", json!({}), held("Ready", MARK, Some("u"))),
            request("revoking", json!({}), held("Revoking", BEFORE, Some("u"))),
            request("over", json!({}), held("Expired", BEFORE, Some("u"))),
            request("waits", json!({}), json!({"phase": "Pending"})),
        ];
        let marks = Marks::from([("r".to_owned(), at(MARK))]);
        let reached = affected(&all, &marks, at(MARK));
        let names: Vec<&str> = reached.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["ends", "renewed", "session", "revoking"]);
        assert_eq!(
            Tally::of(reached.iter()).to_string(),
            "4 leases, 3 to end and 1 to get a new credential, 1 of them with a session that \
             AWS does not end before its time"
        );
        assert!(
            reached[2]
                .effect()
                .contains("works until 2099-01-01T01:00:00Z")
        );
        assert!(affected(&all, &Marks::from([("s".to_owned(), at(MARK))]), at(MARK)).is_empty());
        assert!(told(&all[2]).contains("can use the session until"));
        assert_eq!(told(&all[0]), "revoked");
    }
}
