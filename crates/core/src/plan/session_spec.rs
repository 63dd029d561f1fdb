//! What to ask STS for: the credential types that are sessions.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::ownership::fill;
use super::policy;
use super::reasons::{Reason, Verdict};
use super::ttl::Ttls;
use keylease_api::forms::Form;
use keylease_api::{AwsCredentialRequest, AwsRole};

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
    /// IAM groups whose policies narrow it too, as long as they were not read.
    pub groups: Vec<String>,
}

/// The policies of an IAM group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPolicies {
    /// Managed policies that are attached to it.
    pub arns: Vec<String>,
    /// Its inline policies, as JSON.
    pub documents: Vec<String>,
}

/// Most managed policies that narrow a session (STS API reference,
/// PolicyArns).
const MAX_POLICIES: usize = 10;

impl SessionSpec {
    /// The spec with the policies of its groups in it.
    ///
    /// # Errors
    /// A verdict when a session cannot carry them all.
    pub fn with_groups(self, read: &BTreeMap<String, GroupPolicies>) -> Result<Self, Verdict> {
        let groups: Vec<_> = self.groups.iter().filter_map(|g| read.get(g)).collect();
        if groups.is_empty() {
            return Ok(self);
        }
        let invalid = |message: String| Verdict::new(Reason::RoleInvalid, message);
        let names = self.groups.join(", ");
        let mut policy_arns = self.policy_arns;
        policy_arns.extend(groups.iter().flat_map(|g| g.arns.iter().cloned()));
        policy_arns.sort();
        policy_arns.dedup();
        if policy_arns.len() > MAX_POLICIES {
            return Err(invalid(format!(
                "the role and its groups {names} have {} managed policies, and AWS lets a session \
                 carry {MAX_POLICIES}; name fewer",
                policy_arns.len()
            )));
        }
        let documents = groups.iter().flat_map(|g| &g.documents);
        let documents: Vec<_> = self.policy_document.iter().chain(documents).collect();
        let policy_document = policy::combine(&documents)
            .map_err(|e| invalid(format!("the inline policies of groups {names} {e}")))?;
        Ok(Self {
            policy_arns,
            policy_document,
            groups: Vec::new(),
            call: self.call,
            seconds: self.seconds,
        })
    }
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
    let (call, policy_arns, policy_document, groups) =
        if let Some(assumed) = &role.spec.assumed_role {
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
            (
                call,
                &assumed.policy_arns,
                &assumed.policy_document,
                &assumed.groups,
            )
        } else if let Some(token) = &role.spec.federation_token {
            let call = SessionCall::FederationToken {
                name: name(MAX_FEDERATION_NAME),
            };
            (
                call,
                &token.policy_arns,
                &token.policy_document,
                &token.groups,
            )
        } else if role.spec.session_token.is_some() {
            (SessionCall::SessionToken, &Vec::new(), &None, &Vec::new())
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
        groups: groups.clone(),
    }))
}

fn chosen_role(request: &AwsCredentialRequest, arns: &[String]) -> Result<String, Verdict> {
    let invalid = |message: String| Err(Verdict::new(Reason::InvalidRequest, message));
    match (&request.spec.role_arn, arns) {
        (Some(wanted), _) if arns.contains(wanted) => Ok(wanted.clone()),
        (Some(wanted), _) if !Form::RoleArn.fits(wanted) => invalid(format!(
            "spec.roleArn is no ARN of an IAM role; choose one of {}",
            arns.join(", ")
        )),
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
    fn policies_of_groups_join_those_of_the_role() {
        let spec = SessionSpec {
            call: SessionCall::SessionToken,
            seconds: 900,
            policy_arns: vec!["b".into()],
            policy_document: Some(r#"{"Statement":{"Sid":"A","Effect":"Allow"}}"#.into()),
            groups: vec!["g".into()],
        };
        let document = r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Deny"}]}"#;
        let mut group = GroupPolicies {
            arns: vec!["a".into(), "b".into()],
            documents: vec![document.into()],
        };
        let read = |g: &GroupPolicies| BTreeMap::from([("g".to_owned(), g.clone())]);
        let joined = spec.clone().with_groups(&read(&group)).unwrap();
        assert_eq!(joined.policy_arns, ["a", "b"]);
        let joined: serde_json::Value =
            serde_json::from_str(&joined.policy_document.unwrap()).unwrap();
        assert_eq!(
            joined["Statement"],
            serde_json::json!([{"Effect": "Allow"}, {"Effect": "Deny"}])
        );
        group.arns = (0..10).map(|n| format!("p{n}")).collect();
        let told = spec.clone().with_groups(&read(&group)).unwrap_err();
        assert!(told.message.contains("11 managed"), "{}", told.message);
        group.arns.clear();
        group.documents = vec![format!(
            r#"{{"Statement":[{{"Action":"{}"}}]}}"#,
            "x".repeat(2048)
        )];
        let told = spec.with_groups(&read(&group)).unwrap_err();
        assert!(told.message.contains("2048"), "{}", told.message);
    }

    #[test]
    fn several_roles_need_a_choice() {
        let arns = ["a".to_owned(), "b".to_owned()];
        let mut request = request();
        assert!(chosen_role(&request, &arns).is_err());
        assert_eq!(chosen_role(&request, &arns[..1]).unwrap(), "a");
        request.spec.role_arn = Some("b".into());
        assert_eq!(chosen_role(&request, &arns).unwrap(), "b");
        request.spec.role_arn = Some("arn:aws:iam::123456789012:role/c\nevil".into());
        let told = chosen_role(&request, &arns).unwrap_err();
        assert!(!told.message.contains("evil"), "{}", told.message);
        request.spec.role_arn = Some("c".into());
        assert!(
            chosen_role(&request, &arns)
                .unwrap_err()
                .message
                .contains("a, b")
        );
    }
}
