//! Sessions: the three STS calls that hand out temporary credentials.

use aws_sdk_sts::types::{Credentials as StsCredentials, PolicyDescriptorType, Tag};
use jiff::Timestamp;

use super::Session;
use super::error::incomplete;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::session_spec::{SessionCall, SessionSpec};

impl Session {
    /// Makes the one call that the spec names; the key, and when it ends.
    pub async fn issue_session(
        &self,
        spec: &SessionSpec,
    ) -> Result<(KeyMaterial, Timestamp), Fault> {
        let sts = &self.sts;
        let policies = spec.policy_arns.iter();
        let policies: Vec<_> = policies
            .map(|arn| PolicyDescriptorType::builder().arn(arn).build())
            .collect();
        let policies = Some(policies).filter(|p| !p.is_empty());
        let issued = match &spec.call {
            SessionCall::AssumeRole {
                role_arn,
                name,
                external_id,
                tags,
            } => {
                let tags: Result<Vec<_>, _> = tags
                    .iter()
                    .map(|(key, value)| Tag::builder().key(key).value(value).build())
                    .collect();
                let tags = tags.map_err(|e| refused(&e.to_string()))?;
                let call = sts
                    .assume_role()
                    .role_arn(role_arn)
                    .role_session_name(name)
                    .set_external_id(external_id.clone())
                    .duration_seconds(spec.seconds)
                    .set_policy(spec.policy_document.clone())
                    .set_policy_arns(policies)
                    .set_tags(Some(tags).filter(|t| !t.is_empty()));
                self.calls.sts("AssumeRole", call.send()).await?.credentials
            }
            SessionCall::FederationToken { name } => {
                let call = sts
                    .get_federation_token()
                    .name(name)
                    .duration_seconds(spec.seconds)
                    .set_policy(spec.policy_document.clone())
                    .set_policy_arns(policies);
                self.calls
                    .sts("GetFederationToken", call.send())
                    .await?
                    .credentials
            }
            SessionCall::SessionToken => {
                let call = sts.get_session_token().duration_seconds(spec.seconds);
                self.calls
                    .sts("GetSessionToken", call.send())
                    .await?
                    .credentials
            }
        };
        let issued = issued.map(material);
        issued
            .filter(|(key, _)| key.is_whole())
            .ok_or_else(|| incomplete("credentials"))
    }
}

fn material(credentials: StsCredentials) -> (KeyMaterial, Timestamp) {
    let expires = Timestamp::from_second(credentials.expiration.secs()).unwrap_or(Timestamp::MIN);
    let key = KeyMaterial::new(
        credentials.access_key_id,
        credentials.secret_access_key,
        Some(credentials.session_token),
    );
    (key, expires)
}

fn refused(message: &str) -> Fault {
    Fault {
        class: FaultClass::Refused,
        message: message.to_owned(),
    }
}
