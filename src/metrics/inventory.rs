//! What there is, counted from the caches whenever somebody asks for metrics:
//! gauges that nobody has to keep in step. A standby has no caches and shows
//! none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cache::{Filed, Glance};
use keylease_api::{AwsAccount, AwsRole, ConditionType, Phase, get_condition};

/// Labels of requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct LeaseLabels {
    /// The role, if there is one of that name, else empty: whoever may make
    /// requests must not be able to make labels.
    role: String,
    /// The phase.
    phase: &'static str,
}

/// Labels of leases whose next key cannot be made.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct RoleLabels {
    /// The role, as above.
    role: String,
}

/// Labels of accounts.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AccountLabels {
    /// `true` or `false`: whether the operator is signed in.
    ready: &'static str,
}

/// Labels of the identity in an account.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IdentityLabels {
    /// `alone`, `seen`, `holds` or `unknown`: what is known of a copy of this
    /// cluster.
    twin: &'static str,
}

/// Labels of the operator's own keys.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct RootKeyLabels {
    /// The 12-digit id of the AWS account.
    account: String,
}

/// Labels of objects that cannot be read.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    /// `AwsAccount`, `AwsRole` or `AwsCredentialRequest`.
    kind: &'static str,
}

/// The caches that are counted.
pub struct Caches {
    /// All accounts.
    pub accounts: Store<AwsAccount>,
    /// All roles.
    pub roles: Store<AwsRole>,
    /// Requests that are served.
    pub requests: Store<Filed>,
}

/// The gauges, and where their numbers come from.
#[derive(Clone)]
pub struct Inventory {
    leases: Family<LeaseLabels, Gauge>,
    overdue: Gauge,
    longest_overdue: Gauge,
    stuck: Family<RoleLabels, Gauge>,
    stuck_left: Family<RoleLabels, Gauge>,
    accounts: Family<AccountLabels, Gauge>,
    identities: Family<IdentityLabels, Gauge>,
    root_keys: Family<RootKeyLabels, Gauge>,
    unreadable: Family<KindLabels, Gauge>,
    caches: Arc<OnceLock<Caches>>,
    /// Two who ask at a time must not empty each other's gauges.
    counting: Arc<Mutex<()>>,
}

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    leases: BTreeMap<LeaseLabels, i64>,
    overdue: i64,
    longest_overdue: i64,
    /// How many, and the seconds until the first of them ends.
    stuck: BTreeMap<RoleLabels, (i64, i64)>,
    ready: i64,
    not_ready: i64,
    alone: i64,
    twin_seen: i64,
    twin_holds: i64,
    unknown: i64,
    root_keys: BTreeMap<RootKeyLabels, i64>,
    unreadable_accounts: i64,
    unreadable_roles: i64,
    unreadable_requests: i64,
}

