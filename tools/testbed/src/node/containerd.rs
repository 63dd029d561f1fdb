//! containerd: its configuration, its start, and images from files.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::process::Command;

use super::write;
use crate::process::{Child, Spec};
use crate::{paths, wait};

/// Below `/run`, which is private to the namespaces.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The image of `tools/node/pause`, which holds a pod's namespaces open.
const PAUSE: &str = "keylease.test/pause:1";
/// Pods get addresses from here; see also kube-proxy's `clusterCIDR`.
pub(super) const POD_CIDR: &str = "10.244.0.0/24";

pub(super) async fn start(dir: &Path, logs: &Path) -> Result<Child> {
    let network = dir.join("cni");
    std::fs::create_dir_all(&network)?;
    write(
        &network.join("10-pods.conflist"),
        &pod_network().to_string(),
    )?;
    let config = dir.join("containerd.toml");
    write(&config, &config_text(&network, &plugins()?))?;

    let spec = Spec::new(paths::tool("containerd")?)
        .arg(format!("--config={}", config.display()))
        .env("PATH", super::path_with_tools()?);
    let mut child = Child::spawn("containerd", &spec, &logs.join("containerd.log"))?;
    wait::until_ok_while(
        "containerd",
        START_TIMEOUT,
        || child.check_running(),
        || ctr(&["version"]),
    )
    .await?;
    Ok(child)
}

/// Imports a Docker-format archive, so that pods can use it with
/// `imagePullPolicy: Never`.
pub(super) async fn import(archive: &Path) -> Result<()> {
    let archive = archive.display().to_string();
    ctr(&["-n", "k8s.io", "images", "import", &archive]).await
}

async fn ctr(args: &[&str]) -> Result<()> {
    let output = Command::new(paths::tool("ctr")?)
        .args(["--address", SOCKET])
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("running ctr")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("ctr {}: {}", args.join(" "), stderr.trim());
    }
    Ok(())
}

/// The folder of the CNI plugins; see `tools/node/packages.sh`.
fn plugins() -> Result<PathBuf> {
    let places = [
        PathBuf::from("/usr/lib/cni"),
        PathBuf::from("/opt/cni/bin"),
        paths::repo_root().join("target/tools/debian/usr/lib/cni"),
    ];
    match places.iter().find(|dir| dir.join("ptp").is_file()) {
        Some(dir) => Ok(dir.clone()),
        None => bail!("no CNI plugins in {places:?}: run `make node-tools`"),
    }
}

/// `ptp` and not `bridge`: what goes from pod to pod through a service's
/// address is then routed, so the answer is translated back without
/// br_netfilter, a kernel module that is not everywhere.
fn pod_network() -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_CIDR}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// `restrict_oom_score_adj`: to lower the score takes CAP_SYS_RESOURCE, which
/// root does not have in many containers.
fn config_text(network: &Path, plugins: &Path) -> String {
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{network}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"
"#,
        plugins = plugins.display(),
        network = network.display(),
    )
}
