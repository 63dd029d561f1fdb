//! Direct reads: what is true in Kubernetes right now, for decisions that
//! create or destroy. Each read is one call with a timeout and a counter.

mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client};

use crate::act::{KubeCalls, secrets_api};
use crate::api::{AwsCredentialRequest, AwsRole, Holder};
use crate::plan::Look;
use crate::plan::admission::NamespaceView;
use crate::plan::effect::{Fault, FaultClass};
use crate::plan::intent::has_finalizer;
use crate::plan::naming::ClusterId;
use crate::plan::secret::SecretView;
use crate::plan::view::{HolderView, RoleView, View};
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
        let api: Api<AwsRole> = Api::all(self.client.clone());
        let read = async {
            let found = self.calls.make("get_role", api.get_opt(name)).await?;
            Ok(found.map(Arc::new))
        };
        view.role = RoleView::of(self.roles.read(name, read).await?);
        Ok(())
    }
    /// Another uid under the same name is another object: ours is gone.
    async fn request(&self, view: &mut View) -> Result<(), Fault> {
        let name = view.request.metadata.name.clone().unwrap_or_default();
        let api: Api<AwsCredentialRequest> =
            Api::namespaced(self.client.clone(), view.request.namespace_name());
        let found = self.calls.make("get_request", api.get_opt(&name)).await?;
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
        let api: Api<AwsCredentialRequest> = Api::namespaced(self.client.clone(), &namespace);
        let found = self.calls.make("get_holder", api.get_opt(&name)).await?;
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
        let found = self
            .calls
            .make("get_namespace", api.get_metadata_opt(name))
            .await?;
        let labels: BTreeMap<_, _> = found.and_then(|n| n.metadata.labels).unwrap_or_default();
        view.namespace = NamespaceView::Labels(labels);
        Ok(())
    }

    /// Only the metadata is fetched: the data of a Secret never enters memory.
    async fn secret(&self, view: &mut View) -> Result<(), Fault> {
        let api: Api<Secret> = secrets_api(&self.client, &view.request);
        let name = view.request.secret_name();
        let found = self
            .calls
            .make("get_secret", api.get_metadata_opt(&name))
            .await?;
        let secret = found.map_or(SecretView::Absent, |s| {
            SecretView::of(&s.metadata, &view.request)
        });
        view.saw_secret(secret);
        Ok(())
    }
}

/// The uid of `kube-system`: the one name of a cluster that it keeps for life.
///
/// # Errors
/// The fault of the read.
pub async fn cluster_id(client: &Client, calls: &KubeCalls) -> Result<ClusterId, Fault> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = calls
        .make("get_kube_system", api.get_metadata("kube-system"))
        .await?;
    namespace.metadata.uid.map(ClusterId).ok_or_else(|| Fault {
        class: FaultClass::Unavailable,
        message: "kube-system has no uid".to_owned(),
    })
}
