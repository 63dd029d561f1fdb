//! Whether a role can be served at all in its account.

use super::{AccountFacts, forms};
use crate::plan::naming::is_object_name;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::{adopted, policy, ttl};
use keylease_api::{AwsRole, Rfc3339};

/// Checks what CEL cannot: that documents are JSON, and that the account's own
/// credentials can make this type.
///
/// # Errors
/// A verdict for the role's condition as well as the request's.
pub fn check_role(role: &AwsRole, account: &AccountFacts) -> Result<(), Verdict> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let invalid = |message: String| Err(Verdict::new(Reason::RoleInvalid, message));
    check_readable(role, account)?;
    if !is_object_name(&role.spec.account_ref.name) {
        return invalid(format!(
            "role {name}: accountRef.name {:?} is not the name of a Kubernetes object",
            role.spec.account_ref.name
        ));
    }
    ttl::of_role(role)?;
    if let Err(error) = forms::check(role) {
        return invalid(format!("role {name}: {error}"));
    }
    if let Some(Err(error)) = role.spec.revoke_before.as_ref().map(Rfc3339::get) {
        return invalid(format!(
            "role {name}: revokeBefore: {error}; until then nothing is issued, and no more is \
             revoked than before"
        ));
    }
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
    if let Some(verdict) = adopted::is_operator(role, &account.name, &account.arn) {
        return Err(verdict);
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

/// What is issued depends on all of role and account.
///
/// # Errors
/// A verdict when some of either cannot be read.
pub fn check_readable(role: &AwsRole, account: &AccountFacts) -> Result<(), Verdict> {
    if !role.spec.unreadable.is_empty() {
        return Err(unreadable_role(role));
    }
    match account.unreadable.summary() {
        Some(what) => Err(unreadable(&format!("AwsAccount {}", account.name), &what)),
        None => Ok(()),
    }
}

/// The verdict on a role of which some cannot be read.
pub fn unreadable_role(role: &AwsRole) -> Verdict {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let what = role.spec.unreadable.summary().unwrap_or_default();
    unreadable(&format!("AwsRole {name}"), &what)
}

fn unreadable(object: &str, what: &str) -> Verdict {
    Verdict::new(
        Reason::Unreadable,
        format!(
            "{object} cannot be read ({what}); correct it, or go back to the version of Keylease \
             that wrote it. Leases in force run to their end"
        ),
    )
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
