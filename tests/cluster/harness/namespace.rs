//! One namespace, and what a person does and sees there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::{Namespace as CoreNamespace, Secret};
use k8s_openapi::api::events::v1::Event;
use keylease_api::{AwsAccount, AwsCredentialRequest, AwsRole, Condition, Phase, crds};
use keylease_testbed::wait;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams,
    PostParams,
};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{READ_ONLY, SOON, merged};

/// A namespace of a test's own, and the role of the same name that it may use.
pub struct Namespace {
    pub client: Client,
    pub name: String,
}

impl Namespace {
    /// Makes the namespace. Names of at most 16 characters stand in full in
    /// the names of IAM users.
    pub async fn create(client: Client, name: &str) -> Result<Self> {
        assert!(name.len() <= 16, "{name} is cut in user names");
        let namespace = CoreNamespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..CoreNamespace::default()
        };
        let api: Api<CoreNamespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &namespace).await?;
        let name = name.to_owned();
        Ok(Self { client, name })
    }

    pub fn requests(&self) -> Api<AwsCredentialRequest> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn roles(&self) -> Api<AwsRole> {
        Api::all(self.client.clone())
    }

    /// Objects of a kind of ours as the API server has them, whether or not a type
    /// of ours fits.
    pub fn untyped(&self, kind: &str) -> Api<DynamicObject> {
        let definition = crds().into_iter().find(|d| d.spec.names.kind == kind);
        let names = definition.expect("a kind of ours").spec.names;
        let resource = ApiResource {
            group: "keylease.dev".into(),
            version: "v1alpha1".into(),
            api_version: "keylease.dev/v1alpha1".into(),
            kind: names.kind,
            plural: names.plural,
        };
        match kind {
            "AwsCredentialRequest" => {
                Api::namespaced_with(self.client.clone(), &self.name, &resource)
            }
            _ => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Makes or changes an `AwsAccount`.
    pub async fn account(&self, name: &str, spec: Value) -> Result<()> {
        let account = json!({
            "apiVersion": "keylease.dev/v1alpha1",
            "kind": "AwsAccount",
            "metadata": {"name": name},
            "spec": spec,
        });
        let api: Api<AwsAccount> = Api::all(self.client.clone());
        let params = PatchParams::apply("a-platform-team").force();
        api.patch(name, &params, &Patch::Apply(account)).await?;
        Ok(())
    }

    /// Makes or changes the namespace's role: read-only, an hour, for this
    /// namespace alone, but for what `change` says.
    pub async fn role(&self, change: Value) -> Result<()> {
        self.role_named(&self.name, change).await
    }

    /// The same for a role of any name.
    pub async fn role_named(&self, name: &str, change: Value) -> Result<()> {
        let usual = json!({
            "accountRef": {"name": "default"},
            "iamUser": {"policyArns": [READ_ONLY]},
            "ttl": {"default": "1h", "max": "2h"},
            "allowedNamespaces": {"names": [self.name]},
        });
        let role = json!({
            "apiVersion": "keylease.dev/v1alpha1",
            "kind": "AwsRole",
            "metadata": {"name": name},
            "spec": merged(usual, &change),
        });
        let params = PatchParams::apply("a-platform-team").force();
        self.roles()
            .patch(name, &params, &Patch::Apply(role))
            .await?;
        Ok(())
    }

    /// Waits until this `AwsRole` or `AwsAccount` is held by its leases: from then on
    /// they end with it. One that is deleted a moment after its first lease began
    /// may be gone before.
    pub async fn held(&self, kind: &str, name: &str) -> Result<()> {
        let api = self.untyped(kind);
        wait::until_ok(&format!("{kind} {name} to be held"), SOON, || async {
            let object = api.get(name).await.map_err(|e| e.to_string())?;
            let finalizers = object.metadata.finalizers.unwrap_or_default();
            match finalizers.iter().any(|f| f == "keylease.dev/leases") {
                true => Ok(()),
                false => Err(format!("{finalizers:?}")),
            }
        })
        .await
    }

    /// Asks for a credential of the namespace's role.
    pub async fn request(&self, name: &str, change: Value) -> Result<AwsCredentialRequest> {
        let usual = json!({"roleRef": {"name": self.name}});
        let request = serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1",
            "kind": "AwsCredentialRequest",
            "metadata": {"name": name},
            "spec": merged(usual, &change),
        }))?;
        Ok(self
            .requests()
            .create(&PostParams::default(), &request)
            .await?)
    }

    /// Asks for a new key at that time.
    pub async fn rotate(&self, name: &str, at: jiff::Timestamp) -> Result<()> {
        let annotations = json!({"keylease.dev/rotate-at": at.to_string()});
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let params = PatchParams::default();
        self.requests().patch(name, &params, &patch).await?;
        Ok(())
    }

    /// Asks to delete a request; see [`Namespace::gone`].
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.requests()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Waits until the request is as wanted.
    pub async fn until(
        &self,
        what: &str,
        name: &str,
        timeout: Duration,
        wanted: impl Fn(&AwsCredentialRequest) -> bool,
    ) -> Result<AwsCredentialRequest> {
        let what = format!("{}/{name} to be {what}", self.name);
        let api = self.requests();
        wait::until_ok(&what, timeout, || async {
            let request = api.get(name).await.map_err(|e| anyhow!("{e}"))?;
            if wanted(&request) {
                return Ok(request);
            }
            let status = serde_json::to_string(&request.status).unwrap_or_default();
            Err(anyhow!(
                "{:?} {status}",
                request.metadata.deletion_timestamp
            ))
        })
        .await
    }

    /// Waits until the Secret is said to hold a key that works.
    pub async fn ready(&self, name: &str) -> Result<AwsCredentialRequest> {
        self.ready_within(name, SOON).await
    }

    /// The same with patience.
    pub async fn ready_within(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<AwsCredentialRequest> {
        self.until("Ready", name, timeout, |r| phase(r) == Some(Phase::Ready))
            .await
    }

    /// Waits until the lease has ended.
    pub async fn expired(&self, name: &str) -> Result<AwsCredentialRequest> {
        self.until("Expired", name, SOON, |r| {
            let released = r
                .metadata
                .finalizers
                .as_deref()
                .unwrap_or_default()
                .is_empty();
            phase(r) == Some(Phase::Expired) && released
        })
        .await
    }

    /// Waits until the request is not ready for this reason; the message.
    pub async fn refused(&self, name: &str, reason: &str) -> Result<String> {
        let refusal = |r: &AwsCredentialRequest| {
            let ready = condition(r, "Ready")?;
            (ready.status == "False" && ready.reason == reason).then(|| ready.message.clone())
        };
        let what = format!("not ready for {reason}");
        let request = self
            .until(&what, name, SOON, |r| refusal(r).is_some())
            .await?;
        refusal(&request).context("it was there a moment ago")
    }

    /// Waits until the request is no more.
    pub async fn gone(&self, name: &str) -> Result<()> {
        self.gone_within(name, SOON).await
    }

    /// The same with patience.
    pub async fn gone_within(&self, name: &str, timeout: Duration) -> Result<()> {
        let api = self.requests();
        let what = format!("the end of {}/{name}", self.name);
        wait::until_ok(&what, timeout, || async {
            match api.get_opt(name).await {
                Ok(None) => Ok(()),
                Ok(Some(left)) => Err(serde_json::to_string(&left.status).unwrap_or_default()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Makes a Secret as some other application does.
    pub async fn foreign_secret(&self, name: &str, metadata: Value) -> Result<Secret> {
        let secret = serde_json::from_value(json!({
            "metadata": merged(json!({"name": name}), &metadata),
            "stringData": {"password": "of-another-app"},
        }))?;
        Ok(self
            .secrets()
            .create(&PostParams::default(), &secret)
            .await?)
    }

    /// A Secret's data as text, if there is one of that name.
    pub async fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        let Some(secret) = self.secrets().get_opt(name).await? else {
            return Ok(None);
        };
        let data = secret.data.unwrap_or_default().into_iter();
        data.map(|(key, value)| Ok((key, String::from_utf8(value.0)?)))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The events of a request as `(type, reason)`, oldest first.
    pub async fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        let mut all = api.list(&ListParams::default()).await?.items;
        all.retain(|e| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(name));
        all.sort_by(|a, b| a.event_time.cmp(&b.event_time));
        let told = all.into_iter().map(|e| (e.type_, e.reason));
        Ok(told
            .map(|(a, b)| (a.unwrap_or_default(), b.unwrap_or_default()))
            .collect())
    }
}

fn phase(request: &AwsCredentialRequest) -> Option<Phase> {
    request.status.as_ref()?.phase
}

/// One condition of a request.
pub fn condition<'a>(request: &'a AwsCredentialRequest, type_: &str) -> Option<&'a Condition> {
    let status = request.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == type_)
}
