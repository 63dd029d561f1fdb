//! Rolling a workload: a mark in its pod template, as `kubectl rollout
//! restart` does it. The mark is the key's id, so the same key rolls once.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use serde_json::json;

use super::{FIELD_MANAGER, Hands};
use keylease_api::decode::{Lenient, Salvage};
use keylease_api::{AwsCredentialRequest, Workload, WorkloadKind};
use keylease_core::plan::effect::{Fault, FaultClass, HeldBack, Outcome};
use keylease_core::plan::naming::is_object_name;

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
        K: Salvage
            + Rolls
            + kube::Resource<Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug,
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
        let marked = self.calls.make("restart_workload", call).await?;
        Ok(marked.held_back().map_or(Outcome::Done, Outcome::HeldBack))
    }
}

/// A workload that replaces its pods when their template changes, unless
/// something holds it back.
trait Rolls {
    fn held_back(&self) -> Option<HeldBack>;
}

const ON_DELETE: Option<&str> = Some("OnDelete");

impl Rolls for Deployment {
    fn held_back(&self) -> Option<HeldBack> {
        let paused = self.spec.paused == Some(true);
        paused.then_some(HeldBack::Paused)
    }
}

impl Rolls for StatefulSet {
    fn held_back(&self) -> Option<HeldBack> {
        let strategy = self.spec.update_strategy.as_ref()?;
        if strategy.type_.as_deref() == ON_DELETE {
            return Some(HeldBack::OnDelete);
        }
        let partition = strategy.rolling_update.as_ref()?.partition?;
        (partition > 0).then_some(HeldBack::Partitioned)
    }
}

impl Rolls for DaemonSet {
    fn held_back(&self) -> Option<HeldBack> {
        let strategy = self.spec.update_strategy.as_ref()?;
        (strategy.type_.as_deref() == ON_DELETE).then_some(HeldBack::OnDelete)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    fn of<K: Rolls + DeserializeOwned>(spec: serde_json::Value) -> Option<HeldBack> {
        let fixed = json!({"selector": {}, "template": {}, "serviceName": ""});
        let mut all = fixed.as_object().cloned().unwrap_or_default();
        all.extend(spec.as_object().cloned().unwrap_or_default());
        let workload: K = serde_json::from_value(json!({"metadata": {}, "spec": all})).unwrap();
        workload.held_back()
    }

    #[test]
    fn what_does_not_roll_by_itself_is_known_by_its_spec() {
        let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
        let rolling = json!({"updateStrategy": {"type": "RollingUpdate"}});
        assert_eq!(
            of::<Deployment>(json!({"paused": true})),
            Some(HeldBack::Paused)
        );
        assert_eq!(of::<Deployment>(json!({})), None);
        assert_eq!(
            of::<StatefulSet>(on_delete.clone()),
            Some(HeldBack::OnDelete)
        );
        assert_eq!(of::<StatefulSet>(rolling.clone()), None);
        let apart = json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}});
        assert_eq!(of::<StatefulSet>(apart), Some(HeldBack::Partitioned));
        assert_eq!(of::<DaemonSet>(on_delete), Some(HeldBack::OnDelete));
        assert_eq!(of::<DaemonSet>(rolling), None);
    }
}
