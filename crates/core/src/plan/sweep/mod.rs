//! The sweep of one AWS account: which IAM users under our path belong to no
//! request, whether so many of them can be believed, and which leases to doubt.
//!
//! The order of the reads is what makes it safe. Users are listed first, then
//! requests, straight from the API server, then users once more: the finalizer
//! and the intent of a request are there before its user and go after it, so a
//! user that is on both lists and belongs to no request was left behind.

pub mod census;
pub mod guard;
pub mod orphan;
pub mod report;
pub mod schedule;
pub mod status;
pub mod suspects;

use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};

use self::census::{Census, Claim};
use self::guard::{Approval, Guard};
use self::report::CredentialReport;
use self::suspects::Suspect;
use crate::plan::naming::ClusterId;
use keylease_api::SweepHalt;

/// A user as `ListUsers` tells of it: neither tags nor boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// When AWS made it.
    pub created: Timestamp,
}

/// What one account and the API server told.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The AWS account.
    pub account_id: String,
    /// Path under which users are swept; see [`swept_path`].
    pub path: String,
    /// When the list of users was begun.
    pub listed_at: Timestamp,
    /// The users under the path.
    pub users: Vec<ListedUser>,
    /// Who may have users, read after the list of users had ended.
    pub census: Census,
    /// Names of users that AWS put into quarantine.
    pub quarantined: BTreeSet<String>,
    /// What AWS says of keys and passwords; `None` where it was not to be had.
    pub report: Option<CredentialReport>,
}

impl Picture {
    /// Whether there is a user that no request accounts for: reason enough to
    /// list them again.
    pub fn has_unclaimed(&self) -> bool {
        self.users.iter().any(|user| !self.claims(user))
    }

    /// Takes note of a second list of users, made after the requests were read.
    /// A user that is not on it any more was on its way out with its request.
    pub fn keep_those_on(&mut self, again: &[ListedUser]) {
        let there: HashSet<_> = again.iter().map(|user| &user.name).collect();
        let mut users = std::mem::take(&mut self.users);
        users.retain(|user| self.claims(user) || there.contains(&user.name));
        self.users = users;
    }

    fn claims(&self, user: &ListedUser) -> bool {
        self.census.of_user(&user.name).is_some_and(Claim::stands)
    }
}

/// The bounds of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Users younger than this are left alone.
    pub min_age: SignedDuration,
    /// How long an implausible number of orphans is left for a person to look
    /// at, before they are removed.
    pub patience: SignedDuration,
}

/// What is to be said of one listed user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A request accounts for it.
    Claimed,
    /// Nobody accounts for it, but it was made a moment ago.
    Young,
    /// Its name is not one of ours, or its path not under ours: not touched.
    Foreign,
    /// Nobody accounts for it.
    Orphan,
}

impl Standing {
    /// The sentence for a person.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Claimed => "a request accounts for it",
            Self::Young => "no request accounts for it, and it is younger than the minimum age",
            Self::Foreign => "its name or path is not one of the operator's",
            Self::Orphan => "no request accounts for it",
        }
    }
}

/// What came of looking at a [`Picture`].
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Every listed user, and how it stands.
    pub users: Vec<(ListedUser, Standing)>,
    /// Leases to doubt.
    pub suspects: Vec<Suspect>,
    /// Whether the orphans may be removed.
    pub guard: Guard,
}

impl Findings {
    /// The users that no request accounts for.
    pub fn orphans(&self) -> impl Iterator<Item = &ListedUser> {
        let orphans = self.users.iter().filter(|(_, s)| *s == Standing::Orphan);
        orphans.map(|(user, _)| user)
    }
}

/// The path under which an account is swept: the one under which this cluster
/// makes its users, and no other cluster does.
pub fn swept_path(account_path: &str, cluster: &ClusterId) -> String {
    super::naming::user_path(account_path, cluster, "")
}

/// Looks at the picture.
pub fn judge(
    picture: &Picture,
    limits: Limits,
    halted: Option<&SweepHalt>,
    approval: Option<Approval>,
    now: Timestamp,
) -> Findings {
    let standing = |user: &ListedUser| standing(picture, user, limits.min_age, now);
    let users: Vec<_> = picture
        .users
        .iter()
        .map(|user| (user.clone(), standing(user)))
        .collect();
    let orphans = users.iter().filter(|(_, s)| *s == Standing::Orphan).count();
    let count = guard::Count {
        orphans,
        users: users.len(),
        requests: picture.census.requests(),
    };
    Findings {
        guard: guard::judge(count, halted, approval, limits.patience, now),
        suspects: suspects::find(picture),
        users,
    }
}

fn standing(
    picture: &Picture,
    user: &ListedUser,
    min_age: SignedDuration,
    now: Timestamp,
) -> Standing {
    if !user.path.starts_with(&picture.path) || !orphan::is_our_form(&user.name) {
        return Standing::Foreign;
    }
    if picture.claims(user) {
        Standing::Claimed
    } else if now.duration_since(user.created) < min_age {
        Standing::Young
    } else {
        Standing::Orphan
    }
}

#[cfg(test)]
mod tests;
