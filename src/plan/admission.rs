//! Whether a request may be served, and what for: deny by default, one clear
//! sentence for each refusal.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::core::{Selector, SelectorExt};

use super::intent::{Intent, Permission, user_name_of};
use super::naming::{self, ClusterId};
use super::policy;
use super::reasons::{Reason, Verdict};
use crate::api::{
    AllowedNamespaces, AwsCredentialRequest, AwsRole, GoDuration, IamUser, format_duration,
};

/// The longest and the default lifetime where a role sets neither: 768h, as
/// in Vault.
pub const SYSTEM_MAX_TTL: SignedDuration = SignedDuration::from_hours(768);
/// The shortest lifetime of a lease.
pub const MIN_TTL: SignedDuration = SignedDuration::from_secs(1);

/// What the operator knows of an account that it is signed in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// Name of the `AwsAccount`.
    pub name: String,
    /// The 12-digit account id.
    pub account_id: String,
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
}

/// Labels of the request's namespace, as far as they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceView {
    /// Not read. Asked for only where a role selects by label.
    Unread,
    /// Its labels, read directly.
    Labels(BTreeMap<String, String>),
}

/// The outcome of [`admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Serve it, like this.
    Granted(Box<Intent>),
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
) -> Admission {
    match judge(request, role, namespace, account, cluster) {
        Ok(intent) => Admission::Granted(Box::new(intent)),
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
) -> Result<Intent, Denial> {
    check_namespace(request, role, namespace)?;
    let user = check_role(role)?;
    let (ttl, max) = ttls(request, role)?;
    let boundary = check_boundary(role, account)?;
    let generation = role.metadata.generation.unwrap_or_default();
    let role_uid = role.metadata.uid.as_deref().unwrap_or_default();
    Ok(Intent {
        uid: request.uid_str().to_owned(),
        attempt: Intent::of(request, cluster).map_or(1, |i| i.attempt + 1),
        account: account.name.clone(),
        account_id: account.account_id.clone(),
        user_name: user_name_of(request, cluster),
        path: naming::user_path(
            &account.path,
            cluster,
            user.path.as_deref().unwrap_or_default(),
        ),
        boundary,
        permissions: permissions(user),
        role: format!("{role_uid}/{generation}"),
        ttl_seconds: ttl.as_secs(),
        max_ttl_seconds: max.as_secs(),
    })
}

fn check_namespace(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    namespace: &NamespaceView,
) -> Result<(), Denial> {
    let wanted = request.namespace_name();
    let role_name = role.metadata.name.as_deref().unwrap_or_default();
    let allowed = role.spec.allowed_namespaces.clone().unwrap_or_default();
    let AllowedNamespaces { names, selector } = allowed;
    if names.iter().any(|n| n == "*" || n == wanted) {
        return Ok(());
    }
    let selector = selector.unwrap_or_default();
    let selects = selector
        .match_labels
        .as_ref()
        .is_some_and(|l| !l.is_empty())
        || selector
            .match_expressions
            .as_ref()
            .is_some_and(|e| !e.is_empty());
    if selects {
        let NamespaceView::Labels(labels) = namespace else {
            return Err(Denial::NeedsNamespace);
        };
        let selector = Selector::try_from(selector).map_err(|e| {
            Verdict::new(
                Reason::RoleInvalid,
                format!("role {role_name}: allowedNamespaces.selector cannot be read: {e}"),
            )
        })?;
        if selector.matches(labels) {
            return Ok(());
        }
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

/// Checks what CEL cannot: the policy document is JSON. Returns the user part.
///
/// # Errors
/// A verdict for the role's condition as well as the request's.
pub fn check_role(role: &AwsRole) -> Result<&IamUser, Verdict> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let invalid = |message: String| Verdict::new(Reason::RoleInvalid, message);
    let user = role.spec.iam_user.as_ref().ok_or_else(|| {
        invalid(format!(
            "role {name} has no credential type; set spec.iamUser"
        ))
    })?;
    if let Some(document) = &user.policy_document {
        policy::check_document(document)
            .map_err(|e| invalid(format!("role {name}: iamUser.policyDocument {e}")))?;
    }
    role_ttls(role)?;
    Ok(user)
}

fn role_ttls(role: &AwsRole) -> Result<(SignedDuration, SignedDuration), Verdict> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let ttl = role.spec.ttl.clone().unwrap_or_default();
    let read = |field: &str, value: Option<GoDuration>| -> Result<Option<_>, Verdict> {
        let Some(value) = value else { return Ok(None) };
        let ttl = value.get().map_err(|e| {
            Verdict::new(
                Reason::RoleInvalid,
                format!("role {name}: ttl.{field}: {e}"),
            )
        })?;
        if (MIN_TTL..=SYSTEM_MAX_TTL).contains(&ttl) {
            return Ok(Some(ttl));
        }
        Err(Verdict::new(
            Reason::RoleInvalid,
            format!("role {name}: ttl.{field} must lie between 1s and 768h"),
        ))
    };
    let max = read("max", ttl.max)?.unwrap_or(SYSTEM_MAX_TTL);
    let default = read("default", ttl.default)?.unwrap_or(max);
    if default > max {
        return Err(Verdict::new(
            Reason::RoleInvalid,
            format!("role {name}: ttl.default must not be longer than ttl.max"),
        ));
    }
    Ok((default, max))
}

fn ttls(
    request: &AwsCredentialRequest,
    role: &AwsRole,
) -> Result<(SignedDuration, SignedDuration), Verdict> {
    let (default, max) = role_ttls(role)?;
    let Some(wanted) = &request.spec.ttl else {
        return Ok((default, max));
    };
    let ttl = wanted
        .get()
        .map_err(|e| Verdict::new(Reason::InvalidRequest, format!("spec.ttl: {e}")))?;
    if ttl < MIN_TTL {
        return Err(Verdict::new(
            Reason::InvalidRequest,
            "spec.ttl must be 1s or longer",
        ));
    }
    if ttl > max {
        return Err(Verdict::new(
            Reason::TtlAboveMaximum,
            format!(
                "spec.ttl {} is longer than the maximum {} of role {}; ask for {} or less",
                wanted.0,
                format_duration(max),
                role.metadata.name.as_deref().unwrap_or_default(),
                format_duration(max)
            ),
        ));
    }
    Ok((ttl, max))
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
