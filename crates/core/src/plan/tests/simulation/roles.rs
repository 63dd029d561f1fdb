//! The roles of the simulated cluster: one for each way to a credential, and
//! the claim on a static user.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::cluster::Cluster;
use crate::plan::effect::{FaultClass, Outcome};
use crate::plan::intent::has_finalizer;
use crate::plan::mark;
use crate::plan::view::{HolderView, RoleView};
use keylease_api::{AssumedRole, AwsCredentialRequest, AwsRole, Holder, Lease, StaticUser};

/// The IAM user that was there before the operator, and stays.
pub(super) const STATIC_USER: &str = "legacy";

/// The ways to a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user for each request.
    Users,
    /// One user that stays, held by one request at a time.
    Static,
    /// Sessions.
    Sessions,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Users, Self::Static, Self::Sessions];

    /// The role's name.
    pub fn role(self) -> &'static str {
        match self {
            Self::Users => "dev",
            Self::Static => "static",
            Self::Sessions => "sessions",
        }
    }

    /// Of a request, by the role that it names.
    pub fn of(request: &AwsCredentialRequest) -> Self {
        let named = |kind: &Self| kind.role() == request.spec.role_ref.name;
        Self::ALL.into_iter().find(named).unwrap_or(Self::Users)
    }

    /// The role as it is at first.
    pub fn new_role(self) -> AwsRole {
        let mut role = crate::plan::tests::role();
        role.metadata.name = Some(self.role().to_owned());
        match self {
            Self::Users => {}
            Self::Static => {
                role.spec.iam_user = None;
                role.spec.static_user = Some(StaticUser {
                    user_name: STATIC_USER.into(),
                    rotation_period: Some("40m".into()),
                });
            }
            Self::Sessions => {
                role.spec.iam_user = None;
                role.spec.assumed_role = Some(AssumedRole {
                    role_arns: vec!["arn:aws:iam::123456789012:role/dev".into()],
                    ..AssumedRole::default()
                });
                if let Some(ttl) = &mut role.spec.ttl {
                    ttl.max = Some("12h".into());
                }
            }
        }
        role
    }
}

impl Cluster {
    /// A role that is not on its way out.
    pub fn role(&self, name: &str) -> Option<&Arc<AwsRole>> {
        let role = self.roles.get(name)?.now()?;
        role.metadata.deletion_timestamp.is_none().then_some(role)
    }

    /// Stores a role under a new version.
    pub fn store_role(&mut self, mut role: AwsRole, now: Timestamp) -> Arc<AwsRole> {
        role.metadata.resource_version = Some(self.number().to_string());
        let name = role.metadata.name.clone().unwrap_or_default();
        let role = Arc::new(role);
        let past = self.roles.entry(name).or_default();
        past.set(Some(role.clone()), now);
        role
    }

    /// Puts the mark of what it revokes into a role's status. Says when there
    /// will be another.
    pub fn mark_role(&mut self, kind: Kind, wall: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let role = self.role(kind.role())?.clone();
        let mark = mark::of(&role, wall);
        let rises = mark::rises_at(&role, wall);
        let mut marked = AwsRole::clone(&role);
        let status = marked.status.get_or_insert_default();
        status.observed_generation = role.metadata.generation;
        status.revoked_before = mark;
        if role.status != marked.status {
            self.store_role(marked, now);
        }
        rises
    }

    /// Whether the role's mark says that it revokes this lease.
    pub fn is_marked(&self, name: &str, lease: &Lease) -> bool {
        self.role(name)
            .is_some_and(|role| mark::covers(role, lease))
    }

    /// `kubectl delete`: its finalizer holds a role until its last lease is gone.
    pub fn delete_role(&mut self, name: &str, now: Timestamp) {
        if let Some(role) = self.role(name) {
            let mut role = AwsRole::clone(role);
            role.metadata.deletion_timestamp = Some(Time(now));
            self.store_role(role, now);
        }
    }

    /// Lets go of roles that are on their way out and have no lease.
    pub fn release_roles(&mut self, now: Timestamp) {
        let held: Vec<_> = self
            .requests
            .values()
            .filter_map(|past| past.now())
            .filter(|request| has_finalizer(request))
            .map(|request| request.spec.role_ref.name.clone())
            .collect();
        for (name, past) in &mut self.roles {
            let leaving = |role: &Arc<AwsRole>| role.metadata.deletion_timestamp.is_some();
            if past.now().is_some_and(leaving) && !held.contains(name) {
                past.set(None, now);
            }
        }
    }

    /// Whether there is neither a role of that name nor one on its way out.
    pub fn lacks_role(&self, name: &str) -> bool {
        self.roles.get(name).is_none_or(|past| past.now().is_none())
    }

    /// The role as a direct read finds it. The name stands in a URL, and there
    /// `dev/` leads to `dev`.
    pub fn role_view(&self, name: &str) -> RoleView {
        let name = name.trim_end_matches('/');
        RoleView::of(self.roles.get(name).and_then(|past| past.now()).cloned())
    }

    /// The holder of the role's static user, as a direct read finds it.
    pub fn holder_view(&self, role: &RoleView) -> HolderView {
        let holder = match role {
            RoleView::Found(role) => role.status.as_ref().and_then(|s| s.holder.as_ref()),
            _ => None,
        };
        let found = holder.and_then(|h| self.request(&h.name).filter(|r| r.uid_str() == h.uid));
        match found {
            Some(request) if has_finalizer(request) => HolderView::Alive,
            _ => HolderView::Gone,
        }
    }

    /// Writes who holds the role's user, on condition that nobody changed the
    /// role since it was read.
    pub fn claim(
        &mut self,
        seen: &RoleView,
        holder: Option<&Holder>,
        now: Timestamp,
    ) -> Result<Outcome, FaultClass> {
        let (RoleView::Found(seen) | RoleView::Leaving(seen)) = seen else {
            return Err(FaultClass::NotFound);
        };
        let name = seen.metadata.name.clone().unwrap_or_default();
        let found = self.roles.get(&name).and_then(|past| past.now());
        let found = found.ok_or(FaultClass::NotFound)?;
        if found.metadata.resource_version != seen.metadata.resource_version {
            return Err(FaultClass::Stale);
        }
        let mut role = AwsRole::clone(found);
        role.status.get_or_insert_default().holder = holder.cloned();
        Ok(Outcome::Role(self.store_role(role, now)))
    }
}
