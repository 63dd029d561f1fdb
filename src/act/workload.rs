//! Rolling a workload: a mark in its pod template, as `kubectl rollout
//! restart` does it. The mark is the key's id, so the same key rolls once.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use serde_json::json;

use super::{FIELD_MANAGER, Hands};
use crate::api::{AwsCredentialRequest, Workload, WorkloadKind};
use crate::decode::{Lenient, Salvage};
use crate::plan::effect::{Fault, FaultClass, Outcome};
use crate::plan::naming::is_object_name;

/// Annotation in the pod template.
const MARK: &str = "keylease.dev/access-key-id";

impl Hands {
    /// Marks the pod template of a workload in the request's own namespace.
    pub(super) async fn restart(
        &self,
        request: &AwsCredentialRequest,
        workload: &Workload,
        key_id: &str,
    ) -> Result<Outcome, Fault> {
        match workload.kind {
            WorkloadKind::Deployment => self.mark::<Deployment>(request, workload, key_id).await,
            WorkloadKind::StatefulSet => self.mark::<StatefulSet>(request, workload, key_id).await,
            WorkloadKind::DaemonSet => self.mark::<DaemonSet>(request, workload, key_id).await,
        }
    }

    async fn mark<K>(
        &self,
        request: &AwsCredentialRequest,
        workload: &Workload,
        key_id: &str,
    ) -> Result<Outcome, Fault>
    where
        K: Salvage + kube::Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
    {
        if !is_object_name(&workload.name) {
            return Err(Fault {
                class: FaultClass::NotFound,
                message: format!("no workload can be named {:?}", workload.name),
            });
        }
        // The mark tells one request's key from another's: two requests may
        // roll the same workload.
        let mark = format!("{MARK}.{}", request.uid_str());
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {mark: key_id}}}}});
        let api: Api<Lenient<K>> = Api::namespaced(self.client.clone(), request.namespace_name());
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let call = api.patch(&workload.name, &params, &patch);
        self.calls.make("restart_workload", call).await?;
        Ok(Outcome::Done)
    }
}
