//! What to ask STS for: the credential types that are sessions.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::ownership::fill;
use super::policy;
use super::reasons::{Reason, Verdict};
use super::ttl::Ttls;
use crate::api::{AwsCredentialRequest, AwsRole};

/// Longest name of a federated user (STS API reference, GetFederationToken).
const MAX_FEDERATION_NAME: usize = 32;
/// Longest name of a role session (AssumeRole).
const MAX_SESSION_NAME: usize = 64;
/// Characters of a name that make it unique: eight hexadecimal digits and a
/// dash.
const UNIQUE: usize = 9;

/// One STS call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSpec {
    /// Which call, and what only it takes.
    pub call: SessionCall,
    /// Length in seconds.
    pub seconds: i32,
    /// Managed policies that narrow the session.
    pub policy_arns: Vec<String>,
    /// Inline policy that narrows the session.
    pub policy_document: Option<String>,
}

/// The three calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCall {
    /// `sts:AssumeRole`.
    AssumeRole {
        /// The role.
        role_arn: String,
        /// The session's name, unique for each issue.
        name: String,
        /// The external id.
        external_id: Option<String>,
        /// Session tags.
        tags: BTreeMap<String, String>,
    },
    /// `sts:GetFederationToken`.
    FederationToken {
        /// The federated user's name, unique for each issue.
        name: String,
    },
    /// `sts:GetSessionToken`.
    SessionToken,
}

impl SessionCall {
    /// The credential type as status and roles name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::AssumeRole { .. } => "assumedRole",
            Self::FederationToken { .. } => "federationToken",
            Self::SessionToken => "sessionToken",
        }
    }
}

/// The call for this request, or `None` where the role's type is no session.
/// `issue` is whatever differs from one issue to the next: it makes names
/// unique, so that one session can be told (and denied) among others.
///
/// # Errors
/// A verdict that says what to change.
pub fn of(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    ttls: Ttls,
    issue: &str,
) -> Result<Option<SessionSpec>, Verdict> {
    let name = |longest| session_name(request, issue, longest);
    let (call, policy_arns, policy_document) = if let Some(assumed) = &role.spec.assumed_role {
        let call = SessionCall::AssumeRole {
            role_arn: chosen_role(request, &assumed.role_arns)?,
            name: name(MAX_SESSION_NAME),
            external_id: assumed.external_id.clone(),
            tags: assumed
                .session_tags
                .iter()
                .map(|(key, value)| (key.clone(), fill(&value.0, request)))
                .collect(),
        };
        (call, &assumed.policy_arns, &assumed.policy_document)
    } else if let Some(token) = &role.spec.federation_token {
        let call = SessionCall::FederationToken {
            name: name(MAX_FEDERATION_NAME),
        };
        (call, &token.policy_arns, &token.policy_document)
    } else if role.spec.session_token.is_some() {
        (SessionCall::SessionToken, &Vec::new(), &None)
    } else {
        return Ok(None);
    };
    if let Some(document) = policy_document {
        policy::check_document(document).map_err(|e| {
            let name = role.metadata.name.as_deref().unwrap_or_default();
            Verdict::new(
                Reason::RoleInvalid,
                format!("role {name}: policyDocument {e}"),
            )
        })?;
    }
    Ok(Some(SessionSpec {
        call,
        seconds: i32::try_from(ttls.ttl.as_secs()).unwrap_or(i32::MAX),
        policy_arns: policy_arns.clone(),
        policy_document: policy_document.clone(),
    }))
}

fn chosen_role(request: &AwsCredentialRequest, arns: &[String]) -> Result<String, Verdict> {
    let invalid = |message: String| Err(Verdict::new(Reason::InvalidRequest, message));
    match (&request.spec.role_arn, arns) {
        (Some(wanted), _) if arns.contains(wanted) => Ok(wanted.clone()),
        (Some(wanted), _) => invalid(format!(
            "spec.roleArn {wanted} is none of the role's; choose one of {}",
            arns.join(", ")
        )),
        (None, [only]) => Ok(only.clone()),
        (None, _) => invalid(format!(
            "the role has several roleArns; set spec.roleArn to one of {}",
            arns.join(", ")
        )),
    }
}

/// What the request wants to be called, cut to fit, and eight digits that no
/// other issue has.
fn session_name(request: &AwsCredentialRequest, issue: &str, longest: usize) -> String {
    let wanted = request.spec.role_session_name.clone().unwrap_or_else(|| {
        let name = request.metadata.name.as_deref().unwrap_or_default();
        format!("{}-{name}", request.namespace_name())
    });
    let digest = Sha256::digest(format!("{}/{issue}", request.uid_str()));
    let unique: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    let cut: String = wanted.chars().take(longest - UNIQUE).collect();
    format!("{cut}-{unique}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::request;

    #[test]
    fn names_fit_and_differ_by_issue() {
        let mut long = request();
        long.metadata.name = Some("a-name-that-is-quite-a-bit-too-long-for-a-session".into());
        let one = session_name(&long, "1", MAX_FEDERATION_NAME);
        assert_eq!(one.len(), MAX_FEDERATION_NAME);
        assert!(one.starts_with("team-a-name-that-is"));
        assert_ne!(one, session_name(&long, "2", MAX_FEDERATION_NAME));
    }

    #[test]
    fn several_roles_need_a_choice() {
        let arns = ["a".to_owned(), "b".to_owned()];
        let mut request = request();
        assert!(chosen_role(&request, &arns).is_err());
        assert_eq!(chosen_role(&request, &arns[..1]).unwrap(), "a");
        request.spec.role_arn = Some("b".into());
        assert_eq!(chosen_role(&request, &arns).unwrap(), "b");
        request.spec.role_arn = Some("c".into());
        assert!(
            chosen_role(&request, &arns)
                .unwrap_err()
                .message
                .contains("a, b")
        );
    }
}
