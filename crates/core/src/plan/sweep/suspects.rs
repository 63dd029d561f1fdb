//! Leases to doubt: what AWS tells about all users at once does not go with
//! what their requests say.

use jiff::{SignedDuration, Timestamp};

use super::Picture;
use super::census::{Claim, LiveClaim};
use super::report::ReportRow;

/// A key that is younger than its lease by more than this is not the one that
/// was delivered: the clocks of AWS and ours are some minutes apart at most, or
/// AWS would not accept our signatures.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A request that should look at its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What speaks against it.
    pub kind: SuspectKind,
}

/// What speaks against a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuspectKind {
    /// The user is not among those listed.
    UserMissing,
    /// It has fewer active keys than it should.
    KeyMissing,
    /// It has more.
    KeyStray,
    /// Its key was made after the lease had begun.
    KeyReplaced,
    /// It has a password, an MFA device or a certificate.
    Encumbered,
    /// AWS put its quarantine policy on it.
    Quarantined,
    /// Its status says that the key is out of service; that may be over.
    Suspended,
}

impl SuspectKind {
    /// The sentence for a person.
    pub fn explain(self) -> &'static str {
        match self {
            Self::UserMissing => "its IAM user is not there",
            Self::KeyMissing => "its IAM user has no active key",
            Self::KeyStray => "its IAM user has more keys than it should",
            Self::KeyReplaced => "the key of its IAM user is younger than the lease",
            Self::Encumbered => "its IAM user has a password, an MFA device or a certificate",
            Self::Quarantined => "AWS put its quarantine policy on the IAM user",
            Self::Suspended => "its key was out of service, which may be over",
        }
    }

    /// The kind as metric labels carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserMissing => "user_missing",
            Self::KeyMissing => "key_missing",
            Self::KeyStray => "key_stray",
            Self::KeyReplaced => "key_replaced",
            Self::Encumbered => "encumbered",
            Self::Quarantined => "quarantined",
            Self::Suspended => "suspended",
        }
    }
}

/// The suspects of a picture, sorted by namespace and name.
pub(super) fn find(picture: &Picture) -> Vec<Suspect> {
    let listed: std::collections::HashSet<_> = picture.users.iter().map(|u| &u.name).collect();
    let all = picture.census.claims();
    let mut found: Vec<Suspect> = all
        .filter_map(|(user, claim)| {
            let live = claim.live.as_ref().filter(|live| is_here(live, picture))?;
            let kind = if listed.contains(user) {
                told_directly(user, live, picture).or_else(|| told_by_report(live, picture))
            } else {
                // Users made after the list are not on it.
                began_before(live, picture.listed_at, picture).then_some(SuspectKind::UserMissing)
            };
            kind.map(|kind| suspect(claim, kind))
        })
        .collect();
    found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    found
}

/// Whether the user should be on the list: made in this account, under this
/// path. (An account's path may have been changed since.)
fn is_here(live: &LiveClaim, picture: &Picture) -> bool {
    let path = live.arn.split_once(":user").map_or("", |(_, path)| path);
    live.account_id == picture.account_id && path.starts_with(&picture.path) && !live.changing
}

/// Whether the lease began before that. When one began whose beginning lies ahead,
/// as a clock that was wrong wrote it, is not known: it is looked at.
fn began_before(live: &LiveClaim, then: Timestamp, picture: &Picture) -> bool {
    let ahead = live.issued_at.duration_since(picture.listed_at) > SKEW;
    ahead || live.issued_at < then
}

/// What needs no report.
fn told_directly(user: &String, live: &LiveClaim, picture: &Picture) -> Option<SuspectKind> {
    if picture.quarantined.contains(user) {
        Some(SuspectKind::Quarantined)
    } else {
        live.suspended.then_some(SuspectKind::Suspended)
    }
}

fn told_by_report(live: &LiveClaim, picture: &Picture) -> Option<SuspectKind> {
    let report = picture.report.as_ref()?;
    // A report that was made before the key says nothing about it.
    if !began_before(live, report.generated, picture) {
        return None;
    }
    let row = report.row(&live.arn)?;
    judge(live, row)
}

fn judge(live: &LiveClaim, row: &ReportRow) -> Option<SuspectKind> {
    let latest = live.issued_at.checked_add(SKEW).unwrap_or(live.issued_at);
    let active = row.active_keys.len();
    let young = |made: &Option<Timestamp>| made.is_some_and(|made| made > latest);
    if active == 0 {
        Some(SuspectKind::KeyMissing)
    } else if active > live.keys {
        Some(SuspectKind::KeyStray)
    } else if row.active_keys.iter().any(young) {
        Some(SuspectKind::KeyReplaced)
    } else if row.encumbered {
        Some(SuspectKind::Encumbered)
    } else {
        None
    }
}

fn suspect(claim: &Claim, kind: SuspectKind) -> Suspect {
    Suspect {
        namespace: claim.namespace.clone(),
        name: claim.name.clone(),
        uid: claim.uid.clone(),
        kind,
    }
}
