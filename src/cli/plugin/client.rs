//! Which cluster, as whom, in which namespace: the person's own kubeconfig.

use std::fmt::Debug;
use std::path::PathBuf;

use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use super::error::{Call, Failure};
use crate::api::{AwsCredentialRequest, AwsRole};

/// Objects in one answer of a list.
const PAGE: u32 = 500;

/// RBAC's name of the requests.
pub(super) const REQUESTS: &str = "awscredentialrequests.keylease.dev";
/// RBAC's name of the roles.
pub(super) const ROLES: &str = "awsroles.keylease.dev";
/// RBAC's name of the accounts.
pub(super) const ACCOUNTS: &str = "awsaccounts.keylease.dev";
/// Who wrote a field, in `metadata.managedFields`.
pub(super) const MANAGER: &str = "kubectl-keylease";

/// The flags that kubectl has for this.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Target {
    /// The namespace of the request. Default: that of the context.
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Cluster"
    )]
    namespace: Option<String>,

    /// The context of the kubeconfig. Default: its current one.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,

    /// The kubeconfig. Default: $KUBECONFIG, else ~/.kube/config, else the
    /// service account of the pod.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
}

/// A client with the person's rights, and the namespace to work in.
#[derive(Clone)]
pub(super) struct Session {
    /// The client.
    pub client: Client,
    /// The namespace that flags and kubeconfig give.
    pub namespace: String,
}

impl Target {
    /// Reads the kubeconfig. Nothing is sent yet.
    pub async fn session(self) -> Result<Session, Failure> {
        let Self {
            namespace,
            context,
            kubeconfig,
        } = self;
        let config = config(context, kubeconfig).await?;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|e| Failure::new(format!("the kubeconfig cannot be used: {e}")))?;
        Ok(Session { client, namespace })
    }
}

async fn config(context: Option<String>, file: Option<PathBuf>) -> Result<Config, Failure> {
    let unusable = |e: &dyn std::fmt::Display| {
        Failure::new(format!(
            "no cluster to talk to: {e}; set --kubeconfig or --context"
        ))
    };
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    if let Some(file) = file {
        let read = Kubeconfig::read_from(&file).map_err(|e| unusable(&e))?;
        let config = Config::from_custom_kubeconfig(read, &options).await;
        return config.map_err(|e| unusable(&e));
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        // Whoever named a context does not mean the pod that this may be.
        Err(error) if options.context.is_some() => Err(unusable(&error)),
        Err(error) => Config::incluster().map_err(|_| unusable(&error)),
    }
}

impl Session {
    /// The requests of the namespace.
    pub fn requests(&self) -> Api<AwsCredentialRequest> {
        self.namespaced()
    }

    /// The roles of the cluster.
    pub fn roles(&self) -> Api<AwsRole> {
        Api::all(self.client.clone())
    }

    /// Anything else in the namespace.
    pub fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A call about a request, for the sentence when it fails.
    pub fn on_request<'a>(&'a self, verb: &'static str, name: &'a str) -> Call<'a> {
        let namespace = Some(self.namespace.as_str());
        Call {
            verb,
            resource: REQUESTS,
            namespace,
            name,
        }
    }

    /// A request by name.
    pub async fn request(&self, name: &str) -> Result<AwsCredentialRequest, Failure> {
        let call = self.on_request("get", name);
        let got = self.requests().get(name).await;
        got.map_err(|e| call.failed(&e))
    }
}

/// A call about a role, for the sentence when it fails.
pub(super) fn on_role<'a>(verb: &'static str, name: &'a str) -> Call<'a> {
    Call {
        verb,
        resource: ROLES,
        namespace: None,
        name,
    }
}

/// All objects that can be read, page by page. One that cannot, say of a newer
/// version, is told of on stderr and does not hide the others.
pub(super) async fn list<K>(
    client: &Client,
    namespace: Option<&str>,
    resource: &'static str,
) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let url = K::url_path(&(), namespace);
    let call = Call {
        verb: "list",
        resource,
        namespace,
        name: "",
    };
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let request = kube::core::Request::new(url.as_str())
            .list(&params)
            .map_err(|e| Failure::new(e.to_string()))?;
        let page = client
            .request::<kube::core::ObjectList<DeserializeGuard<K>>>(request)
            .await;
        let page = page.map_err(|e| call.failed(&e))?;
        for item in page.items {
            match item.0 {
                Ok(object) => all.push(object),
                Err(bad) => {
                    let name = bad.metadata.name.as_deref().unwrap_or_default();
                    eprintln!("keylease: {resource} {name} cannot be read: {}", bad.error);
                }
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
