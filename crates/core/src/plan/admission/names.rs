//! Names of other objects, as far as the request is older than the rule.

use crate::plan::naming::is_object_name;
use crate::plan::reasons::{Reason, Verdict};
use keylease_api::AwsCredentialRequest;

/// Checks that every name in the request is one that an object can have.
///
/// # Errors
/// A verdict that names the field.
pub fn check_names(request: &AwsCredentialRequest) -> Result<(), Verdict> {
    let spec = &request.spec;
    let role = ("spec.roleRef.name", spec.role_ref.name.as_str());
    let secret = spec.secret.as_ref().and_then(|s| s.name.as_deref());
    let secret = secret.map(|name| ("spec.secret.name", name));
    let rolled = spec.restart.iter();
    let rolled = rolled.map(|w| ("spec.restart[].name", w.name.as_str()));
    let mut all = std::iter::once(role).chain(secret).chain(rolled);
    match all.find(|(_, name)| !is_object_name(name)) {
        None => Ok(()),
        Some((field, name)) => {
            let shown: String = name.chars().take(40).collect();
            Err(Verdict::new(
                Reason::InvalidRequest,
                format!(
                    "{field} {shown:?} is not the name of a Kubernetes object: lower-case \
                     letters, digits, - and ., each part between dots beginning and ending with \
                     a letter or digit; make a new request with the right name"
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::request;
    use keylease_api::{SecretTemplate, Workload, WorkloadKind};

    #[test]
    fn each_name_is_checked() {
        assert_eq!(check_names(&request()), Ok(()));
        let says = |change: fn(&mut AwsCredentialRequest)| {
            let mut request = request();
            change(&mut request);
            check_names(&request).unwrap_err().message
        };
        let role = says(|r| r.spec.role_ref.name = "dev/".into());
        assert!(role.starts_with("spec.roleRef.name \"dev/\""), "{role}");
        let secret = says(|r| {
            let name = Some("a..b".into());
            r.spec.secret = Some(SecretTemplate {
                name,
                ..SecretTemplate::default()
            });
        });
        assert!(secret.starts_with("spec.secret.name"), "{secret}");
        let rolled = says(|r| {
            r.spec.restart = vec![Workload {
                kind: WorkloadKind::Deployment,
                name: "web/scale".into(),
            }];
        });
        assert!(rolled.starts_with("spec.restart[].name"), "{rolled}");
    }
}
