//! An issued key on its way from the Secret to the one who asked.

use k8s_openapi::api::core::v1::Secret;
use zeroize::Zeroizing;

use keylease_api::{AwsCredentialRequest, Lease, SecretKeys};
use keylease_core::plan::secret::SecretView;

/// A key with its lease.
///
/// There is no `Debug`, `Display`, `Serialize` or `Clone`: only `output` and
/// the environment of `exec` take its parts out. What is secret is wiped on
/// drop. (What the HTTP library keeps in its buffers is not.)
pub(super) struct IssuedKey {
    /// Namespace of the request.
    pub namespace: String,
    /// Name of the request.
    pub request: String,
    /// The key's id, which is no secret.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: Zeroizing<String>,
    /// The session's token, for STS credentials.
    pub session_token: Option<Zeroizing<String>>,
    /// The region for `AWS_REGION`.
    pub region: String,
    /// The end of the lease, RFC 3339.
    pub expiration: String,
    /// The lease as the status has it.
    pub lease: Lease,
}

impl IssuedKey {
    /// Takes the key out of the Secret of a request that is ready.
    ///
    /// The Secret must be the request's by uid: a name alone could be anyone's
    /// who may write Secrets, and the person would use foreign keys. Control
    /// characters are refused because a line break in a value would add lines
    /// to a credentials file.
    pub fn of(request: &AwsCredentialRequest, secret: &Secret) -> Result<Self, String> {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        if !matches!(
            SecretView::of(&secret.metadata, request),
            SecretView::Ours(_)
        ) {
            return Err(format!("Secret {name} does not belong to this request"));
        }
        let lease = request.status.as_ref().and_then(|s| s.lease.clone());
        let lease = lease.ok_or("the request is ready and has no lease")?;
        let names = names(request);
        let read = |key: &str| -> Result<Option<Zeroizing<String>>, String> {
            let Some(bytes) = secret.data.as_ref().and_then(|d| d.get(key)) else {
                return Ok(None);
            };
            let text = std::str::from_utf8(&bytes.0).ok();
            match text.filter(|t| !t.is_empty() && !t.chars().any(char::is_control)) {
                Some(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
                None => Err(format!("key {key} of Secret {name} holds no plain text")),
            }
        };
        let need = |key: &str| read(key)?.ok_or_else(|| format!("Secret {name} has no key {key}"));
        let [id, secret_key, token, region] = names;
        Ok(Self {
            namespace: request.namespace_name().to_owned(),
            request: request.metadata.name.clone().unwrap_or_default(),
            access_key_id: need(&id)?.to_string(),
            secret_access_key: need(&secret_key)?,
            session_token: read(&token)?,
            region: need(&region)?.to_string(),
            expiration: lease.expires_at.0.to_string(),
            lease,
        })
    }
}

/// The names of the Secret's keys: id, secret, token, region.
fn names(request: &AwsCredentialRequest) -> [String; 4] {
    let template = request.spec.secret.as_ref();
    let SecretKeys {
        access_key_id,
        secret_access_key,
        session_token,
        region,
        ..
    } = template.and_then(|t| t.keys.clone()).unwrap_or_default();
    [
        access_key_id.unwrap_or_else(|| "AWS_ACCESS_KEY_ID".to_owned()),
        secret_access_key.unwrap_or_else(|| "AWS_SECRET_ACCESS_KEY".to_owned()),
        session_token.unwrap_or_else(|| "AWS_SESSION_TOKEN".to_owned()),
        region.unwrap_or_else(|| "AWS_REGION".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> AwsCredentialRequest {
        serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "x", "namespace": "ns", "uid": "u1"},
            "spec": {"roleRef": {"name": "r"}, "secret": {"keys": {"region": "R"}}},
            "status": {"lease": {
                "id": "i", "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-01T01:00:00Z",
                "maxExpiresAt": "2026-01-01T02:00:00Z", "duration": "1h", "renewable": true, "renewals": 0,
            }},
        }))
        .unwrap()
    }

    fn secret(uid: &str, secret_key: &str) -> Secret {
        let mut secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "x", "ownerReferences": [{
                "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
                "name": "x", "uid": uid, "controller": true,
            }]},
        }))
        .unwrap();
        let data = [
            ("AWS_ACCESS_KEY_ID", "AKIA1"),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("R", "eu-west-1"),
        ];
        secret.data = Some(
            data.into_iter()
                .map(|(k, v)| (k.to_owned(), k8s_openapi::ByteString(v.into())))
                .collect(),
        );
        secret
    }

    #[test]
    fn reads_the_names_that_the_request_gave() {
        let key = IssuedKey::of(&request(), &secret("u1", "s3")).ok().unwrap();
        assert_eq!(key.region, "eu-west-1");
        assert_eq!(key.secret_access_key.as_str(), "s3");
        assert_eq!(key.expiration, "2026-01-01T01:00:00Z");
        assert!(key.session_token.is_none());
    }

    #[test]
    fn refuses_foreign_secrets_and_smuggled_lines() {
        let foreign = IssuedKey::of(&request(), &secret("u2", "s3"))
            .err()
            .unwrap();
        assert!(foreign.contains("does not belong"), "{foreign}");
        let smuggled = secret("u1", "s3\ncredential_process = evil");
        let refused = IssuedKey::of(&request(), &smuggled).err().unwrap();
        assert!(!refused.contains("evil"), "{refused}");
    }
}
