//! The cluster, and the programs with which a person would work on it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keylease_testbed::{ControlPlane, ControlPlaneOptions, Node, NodeNetwork, node, paths};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// `node`: start a cluster with a node here. `kubeconfig`: use the cluster of
/// `KUBECONFIG`, whose nodes have the images.
const WHERE: &str = "KEYLEASE_E2E";
/// With `kubeconfig`: the address of this machine that pods can reach.
const ADDRESS: &str = "KEYLEASE_E2E_ADDRESS";

/// Nothing of the user's own settings gets in.
const HELM_HOMES: [&str; 3] = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"];

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-keylease");

/// What `tools/image/build.sh` made: the image that is released.
#[cfg(target_arch = "aarch64")]
const OPERATOR_IMAGE: &str = concat!("keylease-", env!("CARGO_PKG_VERSION"), "-arm64.tar");
#[cfg(not(target_arch = "aarch64"))]
const OPERATOR_IMAGE: &str = concat!("keylease-", env!("CARGO_PKG_VERSION"), "-amd64.tar");

/// A cluster that runs pods.
pub struct Cluster {
    kubeconfig: PathBuf,
    helm_home: PathBuf,
    address: Ipv4Addr,
    sync: Duration,
    // Dropped in this order: the node before what it talks to.
    own: Option<(Node, ControlPlane)>,
}

impl Cluster {
    /// The cluster that the environment asks for; without one it says why the
    /// test is skipped.
    pub async fn from_environment() -> Result<Option<Self>> {
        match std::env::var(WHERE).ok().as_deref() {
            Some("node") => Self::start().await.map(Some),
            Some("kubeconfig") => Self::given().map(Some),
            Some(other) => bail!("{WHERE} is {other:?}: neither node nor kubeconfig"),
            None => {
                eprintln!("*** SKIPPED: {WHERE} is not set; use `make e2e` or `make e2e-kind`");
                Ok(None)
            }
        }
    }

    async fn start() -> Result<Self> {
        if let Some(missing) = paths::missing_control_plane().or_else(node::missing) {
            bail!("this test needs a node of its own, and {missing}");
        }
        let dir = paths::repo_root().join("target/e2e");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        let network = NodeNetwork::set_up()?;
        let plane = ControlPlane::start_with(ControlPlaneOptions {
            dir: Some(dir),
            node: Some(network),
            ..ControlPlaneOptions::default()
        })
        .await?;
        let node = Node::start(&plane).await?;
        let images = paths::repo_root().join("target/image");
        for image in [OPERATOR_IMAGE, "e2e-app.tar"] {
            node.import(&images.join(image)).await?;
        }
        Ok(Self {
            kubeconfig: plane.kubeconfig().to_path_buf(),
            helm_home: plane.dir().join("helm"),
            address: network.address(),
            sync: Duration::from_secs(5),
            own: Some((node, plane)),
        })
    }

    fn given() -> Result<Self> {
        let kubeconfig = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
        let address = std::env::var(ADDRESS).context(ADDRESS)?;
        Ok(Self {
            kubeconfig: kubeconfig.into(),
            helm_home: paths::repo_root().join("target/e2e/helm"),
            address: address.parse().context(ADDRESS)?,
            // What kubelet does if it is not told otherwise, with its jitter.
            sync: Duration::from_secs(90),
            own: None,
        })
    }

    /// Whether the node's processes are this machine's.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// An address of this machine that pods can reach.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// How long kubelet may take to bring a changed Secret into a pod.
    pub fn sync(&self) -> Duration {
        self.sync
    }

    /// kubectl as a cluster administrator.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run(&program("kubectl"), args, "").await
    }

    /// `kubectl get ARGS -o json`.
    pub async fn get(&self, args: &[&str]) -> Result<Value> {
        let args = [&["get"], args, &["-o", "json"]].concat();
        Ok(serde_json::from_str(&self.kubectl(&args).await?)?)
    }

    /// `kubectl apply` of one or more documents.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        let args = ["apply", "-f", "-"];
        self.run(&program("kubectl"), &args, yaml).await.map(drop)
    }

    /// Whether the API server would take this as a new object.
    pub async fn dry_run(&self, yaml: &str) -> Result<()> {
        let args = ["create", "--dry-run=server", "-f", "-"];
        self.run(&program("kubectl"), &args, yaml).await.map(drop)
    }

    /// helm, in the root of the repository.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        self.run(&program("helm"), args, "").await
    }

    /// `kubectl keylease`.
    pub async fn plugin(&self, args: &[&str]) -> Result<String> {
        self.run(Path::new(PLUGIN), args, "").await
    }

    async fn run(&self, program: &Path, args: &[&str], stdin: &str) -> Result<String> {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(paths::repo_root())
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(HELM_HOMES.map(|name| (name, &self.helm_home)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("running {}", program.display()))?;
        let mut pipe = child.stdin.take().context("no standard input")?;
        pipe.write_all(stdin.as_bytes()).await?;
        drop(pipe);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("{name} {}: {}", args.join(" "), stderr.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The tool that `make` built, else what the system has.
fn program(name: &str) -> PathBuf {
    paths::tool(name).unwrap_or_else(|_| PathBuf::from(name))
}
