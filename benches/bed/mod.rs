//! What measurements stand on: a control plane, our fake of AWS, the operator
//! that is shipped, a role that everybody may use.

#[allow(dead_code, reason = "not every measurement needs it")]
pub mod secrets;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use keylease_testbed::{ControlPlane, ControlPlaneOptions, FakeAws, FakeConfig, Operator, paths};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

/// Longer than this, and something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Whom the audit log knows the operator as.
pub const OPERATOR: &str = "the-operator";
/// The namespace of the requests.
pub const NAMESPACE: &str = "bench";
/// Another one.
#[allow(dead_code, reason = "not every measurement needs two")]
pub const OTHER: &str = "other";

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: keylease-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: bench}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: default}
# AWS allows 5,000 users in an account, the fake as many as are measured.
spec: {limits: {maxUsers: 0}}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsRole
metadata: {name: reader}
spec:
  accountRef: {name: default}
  iamUser: {policyArns: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}
  allowedNamespaces: {names: ["*"]}
"#;

/// All of it, running.
pub struct Bed {
    // Dropped in this order: the operator before what it talks to.
    /// The operator; its log can be read.
    #[allow(dead_code, reason = "it runs, that is enough for most")]
    pub operator: Operator,
    /// AWS.
    pub aws: FakeAws,
    /// Kubernetes.
    #[allow(dead_code, reason = "as above")]
    pub cluster: ControlPlane,
    /// A client with all rights.
    pub client: Client,
}

impl Bed {
    /// Starts everything.
    pub async fn start(aws: FakeConfig, audit_log: bool) -> Result<Self> {
        let bin = binary()?;
        let options = ControlPlaneOptions {
            audit_log,
            ..ControlPlaneOptions::default()
        };
        let cluster = ControlPlane::start_with(options).await?;
        let crds = json!({"apiVersion": "v1", "kind": "List", "items": keylease_api::crds()});
        cluster.kubectl_apply(&crds.to_string()).await?;
        cluster
            .kubectl(&["wait", "--for=condition=Established", "crd", "--all"])
            .await?;
        cluster.kubectl_apply(OBJECTS).await?;
        let aws = FakeAws::start(aws)?;
        let identity = cluster.client_kubeconfig(OPERATOR, &["system:masters"])?;
        let mut operator = Operator::start(&bin, &identity, &aws.endpoint(), &[], &[])?;
        operator.wait_ready(PATIENCE).await?;
        let config = Kubeconfig::read_from(cluster.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        Ok(Self {
            operator,
            aws,
            cluster,
            client,
        })
    }
}

impl Bed {
    /// Makes another role that everybody may use.
    #[allow(dead_code, reason = "as above")]
    pub async fn role(&self, name: &str) -> Result<()> {
        let role = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
            "metadata": {"name": name},
            "spec": {
                "accountRef": {"name": "default"},
                "iamUser": {"policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
                "allowedNamespaces": {"names": ["*"]},
            },
        });
        self.cluster.kubectl_apply(&role.to_string()).await?;
        Ok(())
    }
}

/// The binary that is measured.
fn binary() -> Result<PathBuf> {
    let named = std::env::var_os("KEYLEASE_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| paths::repo_root().join("target/release/keylease"));
    if !path.is_file() {
        bail!(
            "{} is missing: run `make release`, or set KEYLEASE_BIN",
            path.display()
        );
    }
    Ok(path)
}
