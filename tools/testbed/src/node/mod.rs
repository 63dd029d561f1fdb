//! A real node: containerd, kubelet, kube-proxy, CoreDNS, and the scheduler that
//! sends pods to it.
//!
//! It runs inside the namespaces that `tools/node/inside.sh` makes, and nowhere
//! else: a node changes mounts, routes and packet filters, and inside they are
//! nobody else's and go when the last process goes. That is why nothing here
//! takes anything down again.

mod containerd;
mod kubelet;
mod network;
mod services;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

pub use self::network::NodeNetwork;
use crate::control_plane::ControlPlane;
use crate::process::Child;
use crate::{paths, wait};

/// The name of the node.
pub const NAME: &str = "node-1";

/// Measured: 10 to 25 seconds on two cores.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// What `make node-tools` builds.
const TOOLS: [&str; 7] = [
    "containerd",
    "containerd-shim-runc-v2",
    "coredns",
    "ctr",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
];

/// Why no node can be started, or `None`.
#[must_use]
pub fn missing() -> Option<String> {
    let tool = TOOLS.into_iter().find_map(|name| paths::tool(name).err());
    let outside = network::check_isolated().err();
    outside.or(tool).map(|error| format!("{error:#}"))
}

/// A running node. Dropping it stops its servers; what is left of its
/// containers ends with the namespaces.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order: clients before servers.
    servers: Vec<Child>,
}

impl Node {
    /// Starts a node that belongs to `plane`, which must have been started
    /// with a [`NodeNetwork`] in its options. It is ready when this returns.
    ///
    /// # Errors
    /// When a tool is missing or does not come up; the message has the end of
    /// its log.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let network = plane
            .node_network()
            .context("the control plane was started without the network of a node")?;
        let dir = plane.dir().join("node");
        let logs = plane.logs_dir();
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;

        let containerd = containerd::start(&dir, &logs).await?;
        containerd::import(&pause_image()).await?;
        let kubelet = kubelet::start(plane, network, &dir, &logs)?;
        let proxy = services::start_proxy(plane, network, &dir, &logs)?;
        let dns = services::start_dns(plane, &dir, &logs)?;
        let scheduler = services::start_scheduler(plane, &logs)?;
        let mut node = Self {
            servers: vec![scheduler, dns, proxy, kubelet, containerd],
        };
        node.wait_ready(plane).await?;
        Ok(node)
    }

    async fn wait_ready(&mut self, plane: &ControlPlane) -> Result<()> {
        let path = "jsonpath={.status.conditions[?(@.type=='Ready')]}";
        let alive = || self.servers.iter_mut().try_for_each(Child::check_running);
        wait::until_ok_while("the node", READY_TIMEOUT, alive, || async {
            let ready = plane.kubectl(&["get", "node", NAME, "-o", path]).await?;
            anyhow::ensure!(ready.contains(r#""status":"True""#), "{ready}");
            Ok(())
        })
        .await
    }

    /// Imports an image from a Docker-format archive, so that pods can use it
    /// with `imagePullPolicy: Never`.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub async fn import(&self, archive: &Path) -> Result<()> {
        containerd::import(archive).await
    }
}

fn pause_image() -> PathBuf {
    paths::repo_root().join("target/image/pause.tar")
}

/// Servers find runc, nft and the shim where `make node-tools` puts them.
fn path_with_tools() -> Result<String> {
    let mut dirs = paths::tool_dirs();
    let path = std::env::var_os("PATH").unwrap_or_default();
    dirs.extend(std::env::split_paths(&path));
    let joined: OsString = std::env::join_paths(dirs).context("joining PATH")?;
    joined
        .into_string()
        .map_err(|_| anyhow::anyhow!("PATH is not UTF-8"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
