//! Which cluster, as whom, in which namespace: the person's own kubeconfig.

use std::fmt::Debug;
use std::path::PathBuf;

use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use super::error::{Call, Failure};
use super::paint::one_line;
use crate::act::HasStatus;
use crate::cli::cluster::{self, Flags};
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, AwsRole};
use keylease_core::plan::naming::is_object_name;

/// Objects in one answer of a list.
const PAGE: u32 = 500;

/// RBAC's name of the requests.
pub(super) const REQUESTS: &str = "awscredentialrequests.keylease.dev";
/// RBAC's name of the roles.
pub(super) const ROLES: &str = "awsroles.keylease.dev";
/// RBAC's name of the accounts.
pub(super) const ACCOUNTS: &str = "awsaccounts.keylease.dev";
/// Who wrote a field, in `metadata.managedFields`. Not `kubectl-…`: Flux takes
/// over every manager whose name begins so.
pub(super) const MANAGER: &str = "keylease-cli";

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

    /// The cluster of the kubeconfig. Default: that of the context.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    cluster: Option<String>,

    /// The user of the kubeconfig. Default: that of the context.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    user: Option<String>,

    /// The kubeconfig. Default: the files of $KUBECONFIG as one, else
    /// ~/.kube/config, else the service account of the pod.
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
        let flags = Flags {
            file: self.kubeconfig,
            context: self.context,
            cluster: self.cluster,
            user: self.user,
        };
        let place = cluster::find(&flags).await;
        let place = place.map_err(|why| Failure::new(format!("no cluster to talk to: {why}")))?;
        let namespace = self.namespace.unwrap_or(place.namespace);
        let client = place.client;
        Ok(Session { client, namespace })
    }
}

impl Session {
    /// The requests of the namespace.
    pub fn requests(&self) -> Api<Lenient<AwsCredentialRequest>> {
        self.namespaced()
    }

    /// The roles of the cluster.
    pub fn roles(&self) -> Api<Lenient<AwsRole>> {
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
        check_name(name)?;
        let got = self.requests().get(name).await;
        got.map(|Lenient(request)| request)
            .map_err(|e| call.failed(&e))
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

/// Refuses what no object can be named: in a URL it would lead to another one.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    if is_object_name(name) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{name:?} is no name of an object: lower-case letters, digits, - and ."
    )))
}

/// All objects, page by page. One of which some cannot be read, say of a newer
/// version, is told of on stderr.
pub(super) async fn list<K>(
    client: &Client,
    namespace: Option<&str>,
    resource: &'static str,
) -> Result<Vec<K>, Failure>
where
    K: HasStatus,
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
            .request::<kube::core::ObjectList<Lenient<K>>>(request)
            .await;
        let page = page.map_err(|e| call.failed(&e))?;
        for Lenient(object) in page.items {
            if let Some(what) = object.unreadable().summary() {
                let name = object.meta().name.as_deref().unwrap_or_default();
                let what = one_line(&what);
                eprintln!("keylease: {resource} {name} cannot be read as a whole: {what}");
            }
            all.push(object);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
