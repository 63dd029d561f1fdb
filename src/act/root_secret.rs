//! Effects on the Secret that an account signs in with.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroize;

use super::{FIELD_MANAGER, Hands};
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::Fault;
use keylease_core::plan::root_rotation::{ANNOTATION, Marker, SecretFacts};

/// A Secret of the operator's own namespace in the state that was read. Every
/// write names that state, and is refused in any other.
pub struct RootSecret<'a> {
    /// Secrets in the operator's own namespace.
    pub api: &'a Api<Secret>,
    /// Its name.
    pub name: &'a str,
    /// What was read.
    pub seen: &'a SecretFacts,
}

impl Hands {
    /// Writes the marker, or takes it off; nothing else is touched.
    ///
    /// # Errors
    /// The classified fault; a changed Secret is `Stale`.
    pub async fn mark_root_secret(
        &self,
        secret: &RootSecret<'_>,
        marker: Option<&Marker>,
    ) -> Result<SecretFacts, Fault> {
        let patch = json!({"metadata": {
            "uid": secret.seen.uid,
            "resourceVersion": secret.seen.resource_version,
            "annotations": {ANNOTATION: marker.map(Marker::to_json)},
        }});
        let written = self.patch_root(secret, "mark_root_secret", &patch).await?;
        Ok(SecretFacts {
            marker: marker.cloned(),
            resource_version: written.unwrap_or_default(),
            ..secret.seen.clone()
        })
    }

    /// Writes the key and the marker in one patch; other data, labels and
    /// annotations stay.
    ///
    /// # Errors
    /// The classified fault; a changed Secret is `Stale`.
    pub async fn store_root_key(
        &self,
        secret: &RootSecret<'_>,
        key: &KeyMaterial,
        marker: &Marker,
    ) -> Result<SecretFacts, Fault> {
        let text = |text: &str| text.to_owned();
        let mut patch = Secret {
            metadata: ObjectMeta {
                uid: Some(secret.seen.uid.clone()),
                resource_version: Some(secret.seen.resource_version.clone()),
                annotations: Some(BTreeMap::from([(text(ANNOTATION), marker.to_json())])),
                ..ObjectMeta::default()
            },
            string_data: Some(BTreeMap::from([
                (text("AWS_ACCESS_KEY_ID"), text(key.id())),
                (text("AWS_SECRET_ACCESS_KEY"), text(key.expose())),
            ])),
            ..Secret::default()
        };
        let written = self.patch_root(secret, "store_root_key", &patch).await;
        for value in patch.string_data.iter_mut().flat_map(|d| d.values_mut()) {
            value.zeroize();
        }
        // An admission webhook saw the data and may quote it in its refusal.
        let written = written.map_err(|fault| Fault {
            message: key.redact(&fault.message),
            ..fault
        })?;
        Ok(SecretFacts {
            key_id: text(key.id()),
            marker: Some(marker.clone()),
            resource_version: written.unwrap_or_default(),
            ..secret.seen.clone()
        })
    }

    /// One merge patch; the version after it.
    async fn patch_root(
        &self,
        secret: &RootSecret<'_>,
        operation: &'static str,
        patch: &(impl Serialize + std::fmt::Debug),
    ) -> Result<Option<String>, Fault> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Its metadata is answered: the data would only have to be wiped.
        let patch = Patch::Merge(patch);
        let call = secret.api.patch_metadata(secret.name, &params, &patch);
        let written = self.calls.make(operation, call).await?;
        Ok(written.metadata.resource_version)
    }
}
