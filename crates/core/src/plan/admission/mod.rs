//! Whether a request may be served, and what for: deny by default, one clear
//! sentence for each refusal.

mod forms;
mod names;
mod namespaces;
mod role;
mod secret_metadata;

pub use names::check_names;
pub use namespaces::allows;
pub use role::{check_boundary, check_role, unreadable_role};

use std::collections::BTreeMap;

use super::intent::{Intent, Permission, user_name_of};
use super::naming::{self, ClusterId};
use super::reasons::{Reason, Verdict};
use super::session_spec::{self, SessionSpec};
use super::ttl;
use super::view::Usage;
use keylease_api::{AwsCredentialRequest, AwsRole, Defects, IamUser, OnExpiry};
use namespaces::check_namespace;
use secret_metadata::check_secret_metadata;

/// What the operator knows of an account that it is signed in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// Name of the `AwsAccount`.
    pub name: String,
    /// The 12-digit account id.
    pub account_id: String,
    /// Who the operator is there.
    pub arn: String,
    /// The partition in ARNs: `aws`, `aws-cn`, `aws-eusc`.
    pub partition: String,
    /// The region for issued Secrets.
    pub region: String,
    /// Path under which users are made, without the cluster id.
    pub path: String,
    /// Boundary for every user.
    pub boundary: Option<String>,
    /// Whether a role may name another boundary.
    pub allow_role_boundary: bool,
    /// Tags for every user.
    pub tags: BTreeMap<String, String>,
    /// How many users of ours there may be. 0: no limit.
    pub max_users: usize,
    /// Most IAM calls in a second; `None`: as many as AWS takes.
    pub requests_per_second: Option<u32>,
    /// What of the object could not be read: nothing new is issued meanwhile.
    pub unreadable: Defects,
}

impl AccountFacts {
    /// Whether the operator signs in as an IAM user (or the root user), not as
    /// a session of a role.
    pub fn is_user(&self) -> bool {
        let resource = self.arn.splitn(6, ':').nth(5).unwrap_or_default();
        resource.starts_with("user/") || resource == "root"
    }
}

/// Labels of the request's namespace, as far as they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceView {
    /// Not read. Asked for only where a role selects by label.
    Unread,
    /// Its labels, read directly.
    Labels(BTreeMap<String, String>),
}

/// What to make for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// An IAM user with a key.
    User(Intent),
    /// A session.
    Session(SessionSpec),
}

/// The outcome of [`admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Serve it, like this.
    Granted(Box<Granted>),
    /// The role selects namespaces by label: read the namespace first.
    NeedsNamespace,
    /// Do not serve it, and say why.
    Refused(Verdict),
}

/// Judges a request that has nothing in AWS yet.
pub fn admit(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    namespace: &NamespaceView,
    account: &AccountFacts,
    cluster: &ClusterId,
    usage: &Usage,
) -> Admission {
    let judged = judge(request, role, namespace, account, cluster);
    let judged = judged.and_then(|granted| {
        check_revocable(account, &granted, usage)?;
        check_limits(request, role, account, &granted, usage)?;
        Ok(granted)
    });
    match judged {
        Ok(granted) => Admission::Granted(Box::new(granted)),
        Err(Denial::NeedsNamespace) => Admission::NeedsNamespace,
        Err(Denial::Refused(verdict)) => Admission::Refused(verdict),
    }
}

enum Denial {
    NeedsNamespace,
    Refused(Verdict),
}

impl From<Verdict> for Denial {
    fn from(verdict: Verdict) -> Self {
        Self::Refused(verdict)
    }
}

fn judge(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    namespace: &NamespaceView,
    account: &AccountFacts,
    cluster: &ClusterId,
) -> Result<Granted, Denial> {
    role::check_readable(role, account)?;
    check_namespace(request, role, namespace)?;
    check_secret_metadata(request, role)?;
    check_role(role, account)?;
    let ttls = ttl::of_request(request, role)?;
    if request.spec.on_expiry == Some(OnExpiry::Rotate) {
        ttl::overlap(request, ttls.ttl)?;
    }
    let issue = issue_mark(request);
    if let Some(session) = session_spec::of(request, role, ttls, &issue)? {
        return Ok(Granted::Session(session));
    }
    let boundary = check_boundary(role, account)?;
    let generation = role.metadata.generation.unwrap_or_default();
    let role_uid = role.metadata.uid.as_deref().unwrap_or_default();
    let base = Intent {
        uid: request.uid_str().to_owned(),
        attempt: Intent::of(request, cluster).map_or(1, |i| i.attempt + 1),
        account: account.name.clone(),
        account_id: account.account_id.clone(),
        user_name: user_name_of(request, cluster),
        adopted: false,
        path: String::new(),
        boundary: None,
        permissions: Vec::new(),
        retired: Vec::new(),
        replaces: None,
        role: format!("{role_uid}/{generation}"),
        ttl_seconds: ttls.ttl.as_secs(),
        max_ttl_seconds: ttls.max.as_secs(),
    };
    if let Some(user) = &role.spec.static_user {
        check_period(request, role)?;
        return Ok(Granted::User(Intent {
            user_name: user.user_name.clone(),
            adopted: true,
            ..base
        }));
    }
    let user = role.spec.iam_user.clone().unwrap_or_default();
    let below = user.path.as_deref().unwrap_or_default();
    Ok(Granted::User(Intent {
        path: naming::user_path(&account.path, cluster, below),
        boundary,
        permissions: permissions(&user),
        ..base
    }))
}

