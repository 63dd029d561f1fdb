//! One cluster, one fake AWS, one operator.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keylease_testbed::aws::KeyDelay;
use keylease_testbed::operator::printed_policy;
use keylease_testbed::{ControlPlane, ControlPlaneOptions, FakeAws, FakeConfig, Operator, paths};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::sync::Mutex;

use super::{KEYLEASE, SOON};

/// A control plane, an AWS, and the operator between them.
pub struct Bed {
    // Dropped in this order: the operator before what it talks to.
    pub operator: Mutex<Operator>,
    pub aws: FakeAws,
    pub cluster: ControlPlane,
}

/// What the tests use that `keylease iam-policy` prints on request only.
const USED: &[&str] = &[
    "--account-id=123456789012",
    "--inline",
    "--allow-group=fault-laden",
    "--allow-group=issue-full-a",
    "--allow-group=issue-full-b",
    "--read-group=readers",
    "--read-group=nobody",
    "--assume-role=arn:aws:iam::123456789012:role/dev",
    "--assume-role=arn:aws:iam::123456789012:role/a",
    "--assume-role=arn:aws:iam::123456789012:role/b",
    "--federation",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy-hold",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy-rotate",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy-twice",
    "--root-user-arn=arn:aws:iam::123456789012:user/keylease-operator",
];

/// How to start a [`Bed`].
pub struct Settings<'a> {
    pub aws: FakeConfig,
    /// Added to the operator's environment.
    pub env: &'a [(&'a str, &'a str)],
    /// Flags of `keylease iam-policy`: what it prints is all that AWS lets the
    /// operator do.
    pub policy: &'a [&'a str],
}

impl Default for Settings<'_> {
    /// An AWS that takes its time, though less than the real one.
    fn default() -> Self {
        Self {
            aws: FakeConfig {
                latency: Duration::from_millis(5),
                key_delay: KeyDelay::fixed(Duration::from_millis(300)),
                ..FakeConfig::default()
            },
            env: &[],
            policy: USED,
        }
    }
}

/// The bed that tests share which do not disturb each other. It lives as long
/// as one of them has it.
static SHARED: Mutex<Weak<Bed>> = Mutex::const_new(Weak::new());

impl Bed {
    /// The shared bed: do not stop anything, do not change how AWS behaves
    /// towards other users than your own.
    pub async fn shared() -> Result<Arc<Self>> {
        let mut slot = SHARED.lock().await;
        if let Some(bed) = slot.upgrade() {
            return Ok(bed);
        }
        let bed = Self::start(Settings::default()).await?;
        *slot = Arc::downgrade(&bed);
        Ok(bed)
    }

    /// A bed of one's own, with the account `default` signed in to.
    pub async fn start(settings: Settings<'_>) -> Result<Arc<Self>> {
        let cluster = start_cluster().await?;
        let aws = FakeAws::start(settings.aws)?;
        aws.confine(&printed_policy(Path::new(KEYLEASE), settings.policy)?)?;
        let endpoint = aws.endpoint();
        let mut operator = start_operator(cluster.kubeconfig(), &endpoint, settings.env)?;
        operator.wait_ready(SOON).await?;
        Ok(Arc::new(Self {
            operator: Mutex::new(operator),
            aws,
            cluster,
        }))
    }

    /// A client for this bed. Clients belong to the runtime of one test.
    pub async fn client(&self) -> Result<Client> {
        client_of(self.cluster.kubeconfig()).await
    }
}

fn start_operator(kubeconfig: &Path, endpoint: &str, env: &[(&str, &str)]) -> Result<Operator> {
    let debug = ("KEYLEASE_LOG", "keylease=debug,info");
    let env: Vec<_> = std::iter::once(debug).chain(env.iter().copied()).collect();
    Operator::start(Path::new(KEYLEASE), kubeconfig, endpoint, &env, &[])
}

/// A control plane with our definitions, the operator's namespace, and the
/// account `default` that signs in with what the operator's environment has.
pub async fn start_cluster() -> Result<ControlPlane> {
    if let Some(missing) = paths::missing_control_plane() {
        bail!("these tests need a real control plane, and {missing}");
    }
    let options = ControlPlaneOptions::default();
    let cluster = ControlPlane::start_with(options).await?;
    let definitions = json!({"apiVersion": "v1", "kind": "List", "items": keylease_api::crds()});
    cluster
        .kubectl_apply(&definitions.to_string())
        .await
        .context("installing the definitions")?;
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "--all",
    ];
    cluster.kubectl(&established).await?;
    cluster.restart_controller_manager()?;
    cluster
        .kubectl_apply(
            r#"
apiVersion: v1
kind: Namespace
metadata: {name: keylease-system}
---
apiVersion: keylease.dev/v1alpha1
kind: AwsAccount
metadata: {name: default}
spec: {}
"#,
        )
        .await?;
    Ok(cluster)
}

/// A client with the rights of this kubeconfig.
pub async fn client_of(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
