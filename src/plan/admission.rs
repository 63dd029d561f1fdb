//! Whether a request may be served, and what for: deny by default, one clear
//! sentence for each refusal.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};

use super::adopted;
use super::intent::{Intent, Permission, user_name_of};
use super::naming::{self, ClusterId};
use super::policy;
use super::reasons::{Reason, Verdict};
use super::session_spec::{self, SessionSpec};
use super::ttl;
use super::view::Usage;
use crate::api::{AllowedNamespaces, AwsCredentialRequest, AwsRole, IamUser, OnExpiry};

/// What the operator knows of an account that it is signed in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// Name of the `AwsAccount`.
    pub name: String,
    /// The 12-digit account id.
    pub account_id: String,
    /// Who the operator is there.
    pub arn: String,
    /// The partition in ARNs: `aws`, `aws-cn`, `aws-us-gov`.
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
    check_namespace(request, role, namespace)?;
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

/// An old key of a static user has to be gone when the next one is due.
fn check_period(request: &AwsCredentialRequest, role: &AwsRole) -> Result<(), Verdict> {
    let Some(period) = adopted::rotation_period(role) else {
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

/// Whether a role allows a namespace, by name or by its labels; `None` where
/// that hangs on labels which are not known. Nobody is allowed by default, and
/// an empty selector selects nobody.
///
/// # Errors
/// What is wrong with the selector.
pub fn allows(
    role: &AwsRole,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<Option<bool>, String> {
    let allowed = role.spec.allowed_namespaces.clone().unwrap_or_default();
    let AllowedNamespaces { names, selector } = allowed;
    if names.iter().any(|n| n == "*" || n == namespace) {
        return Ok(Some(true));
    }
    let selector = selector.unwrap_or_default();
    let labelled = selector
        .match_labels
        .as_ref()
        .is_some_and(|l| !l.is_empty());
    let expressed = selector
        .match_expressions
        .as_ref()
        .is_some_and(|e| !e.is_empty());
    if !labelled && !expressed {
        return Ok(Some(false));
    }
    let Some(labels) = labels else {
        return Ok(None);
    };
    let selector = Selector::try_from(selector).map_err(|e| e.to_string())?;
    Ok(Some(selector.matches(labels)))
}

fn check_namespace(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    namespace: &NamespaceView,
) -> Result<(), Denial> {
    let wanted = request.namespace_name();
    let role_name = role.metadata.name.as_deref().unwrap_or_default();
    let labels = match namespace {
        NamespaceView::Unread => None,
        NamespaceView::Labels(labels) => Some(labels),
    };
    let allowed = allows(role, wanted, labels).map_err(|e| {
        Verdict::new(
            Reason::RoleInvalid,
            format!("role {role_name}: allowedNamespaces.selector cannot be read: {e}"),
        )
    })?;
    match allowed {
        Some(true) => return Ok(()),
        None => return Err(Denial::NeedsNamespace),
        Some(false) => {}
    }
    Err(Verdict::new(
        Reason::NamespaceNotAllowed,
        format!(
            "role {role_name} does not allow namespace {wanted}; add it to \
             spec.allowedNamespaces of the AwsRole, or ask for another role"
        ),
    )
    .into())
}

/// Checks what CEL cannot: that documents are JSON, and that the account's own
/// credentials can make this type.
///
/// # Errors
/// A verdict for the role's condition as well as the request's.
pub fn check_role(role: &AwsRole, account: &AccountFacts) -> Result<(), Verdict> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let invalid = |message: String| Err(Verdict::new(Reason::RoleInvalid, message));
    ttl::of_role(role)?;
    check_boundary(role, account)?;
    let spec = &role.spec;
    if let Some(document) = spec
        .iam_user
        .as_ref()
        .and_then(|u| u.policy_document.as_ref())
        && let Err(error) = policy::check_document(document)
    {
        return invalid(format!("role {name}: iamUser.policyDocument {error}"));
    }
    let needs_user_key = spec.federation_token.is_some() || spec.session_token.is_some();
    if needs_user_key && !account.is_user() {
        return invalid(format!(
            "role {name}: AWS gives federation and session tokens only to the long-term key of an \
             IAM user, and AwsAccount {} signs in as {}; use assumedRole, or an account with a \
             user's key in credentials.secretRef",
            account.name, account.arn
        ));
    }
    Ok(())
}

/// The boundary that users of this role get in this account.
///
/// # Errors
/// A verdict when the role wants one of its own and may not have it.
pub fn check_boundary(role: &AwsRole, account: &AccountFacts) -> Result<Option<String>, Verdict> {
    let user = role.spec.iam_user.as_ref();
    let wanted = user.and_then(|u| u.permissions_boundary_arn.as_ref());
    match wanted {
        None => Ok(account.boundary.clone()),
        Some(arn) if account.allow_role_boundary || account.boundary.as_ref() == Some(arn) => {
            Ok(Some(arn.clone()))
        }
        Some(_) => Err(Verdict::new(
            Reason::RoleInvalid,
            format!(
                "role {} names a permissions boundary of its own, which account {} does not \
                 allow; remove iamUser.permissionsBoundaryArn or set iamUsers.allowRoleBoundary",
                role.metadata.name.as_deref().unwrap_or_default(),
                account.name
            ),
        )),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(rule: serde_json::Value, labels: Option<&[(&str, &str)]>) -> Option<bool> {
        let spec = serde_json::from_value(json!({
            "accountRef": {"name": "a"}, "iamUser": {}, "allowedNamespaces": rule,
        }));
        let role = AwsRole::new("r", spec.unwrap());
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let labels = labels.map(|l| l.iter().map(own).collect());
        super::allows(&role, "here", labels.as_ref()).unwrap()
    }

    #[test]
    fn nobody_unless_named_or_selected() {
        let selector = json!({"selector": {"matchLabels": {"team": "a"}}});
        assert_eq!(judged(json!(null), None), Some(false));
        assert_eq!(judged(json!({"names": ["there"]}), None), Some(false));
        assert_eq!(
            judged(json!({"names": ["there", "here"]}), None),
            Some(true)
        );
        assert_eq!(judged(json!({"names": ["*"]}), None), Some(true));
        assert_eq!(judged(json!({"selector": {}}), Some(&[])), Some(false));
        assert_eq!(judged(selector.clone(), Some(&[("team", "a")])), Some(true));
        assert_eq!(
            judged(selector.clone(), Some(&[("team", "b")])),
            Some(false)
        );
        assert_eq!(judged(selector, None), None);
    }
}
