//! Effects on the request itself. Every write carries the resource version it
//! was decided on, so a stale view changes nothing.

use std::sync::Arc;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::{FIELD_MANAGER, Hands, write_status};
use keylease_api::AwsCredentialRequest;
use keylease_api::decode::Lenient;
use keylease_core::plan::effect::{Fault, Outcome, Report};
use keylease_core::plan::intent::{FINALIZER, INTENT_ANNOTATION, Intent};

impl Hands {
    /// Finalizer and intent in one patch.
    pub(super) async fn begin(
        &self,
        request: &AwsCredentialRequest,
        intent: &Intent,
    ) -> Result<Outcome, Fault> {
        let mut finalizers = other_finalizers(request);
        finalizers.push(FINALIZER.to_owned());
        let patch = json!({"metadata": {
            "resourceVersion": request.metadata.resource_version,
            "finalizers": finalizers,
            "annotations": {INTENT_ANNOTATION: intent.to_json()},
        }});
        self.patch_request("begin", request, patch).await
    }

    /// Takes finalizer and intent off again.
    pub(super) async fn release(&self, request: &AwsCredentialRequest) -> Result<Outcome, Fault> {
        let patch = json!({"metadata": {
            "resourceVersion": request.metadata.resource_version,
            "finalizers": other_finalizers(request),
            "annotations": {INTENT_ANNOTATION: null},
        }});
        self.patch_request("release", request, patch).await
    }

    async fn patch_request(
        &self,
        operation: &'static str,
        request: &AwsCredentialRequest,
        patch: serde_json::Value,
    ) -> Result<Outcome, Fault> {
        let api = self.requests(request);
        let name = request.metadata.name.as_deref().unwrap_or_default();
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let call = api.patch(name, &params, &patch);
        let Lenient(patched) = self.calls.make(operation, call).await?;
        Ok(Outcome::Request(Arc::new(patched)))
    }

    /// Writes the status, then tells the event.
    pub(super) async fn report(
        &self,
        request: &AwsCredentialRequest,
        report: &Report,
    ) -> Result<Outcome, Fault> {
        let api = self.requests(request);
        let status = report.status.clone();
        let written = write_status(&self.calls, "report", &api, request, status).await?;
        for event in report.event.iter().chain(&report.warnings) {
            self.announcer.tell(&written, event).await;
        }
        Ok(Outcome::Request(Arc::new(written)))
    }

    /// Deletes this very request, long after its end.
    pub(super) async fn delete_request(
        &self,
        request: &AwsCredentialRequest,
    ) -> Result<Outcome, Fault> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: request.metadata.uid.clone(),
                resource_version: request.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let api = self.requests(request);
        let name = request.metadata.name.as_deref().unwrap_or_default();
        let call = api.delete(name, &params);
        self.calls.make("delete_request", call).await?;
        Ok(Outcome::Done)
    }

    fn requests(&self, request: &AwsCredentialRequest) -> Api<Lenient<AwsCredentialRequest>> {
        Api::namespaced(self.client.clone(), request.namespace_name())
    }
}

fn other_finalizers(request: &AwsCredentialRequest) -> Vec<String> {
    let all = request.metadata.finalizers.iter().flatten();
    all.filter(|f| *f != FINALIZER).cloned().collect()
}