impl Inventory {
    /// Gauges that this registry shows.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            leases: Family::default(),
            overdue: Gauge::default(),
            longest_overdue: Gauge::default(),
            stuck: Family::default(),
            stuck_left: Family::default(),
            accounts: Family::default(),
            identities: Family::default(),
            root_keys: Family::default(),
            unreadable: Family::default(),
            caches: Arc::default(),
            counting: Arc::default(),
        };
        registry.register(
            "leases",
            "Requests by role and phase; the role is empty where there is none of that name",
            all.leases.clone(),
        );
        registry.register(
            "leases_overdue",
            "Leases whose end has come, or that are being revoked, and that AWS still holds something of",
            all.overdue.clone(),
        );
        registry.register(
            "lease_overdue_seconds",
            "How long the longest of the overdue leases is overdue, in seconds",
            all.longest_overdue.clone(),
        );
        registry.register(
            "rotations_failing",
            "Leases in force whose next key is due and cannot be made, by role",
            all.stuck.clone(),
        );
        registry.register(
            "rotation_failing_left_seconds",
            "How long until the first of them ends, in seconds, by role",
            all.stuck_left.clone(),
        );
        registry.register(
            "accounts",
            "AwsAccounts, by whether the operator is signed in to them",
            all.accounts.clone(),
        );
        registry.register(
            "account_identities",
            "AwsAccounts, by what is known of a copy of this cluster that works there",
            all.identities.clone(),
        );
        registry.register(
            "root_key_rotated_timestamp_seconds",
            "When the operator's own key in an account was made, in seconds since 1970",
            all.root_keys.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Objects of which this version cannot read some part; nothing new is issued for them",
            all.unreadable.clone(),
        );
        all
    }

    /// From now on these are counted.
    pub fn count_from(&self, caches: Caches) {
        // Set once, when the watches are made.
        let _ = self.caches.set(caches);
    }

    /// Counts anew, and holds the numbers still while `read` reads them.
    pub(super) fn fresh<T>(&self, now: Timestamp, read: impl FnOnce() -> T) -> T {
        let _alone = self.counting.lock();
        if let Some(caches) = self.caches.get() {
            let accounts = caches.accounts.state();
            let all_roles = caches.roles.state();
            let roles = all_roles.iter().map(|r| r.name_any()).collect();
            let requests = caches.requests.state();
            let accounts = accounts.iter().map(AsRef::as_ref);
            let requests = requests.iter().map(|filed| &filed.glance);
            let mut counts = Counts::of(accounts, &roles, requests, now);
            let is_odd = |role: &&Arc<AwsRole>| !role.spec.unreadable.is_empty();
            counts.unreadable_roles = count(all_roles.iter().filter(is_odd));
            self.show(counts);
        }
        read()
    }

    fn show(&self, counts: Counts) {
        self.leases.clear();
        for (labels, n) in counts.leases {
            self.leases.get_or_create(&labels).set(n);
        }
        self.overdue.set(counts.overdue);
        self.longest_overdue.set(counts.longest_overdue);
        self.stuck.clear();
        self.stuck_left.clear();
        for (labels, (n, left)) in counts.stuck {
            self.stuck.get_or_create(&labels).set(n);
            self.stuck_left.get_or_create(&labels).set(left);
        }
        for (ready, n) in [("true", counts.ready), ("false", counts.not_ready)] {
            self.accounts.get_or_create(&AccountLabels { ready }).set(n);
        }
        for (kind, n) in [
            ("AwsAccount", counts.unreadable_accounts),
            ("AwsRole", counts.unreadable_roles),
            ("AwsCredentialRequest", counts.unreadable_requests),
        ] {
            self.unreadable.get_or_create(&KindLabels { kind }).set(n);
        }
        for (twin, n) in [
            ("alone", counts.alone),
            ("seen", counts.twin_seen),
            ("holds", counts.twin_holds),
            ("unknown", counts.unknown),
        ] {
            self.identities
                .get_or_create(&IdentityLabels { twin })
                .set(n);
        }
        self.root_keys.clear();
        for (labels, made) in counts.root_keys {
            self.root_keys.get_or_create(&labels).set(made);
        }
    }
}

#[cfg(test)]
impl Inventory {
    /// Every gauge with a value, for tests of what is documented.
    pub(super) fn show_one_of_each(&self) {
        let labels = LeaseLabels {
            role: String::new(),
            phase: "Ready",
        };
        let account = "123456789012".to_owned();
        let role = String::new();
        self.show(Counts {
            stuck: BTreeMap::from([(RoleLabels { role }, (1, 60))]),
            leases: BTreeMap::from([(labels, 1)]),
            root_keys: BTreeMap::from([(RootKeyLabels { account }, 1)]),
            ..Counts::default()
        });
    }
}

impl Counts {
    fn of<'a>(
        accounts: impl Iterator<Item = &'a AwsAccount>,
        roles: &BTreeSet<String>,
        requests: impl Iterator<Item = &'a Glance>,
        now: Timestamp,
    ) -> Self {
        let mut counts = Self::default();
        for account in accounts {
            counts.unreadable_accounts += i64::from(!account.spec.unreadable.is_empty());
            let status = account.status.clone().unwrap_or_default();
            let ready = |c: &keylease_api::Condition| c.type_ == "Ready" && c.status == "True";
            match status.conditions.iter().any(ready) {
                true => counts.ready += 1,
                false => counts.not_ready += 1,
            }
            let unique = get_condition(&status.conditions, ConditionType::Unique);
            match unique.map(|c| c.reason.as_str()) {
                Some("Alone") => counts.alone += 1,
                Some("TwinSeen") => counts.twin_seen += 1,
                Some("TwinHolds") => counts.twin_holds += 1,
                _ => counts.unknown += 1,
            }
            if let (Some(account), Some(key)) = (status.account_id, status.root_key) {
                let made = key.rotated_at.0.as_second();
                counts.root_keys.insert(RootKeyLabels { account }, made);
            }
        }
        for request in requests {
            counts.unreadable_requests += i64::from(!request.unreadable.is_empty());
            let role = roles.get(&*request.role).cloned().unwrap_or_default();
            if let Some(end) = request.stuck_until.filter(|end| now < *end) {
                let left = end.as_second() - now.as_second();
                let labels = RoleLabels { role: role.clone() };
                let (n, soonest) = counts.stuck.entry(labels).or_insert((0, left));
                *n += 1;
                *soonest = left.min(*soonest);
            }
            let labels = LeaseLabels {
                role,
                phase: phase(request.phase),
            };
            *counts.leases.entry(labels).or_default() += 1;
            if let Some(end) = request.due.filter(|end| *end < now) {
                let late = now.as_second() - end.as_second();
                counts.overdue += 1;
                counts.longest_overdue = counts.longest_overdue.max(late);
            }
        }
        counts
    }
}