/// Whether the role lets the request's namespace have its leases; `false` where
/// that hangs on the namespace's labels, which were not read.
///
/// # Errors
/// Why it does not.
pub fn may_use(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    namespace: &NamespaceView,
) -> Result<bool, Verdict> {
    match check_namespace(request, role, namespace) {
        Ok(()) => Ok(true),
        Err(Denial::NeedsNamespace) => Ok(false),
        Err(Denial::Refused(verdict)) => Err(verdict),
    }
}

/// An old key of a static user has to be gone when the next one is due.
fn check_period(request: &AwsCredentialRequest, role: &AwsRole) -> Result<(), Verdict> {
    let Some(period) = ttl::rotation_period(role) else {
        return Ok(());
    };
    let overlap = ttl::overlap(request, period).map_err(|verdict| {
        let message = verdict.message.replace("lease", "role's rotationPeriod");
        Verdict::new(verdict.reason, message)
    });
    overlap.map(drop)
}

/// What cannot be revoked is not issued: each lease would be one more that
/// lives for ever. Sessions end by themselves.
fn check_revocable(
    account: &AccountFacts,
    granted: &Granted,
    usage: &Usage,
) -> Result<(), Verdict> {
    let (Granted::User(_), 1..) = (granted, usage.denied) else {
        return Ok(());
    };
    Err(Verdict::new(
        Reason::RevocationDenied,
        format!(
            "AWS denies the operator the revocation of {} ended leases of AwsAccount {}, so \
             nothing new is issued there; allow the operator what their condition Revoked names \
             (kubectl keylease leases -A --phase revoking; keylease iam-policy)",
            usage.denied, account.name
        ),
    ))
}

/// Whether there is room for one more. A request that has its place already
/// counts as none of the others.
fn check_limits(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    account: &AccountFacts,
    granted: &Granted,
    usage: &Usage,
) -> Result<(), Verdict> {
    let limits = role.spec.limits.clone().unwrap_or_default();
    let limit = |value: Option<i32>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let namespace = request.namespace_name();
    let users = match granted {
        Granted::User(intent) if !intent.adopted => account.max_users,
        _ => 0,
    };
    let all = [
        (
            limit(limits.max_leases),
            usage.role_leases,
            format!("role {name} (limits.maxLeases)"),
        ),
        (
            limit(limits.max_leases_per_namespace),
            usage.namespace_leases,
            format!("role {name} in namespace {namespace} (limits.maxLeasesPerNamespace)"),
        ),
        (
            users,
            usage.account_users,
            format!("AwsAccount {} (limits.maxUsers)", account.name),
        ),
    ];
    match all
        .into_iter()
        .find(|(limit, used, _)| *limit > 0 && used >= limit)
    {
        None => Ok(()),
        Some((limit, _, what)) => Err(Verdict::new(
            Reason::QuotaExceeded,
            format!("the limit of {limit} leases of {what} is reached; end others or raise it"),
        )),
    }
}

/// What differs from one issue of a request to the next.
fn issue_mark(request: &AwsCredentialRequest) -> String {
    let status = request.status.as_ref();
    let lease = status.and_then(|s| s.lease.as_ref());
    let failures = status.map_or(0, |s| s.failure_count());
    let issued = lease.map(|l| l.issued_at.0.to_string()).unwrap_or_default();
    format!("{issued}/{failures}")
}

fn permissions(user: &IamUser) -> Vec<Permission> {
    let policies = user.policy_arns.iter().cloned();
    let groups = user.groups.iter().cloned();
    policies
        .map(Permission::ManagedPolicy)
        .chain(
            user.policy_document
                .as_ref()
                .map(|_| Permission::InlinePolicy),
        )
        .chain(groups.map(Permission::Group))
        .collect()
}
