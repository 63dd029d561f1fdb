//! kubelet: its configuration and its start.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::containerd::SOCKET;
use super::services::DOMAIN;
use super::{NAME, NodeNetwork, write};
use crate::control_plane::ControlPlane;
use crate::paths;
use crate::process::{Child, Spec};

/// The cgroup that `tools/node/inside.sh` made; in it pods have theirs.
const CGROUP: &str = "TESTBED_CGROUP";

pub(super) fn start(
    plane: &ControlPlane,
    network: NodeNetwork,
    dir: &Path,
    logs: &Path,
) -> Result<Child> {
    let cgroup = std::env::var(CGROUP).unwrap_or_else(|_| "/".to_owned());
    let config = dir.join("kubelet.json");
    write(
        &config,
        &settings(&plane.ca_file(), &cgroup, &logs.join("pods"), network).to_string(),
    )?;
    let user = format!("system:node:{NAME}");
    let kubeconfig = plane.component_kubeconfig(&user, "system:nodes")?;
    let spec = Spec::new(paths::tool("kubelet")?)
        .args([
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={}", network.address()),
        ])
        .env("PATH", super::path_with_tools()?);
    Child::spawn("kubelet", &spec, &logs.join("kubelet.log"))
}

/// As in any cluster, but for what this machine has (swap, cgroup v1, a full
/// disk, no right to lower an OOM score) and for `syncFrequency`: it bounds how
/// long a pod reads the old content of a Secret, a minute by default.
fn settings(
    ca_file: &str,
    cgroup: &str,
    pod_logs: &Path,
    network: NodeNetwork,
) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": ca_file},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "clusterDNS": [network.address().to_string()],
        "clusterDomain": DOMAIN,
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "podLogsDir": pod_logs.display().to_string(),
        // The machine's own resolver cannot be reached from here.
        "resolvConf": "",
        "syncFrequency": "5s",
    })
}