fn count<T>(all: impl Iterator<Item = T>) -> i64 {
    i64::try_from(all.count()).unwrap_or(i64::MAX)
}

fn phase(phase: Option<Phase>) -> &'static str {
    match phase {
        // One that nobody has looked at yet waits like any other.
        None | Some(Phase::Pending) => "Pending",
        Some(Phase::Issuing) => "Issuing",
        Some(Phase::Ready) => "Ready",
        Some(Phase::Rotating) => "Rotating",
        Some(Phase::Revoking) => "Revoking",
        Some(Phase::Expired) => "Expired",
        Some(Phase::Revoked) => "Revoked",
        Some(Phase::Failed) => "Failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylease_api::Defects;

    fn request(role: &str, phase: Option<Phase>, due: Option<&str>) -> Glance {
        Glance {
            role: role.into(),
            account: "default".into(),
            phase,
            due: due.map(at),
            holds: due.is_some(),
            unreadable: Defects::default(),
            stuck_until: None,
        }
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn counts(requests: &[Glance]) -> Counts {
        let roles = BTreeSet::from(["known".to_owned()]);
        let now = at("2026-11-23T02:00:00Z");
        Counts::of(std::iter::empty(), &roles, requests.iter(), now)
    }

    #[test]
    fn leases_are_counted_by_role_and_phase() {
        let all = [
            request("known", Some(Phase::Ready), None),
            request("known", Some(Phase::Ready), None),
            request("known", None, None),
        ];
        let counted: Vec<_> = counts(&all).leases.into_iter().collect();
        let labels = |phase| LeaseLabels {
            role: "known".to_owned(),
            phase,
        };
        assert_eq!(counted, [(labels("Pending"), 1), (labels("Ready"), 2)]);
    }

    #[test]
    fn leases_whose_next_key_cannot_be_made_are_counted_until_they_end() {
        let stuck = |role, end| Glance {
            stuck_until: Some(at(end)),
            ..request(role, Some(Phase::Ready), None)
        };
        let all = [
            stuck("known", "2026-11-23T04:00:00Z"),
            stuck("known", "2026-11-23T03:00:00Z"),
            stuck("known", "2026-11-23T01:00:00Z"),
            stuck("invented", "2026-11-23T02:00:01Z"),
            request("known", Some(Phase::Ready), None),
        ];
        let labels = |role: &str| RoleLabels { role: role.into() };
        let counted: Vec<_> = counts(&all).stuck.into_iter().collect();
        assert_eq!(
            counted,
            [(labels(""), (1, 1)), (labels("known"), (2, 3600))]
        );
    }

    #[test]
    fn a_role_that_does_not_exist_makes_no_label() {
        let all: Vec<_> = (0..100)
            .map(|n| request(&format!("invented-{n}"), Some(Phase::Failed), None))
            .collect();
        assert_eq!(counts(&all).leases.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let mut odd = request("known", Some(Phase::Ready), None);
        odd.unreadable.add("spec.onExpiry", "unknown variant");
        let all = [odd, request("known", Some(Phase::Ready), None)];
        assert_eq!(counts(&all).unreadable_requests, 1);
    }

    #[test]
    fn a_lease_is_overdue_when_its_end_has_come_and_aws_still_holds_it() {
        let late = request("known", Some(Phase::Revoking), Some("2026-11-23T01:50:00Z"));
        let removed = request("known", Some(Phase::Expired), None);
        let alive = request("known", Some(Phase::Ready), Some("2026-11-23T03:00:00Z"));
        let seen = counts(&[late, removed, alive]);
        assert_eq!((seen.overdue, seen.longest_overdue), (1, 600));
    }
}
