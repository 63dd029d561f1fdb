//! Access keys: list, make, prove.

use aws_config::identity::IdentityCache;

use super::Session;
use super::error::incomplete;
use super::sign_in::static_provider;
use keylease_api::forms::folded;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Fault, FaultClass, Proof};

impl Session {
    /// `ListAccessKeys`: the ids of the user's keys. A user that does not
    /// exist has none. (A user has two at most, so there is one page; and if
    /// a race made more, all that fit a page.)
    pub async fn list_keys(&self, user: &str) -> Result<Vec<String>, Fault> {
        let call = self.iam.list_access_keys().user_name(user).send();
        match self.calls.iam("ListAccessKeys", call).await {
            Ok(answer) => Ok(answer
                .access_key_metadata
                .into_iter()
                .filter_map(|key| key.access_key_id)
                .collect()),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }

    /// `CreateAccessKey`. From here on the secret exists in one place: the
    /// value that this returns.
    pub async fn create_key(&self, user: &str) -> Result<KeyMaterial, Fault> {
        let call = self.iam.create_access_key().user_name(user).send();
        let answer = self.calls.iam("CreateAccessKey", call).await?;
        let key = answer
            .access_key
            .map(|key| KeyMaterial::new(key.access_key_id, key.secret_access_key, None));
        key.filter(KeyMaterial::is_whole)
            .ok_or_else(|| incomplete("key"))
    }

    /// `DeleteAccessKey` for a key of ours that nobody was given, whoever leads:
    /// the one change that is right even for an instance that leads no more,
    /// because only it knows the key's secret, and forgets it.
    ///
    /// # Errors
    /// The classified fault. "Not found" is none: somebody was faster.
    pub async fn take_back_key(&self, user: &str, id: &str) -> Result<(), Fault> {
        let iam = aws_sdk_iam::Client::new(&self.config);
        let call = iam.delete_access_key().user_name(user).access_key_id(id);
        match self.calls.iam("DeleteAccessKey", call.send()).await {
            Err(fault) if fault.class != FaultClass::NotFound => Err(fault),
            _ => Ok(()),
        }
    }

    /// `GetCallerIdentity` with the key itself: what one server of AWS says of
    /// it. "Unknown key" is the answer to wait out, not a failure. `apart`: over
    /// a connection of its own, which leads to another server than the last as
    /// often as not; it costs a handshake, so what is asked again and again is
    /// asked without.
    pub async fn prove_key(
        &self,
        key: &KeyMaterial,
        user_arn: &str,
        apart: bool,
    ) -> Result<Proof, Fault> {
        // The client is shared and the credentials are not kept: a client for
        // each key would cost more than the call.
        let mut as_the_key = aws_sdk_sts::config::Builder::new()
            .credentials_provider(static_provider(key))
            .identity_cache(IdentityCache::no_cache());
        if apart {
            as_the_key.set_http_client(Some(self.apart.clone()));
        }
        let call = self.prover.get_caller_identity().customize();
        let call = call.config_override(as_the_key).send();
        match self.calls.sts("GetCallerIdentity", call).await {
            // A static user may be named in other letters than IAM keeps.
            Ok(identity) => Ok(match identity.arn {
                Some(arn) if folded(&arn) == folded(user_arn) => Proof::Accepted,
                _ => Proof::Unknown,
            }),
            Err(fault) => match fault.class {
                FaultClass::BadCredentials => Ok(Proof::Unknown),
                FaultClass::AccessDenied => Ok(Proof::Denied(fault.message)),
                _ => Err(fault),
            },
        }
    }
}
