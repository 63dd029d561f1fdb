//! Direct reads: what is true in Kubernetes right now, for decisions that
//! create or destroy. Each read is one call with a timeout and a counter.

mod metadata;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};

use crate::act::KubeCalls;
use keylease_api::decode::{Lenient, Salvage};
use keylease_api::{AwsCredentialRequest, AwsRole, Holder};
use keylease_core::plan::Look;
use keylease_core::plan::admission::NamespaceView;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::intent::has_finalizer;
use keylease_core::plan::naming::{ClusterId, is_object_name};
use keylease_core::plan::secret::SecretView;
use keylease_core::plan::view::{HolderView, RoleView, View};
use shared::Shared;

/// What is seen with.
pub struct Eyes {
    client: Client,
    calls: KubeCalls,
    roles: Shared<Result<Option<Arc<AwsRole>>, Fault>>,
}

impl Eyes {
    /// Reads with this client, through this gate.
    pub fn new(client: Client, calls: KubeCalls) -> Self {
        Self {
            client,
            calls,
            roles: Shared::default(),
        }
    }

    /// Reads one thing and puts it into the view.
    ///
    /// # Errors
    /// The fault, when the API server does not answer or refuses. "Not found" is
    /// an answer.
    pub async fn look(&self, what: Look, view: &mut View) -> Result<(), Fault> {
        match what {
            Look::Request => self.request(view).await,
            Look::Role => self.role(view).await,
            Look::Holder => self.holder(view).await,
            Look::Namespace => self.namespace(view).await,
            Look::Secret => self.secret(view).await,
        }
    }

    async fn role(&self, view: &mut View) -> Result<(), Fault> {
        let name = &view.request.spec.role_ref.name;
        let api = Api::all(self.client.clone());
        let read = async {
            let found: Option<AwsRole> = find(&self.calls, "get_role", &api, name).await?;
            Ok(found.map(Arc::new))
        };
        view.role = RoleView::of(self.roles.read(name, read).await?);
        Ok(())
    }
    /// Another uid under the same name is another object: ours is gone.
    async fn request(&self, view: &mut View) -> Result<(), Fault> {
        let name = view.request.metadata.name.clone().unwrap_or_default();
        let api = Api::namespaced(self.client.clone(), view.request.namespace_name());
        let found: Option<AwsCredentialRequest> =
            find(&self.calls, "get_request", &api, &name).await?;
        let same = found.filter(|r| r.metadata.uid == view.request.metadata.uid);
        view.saw_request(same);
        Ok(())
    }

    /// A holder that is another object by now, or that AWS holds nothing for any
    /// more, is gone.
    async fn holder(&self, view: &mut View) -> Result<(), Fault> {
        let holder = match &view.role {
            RoleView::Found(role) => role.status.as_ref().and_then(|s| s.holder.clone()),
            _ => None,
        };
        let Holder {
            uid,
            namespace,
            name,
            ..
        } = holder.unwrap_or_default();
        let api = Api::namespaced(self.client.clone(), &namespace);
        let found = find(&self.calls, "get_holder", &api, &name).await?;
        let holds = |r: &AwsCredentialRequest| r.uid_str() == uid && has_finalizer(r);
        view.holder = if found.as_ref().is_some_and(holds) {
            HolderView::Alive
        } else {
            HolderView::Gone
        };
        Ok(())
    }

    async fn namespace(&self, view: &mut View) -> Result<(), Fault> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = view.request.namespace_name();
        let read = metadata::get_opt(&self.client, &api, name);
        let found = self.calls.make("get_namespace", read).await?;
        let labels: BTreeMap<_, _> = found.and_then(|n| n.metadata.labels).unwrap_or_default();
        view.namespace = NamespaceView::Labels(labels);
        Ok(())
    }

    /// Only the metadata is fetched: the data of a Secret never enters memory.
    ///
    /// A namespace that is deleted may lose our RoleBinding before its Secrets
    /// and requests: what cannot be read there any more counts as gone, because
    /// whoever deletes the namespace deletes it.
    async fn secret(&self, view: &mut View) -> Result<(), Fault> {
        let name = view.request.secret_name();
        let found = if is_object_name(&name) {
            self.secret_of(view.request.namespace_name(), &name).await?
        } else {
            None
        };
        let secret = found.map_or(SecretView::Absent, |s| {
            SecretView::of(&s.metadata, &view.request)
        });
        view.saw_secret(secret);
        Ok(())
    }

    /// The metadata of a Secret, or `None` where there is none, or none for long.
    async fn secret_of(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PartialObjectMeta<Secret>>, Fault> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let read = async {
            match metadata::get_opt(&self.client, &api, name).await {
                Err(error) if is_denied(&error) => Ok(Err(error)),
                answer => answer.map(Ok),
            }
        };
        match self.calls.make("get_secret", read).await? {
            Ok(found) => Ok(found),
            Err(_) if self.namespace_goes(namespace).await? => Ok(None),
            // A right that is missing: it is counted as that.
            Err(denied) => {
                let denied = std::future::ready(Err(denied));
                self.calls.make("get_secret", denied).await
            }
        }
    }

    /// Whether a namespace is being deleted, or gone.
    async fn namespace_goes(&self, name: &str) -> Result<bool, Fault> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let read = metadata::get_opt(&self.client, &api, name);
        let found = self.calls.make("get_namespace", read).await?;
        Ok(found.is_none_or(|n| n.metadata.deletion_timestamp.is_some()))
    }
}

fn is_denied(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// The object of that name, if there is one. A name that no object can have is
/// not asked for: in a URL it leads to an object of another name.
///
/// # Errors
/// The fault of the read. An answer about an object of another name than was
/// asked for is none.
pub async fn find<K>(
    calls: &KubeCalls,
    operation: &'static str,
    api: &Api<Lenient<K>>,
    name: &str,
) -> Result<Option<K>, Fault>
where
    K: Salvage + Clone + std::fmt::Debug,
{
    if !is_object_name(name) {
        return Ok(None);
    }
    let Some(Lenient(found)) = calls.make(operation, api.get_opt(name)).await? else {
        return Ok(None);
    };
    if found.meta().name.as_deref() != Some(name) {
        return Err(Fault {
            class: FaultClass::NoAnswer,
            message: format!("the API server answered about another object than {name}"),
        });
    }
    Ok(Some(found))
}

/// The uid of `kube-system`: the one name of a cluster that it keeps for life.
///
/// # Errors
/// The fault of the read.
pub async fn cluster_id(client: &Client, calls: &KubeCalls) -> Result<ClusterId, Fault> {
    let api: Api<Namespace> = Api::all(client.clone());
    let read = metadata::get_opt(client, &api, "kube-system");
    let namespace = calls.make("get_kube_system", read).await?;
    let uid = namespace.and_then(|n| n.metadata.uid);
    uid.map(ClusterId).ok_or_else(|| Fault {
        class: FaultClass::Unavailable,
        message: "kube-system has no uid".to_owned(),
    })
}
